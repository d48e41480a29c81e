//! A draft: the state as it would be, seen by nobody but the turn that writes it.

use std::collections::{BTreeMap, BTreeSet};

use crate::email::EmailHash;
use crate::entry::Entry;
use crate::id::{
    InvitationId, KeyId, LocationId, MachineId, ModuleId, OrganizationId, PartId, SigningKeyId, UserId,
};
use crate::module::{Module, ModuleName};
use crate::name::Name;
use crate::record::{
    Change, Invitation, Key, Kind, Location, Machine, Organization, Part, Record, RecordId, SigningKey, User,
};
use crate::resource::Resource;
use crate::state::State;
use crate::view::View;

/// What the entries of a turn have changed so far: the last state of each record they touched.
#[derive(Debug, Default)]
pub struct Overlay {
    changed: BTreeMap<RecordId, Option<Record>>,
}

impl Overlay {
    /// Takes in an entry that is decided but not committed.
    pub fn apply(&mut self, entry: &Entry) {
        for change in entry.changes() {
            let after = match change {
                Change::Put(record) => Some(record.clone()),
                Change::Delete(_) => None,
            };
            self.changed.insert(change.id(), after);
        }
    }

    /// Takes in one record as it was once, or that it was gone.
    pub(crate) fn set(&mut self, id: RecordId, after: Option<Record>) {
        self.changed.insert(id, after);
    }
}

/// The state with an overlay on it.
///
/// If the commit fails, the overlay is dropped and nothing happened.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    base: &'a State,
    overlay: &'a Overlay,
}

impl<'a> Draft<'a> {
    /// Lays the overlay over the state.
    #[must_use]
    pub const fn new(base: &'a State, overlay: &'a Overlay) -> Self {
        Self { base, overlay }
    }

    /// The base's items without those that the overlay touched, and the overlay's that belong there.
    ///
    /// A turn changes a handful of records, so looking at all of them beats keeping a second set of indexes.
    fn merged<T: Ord + Copy + 'a>(
        self,
        base: impl Iterator<Item = T> + 'a,
        to_id: impl Fn(T) -> RecordId + 'a,
        belongs: impl Fn(&Record) -> Option<T>,
    ) -> Box<dyn Iterator<Item = T> + 'a> {
        let touched = self.overlay.changed.values().flatten();
        let added: BTreeSet<T> = touched.filter_map(belongs).collect();
        if added.is_empty() {
            return Box::new(base.filter(move |item| !self.overlay.changed.contains_key(&to_id(*item))));
        }
        let kept = base.filter(move |item| !self.overlay.changed.contains_key(&to_id(*item)));
        Box::new(kept.chain(added.iter().copied()).collect::<BTreeSet<T>>().into_iter())
    }
}

impl Draft<'_> {
    /// The one record with a unique mark: what the overlay says has it, else what the base says and the overlay does
    /// not touch.
    fn marked<T: Copy>(
        self,
        base: Option<T>,
        to_id: impl Fn(T) -> RecordId,
        marked: impl Fn(&Record) -> Option<T>,
    ) -> Option<T> {
        let touched = self.overlay.changed.values().flatten();
        let old = base.filter(|id| !self.overlay.changed.contains_key(&to_id(*id)));
        touched.filter_map(marked).chain(old).next()
    }
}

/// The overlay's word where it has one, the base's otherwise.
macro_rules! look {
    ($self:ident, $variant:ident, $method:ident, $id:ident) => {
        match $self.overlay.changed.get(&RecordId::$variant($id)) {
            Some(Some(Record::$variant(record))) => Some(record),
            Some(_) => None,
            None => $self.base.$method($id),
        }
    };
}

