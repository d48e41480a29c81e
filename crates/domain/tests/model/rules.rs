//! What the naive model says to every command; of those on keys, see `rules_keys`.

use domain::command::{UnshareLocation, UpdateLocation, UpdateMachine, UpdateOrganization};
use domain::{Actor, Kind, LocationId, OrganizationId, Permission, Resource};

use crate::acts::Act;
use crate::effects::{updated_location, updated_machine, updated_organization};
use crate::eyes::Eyes;
use crate::naive::No;
use crate::wrong::Wrong;

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
            Act::RetireSigningKeys(it) => {
                self.only_the_system(Permission::ManageKeys)?;
                Ok(self.model.signing_keys.iter().any(|key| it.ids.contains(&key.id)))
            }
            Act::ResealSigningKeys(it) => {
                self.only_the_system(Permission::ManageKeys)?;
                let there = |id| self.model.signing_keys.iter().any(|key| key.id == id);
                let all = it.sealed.iter().all(|(id, _)| there(*id));
                if all { Ok(true) } else { Err(No::NotFound(Kind::SigningKey)) }
            }
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
            Act::ShareLocation(it) => {
                self.ask(Permission::ShareLocation, Resource::Location(it.id))?;
                let location = self.model.location(it.id).expect("it was seen");
                if self.model.is(Wrong::SharesAreNotHandedOn) {
                    self.ask_in(location.organization, Permission::ShareLocation, Resource::Location(it.id))?;
                }
                self.model.organization(it.organization).ok_or(No::NotFound(Kind::Organization))?;
                if location.organization == it.organization {
                    return Err(No::AlreadyExists);
                }
                let shared = location.shared_with.contains(&it.organization);
                Ok(!shared || self.model.is(Wrong::SharingTwiceIsAChange))
            }
            Act::UnshareLocation(it) => self.judge_unshare(it),
            act => self.judge_key_act(act),
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
        if after.region != before.region {
            self.ask(Permission::SetRegion, own)?;
        }
        if after.parent == before.parent {
            return Ok(*before != after);
        }
        self.ask(Permission::MoveLocation, own)?;
        // "Once a nested location is shared its parent cannot be changed."
        require(before.shared_with.is_empty() || self.model.is(Wrong::SharedLocationsMove))?;
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

    /// "May un-share its own org; un-sharing others: only primary owners and LO of the primary org. Primary cannot
    /// be removed."
    fn judge_unshare(&self, it: &UnshareLocation) -> Result<bool, No> {
        let (own, share) = (Resource::Location(it.id), Permission::ShareLocation);
        self.ask(share, own)?;
        let location = self.model.location(it.id).expect("it was seen");
        let leaves = it.organization != location.organization
            && self.may_in(it.organization, share, own)
            && !self.model.is(Wrong::GuestsCannotLeave);
        if !leaves && !self.model.is(Wrong::GuestsEndAnyShare) {
            self.ask_in(location.organization, share, own)?;
        }
        require(it.organization != location.organization || self.model.is(Wrong::TheFirstShareEnds))?;
        Ok(location.shared_with.contains(&it.organization))
    }
}

pub(crate) fn require(holds: bool) -> Result<bool, No> {
    if holds { Ok(true) } else { Err(No::FailedPrecondition) }
}
