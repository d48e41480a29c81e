//! What the naive model says to every command on keys.

use std::collections::BTreeSet;

use domain::command::{AddRole, ChangeRole, MAX_GRANTS, RemoveRole};
use domain::{Actor, Grant, KeyId, Kind, OrganizationId, Permission, Timestamp};

use crate::acts::Act;
use crate::eyes::Eyes;
use crate::naive::{ModelKey, No};
use crate::rules::require;
use crate::wrong::Wrong;

const MANAGE: Permission = Permission::ManageKeys;

fn invalid(field: &str) -> No {
    No::Invalid(field.to_owned())
}

impl Eyes<'_> {
    pub(crate) fn judge_key_act(&self, act: &Act) -> Result<bool, No> {
        match act {
            Act::CreateKey(it) => self.judge_create_key(&it.grants, it.organization, it.expires_at),
            Act::DuplicateKey(it) => {
                let key = self.managed(it.id)?;
                require(key.expires_at.is_none_or(|at| at > self.model.now))
            }
            Act::RotateKey(it) => self.managed(it.id).map(|_| true),
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
            Act::AddRole(it) => self.judge_add_role(it),
            Act::RemoveRole(it) => self.judge_remove_role(it),
            Act::ChangeRole(it) => self.judge_change_role(it),
            act => panic!("{act:?} is about no key"),
        }
    }

    fn judge_create_key(
        &self,
        grants: &[Grant],
        named: Option<OrganizationId>,
        expires_at: Option<Timestamp>,
    ) -> Result<bool, No> {
        let resources: BTreeSet<_> = grants.iter().map(|grant| grant.resource).collect();
        if grants.is_empty() || grants.len() > MAX_GRANTS || resources.len() < grants.len() {
            return Err(invalid("grants"));
        }
        for resource in &resources {
            self.ask(MANAGE, *resource)?;
        }
        let organization = self.on_behalf_of(grants, named)?;
        for resource in &resources {
            self.ask_in(organization, MANAGE, *resource)?;
        }
        self.check_expiry(expires_at)?;
        Ok(true)
    }

    /// "Server fills in the org when the location has exactly one; if shared with several the server returns an
    /// error. With organization_id given it must be the primary or one of the sharing orgs."
    fn on_behalf_of(&self, grants: &[Grant], named: Option<OrganizationId>) -> Result<OrganizationId, No> {
        let able = self.with_a_part(grants);
        let Some(named) = named else {
            let first = able.first().copied().ok_or(invalid("grants"))?;
            let only = able.len() == 1 || self.model.is(Wrong::TheFirstOrganizationWillDo);
            return if only { Ok(first) } else { Err(invalid("organization_id")) };
        };
        let fits = able.contains(&named) || self.model.is(Wrong::AnyOrganizationWillDo);
        if fits { Ok(named) } else { Err(invalid("organization_id")) }
    }

    fn judge_add_role(&self, it: &AddRole) -> Result<bool, No> {
        self.ask(MANAGE, it.grant.resource)?;
        let key = self.mate(it.key)?;
        self.managed(it.key)?;
        self.check_part(&key, it.grant, "grants")?;
        self.ask_in(key.organization, MANAGE, it.grant.resource)?;
        match key.grants.iter().find(|held| held.resource == it.grant.resource) {
            Some(held) if held.role == it.grant.role => Ok(self.model.is(Wrong::SameRoleIsAChange)),
            Some(_) => Err(No::AlreadyExists),
            None if key.grants.len() == MAX_GRANTS => Err(invalid("grants")),
            None => Ok(true),
        }
    }

    fn judge_remove_role(&self, it: &RemoveRole) -> Result<bool, No> {
        let key = self.disposed(it.key, it.grant)?;
        let after = without(&key, it.grant)?;
        require(!after.grants.is_empty())?;
        self.keep_an_owner(&key, &after)
    }

    fn judge_change_role(&self, it: &ChangeRole) -> Result<bool, No> {
        let key = self.disposed(it.key, it.old)?;
        self.ask(MANAGE, it.new.resource)?;
        if it.old.resource != it.new.resource {
            self.managed(it.key)?;
        }
        self.check_part(&key, it.new, "new_authorization")?;
        self.ask_in(key.organization, MANAGE, it.new.resource)?;
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

    /// A key one of whose roles the caller may take: as owner of what the role is on, or, where that is not shared
    /// any more, as owner of the key's organization.
    fn disposed(&self, id: KeyId, grant: Grant) -> Result<ModelKey, No> {
        if let Some(key) = self.model.key(id).filter(|key| key.grants.contains(&grant)) {
            let stake = self.stake(key.organization, grant);
            if stake != grant.resource && self.may_in(key.organization, MANAGE, stake) {
                return Ok(key.clone());
            }
        }
        self.ask(MANAGE, grant.resource)?;
        let key = self.mate(id)?;
        self.ask_in(key.organization, MANAGE, grant.resource)?;
        Ok(key)
    }

    fn check_part(&self, key: &ModelKey, grant: Grant, field: &str) -> Result<(), No> {
        let part = self.model.has_part(self.tree, key.organization, grant.resource);
        if part { Ok(()) } else { Err(invalid(field)) }
    }

    fn check_expiry(&self, expires_at: Option<Timestamp>) -> Result<(), No> {
        match expires_at {
            Some(at) if at <= self.model.now => Err(invalid("expires_at")),
            _ => Ok(()),
        }
    }

    /// A key that the caller may manage.
    fn managed(&self, id: KeyId) -> Result<ModelKey, No> {
        self.ask_key(MANAGE, id)?;
        Ok(self.model.key(id).expect("it was seen").clone())
    }

    /// A key of an organization of the caller's.
    fn mate(&self, id: KeyId) -> Result<ModelKey, No> {
        let key = self.model.key(id).ok_or(No::NotFound(Kind::Key))?;
        let theirs = self.actor == Actor::System || self.belongs_to(key.organization);
        if theirs || self.model.is(Wrong::OwnersManageForeignKeys) {
            Ok(key.clone())
        } else {
            Err(No::NotFound(Kind::Key))
        }
    }

    /// "Refuse to delete or downgrade the last organization owner identity (user or key)."
    fn keep_an_owner(&self, before: &ModelKey, after: &ModelKey) -> Result<bool, No> {
        let mut others = self.model.keys.iter().filter(|key| key.id != before.id);
        let own = |key: &ModelKey| key.organization == before.organization && self.model.lasting(key);
        let kept = !self.model.lasting(before)
            || self.model.lasting(after)
            || others.any(own)
            || self.model.users.iter().any(|it| self.model.lasting_person(it, before.organization));
        require(kept || self.model.is(Wrong::LastOwnersGo))
    }
}

fn without(key: &ModelKey, grant: Grant) -> Result<ModelKey, No> {
    require(key.grants.contains(&grant))?;
    let grants = key.grants.iter().copied().filter(|held| *held != grant).collect();
    Ok(ModelKey { grants, ..key.clone() })
}
