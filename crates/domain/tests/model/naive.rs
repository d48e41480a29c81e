//! The same fleet, kept as simply as possible: plain lists, walked from end to end for every question.
//!
//! Written from the words of the documentation, with nothing of the crate but its ids, its enums and its plain
//! records. Where the crate walks up from a resource, this walks down from a grant.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Actor, Caller, Denial, Grant, KeyId, Kind, Location, LocationId, Machine, MachineId, Name, Organization,
    OrganizationId, Part, Permission, RecordId, Resource, ResourceType, Role, SigningKey, Timestamp,
};

use crate::matrix::{self, COLUMNS, WIDE};

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
    pub(crate) signing_keys: Vec<SigningKey>,
    /// What there was once.
    pub(crate) buried: Vec<RecordId>,
    /// Values that were good once, each with its key.
    pub(crate) old_values: Vec<(KeyId, String)>,
    /// By column of the matrix, a bit for each permission.
    columns: [u64; 6],
    wide: u64,
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
    FailedPrecondition,
    Unauthenticated(Denial),
}

/// A rule of the model that is wrong on purpose, to show that the comparison notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// One cell of the policy is the other way round.
    Cell(Permission, Role, ResourceType),
    /// A role on a location does not reach into the locations nested in it.
    RolesStopAtNestedLocations,
    /// What is organization-wide stays where the role is held.
    NothingIsWide,
    /// What a caller must not see is denied instead of not found.
    HiddenThingsAreDenied,
    /// A key still works in the microsecond it expires in.
    KeysExpireLate,
    /// A token outlives the rotation of its key.
    OldTokensLive,
    /// The last owner may go.
    LastOwnersGo,
    /// An owner that expires keeps an organization reachable.
    ExpiringOwnersCount,
    /// Who owns one thing that a key reaches may manage the key.
    OneGrantIsEnough,
    /// Locations nest four deep.
    NestingIsFourDeep,
    /// Moving a machine takes the right on the machine only.
    MachinesMoveAnywhere,
    /// A key keeps its grants on what is deleted.
    GrantsOutliveResources,
    /// Lists show all grants of a key that reaches into what the caller owns.
    ListsShowForeignGrants,
    /// To name a thing as it is named already is a change.
    SameNameIsAChange,
    /// Holding a role twice is a change.
    SameRoleIsAChange,
}

impl Wrong {
    /// All but the cells.
    pub(crate) const ALL: [Self; 14] = [
        Self::RolesStopAtNestedLocations,
        Self::NothingIsWide,
        Self::HiddenThingsAreDenied,
        Self::KeysExpireLate,
        Self::OldTokensLive,
        Self::LastOwnersGo,
        Self::ExpiringOwnersCount,
        Self::OneGrantIsEnough,
        Self::NestingIsFourDeep,
        Self::MachinesMoveAnywhere,
        Self::GrantsOutliveResources,
        Self::ListsShowForeignGrants,
        Self::SameNameIsAChange,
        Self::SameRoleIsAChange,
    ];
}

/// Everything at or below each resource, itself first.
pub(crate) type Tree = BTreeMap<Resource, Vec<Resource>>;

/// What somebody with these grants may do and may see.
#[derive(Clone, Default)]
pub(crate) struct Rights {
    /// By resource, a bit for each permission.
    pub(crate) allowed: BTreeMap<Resource, u64>,
    seen: BTreeSet<Resource>,
}

/// The fleet as one caller sees it.
pub(crate) struct Eyes<'m> {
    pub(crate) model: &'m Model,
    pub(crate) tree: &'m Tree,
    pub(crate) actor: Actor,
    rights: Rights,
    /// What each grant gives alone.
    pub(crate) alone: Vec<(Grant, Rights)>,
}

const fn bit(permission: Permission) -> u64 {
    1 << permission as u8
}

