//! What the naive model answers to every read.

use domain::{
    Grant, KeyId, Kind, LocationId, Machine, MachineId, OrganizationId, Permission, RecordId, Resource, Role,
};

use crate::naive::{Eyes, ModelKey, No, Wrong};

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
        if self.has_a_machine_in(id) {
            return Ok(());
        }
        self.ask(Permission::ReadLocation, Resource::Location(id))
    }

    fn has_a_machine_in(&self, location: LocationId) -> bool {
        let standing = self.model.machines.iter().filter(|it| it.location == location);
        let grants = self.own_key().map_or(&[][..], |key| &key.grants);
        standing.into_iter().any(|it| grants.iter().any(|grant| grant.resource == Resource::Machine(it.id)))
    }

    /// In order of their ids.
    pub(crate) fn locations(&self, organization: OrganizationId) -> Result<Vec<LocationId>, No> {
        if !self.sees(Resource::Organization(organization)) {
            return Err(No::NotFound(Kind::Organization));
        }
        let mut found: Vec<_> = self.model.locations.iter().collect();
        found.retain(|it| it.organization == organization && self.one_location(it.id).is_ok());
        let mut found: Vec<_> = found.into_iter().map(|it| it.id).collect();
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
        let top = Resource::Organization(organization);
        if !self.sees(top) {
            return Err(No::NotFound(Kind::Organization));
        }
        Ok(self.machines_where(|it| self.tree[&top].contains(&Resource::Machine(it.id))))
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
        let inside = self.tree.get(&top).map_or(&[][..], |below| below);
        if !inside.iter().any(|resource| self.may(Permission::ManageKeys, *resource)) {
            self.ask(Permission::ManageKeys, top)?;
        }
        let mut found: Vec<_> = self.model.keys.iter().filter(|it| it.organization == organization).collect();
        found.sort_unstable_by_key(|it| it.id);
        let shown = found.into_iter().map(|it| self.shown(&it.grants, it.id));
        Ok(shown.filter(|it| !it.grants.is_empty()).collect())
    }

    fn shown(&self, grants: &[Grant], key: KeyId) -> Shown {
        let own = |grant: &Grant| self.may(Permission::ManageKeys, grant.resource);
        let manageable = grants.iter().all(own);
        let all = self.model.is(Wrong::ListsShowForeignGrants) && grants.iter().any(own);
        let grants = grants.iter().filter(|grant| all || own(grant)).copied().collect();
        Shown { key, grants, manageable }
    }

    pub(crate) fn one_key(&self, id: KeyId) -> Result<Shown, No> {
        let refusal = self.ask_key(Permission::ManageKeys, id);
        let key = self.model.key(id).ok_or(No::NotFound(Kind::Key))?;
        let shown = self.shown(&key.grants, id);
        if self.own_key().is_some_and(|own| own.id == id) {
            return Ok(Shown { grants: key.grants.clone(), ..shown });
        }
        if shown.grants.is_empty() { refusal.map(|()| shown) } else { Ok(shown) }
    }

    /// "Keys with an authorization exactly on that robot; owner keys should come first."
    pub(crate) fn keys_of_machine(&self, machine: MachineId) -> Result<Vec<Shown>, No> {
        let machine = Resource::Machine(machine);
        self.ask(Permission::ManageKeys, machine)?;
        let mut found = vec![];
        for role in [Role::Owner, Role::Operator] {
            let mut holders: Vec<_> = self.model.keys.iter().collect();
            let accepted = |key: &ModelKey| key.expires_at.is_none_or(|at| at > self.model.now);
            holders.retain(|key| accepted(key) && key.grants.contains(&Grant { role, resource: machine }));
            holders.sort_unstable_by_key(|key| key.id);
            found.extend(holders.into_iter().map(|key| self.shown(&key.grants, key.id)));
        }
        Ok(found)
    }

    /// The owners at each step from the resource up, as far up as the caller is one.
    pub(crate) fn managers(&self, resource: Resource) -> Result<Vec<(KeyId, Grant)>, No> {
        self.ask(Permission::ManageKeys, resource)?;
        let mut above: Vec<_> = self.tree.iter().filter(|(_, below)| below.contains(&resource)).collect();
        // The nearer, the less is below it.
        above.sort_by_key(|(_, below)| below.len());
        let mut found = vec![];
        for (&step, _) in above {
            if !self.may(Permission::ManageKeys, step) {
                continue;
            }
            let owner = Grant { role: Role::Owner, resource: step };
            let mut holders: Vec<_> =
                self.model.keys.iter().filter(|key| key.grants.contains(&owner)).collect();
            holders.sort_unstable_by_key(|key| key.id);
            found.extend(holders.into_iter().map(|key| (key.id, owner)));
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
        let inside = self.tree.get(&top).map_or(&[][..], |below| below);
        let held: Vec<_> = inside.iter().copied().filter(|it| self.may(permission, *it)).collect();
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
