//! What an entry concerns, so that it can be found by it.

use std::collections::BTreeSet;
use std::fmt;

use crate::entry::Entry;
use crate::id::OrganizationId;
use crate::record::{Actor, Change, Record, RecordId};
use crate::resource::{Grant, Resource};
use crate::view::{Lineage, View};

/// Something by which entries are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Something changed, or was allowed, at or below this resource.
    Within(Resource),
    /// This record changed.
    Changed(RecordId),
    /// This one did it.
    By(Actor),
}

impl fmt::Display for Subject {
    /// `machine:0198c5a4-…`, `changed key:0198c5a4-…`, `by key:0198c5a4-…`: as the index keeps it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within(resource) => write!(f, "{}:{}", resource.resource_type(), resource.id_text()),
            Self::Changed(id) => write!(f, "changed {}:{}", id.kind().name(), id.id_text()),
            Self::By(Actor::Key(id)) => write!(f, "by key:{id}"),
            Self::By(Actor::User(id)) => write!(f, "by user:{id}"),
            Self::By(Actor::Part(id)) => write!(f, "by part:{id}"),
            Self::By(Actor::System) => write!(f, "by system"),
        }
    }
}

/// All that an entry concerns.
pub type Subjects = BTreeSet<Subject>;

/// What an entry itself says about whom and what it concerns. Where that stands is asked of the fleet, once as it
/// was before the entry and once as it is after it: what is deleted stood somewhere, what is made will.
#[derive(Clone, Debug, Default)]
pub struct About {
    pub(super) actor: Option<Actor>,
    pub(super) allowed: Vec<Resource>,
    pub(super) changed: Vec<RecordId>,
}

impl About {
    /// What a decided entry is about.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        Self {
            actor: Some(entry.actor()),
            allowed: entry.allowances().iter().filter_map(|allowance| allowance.resource).collect(),
            changed: entry.changes().iter().map(Change::id).collect(),
        }
    }

    /// Who did it, and the records that changed.
    #[must_use]
    pub fn subjects(&self) -> Subjects {
        let changed = self.changed.iter().copied().map(Subject::Changed);
        changed.chain(self.actor.map(Subject::By)).collect()
    }

    /// Where all of it stands in this view, up to the organization.
    pub fn place<V: View + ?Sized>(&self, view: &V, into: &mut Subjects) {
        let changed = self.changed.iter().flat_map(|id| places(view, *id));
        for resource in changed.chain(self.allowed.iter().copied()) {
            if let Some(lineage) = Lineage::of(view, resource) {
                into.extend(lineage.iter().map(Subject::Within));
            }
        }
    }
}

/// The resources that a record stands at: itself, what it is a part of, or what it has grants on.
///
/// Whoever holds grants stands in their own organization with them. On what others share with it they are no matter
/// of those others, who do not manage them either.
pub(super) fn places<V: View + ?Sized>(view: &V, id: RecordId) -> Vec<Resource> {
    match id {
        RecordId::Organization(id) => vec![Resource::Organization(id)],
        RecordId::Location(id) => vec![Resource::Location(id)],
        RecordId::Machine(id) => vec![Resource::Machine(id)],
        RecordId::Part(id) => view.part(id).map(|part| Resource::Machine(part.machine)).into_iter().collect(),
        RecordId::Key(id) => {
            view.key(id).map_or_else(Vec::new, |key| held(view, key.organization, &key.grants))
        }
        RecordId::Invitation(id) => {
            view.invitation(id).map_or_else(Vec::new, |it| held(view, it.organization, &it.grants))
        }
        RecordId::Module(id) => {
            view.module(id).map(|module| Resource::Organization(module.organization)).into_iter().collect()
        }
        RecordId::User(id) => {
            let memberships = view.user(id).into_iter().flat_map(|user| &user.memberships);
            memberships.flat_map(|it| held(view, it.organization, &it.grants)).collect()
        }
        RecordId::SigningKey(_) => Vec::new(),
    }
}

fn held<V: View + ?Sized>(view: &V, organization: OrganizationId, grants: &[Grant]) -> Vec<Resource> {
    let own = grants.iter().map(|grant| grant.resource).filter(|resource| {
        Lineage::of(view, *resource).is_some_and(|lineage| lineage.organization() == organization)
    });
    own.chain([Resource::Organization(organization)]).collect()
}

/// What a record holds, by organization.
pub(super) fn holdings(record: &Record) -> Vec<(OrganizationId, &[Grant])> {
    match record {
        Record::Key(it) => vec![(it.organization, &it.grants)],
        Record::Invitation(it) => vec![(it.organization, &it.grants)],
        Record::User(it) => it.memberships.iter().map(|it| (it.organization, &*it.grants)).collect(),
        _ => Vec::new(),
    }
}
