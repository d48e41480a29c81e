//! The fleet as one caller sees it: may they, do they see it, and which keys are theirs to manage.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Actor, Grant, KeyId, Kind, OrganizationId, Permission, RecordId, Resource};

use crate::naive::{Model, ModelKey, No, Tree};
use crate::rights::Rights;
use crate::wrong::Wrong;

/// The fleet as one caller sees it.
pub(crate) struct Eyes<'m> {
    pub(crate) model: &'m Model,
    pub(crate) tree: &'m Tree,
    pub(crate) actor: Actor,
    /// What they hold, by organization.
    pub(crate) holdings: Vec<(OrganizationId, Vec<Grant>)>,
    rights: Rights,
    by_organization: BTreeMap<OrganizationId, Rights>,
    /// What each grant gives alone.
    pub(crate) alone: Vec<(Grant, Rights)>,
}

impl Model {
    pub(crate) fn eyes<'m>(&'m self, tree: &'m Tree, actor: Actor) -> Eyes<'m> {
        let holdings = self.holdings(actor);
        let (mut rights, mut by_organization, mut alone) = (Rights::default(), BTreeMap::new(), vec![]);
        for (organization, grants) in &holdings {
            let these = self.rights(tree, *organization, grants);
            rights.add(&these);
            by_organization.insert(*organization, these);
            let one = |grant: &Grant| (*grant, self.rights(tree, *organization, &[*grant]));
            alone.extend(grants.iter().map(one));
        }
        Eyes { model: self, tree, actor, holdings, rights, by_organization, alone }
    }

    /// Whether an organization has a part in a resource: its own, or shared with it.
    pub(crate) fn has_part(&self, tree: &Tree, organization: OrganizationId, resource: Resource) -> bool {
        let abroad = !matches!(resource, Resource::Organization(_)) && tree.contains_key(&resource);
        self.part_of(tree, organization).contains(&resource) || (abroad && self.is(Wrong::RolesOutliveShares))
    }
}

impl Eyes<'_> {
    pub(crate) fn own_key(&self) -> Option<&ModelKey> {
        match self.actor {
            Actor::Key(id) => self.model.key(id),
            _ => None,
        }
    }

    pub(crate) fn belongs_to(&self, organization: OrganizationId) -> bool {
        self.holdings.iter().any(|(own, _)| *own == organization)
    }

    pub(crate) fn may(&self, permission: Permission, resource: Resource) -> bool {
        match self.actor {
            Actor::System => self.tree.contains_key(&resource),
            _ => self.rights.may(permission, resource),
        }
    }

    /// By what is held in one organization.
    pub(crate) fn may_in(
        &self,
        organization: OrganizationId,
        permission: Permission,
        resource: Resource,
    ) -> bool {
        match self.actor {
            Actor::System => self.tree.contains_key(&resource),
            _ if self.model.is(Wrong::OwnersManageForeignKeys) => self.may(permission, resource),
            _ => {
                let here = self.by_organization.get(&organization);
                here.is_some_and(|rights| rights.may(permission, resource))
            }
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
        self.answer(self.may(permission, resource), permission, resource)
    }

    /// The same, by what is held in one organization.
    pub(crate) fn ask_in(
        &self,
        organization: OrganizationId,
        permission: Permission,
        resource: Resource,
    ) -> Result<(), No> {
        self.answer(self.may_in(organization, permission, resource), permission, resource)
    }

    fn answer(&self, may: bool, permission: Permission, resource: Resource) -> Result<(), No> {
        let leak = self.model.is(Wrong::HiddenThingsAreDenied) && self.tree.contains_key(&resource);
        if may {
            Ok(())
        } else if self.sees(resource) || leak {
            Err(No::Denied(permission, Some(resource)))
        } else {
            Err(No::NotFound(RecordId::from(resource).kind()))
        }
    }

    /// The organizations that have a part in all of these.
    pub(crate) fn with_a_part(&self, grants: &[Grant]) -> BTreeSet<OrganizationId> {
        let all = self.model.organizations.iter().map(|it| it.id);
        let part = |id: &OrganizationId, it: &Grant| self.model.has_part(self.tree, *id, it.resource);
        all.filter(|id| grants.iter().all(|it| part(id, it))).collect()
    }

    /// What a right over a grant of a key is asked of. "Keep the record": of what is not shared any more, only the
    /// owners of the key's own organization dispose.
    pub(crate) fn stake(&self, organization: OrganizationId, grant: Grant) -> Resource {
        let counts = self.model.has_part(self.tree, organization, grant.resource);
        if counts || self.model.is(Wrong::LapsedRolesAreNobodys) {
            grant.resource
        } else {
            Resource::Organization(organization)
        }
    }

    /// "Owner on every resource the key holds", in the key's organization. A key is seen by itself, and by who has
    /// a role in its organization at or above something it reaches.
    pub(crate) fn ask_key(&self, permission: Permission, id: KeyId) -> Result<(), No> {
        let key = self.model.key(id).ok_or(No::NotFound(Kind::Key))?;
        if self.actor != Actor::System && self.actor != Actor::Key(id) && !self.reaches(key) {
            return Err(No::NotFound(Kind::Key));
        }
        let may =
            |grant: &&Grant| self.may_in(key.organization, permission, self.stake(key.organization, **grant));
        if self.model.is(Wrong::OneGrantIsEnough) && key.grants.iter().any(|grant| may(&grant)) {
            return Ok(());
        }
        match key.grants.iter().find(|grant| !may(grant)) {
            None => Ok(()),
            Some(missing) => {
                let stake = self.stake(key.organization, *missing);
                Err(No::Denied(permission, Some(stake).filter(|resource| self.sees(*resource))))
            }
        }
    }

    fn reaches(&self, key: &ModelKey) -> bool {
        let all = self.model.is(Wrong::OwnersManageForeignKeys);
        let here = self.holdings.iter().filter(|(own, _)| all || *own == key.organization);
        here.flat_map(|(own, grants)| grants.iter().map(move |grant| (own, grant))).any(|(own, mine)| {
            let covered: Vec<_> = if mine.resource == Resource::Organization(*own) {
                self.model.part_of(self.tree, *own)
            } else if self.model.has_part(self.tree, *own, mine.resource) {
                self.tree[&mine.resource].clone()
            } else {
                vec![]
            };
            let stakes = key.grants.iter().map(|grant| self.stake(key.organization, *grant));
            stakes.into_iter().any(|stake| covered.contains(&stake))
        })
    }
}
