//! The same fleet, kept as simply as possible: plain lists, walked from end to end for every question.
//!
//! Written from the words of the documentation, with nothing of the crate but its ids, its enums and its plain
//! records. Where the crate walks up from a resource, this walks down from a grant.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Actor, Caller, Denial, Grant, KeyId, Kind, Location, LocationId, Machine, MachineId, Name, Organization,
    OrganizationId, Part, Permission, RecordId, Resource, Role, SigningKey, Timestamp, User, UserId,
};

use crate::rights::Columns;
use crate::wrong::Wrong;

/// A fleet as plain lists.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) wrong: Option<Wrong>,
    pub(crate) now: Timestamp,
    pub(crate) organizations: Vec<Organization>,
    pub(crate) locations: Vec<Location>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) parts: Vec<Part>,
    pub(crate) keys: Vec<ModelKey>,
    pub(crate) users: Vec<User>,
    pub(crate) signing_keys: Vec<SigningKey>,
    /// What there was once.
    pub(crate) buried: Vec<RecordId>,
    /// Values that were good once, each with its key.
    pub(crate) old_values: Vec<(KeyId, String)>,
    pub(crate) columns: Columns,
}

/// A key, with its value in plain text: only a model may keep that.
#[derive(Clone)]
pub(crate) struct ModelKey {
    pub(crate) id: KeyId,
    pub(crate) organization: OrganizationId,
    pub(crate) name: Name,
    pub(crate) value: String,
    pub(crate) generation: u32,
    /// In order of their resources.
    pub(crate) grants: Vec<Grant>,
    pub(crate) created_at: Timestamp,
    pub(crate) creator: Actor,
    pub(crate) expires_at: Option<Timestamp>,
}

/// The answer no.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum No {
    NotFound(Kind),
    Denied(Permission, Option<Resource>),
    /// With the field that is wrong.
    Invalid(String),
    AlreadyExists,
    Aborted,
    FailedPrecondition,
    Unauthenticated(Denial),
}

/// Everything at or below each resource, itself first.
pub(crate) type Tree = BTreeMap<Resource, Vec<Resource>>;

impl Model {
    pub(crate) fn new(now: Timestamp, wrong: Option<Wrong>) -> Self {
        Self {
            wrong,
            now,
            organizations: vec![],
            locations: vec![],
            machines: vec![],
            parts: vec![],
            keys: vec![],
            users: vec![],
            signing_keys: vec![],
            buried: vec![],
            old_values: vec![],
            columns: Columns::new(wrong),
        }
    }

    pub(crate) fn is(&self, wrong: Wrong) -> bool {
        self.wrong == Some(wrong)
    }

    pub(crate) fn organization(&self, id: OrganizationId) -> Option<&Organization> {
        self.organizations.iter().find(|it| it.id == id)
    }

    pub(crate) fn location(&self, id: LocationId) -> Option<&Location> {
        self.locations.iter().find(|it| it.id == id)
    }

    pub(crate) fn machine(&self, id: MachineId) -> Option<&Machine> {
        self.machines.iter().find(|it| it.id == id)
    }

    pub(crate) fn key(&self, id: KeyId) -> Option<&ModelKey> {
        self.keys.iter().find(|it| it.id == id)
    }

    pub(crate) fn user(&self, id: UserId) -> Option<&User> {
        self.users.iter().find(|it| it.id == id)
    }

    /// What somebody holds, by organization: a key in one, a person in any number.
    pub(crate) fn holdings(&self, actor: Actor) -> Vec<(OrganizationId, Vec<Grant>)> {
        match actor {
            Actor::Key(id) => {
                self.key(id).map(|it| (it.organization, it.grants.clone())).into_iter().collect()
            }
            Actor::User(id) => {
                let memberships = self.user(id).map_or(&[][..], |it| &it.memberships);
                memberships.iter().map(|it| (it.organization, it.grants.to_vec())).collect()
            }
            Actor::Part(_) | Actor::System => vec![],
        }
    }

    /// All that a role can be held on.
    pub(crate) fn resources(&self) -> Vec<Resource> {
        let organizations = self.organizations.iter().map(|it| Resource::Organization(it.id));
        let locations = self.locations.iter().map(|it| Resource::Location(it.id));
        let machines = self.machines.iter().map(|it| Resource::Machine(it.id));
        organizations.chain(locations).chain(machines).collect()
    }

    /// What a role could be held on once.
    pub(crate) fn buried_resources(&self) -> Vec<Resource> {
        let resource = |id: &RecordId| match *id {
            RecordId::Organization(id) => Some(Resource::Organization(id)),
            RecordId::Location(id) => Some(Resource::Location(id)),
            RecordId::Machine(id) => Some(Resource::Machine(id)),
            _ => None,
        };
        self.buried.iter().filter_map(resource).collect()
    }