impl Model {
    pub(crate) fn new(now: Timestamp, wrong: Option<Wrong>) -> Self {
        let given = |permission, role, level| {
            let cell = matrix::cell(permission, role, level).expect("every permission has a row");
            cell != (wrong == Some(Wrong::Cell(permission, role, level)))
        };
        let all = || Permission::ALL.iter().copied();
        let columns = COLUMNS.map(|(level, role)| {
            all().filter(|it| given(*it, role, level)).fold(0, |bits, it| bits | bit(it))
        });
        let wide = all().filter(|it| WIDE.contains(&it.name())).fold(0, |bits, it| bits | bit(it));
        let wide = if wrong == Some(Wrong::NothingIsWide) { 0 } else { wide };
        Self {
            wrong,
            now,
            organizations: vec![],
            locations: vec![],
            machines: vec![],
            parts: vec![],
            keys: vec![],
            signing_keys: vec![],
            buried: vec![],
            old_values: vec![],
            columns,
            wide,
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

    fn machines_of(&self, location: LocationId) -> impl Iterator<Item = Resource> {
        let inside = self.machines.iter().filter(move |it| it.location == location);
        inside.map(|it| Resource::Machine(it.id))
    }

    /// "Permissions are additive; no deny rules."
    pub(crate) fn rights(&self, tree: &Tree, grants: &[Grant]) -> Rights {
        let mut rights = Rights::default();
        for grant in grants {
            let Some(below) = tree.get(&grant.resource) else { continue };
            let column = (grant.resource.resource_type(), grant.role);
            let given = self.columns[COLUMNS.iter().position(|it| *it == column).unwrap()];
            for resource in below {
                *rights.allowed.entry(*resource).or_default() |= given;
            }
            rights.seen.extend(below);
            for (above, _) in tree.iter().filter(|(_, below)| below.contains(&grant.resource)) {
                rights.seen.insert(*above);
                // "This is the one place where a narrower role grants something at a higher resource."
                if matches!(above, Resource::Organization(_)) {
                    *rights.allowed.entry(*above).or_default() |= given & self.wide;
                }
            }
        }
        rights
    }

    /// Who is let in by a token: the holder of a key that is there, in the generation it has now, before it
    /// expires.
    pub(crate) fn let_in(&self, caller: Caller, at: Timestamp) -> Result<Actor, Denial> {
        match caller {
            Caller::System => Ok(Actor::System),
            Caller::User { .. } | Caller::Part { .. } => Err(Denial::UnknownUser),
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

    pub(crate) fn dead(&self, key: &ModelKey, at: Timestamp) -> bool {
        match key.expires_at {
            Some(end) if self.is(Wrong::KeysExpireLate) => at > end,
            Some(end) => at >= end,
            None => false,
        }
    }

    pub(crate) fn eyes<'m>(&'m self, tree: &'m Tree, actor: Actor) -> Eyes<'m> {
        let grants = match actor {
            Actor::Key(id) => self.key(id).map_or(&[][..], |key| &key.grants),
            _ => &[],
        };
        let alone = grants.iter().map(|grant| (*grant, self.rights(tree, &[*grant]))).collect();
        Eyes { model: self, tree, actor, rights: self.rights(tree, grants), alone }
    }
}

impl Rights {
    pub(crate) fn may(&self, permission: Permission, resource: Resource) -> bool {
        self.allowed.get(&resource).is_some_and(|bits| bits & bit(permission) != 0)
    }
}

impl Eyes<'_> {
    pub(crate) fn own_key(&self) -> Option<&ModelKey> {
        match self.actor {
            Actor::Key(id) => self.model.key(id),
            _ => None,
        }
    }

    pub(crate) fn may(&self, permission: Permission, resource: Resource) -> bool {
        match self.actor {
            Actor::System => self.tree.contains_key(&resource),
            _ => self.rights.may(permission, resource),
        }
    }

    /// What is at or below a grant, or above one.
    pub(crate) fn sees(&self, resource: Resource) -> bool {
        match self.actor {
            Actor::System => self.tree.contains_key(&resource),
            _ => self.rights.seen.contains(&resource),
        }
    }

    /// The question of all questions.
    pub(crate) fn ask(&self, permission: Permission, resource: Resource) -> Result<(), No> {
        let leak = self.model.is(Wrong::HiddenThingsAreDenied) && self.tree.contains_key(&resource);
        if self.may(permission, resource) {
            Ok(())
        } else if self.sees(resource) || leak {
            Err(No::Denied(permission, Some(resource)))
        } else {
            Err(No::NotFound(RecordId::from(resource).kind()))
        }
    }

    /// "Owner on every resource the key holds." A key is seen by itself, and by who has a role at or above
    /// something it reaches.
    pub(crate) fn ask_key(&self, permission: Permission, id: KeyId) -> Result<(), No> {
        let key = self.model.key(id).ok_or(No::NotFound(Kind::Key))?;
        let mine = self.own_key().map_or(&[][..], |own| &own.grants);
        let below = |own: &Grant| self.tree.get(&own.resource).map_or(&[][..], |below| below);
        let below_mine = |resource| mine.iter().any(|own| below(own).contains(&resource));
        let seen = self.actor == Actor::System
            || self.actor == Actor::Key(id)
            || key.grants.iter().any(|grant| below_mine(grant.resource));
        if !seen {
            return Err(No::NotFound(Kind::Key));
        }
        if self.model.is(Wrong::OneGrantIsEnough)
            && key.grants.iter().any(|grant| self.may(permission, grant.resource))
        {
            return Ok(());
        }
        match key.grants.iter().find(|grant| !self.may(permission, grant.resource)) {
            None => Ok(()),
            Some(missing) => {
                Err(No::Denied(permission, Some(missing.resource).filter(|resource| self.sees(*resource))))
            }
        }
    }
}
