//! What the naive model says to every command.

use std::collections::BTreeSet;

use domain::command::{MAX_GRANTS, UpdateLocation, UpdateMachine, UpdateOrganization};
use domain::{Actor, Grant, KeyId, Kind, LocationId, OrganizationId, Permission, Resource, Role, Timestamp};

use crate::acts::Act;
use crate::effects::{updated_location, updated_machine, updated_organization};
use crate::naive::{Eyes, ModelKey, No, Wrong};

/// "Nest up to three levels", the top one counted.
const LEVELS: usize = 3;

impl Eyes<'_> {
    /// Whether the act would change anything, or why it may not be.
    pub(crate) fn judge(&self, act: &Act) -> Result<bool, No> {
        match act {
            Act::CreateOrganization(_) | Act::FoundOrganization(_) => {
                self.only_the_system(Permission::CreateOrganization)
            }
            Act::ReplaceSigningKey(_) => self.only_the_system(Permission::ManageKeys),
            Act::RecoverOwner(it) => {
                self.only_the_system(Permission::ManageKeys)?;
                self.model.organization(it.organization).ok_or(No::NotFound(Kind::Organization))?;
                Ok(true)
            }
            Act::UpdateOrganization(it) => self.judge_update_organization(it),
            Act::DeleteOrganization(it) => {
                self.ask(Permission::DeleteOrganization, Resource::Organization(it.id))?;
                require(!self.model.locations.iter().any(|location| location.organization == it.id))
            }
            Act::CreateLocation(it) => {
                self.ask(Permission::CreateLocation, Resource::Organization(it.organization))?;
                if let Some(parent) = it.parent {
                    self.check_parent(parent, it.organization, 1)?;
                }
                Ok(true)
            }
            Act::UpdateLocation(it) => self.judge_update_location(it),
            Act::DeleteLocation(it) => {
                self.ask(Permission::DeleteLocation, Resource::Location(it.id))?;
                let machines = self.model.machines.iter().any(|machine| machine.location == it.id);
                let nested = self.model.locations.iter().any(|location| location.parent == Some(it.id));
                require(!machines && !nested)
            }
            Act::CreateMachine(it) => {
                self.ask(Permission::CreateMachine, Resource::Location(it.location))?;
                Ok(true)
            }
            Act::UpdateMachine(it) => self.judge_update_machine(it),
            Act::DeleteMachine(it) => {
                self.ask(Permission::DeleteMachine, Resource::Machine(it.id))?;
                Ok(true)
            }
            Act::CreateKey(it) => self.judge_create_key(&it.grants, it.organization, it.expires_at),
            Act::DuplicateKey(it) => {
                let key = self.managed(it.id)?;
                require(key.expires_at.is_none_or(|at| at > self.model.now))?;
                Ok(true)
            }
            Act::RotateKey(it) => {
                self.managed(it.id)?;
                Ok(true)
            }
            Act::RenameKey(it) => {
                let key = self.managed(it.id)?;
                Ok(key.name != it.name || self.model.is(Wrong::SameNameIsAChange))
            }
            Act::SetKeyExpiry(it) => {
                let key = self.managed(it.id)?;
                self.check_expiry(it.expires_at)?;
                if key.expires_at == it.expires_at {
                    return Ok(false);
                }
                self.keep_an_owner(&key, &ModelKey { expires_at: it.expires_at, ..key.clone() })
            }
            Act::DeleteKey(it) => {
                let key = self.managed(it.id)?;
                self.keep_an_owner(&key, &ModelKey { grants: vec![], ..key.clone() })
            }
            Act::AddRole(it) => {
                self.ask(Permission::ManageKeys, it.grant.resource)?;
                let key = self.mate(it.key)?;
                self.managed(it.key)?;
                self.check_same_organization(&key, it.grant, "grants")?;
                match key.grants.iter().find(|held| held.resource == it.grant.resource) {
                    Some(held) if held.role == it.grant.role => Ok(self.model.is(Wrong::SameRoleIsAChange)),
                    Some(_) => Err(No::AlreadyExists),
                    None if key.grants.len() == MAX_GRANTS => Err(No::Invalid("grants".to_owned())),
                    None => Ok(true),
                }
            }
            Act::RemoveRole(it) => {
                self.ask(Permission::ManageKeys, it.grant.resource)?;
                let key = self.mate(it.key)?;
                let after = without(&key, it.grant)?;
                require(!after.grants.is_empty())?;
                self.keep_an_owner(&key, &after)
            }
            Act::ChangeRole(it) => {
                self.ask(Permission::ManageKeys, it.old.resource)?;
                self.ask(Permission::ManageKeys, it.new.resource)?;
                let key = self.mate(it.key)?;
                if it.old.resource != it.new.resource {
                    self.managed(it.key)?;
                }
                self.check_same_organization(&key, it.new, "new_authorization")?;
                let mut after = without(&key, it.old)?;
                if after.grants.iter().any(|held| held.resource == it.new.resource) {
                    return Err(No::AlreadyExists);
                }
                if it.old == it.new {
                    return Ok(false);
                }
                after.grants.push(it.new);
                self.keep_an_owner(&key, &after)
            }
        }
    }

    fn only_the_system(&self, permission: Permission) -> Result<bool, No> {
        if self.actor == Actor::System { Ok(true) } else { Err(No::Denied(permission, None)) }
    }

    fn judge_update_organization(&self, it: &UpdateOrganization) -> Result<bool, No> {
        self.ask(Permission::WriteOrganization, Resource::Organization(it.id))?;
        let before = self.model.organization(it.id).expect("it was seen");
        if let Some(wanted) = &it.public_namespace {
            // Of the names that the test gives, these are namespaces.
            if !["a", "b", "c", "d-e"].contains(&wanted.as_str()) {
                return Err(No::Invalid("public_namespace".to_owned()));
            }
            require(before.public_namespace.is_none() || before.public_namespace.as_ref() == Some(wanted))?;
            let mut others = self.model.organizations.iter().filter(|other| other.id != it.id);
            if others.any(|other| other.public_namespace.as_ref() == Some(wanted)) {
                return Err(No::AlreadyExists);
            }
        }
        Ok(*before != updated_organization(before, it))
    }

    fn judge_update_location(&self, it: &UpdateLocation) -> Result<bool, No> {
        let own = Resource::Location(it.id);
        self.ask(Permission::WriteLocation, own)?;
        let before = self.model.location(it.id).expect("it was seen");
        let after = updated_location(before, it);
        if after.parent == before.parent {
            return Ok(*before != after);
        }
        self.ask(Permission::MoveLocation, own)?;
        let Some(parent) = after.parent else {
            // To the top is to make a location of the organization.
            self.ask(Permission::CreateLocation, Resource::Organization(before.organization))?;
            return Ok(true);
        };
        self.ask(Permission::MoveLocation, Resource::Location(parent))?;
        let levels = 1 + self.tree[&own].iter().map(|it| self.depth(*it)).max().unwrap() - self.depth(own);
        if self.tree[&own].contains(&Resource::Location(parent)) {
            return Err(No::Invalid("parent_location_id".to_owned()));
        }
        self.check_parent(parent, before.organization, levels)?;
        Ok(true)
    }

    fn check_parent(
        &self,
        parent: LocationId,
        organization: OrganizationId,
        levels: usize,
    ) -> Result<(), No> {
        let there = self.model.location(parent).filter(|it| it.organization == organization);
        there.ok_or(No::NotFound(Kind::Location))?;
        let levels = self.depth(Resource::Location(parent)) + levels;
        let most = if self.model.is(Wrong::NestingIsFourDeep) { LEVELS + 1 } else { LEVELS };
        if levels > most { Err(No::Invalid("parent_location_id".to_owned())) } else { Ok(()) }
    }

    /// How many locations hold it, itself counted.
    fn depth(&self, resource: Resource) -> usize {
        let locations = self.tree.iter().filter(|(above, _)| matches!(above, Resource::Location(_)));
        locations.filter(|(_, below)| below.contains(&resource)).count()
    }

    fn judge_update_machine(&self, it: &UpdateMachine) -> Result<bool, No> {
        let own = Resource::Machine(it.id);
        self.ask(Permission::WriteRobot, own)?;
        let before = self.model.machine(it.id).expect("it was seen");
        let after = updated_machine(before, it);
        if after.location != before.location && !self.model.is(Wrong::MachinesMoveAnywhere) {
            // "Needs owner on source and destination location, same primary org."
            self.ask(Permission::MoveMachine, own)?;
            self.ask(Permission::MoveMachine, Resource::Location(after.location))?;
        }
        let organization = |location| self.model.location(location).map(|it| it.organization);
        if organization(after.location) != organization(before.location) {
            return Err(No::Invalid("location".to_owned()));
        }
        Ok(*before != after)
    }

    fn judge_create_key(
        &self,
        grants: &[Grant],
        named: Option<OrganizationId>,
        expires_at: Option<Timestamp>,
    ) -> Result<bool, No> {
        let invalid = |field: &str| Err(No::Invalid(field.to_owned()));
        let resources: BTreeSet<_> = grants.iter().map(|grant| grant.resource).collect();
        if grants.is_empty() || grants.len() > MAX_GRANTS || resources.len() < grants.len() {
            return invalid("grants");
        }
        for resource in &resources {
            self.ask(Permission::ManageKeys, *resource)?;
        }
        let organizations: BTreeSet<_> = resources.iter().map(|it| self.organization_of(*it)).collect();
        match named {
            Some(named) if organizations != BTreeSet::from([Some(named)]) => {
                return invalid("organization_id");
            }
            None if organizations.len() > 1 => return invalid("grants"),
            _ => {}
        }
        self.check_expiry(expires_at)?;
        Ok(true)
    }

    pub(crate) fn organization_of(&self, resource: Resource) -> Option<OrganizationId> {
        let mut all = self.model.organizations.iter().map(|it| it.id);
        all.find(|id| self.tree[&Resource::Organization(*id)].contains(&resource))
    }

    fn check_same_organization(&self, key: &ModelKey, grant: Grant, field: &str) -> Result<(), No> {
        if self.organization_of(grant.resource) == Some(key.organization) {
            Ok(())
        } else {
            Err(No::Invalid(field.to_owned()))
        }
    }

    fn check_expiry(&self, expires_at: Option<Timestamp>) -> Result<(), No> {
        match expires_at {
            Some(at) if at <= self.model.now => Err(No::Invalid("expires_at".to_owned())),
            _ => Ok(()),
        }
    }

    /// A key that the caller may manage.
    fn managed(&self, id: KeyId) -> Result<ModelKey, No> {
        self.ask_key(Permission::ManageKeys, id)?;
        Ok(self.model.key(id).expect("it was seen").clone())
    }

    /// A key of the caller's organization.
    fn mate(&self, id: KeyId) -> Result<ModelKey, No> {
        let key = self.model.key(id).ok_or(No::NotFound(Kind::Key))?;
        match self.own_key() {
            Some(own) if own.organization != key.organization => Err(No::NotFound(Kind::Key)),
            _ => Ok(key.clone()),
        }
    }

    /// "Refuse to delete or downgrade the last organization owner."
    fn keep_an_owner(&self, before: &ModelKey, after: &ModelKey) -> Result<bool, No> {
        let owns = Grant { role: Role::Owner, resource: Resource::Organization(before.organization) };
        let counts = self.model.is(Wrong::ExpiringOwnersCount);
        let lasting = |key: &ModelKey| key.grants.contains(&owns) && (counts || key.expires_at.is_none());
        let others = self.model.keys.iter().filter(|key| key.id != before.id).any(lasting);
        let kept = !lasting(before) || lasting(after) || others;
        require(kept || self.model.is(Wrong::LastOwnersGo))
    }
}

fn require(holds: bool) -> Result<bool, No> {
    if holds { Ok(true) } else { Err(No::FailedPrecondition) }
}

fn without(key: &ModelKey, grant: Grant) -> Result<ModelKey, No> {
    require(key.grants.contains(&grant))?;
    let grants = key.grants.iter().copied().filter(|held| *held != grant).collect();
    Ok(ModelKey { grants, ..key.clone() })
}
