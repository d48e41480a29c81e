//! Looking at the fleet, whether it is the state itself or a draft laid over it.

use std::collections::BTreeSet;

use crate::email::EmailHash;
use crate::id::{
    InvitationId, KeyId, LocationId, MachineId, ModuleId, OrganizationId, PartId, SigningKeyId, UserId,
};
use crate::module::{Module, ModuleName};
use crate::name::Name;
use crate::record::{
    Invitation, Key, Kind, Location, Machine, Organization, Part, Record, RecordId, SigningKey, User,
};
use crate::resource::Resource;

/// How deep locations nest, the top one counted.
pub const MAX_LOCATION_DEPTH: usize = 3;

/// Everything a decision may look at.
///
/// [`State`](crate::State) is one; [`Draft`](crate::Draft), which shows a turn its own earlier changes, is the
/// other. Object safe, because commands see a view through a pointer; checks are generic and see the state.
pub trait View {
    /// The organization with this id.
    fn organization(&self, id: OrganizationId) -> Option<&Organization>;
    /// The location with this id.
    fn location(&self, id: LocationId) -> Option<&Location>;
    /// The machine with this id.
    fn machine(&self, id: MachineId) -> Option<&Machine>;
    /// The part with this id.
    fn part(&self, id: PartId) -> Option<&Part>;
    /// The key with this id.
    fn key(&self, id: KeyId) -> Option<&Key>;
    /// The signing key with this id.
    fn signing_key(&self, id: SigningKeyId) -> Option<&SigningKey>;
    /// The person with this id.
    fn user(&self, id: UserId) -> Option<&User>;
    /// The invitation with this id.
    fn invitation(&self, id: InvitationId) -> Option<&Invitation>;
    /// The module with this id.
    fn module(&self, id: ModuleId) -> Option<&Module>;
    /// The module with this name, in capitals or not, in an organization.
    fn module_named(&self, organization: OrganizationId, name: &ModuleName) -> Option<ModuleId>;
    /// The modules that are not private, in order of their ids.
    fn public_modules(&self) -> Box<dyn Iterator<Item = ModuleId> + '_>;
    /// The organization with this namespace.
    fn organization_by_namespace(&self, namespace: &Name) -> Option<OrganizationId>;
    /// The person with this address.
    fn user_by_email(&self, email: EmailHash) -> Option<UserId>;
    /// The part whose address starts with this label.
    fn part_by_label(&self, label: &str) -> Option<PartId>;
    /// All organizations, in order of creation.
    fn organizations(&self) -> Box<dyn Iterator<Item = OrganizationId> + '_>;
    /// The records of a kind directly below another, in order of their ids: locations in an organization or a
    /// location, machines in a location, parts of a machine, keys, invitations and modules of an organization.
    fn children(&self, of: RecordId, kind: Kind) -> Box<dyn Iterator<Item = RecordId> + '_>;
    /// The keys that hold a grant on exactly this resource, in order of creation.
    fn holders(&self, of: Resource) -> Box<dyn Iterator<Item = KeyId> + '_>;
    /// The people who hold a grant on exactly this resource, in order of their ids.
    fn people_on(&self, of: Resource) -> Box<dyn Iterator<Item = UserId> + '_>;
    /// The members of an organization, in order of their ids.
    fn members(&self, of: OrganizationId) -> Box<dyn Iterator<Item = UserId> + '_>;
    /// The locations that are shared with an organization, in order of their ids.
    fn shared_with(&self, organization: OrganizationId) -> Box<dyn Iterator<Item = LocationId> + '_>;

    /// The locations directly below an organization or a location.
    fn locations_in(&self, of: RecordId) -> Box<dyn Iterator<Item = &Location> + '_> {
        Box::new(self.children(of, Kind::Location).filter_map(|id| match id {
            RecordId::Location(id) => self.location(id),
            _ => None,
        }))
    }

    /// The machines in a location, not in those nested in it.
    fn machines_in(&self, of: LocationId) -> Box<dyn Iterator<Item = &Machine> + '_> {
        Box::new(self.children(RecordId::Location(of), Kind::Machine).filter_map(|id| match id {
            RecordId::Machine(id) => self.machine(id),
            _ => None,
        }))
    }

    /// The parts of a machine, the oldest first.
    fn parts_of(&self, of: MachineId) -> Box<dyn Iterator<Item = &Part> + '_> {
        Box::new(self.children(RecordId::Machine(of), Kind::Part).filter_map(|id| match id {
            RecordId::Part(id) => self.part(id),
            _ => None,
        }))
    }

    /// The modules of an organization, the oldest first.
    fn modules_of(&self, of: OrganizationId) -> Box<dyn Iterator<Item = &Module> + '_> {
        Box::new(self.children(RecordId::Organization(of), Kind::Module).filter_map(|id| match id {
            RecordId::Module(id) => self.module(id),
            _ => None,
        }))
    }

    /// The keys of an organization at any level, the oldest first.
    fn keys_of(&self, of: OrganizationId) -> Box<dyn Iterator<Item = &Key> + '_> {
        Box::new(self.children(RecordId::Organization(of), Kind::Key).filter_map(|id| match id {
            RecordId::Key(id) => self.key(id),
            _ => None,
        }))
    }
}