impl View for Draft<'_> {
    fn organization(&self, id: OrganizationId) -> Option<&Organization> {
        look!(self, Organization, organization, id)
    }

    fn location(&self, id: LocationId) -> Option<&Location> {
        look!(self, Location, location, id)
    }

    fn machine(&self, id: MachineId) -> Option<&Machine> {
        look!(self, Machine, machine, id)
    }

    fn part(&self, id: PartId) -> Option<&Part> {
        look!(self, Part, part, id)
    }

    fn key(&self, id: KeyId) -> Option<&Key> {
        look!(self, Key, key, id)
    }

    fn signing_key(&self, id: SigningKeyId) -> Option<&SigningKey> {
        look!(self, SigningKey, signing_key, id)
    }

    fn user(&self, id: UserId) -> Option<&User> {
        look!(self, User, user, id)
    }

    fn invitation(&self, id: InvitationId) -> Option<&Invitation> {
        look!(self, Invitation, invitation, id)
    }

    fn module(&self, id: ModuleId) -> Option<&Module> {
        look!(self, Module, module, id)
    }

    fn module_named(&self, organization: OrganizationId, name: &ModuleName) -> Option<ModuleId> {
        let folded = name.folded();
        self.marked(self.base.module_named(organization, name), RecordId::Module, |record| match record {
            Record::Module(it) => {
                (it.organization == organization && it.name.folded() == folded).then_some(it.id)
            }
            _ => None,
        })
    }

    fn public_modules(&self) -> Box<dyn Iterator<Item = ModuleId> + '_> {
        self.merged(self.base.public_modules(), RecordId::Module, |record| match record {
            Record::Module(it) => (!it.visibility.is_private()).then_some(it.id),
            _ => None,
        })
    }

    fn organization_by_namespace(&self, namespace: &Name) -> Option<OrganizationId> {
        let base = self.base.organization_by_namespace(namespace);
        self.marked(base, RecordId::Organization, |record| match record {
            Record::Organization(it) => (it.public_namespace.as_ref() == Some(namespace)).then_some(it.id),
            _ => None,
        })
    }

    fn user_by_email(&self, email: EmailHash) -> Option<UserId> {
        self.marked(self.base.user_by_email(email), RecordId::User, |record| match record {
            Record::User(user) => (user.email == email).then_some(user.id),
            _ => None,
        })
    }

    fn part_by_label(&self, label: &str) -> Option<PartId> {
        let touched = self.overlay.changed.values().flatten();
        let new = touched.filter_map(|record| match record {
            Record::Part(part) if part.label.as_str() == label => Some(part.id),
            _ => None,
        });
        let old = self.base.part_by_label(label);
        new.chain(old.filter(|id| !self.overlay.changed.contains_key(&RecordId::Part(*id)))).next()
    }

    fn organizations(&self) -> Box<dyn Iterator<Item = OrganizationId> + '_> {
        self.merged(self.base.organizations(), RecordId::Organization, |record| match record {
            Record::Organization(it) => Some(it.id),
            _ => None,
        })
    }

    fn children(&self, of: RecordId, kind: Kind) -> Box<dyn Iterator<Item = RecordId> + '_> {
        self.merged(
            self.base.children(of, kind),
            |id| id,
            |record| (record.parent() == Some(of) && record.id().kind() == kind).then(|| record.id()),
        )
    }

    fn holders(&self, of: Resource) -> Box<dyn Iterator<Item = KeyId> + '_> {
        self.merged(self.base.holders(of), RecordId::Key, |record| match record {
            Record::Key(key) if key.grants.iter().any(|grant| grant.resource == of) => Some(key.id),
            _ => None,
        })
    }

    fn people_on(&self, of: Resource) -> Box<dyn Iterator<Item = UserId> + '_> {
        self.merged(self.base.people_on(of), RecordId::User, |record| match record {
            Record::User(user) => {
                let mut grants = user.memberships.iter().flat_map(|membership| membership.grants.iter());
                grants.any(|grant| grant.resource == of).then_some(user.id)
            }
            _ => None,
        })
    }

    fn members(&self, of: OrganizationId) -> Box<dyn Iterator<Item = UserId> + '_> {
        self.merged(self.base.members(of), RecordId::User, |record| match record {
            Record::User(user) => user.membership(of).map(|_| user.id),
            _ => None,
        })
    }

    fn shared_with(&self, organization: OrganizationId) -> Box<dyn Iterator<Item = LocationId> + '_> {
        self.merged(self.base.shared_with(organization), RecordId::Location, |record| match record {
            Record::Location(it) => it.shared_with.contains(&organization).then_some(it.id),
            _ => None,
        })
    }
}
