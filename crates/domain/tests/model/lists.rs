//! What the naive model answers to every read.

use domain::{
    Actor, Grant, KeyId, Kind, LocationId, Machine, MachineId, OrganizationId, Permission, RecordId,
    Resource, Role,
};

use crate::eyes::Eyes;
use crate::naive::{ModelKey, No};
use crate::wrong::Wrong;

/// A key as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) key: KeyId,
    pub(crate) grants: Vec<Grant>,
    /// Whether the caller may rotate, rename and delete it.
    pub(crate) manageable: bool,
}

impl Eyes<'_> {
    /// "All organizations in which the identity holds any authorization."
    pub(crate) fn organizations(&self) -> Vec<OrganizationId> {
        let mut found: Vec<_> = self.model.organizations.iter().map(|it| it.id).collect();
        found.retain(|id| self.sees(Resource::Organization(*id)));
        found.sort_unstable();
        found
    }

    /// "Machine-scoped identities still need a minimal record for the containing location."
    pub(crate) fn one_location(&self, id: LocationId) -> Result<(), No> {
        if self.holdings.iter().any(|(organization, _)| self.has_a_machine_in(*organization, id)) {
            return Ok(());
        }
        self.ask(Permission::ReadLocation, Resource::Location(id))
    }

    /// "Exactly one primary", first; then the others that have the location, in order of their ids, of which who may
    /// not share it knows their own only.
    pub(crate) fn organizations_with(&self, id: LocationId) -> Result<Vec<OrganizationId>, No> {
        self.one_location(id)?;
        let primary = self.model.location(id).map(|it| it.organization);
        let all = self.may(Permission::ShareLocation, Resource::Location(id));
        let mut found: Vec<_> = self.model.organizations.iter().map(|it| it.id).collect();
        found.retain(|it| self.model.part_of(self.tree, *it).contains(&Resource::Location(id)));
        found.retain(|it| all || Some(*it) == primary || self.belongs_to(*it));
        found.sort_unstable_by_key(|it| (Some(*it) != primary, *it));
        Ok(found)
    }

    fn has_a_machine_in(&self, organization: OrganizationId, location: LocationId) -> bool {
        let standing = self.model.machines.iter().filter(|it| it.location == location);
        let mut standing = standing.map(|it| Resource::Machine(it.id));
        let here = self.holdings.iter().filter(|(own, _)| *own == organization);
        let grants: Vec<_> = here.flat_map(|(_, grants)| grants).map(|grant| grant.resource).collect();
        standing.any(|it| grants.contains(&it) && self.model.has_part(self.tree, organization, it))
    }

    /// Those an organization has a part in, as far as what they hold there shows them; in order of their ids.
    pub(crate) fn locations(&self, organization: OrganizationId) -> Result<Vec<LocationId>, No> {
        if !self.sees(Resource::Organization(organization)) {
            return Err(No::NotFound(Kind::Organization));
        }
        let part = self.model.part_of(self.tree, organization);
        let shown = |id: LocationId| {
            let resource = Resource::Location(id);
            let mixed = self.model.is(Wrong::ListsMixOrganizations) && self.one_location(id).is_ok();
            mixed
                || self.may_in(organization, Permission::ReadLocation, resource)
                || self.has_a_machine_in(organization, id)
        };
        let mut found: Vec<_> = self.model.locations.iter().map(|it| it.id).collect();
        found.retain(|id| part.contains(&Resource::Location(*id)) && shown(*id));
        found.sort_unstable();
        Ok(found)
    }

    pub(crate) fn machines(&self, location: LocationId) -> Result<Vec<MachineId>, No> {
        if !self.sees(Resource::Location(location)) {
            return Err(No::NotFound(Kind::Location));
        }
        Ok(self.machines_where(|it| it.location == location))
    }

    pub(crate) fn all_machines(&self, organization: OrganizationId) -> Result<Vec<MachineId>, No> {
        let locations = self.locations(organization)?;
        Ok(self.machines_where(|it| locations.contains(&it.location)))
    }

    fn machines_where(&self, wanted: impl Fn(&Machine) -> bool) -> Vec<MachineId> {
        let seen = |id| self.may(Permission::ReadRobot, Resource::Machine(id));
        let all = self.model.machines.iter();
        let mut found: Vec<_> = all.filter(|it| wanted(it) && seen(it.id)).map(|it| it.id).collect();
        found.sort_unstable();
        found
    }

    /// "OO: every key attached to the org at any level. LO/MO: only keys having an authorization inside their
    /// resources, showing only those authorizations. Operators: PermissionDenied."
    pub(crate) fn keys(&self, organization: OrganizationId) -> Result<Vec<Shown>, No> {
        let top = Resource::Organization(organization);
        let part = self.model.part_of(self.tree, organization);
        if !part.iter().any(|resource| self.may_in(organization, Permission::ManageKeys, *resource)) {
            self.ask(Permission::ManageKeys, top)?;
        }
        let mut found: Vec<_> = self.model.keys.iter().filter(|it| it.organization == organization).collect();
        found.sort_unstable_by_key(|it| it.id);
        let shown = found.into_iter().map(|it| self.shown(it));
        Ok(shown.filter(|it| !it.grants.is_empty()).collect())
    }

    fn shown(&self, key: &ModelKey) -> Shown {
        let own = |grant: &Grant| {
            let stake = self.stake(key.organization, *grant);
            self.may_in(key.organization, Permission::ManageKeys, stake)
        };
        let manageable = key.grants.iter().all(own);
        let all = self.model.is(Wrong::ListsShowForeignGrants) && key.grants.iter().any(own);
        let grants = key.grants.iter().filter(|grant| all || own(grant)).copied().collect();
        Shown { key: key.id, grants, manageable }
    }

    pub(crate) fn one_key(&self, id: KeyId) -> Result<Shown, No> {
        let refusal = self.ask_key(Permission::ManageKeys, id);
        let key = self.model.key(id).ok_or(No::NotFound(Kind::Key))?;
        let shown = self.shown(key);
        if self.own_key().is_some_and(|own| own.id == id) {
            return Ok(Shown { grants: key.grants.clone(), ..shown });
        }
        if shown.grants.is_empty() { refusal.map(|()| shown) } else { Ok(shown) }
    }

    /// "Keys with an authorization exactly on that robot; every returned key must be able to control it; owner keys
    /// should come first." Each organization's keys are shown to its own owners.
    pub(crate) fn keys_of_machine(&self, machine: MachineId) -> Result<Vec<Shown>, No> {
        let machine = Resource::Machine(machine);
        self.ask(Permission::ManageKeys, machine)?;
        let mut found = vec![];
        for role in [Role::Owner, Role::Operator] {
            let mut holders: Vec<_> = self.model.keys.iter().collect();
            let accepted = |key: &ModelKey| key.expires_at.is_none_or(|at| at > self.model.now);
            holders.retain(|key| accepted(key) && key.grants.contains(&Grant { role, resource: machine }));
            holders.retain(|key| self.model.has_part(self.tree, key.organization, machine));
            holders.sort_unstable_by_key(|key| key.id);
            let shown = holders.into_iter().map(|key| self.shown(key));
            found.extend(shown.filter(|it| !it.grants.is_empty()));
        }
        Ok(found)
    }

    /// Of each organization of the caller: its owners at each step from the resource up, as far up as the caller is
    /// one. Above what is shared with it stands the organization itself.
    pub(crate) fn managers(&self, resource: Resource) -> Result<Vec<(KeyId, Grant)>, No> {
        self.ask(Permission::ManageKeys, resource)?;
        let mut found = vec![];
        for organization in &self.model.organizations {
            let top = Resource::Organization(organization.id);
            let home = self.tree[&top].contains(&resource);
            if if self.actor == Actor::System { !home } else { !self.belongs_to(organization.id) } {
                continue;
            }
            let mut above = self.model.part_of(self.tree, organization.id);
            above.retain(|step| self.tree[step].contains(&resource));
            if !home && !above.is_empty() && !self.model.is(Wrong::ManagersStopAtShares) {
                above.push(top);
            }
            // The nearer, the less is below it; the organization stands above all.
            above.sort_by_key(|step| (*step == top, self.tree[step].len()));
            for step in above {
                if self.may_in(organization.id, Permission::ManageKeys, step) {
                    found.extend(self.owners_of(organization.id, step));
                }
            }
        }
        // Each key once, with the nearest; and in the order in which they were made.
        let mut once = vec![];
        for (key, grant) in found {
            if once.iter().all(|(known, _)| *known != key) {
                once.push((key, grant));
            }
        }
        once.sort_unstable();
        Ok(once)
    }

    fn owners_of(&self, organization: OrganizationId, step: Resource) -> Vec<(KeyId, Grant)> {
        let owner = Grant { role: Role::Owner, resource: step };
        let keys = self.model.keys.iter().filter(|key| key.organization == organization);
        keys.filter(|key| key.grants.contains(&owner)).map(|key| (key.id, owner)).collect()
    }

    /// "Allowed to operators, restricted to resources they can access, and user identities only; API-key
    /// identities are shown only to owners."
    pub(crate) fn roles(
        &self,
        organization: OrganizationId,
        named: &[Resource],
    ) -> Result<Vec<(KeyId, Grant)>, No> {
        if !self.sees(Resource::Organization(organization)) {
            return Err(No::NotFound(Kind::Organization));
        }
        if let Some(hidden) = named.iter().find(|resource| !self.sees(**resource)) {
            return Err(No::NotFound(RecordId::from(*hidden).kind()));
        }
        let keys = self.keys(organization).unwrap_or_default();
        let held = keys.iter().flat_map(|it| it.grants.iter().map(|grant| (it.key, *grant)));
        Ok(held.filter(|(_, grant)| named.is_empty() || named.contains(&grant.resource)).collect())
    }

    /// The topmost places in an organization where a permission is held, in no particular order.
    pub(crate) fn held_in(
        &self,
        permission: Permission,
        organization: OrganizationId,
    ) -> Result<Vec<Resource>, No> {
        let top = Resource::Organization(organization);
        let mut held = self.model.part_of(self.tree, organization);
        held.retain(|it| self.may_in(organization, permission, *it));
        if held.contains(&top) {
            return Ok(vec![top]);
        }
        if held.is_empty() {
            return self.ask(permission, top).map(|()| vec![]);
        }
        let covered = |it: &Resource| held.iter().any(|other| other != it && self.tree[other].contains(it));
        let mut topmost: Vec<_> = held.iter().copied().filter(|it| !covered(it)).collect();
        topmost.sort_unstable();
        Ok(topmost)
    }
}
