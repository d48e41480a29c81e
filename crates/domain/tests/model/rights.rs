//! What roles give: the rows of the documentation, walked down from every grant.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Grant, OrganizationId, Permission, Resource, ResourceType, Role};

use crate::matrix::{self, COLUMNS, HOME, WIDE};
use crate::naive::{Model, Tree};
use crate::wrong::Wrong;

/// The policy, a bit for each permission.
#[derive(Clone)]
pub(crate) struct Columns {
    /// By column of the matrix.
    given: [u64; 6],
    wide: u64,
    /// What is not held on what others share.
    stays: u64,
}

/// What somebody with some grants may do and may see.
#[derive(Clone, Default)]
pub(crate) struct Rights {
    /// By resource, a bit for each permission.
    pub(crate) allowed: BTreeMap<Resource, u64>,
    pub(crate) seen: BTreeSet<Resource>,
}

const fn bit(permission: Permission) -> u64 {
    1 << permission as u8
}

impl Columns {
    pub(crate) fn new(wrong: Option<Wrong>) -> Self {
        let cell = |permission, role, level| {
            let cell = matrix::cell(permission, role, level).expect("every permission has a row");
            cell != (wrong == Some(Wrong::Cell(permission, role, level)))
        };
        let bits = |of: &dyn Fn(Permission) -> bool| {
            Permission::ALL.iter().filter(|it| of(**it)).fold(0, |bits, it| bits | bit(*it))
        };
        let given = COLUMNS.map(|(level, role)| bits(&|it| cell(it, role, level)));
        let (wide, home) = (bits(&|it| WIDE.contains(&it.name())), bits(&|it| HOME.contains(&it.name())));
        let stays = match wrong {
            Some(Wrong::Home(permission)) => (wide | home) ^ bit(permission),
            Some(Wrong::WideOnesAreShared) => home,
            _ => wide | home,
        };
        let wide = if wrong == Some(Wrong::NothingIsWide) { 0 } else { wide };
        Self { given, wide, stays }
    }

    fn given(&self, level: ResourceType, role: Role) -> u64 {
        self.given[COLUMNS.iter().position(|it| *it == (level, role)).unwrap()]
    }
}

impl Rights {
    pub(crate) fn may(&self, permission: Permission, resource: Resource) -> bool {
        self.allowed.get(&resource).is_some_and(|bits| bits & bit(permission) != 0)
    }

    fn give(&mut self, given: u64, on: &[Resource]) {
        for resource in on {
            *self.allowed.entry(*resource).or_default() |= given;
        }
        self.seen.extend(on);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (resource, given) in &other.allowed {
            *self.allowed.entry(*resource).or_default() |= given;
        }
        self.seen.extend(&other.seen);
    }
}

impl Model {
    /// What grants that are held in an organization give. "Permissions are additive; no deny rules."
    pub(crate) fn rights(&self, tree: &Tree, organization: OrganizationId, grants: &[Grant]) -> Rights {
        let mut rights = Rights::default();
        let Some(own) = tree.get(&Resource::Organization(organization)) else { return rights };
        // "All organizations in which the identity holds any authorization."
        rights.seen.insert(Resource::Organization(organization));
        let shared = self.shared(tree, organization);
        for grant in grants {
            if own.contains(&grant.resource) {
                self.give_at_home(&mut rights, tree, *grant);
            }
            if grant.resource == Resource::Organization(organization) {
                self.give_to_the_whole(&mut rights, &shared, grant.role);
            } else if tree.contains_key(&grant.resource) && !own.contains(&grant.resource) {
                self.give_abroad(&mut rights, tree, &shared, *grant);
            }
        }
        rights
    }

    /// "Organization access covers all its locations and machines", and so on down.
    fn give_at_home(&self, rights: &mut Rights, tree: &Tree, grant: Grant) {
        let given = self.columns.given(grant.resource.resource_type(), grant.role);
        rights.give(given, &tree[&grant.resource]);
        for (above, _) in tree.iter().filter(|(_, below)| below.contains(&grant.resource)) {
            rights.seen.insert(*above);
            // "This is the one place where a narrower role grants something at a higher resource."
            if matches!(above, Resource::Organization(_)) {
                *rights.allowed.entry(*above).or_default() |= given & self.columns.wide;
            }
        }
    }

    /// "Secondary-org owner acts as LO on the shared subtree, secondary-org operator as Lo, except …"
    fn give_to_the_whole(&self, rights: &mut Rights, shared: &[Resource], role: Role) {
        if self.is(Wrong::OrganizationRolesStopAtShares) {
            return;
        }
        let full = self.is(Wrong::OrganizationRolesCountInFull);
        let level = if full { ResourceType::Organization } else { ResourceType::Location };
        rights.give(self.columns.given(level, role) & !self.columns.stays, shared);
        if self.is(Wrong::SharesShowWhatStandsAbove) {
            self.show_what_stands_above(rights, shared);
        }
    }

    /// A role on something of others counts while it is shared, and reaches no higher than what is shared.
    fn give_abroad(&self, rights: &mut Rights, tree: &Tree, shared: &[Resource], grant: Grant) {
        if !shared.contains(&grant.resource) && !self.is(Wrong::RolesOutliveShares) {
            return;
        }
        let given = self.columns.given(grant.resource.resource_type(), grant.role);
        rights.give(given & !self.columns.stays, &tree[&grant.resource]);
        rights.seen.extend(shared.iter().filter(|above| tree[*above].contains(&grant.resource)));
        if self.is(Wrong::SharesShowWhatStandsAbove) {
            self.show_what_stands_above(rights, shared);
        }
    }

    fn show_what_stands_above(&self, rights: &mut Rights, shared: &[Resource]) {
        let tree = self.tree();
        let above = tree.iter().filter(|(_, below)| below.iter().any(|it| shared.contains(it)));
        rights.seen.extend(above.map(|(above, _)| *above));
    }
}