    pub(crate) fn tree(&self) -> Tree {
        self.resources().into_iter().map(|top| (top, self.at_or_below(top))).collect()
    }

    /// "Organization access covers all its locations and machines; location access covers its machines and
    /// sub-locations' machines; machine access covers only that machine."
    fn at_or_below(&self, top: Resource) -> Vec<Resource> {
        let mut found = vec![top];
        match top {
            Resource::Organization(id) => {
                for location in self.locations.iter().filter(|it| it.organization == id) {
                    found.push(Resource::Location(location.id));
                    found.extend(self.machines_of(location.id));
                }
            }
            Resource::Location(id) => {
                found.extend(self.machines_of(id));
                let nested = self.locations.iter().filter(|it| it.parent == Some(id));
                for location in nested.filter(|_| !self.is(Wrong::RolesStopAtNestedLocations)) {
                    found.extend(self.at_or_below(Resource::Location(location.id)));
                }
            }
            Resource::Machine(_) => {}
        }
        found
    }

    /// What others share with an organization. "Sub-locations of a shared location are included."
    pub(crate) fn shared(&self, tree: &Tree, with: OrganizationId) -> Vec<Resource> {
        // Once each, though shares may nest.
        let mut found = BTreeSet::new();
        for location in self.locations.iter().filter(|it| it.shared_with.contains(&with)) {
            if self.is(Wrong::SharesStopAtNestedLocations) {
                found.insert(Resource::Location(location.id));
                found.extend(self.machines_of(location.id));
            } else {
                found.extend(&tree[&Resource::Location(location.id)]);
            }
        }
        found.into_iter().collect()
    }

    /// What an organization has a part in: all that is its own, and what is shared with it.
    pub(crate) fn part_of(&self, tree: &Tree, organization: OrganizationId) -> Vec<Resource> {
        let own = tree.get(&Resource::Organization(organization)).cloned().unwrap_or_default();
        own.into_iter().chain(self.shared(tree, organization)).collect()
    }

    fn machines_of(&self, location: LocationId) -> impl Iterator<Item = Resource> {
        let inside = self.machines.iter().filter(move |it| it.location == location);
        inside.map(|it| Resource::Machine(it.id))
    }

    /// Who is let in by a token: the holder of a key that is there, in the generation it has now, before it
    /// expires; and who signed in, as long as that is not ended.
    pub(crate) fn let_in(&self, caller: Caller, at: Timestamp) -> Result<Actor, Denial> {
        match caller {
            Caller::System => Ok(Actor::System),
            Caller::Part { .. } => Err(Denial::UnknownSecret),
            Caller::User { id, generation } => {
                let user = self.user(id).ok_or(Denial::UnknownUser)?;
                let current = user.generation == generation || self.is(Wrong::OldSessionsLive);
                if current { Ok(Actor::User(id)) } else { Err(Denial::OldGeneration) }
            }
            Caller::Key { id, generation } => {
                let key = self.key(id).ok_or(Denial::UnknownKey)?;
                if key.generation != generation && !self.is(Wrong::OldTokensLive) {
                    return Err(Denial::OldGeneration);
                }
                if self.dead(key, at) { Err(Denial::Expired) } else { Ok(Actor::Key(id)) }
            }
        }
    }

    /// Who is let in by a key value that has the right form.
    pub(crate) fn let_in_by_value(&self, id: KeyId, value: &str, at: Timestamp) -> Result<Actor, Denial> {
        let key = self.key(id).ok_or(Denial::UnknownKey)?;
        if key.value != value {
            return Err(Denial::WrongValue);
        }
        if self.dead(key, at) { Err(Denial::Expired) } else { Ok(Actor::Key(id)) }
    }

    /// "The last organization owner": a key that is one for good, or a person who can sign in.
    pub(crate) fn lasting(&self, key: &ModelKey) -> bool {
        let forever = key.expires_at.is_none() || self.is(Wrong::ExpiringOwnersCount);
        forever && key.grants.contains(&owner_of(key.organization))
    }

    pub(crate) fn lasting_person(&self, user: &User, of: OrganizationId) -> bool {
        let owns = user.memberships.iter().any(|it| it.grants.contains(&owner_of(of)));
        let enters = user.can_sign_in || self.is(Wrong::PeopleWithoutPasswordCount);
        owns && enters && !self.is(Wrong::PeopleDoNotCount)
    }

    pub(crate) fn dead(&self, key: &ModelKey, at: Timestamp) -> bool {
        match key.expires_at {
            Some(end) if self.is(Wrong::KeysExpireLate) => at > end,
            Some(end) => at >= end,
            None => false,
        }
    }
}

pub(crate) fn owner_of(organization: OrganizationId) -> Grant {
    Grant { role: Role::Owner, resource: Resource::Organization(organization) }
}