/// The record with this id in any view, whole.
pub(crate) fn record_in<V: View + ?Sized>(view: &V, id: RecordId) -> Option<Record> {
    Some(match id {
        RecordId::Organization(id) => Record::Organization(view.organization(id)?.clone()),
        RecordId::Location(id) => Record::Location(view.location(id)?.clone()),
        RecordId::Machine(id) => Record::Machine(view.machine(id)?.clone()),
        RecordId::Part(id) => Record::Part(view.part(id)?.clone()),
        RecordId::Key(id) => Record::Key(view.key(id)?.clone()),
        RecordId::SigningKey(id) => Record::SigningKey(view.signing_key(id)?.clone()),
        RecordId::User(id) => Record::User(view.user(id)?.clone()),
        RecordId::Invitation(id) => Record::Invitation(view.invitation(id)?.clone()),
        RecordId::Module(id) => Record::Module(view.module(id)?.clone()),
    })
}

/// A resource and everything above it, from the resource up to its organization.
///
/// Lives on the stack: a check makes one on every call.
#[derive(Clone, Copy, Debug)]
pub struct Lineage {
    steps: [Option<Resource>; Self::MAX],
    organization: OrganizationId,
}

impl Lineage {
    /// A machine, its locations, its organization.
    const MAX: usize = MAX_LOCATION_DEPTH + 2;

    /// The lineage of a resource, or nothing if the resource is not there.
    #[inline]
    pub fn of<V: View + ?Sized>(view: &V, resource: Resource) -> Option<Self> {
        let mut steps = [None; Self::MAX];
        let mut places = steps.iter_mut();
        let mut place = |step| places.next().map(|place| *place = Some(step));
        let mut location = match resource {
            Resource::Organization(id) => {
                view.organization(id)?;
                place(resource)?;
                return Some(Self { steps, organization: id });
            }
            Resource::Location(id) => view.location(id)?,
            Resource::Machine(id) => {
                place(resource)?;
                view.location(view.machine(id)?.location)?
            }
        };
        // Bounded by the places: a cycle, which no command can make, ends in `None` and thus in a refusal.
        loop {
            place(Resource::Location(location.id))?;
            match location.parent {
                Some(parent) => location = view.location(parent)?,
                None => break,
            }
        }
        place(Resource::Organization(location.organization))?;
        Some(Self { steps, organization: location.organization })
    }

    /// Whether the resource is this one or above it.
    #[inline]
    #[must_use]
    pub fn contains(&self, resource: Resource) -> bool {
        self.steps.contains(&Some(resource))
    }

    /// How many steps of it an organization has a share in, counted from the resource up: those at and below the
    /// topmost location that is shared with it. None where nothing is.
    pub fn shared_steps<V: View + ?Sized>(&self, view: &V, organization: OrganizationId) -> usize {
        let shared = |step: Resource| match step {
            Resource::Location(id) => {
                view.location(id).is_some_and(|it| it.shared_with.contains(&organization))
            }
            _ => false,
        };
        let steps = self.iter().enumerate().filter(|(_, step)| shared(*step));
        steps.map(|(place, _)| place + 1).last().unwrap_or(0)
    }

    /// The organizations that it is shared with, at whatever step; once each, in order of their ids.
    pub fn guests<V: View + ?Sized>(&self, view: &V) -> BTreeSet<OrganizationId> {
        let locations = self.iter().filter_map(|step| match step {
            Resource::Location(id) => view.location(id),
            _ => None,
        });
        locations.flat_map(|location| location.shared_with.iter().copied()).collect()
    }

    /// From the resource itself up to the organization.
    pub fn iter(&self) -> impl Iterator<Item = Resource> + '_ {
        self.steps.iter().copied().flatten()
    }

    /// The organization at its top.
    #[must_use]
    pub const fn organization(&self) -> OrganizationId {
        self.organization
    }
}
