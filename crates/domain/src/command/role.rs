//! Roles of keys that exist: add one, take one away, change one.

use super::{Command, Context, Decision, grants, put};
use crate::authorize::{Permit, counts};
use crate::id::KeyId;
use crate::policy::Permission;
use crate::record::{Actor, Key, Kind};
use crate::refusal::Refusal;
use crate::resource::{Grant, Resource};

/// Give a key one more role.
///
/// It takes the right on the resource and on everything the key reaches already. Were the resource enough, the
/// owner of one machine could tie a key of others to it, whose owners could then not end their own key any more.
#[derive(Clone, Copy, Debug)]
pub struct AddRole {
    /// Which key.
    pub key: KeyId,
    /// The role and what it is on.
    pub grant: Grant,
}

impl Command for AddRole {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let _seen = context.authorize(Permission::ManageKeys, self.grant.resource)?;
        let before = seen(context, self.key)?;
        let permit = context.authorize_key(Permission::ManageKeys, self.key)?;
        grants::organization_of(context.view, &[self.grant], Some(before.organization))
            .map_err(|_| Refusal::invalid("grants", "must lie in the organization of the key"))?;
        let permit = permit.and(theirs(context, &before, self.grant)?);
        match before.grants.iter().find(|held| held.resource == self.grant.resource) {
            Some(held) if *held == self.grant => Ok(Decision::unchanged(permit, ())),
            Some(held) => Err(Refusal::AlreadyExists(format!(
                "key {} is {held} already: change that role instead of adding one",
                self.key
            ))),
            None => {
                let with = before.grants.iter().copied().chain([self.grant]).collect();
                let key = Key { grants: grants::checked(with)?.into(), ..before };
                Ok(context.decision(permit, vec![put(key)], ()))
            }
        }
    }
}

/// Take a role away from a key. Not its last one: a key that may nothing is a key to delete.
#[derive(Clone, Copy, Debug)]
pub struct RemoveRole {
    /// Which key.
    pub key: KeyId,
    /// The role and what it is on.
    pub grant: Grant,
}

impl Command for RemoveRole {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let (before, permit) = held(context, self.key, self.grant)?;
        let kept = without(&before, self.grant)?;
        if kept.is_empty() {
            return Err(Refusal::FailedPrecondition(format!(
                "{} is all that key {} may do: delete the key instead",
                self.grant, self.key
            )));
        }
        let key = Key { grants: kept.into(), ..before.clone() };
        grants::keep_an_owner(context.view, &before, Some(&key))?;
        Ok(context.decision(permit, vec![put(key)], ()))
    }
}

/// Put one role of a key in the place of another, in one step.
#[derive(Clone, Copy, Debug)]
pub struct ChangeRole {
    /// Which key.
    pub key: KeyId,
    /// The role it has.
    pub old: Grant,
    /// The role it gets.
    pub new: Grant,
}

impl Command for ChangeRole {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let (before, permit) = held(context, self.key, self.old)?;
        let _seen = context.authorize(Permission::ManageKeys, self.new.resource)?;
        let permit = match self.old.resource == self.new.resource {
            true => permit,
            // It reaches further than before: see `AddRole`.
            false => permit.and(context.authorize_key(Permission::ManageKeys, self.key)?),
        };
        grants::organization_of(context.view, &[self.new], Some(before.organization))
            .map_err(|_| Refusal::invalid("new_authorization", "must lie in the organization of the key"))?;
        let permit = permit.and(theirs(context, &before, self.new)?);
        let mut kept = without(&before, self.old)?;
        if kept.iter().any(|held| held.resource == self.new.resource) {
            return Err(Refusal::AlreadyExists(format!(
                "key {} has another role on {} already",
                self.key, self.new.resource
            )));
        }
        if self.old == self.new {
            return Ok(Decision::unchanged(permit, ()));
        }
        kept.push(self.new);
        let key = Key { grants: grants::checked(kept)?.into(), ..before.clone() };
        grants::keep_an_owner(context.view, &before, Some(&key))?;
        Ok(context.decision(permit, vec![put(key)], ()))
    }
}

/// The key whose roles are changed. Whoever owns a resource may take or change the role a key has on it, also if
/// the key reaches elsewhere in the organization; keys of other organizations are not there.
fn seen(context: &Context<'_>, id: KeyId) -> Result<Key, Refusal> {
    let key = context.view.key(id).ok_or(Refusal::NotFound(Kind::Key))?;
    let theirs = context.principal.actor() == Actor::System || context.principal.belongs_to(key.organization);
    if theirs { Ok(key.clone()) } else { Err(Refusal::NotFound(Kind::Key)) }
}

/// The right over a role that a key of the organization is to have.
fn theirs(context: &Context<'_>, key: &Key, grant: Grant) -> Result<Permit, Refusal> {
    context.authorize_in(key.organization, Permission::ManageKeys, grant.resource)
}

/// The key, and the right over a role that it has. One on what is not shared any more is taken away by an owner of the
/// key's organization; everybody else reads what they would read if the key had it not.
fn held(context: &Context<'_>, id: KeyId, grant: Grant) -> Result<(Key, Permit), Refusal> {
    let lapsed = |key: &&Key| key.grants.contains(&grant) && !counts(context.view, key.organization, &grant);
    if let Some(key) = context.view.key(id).filter(lapsed) {
        let top = Resource::Organization(key.organization);
        if let Ok(permit) = context.authorize_in(key.organization, Permission::ManageKeys, top) {
            return Ok((key.clone(), permit));
        }
    }
    let _seen = context.authorize(Permission::ManageKeys, grant.resource)?;
    let key = seen(context, id)?;
    let permit = theirs(context, &key, grant)?;
    Ok((key, permit))
}

fn without(key: &Key, grant: Grant) -> Result<Vec<Grant>, Refusal> {
    if !key.grants.contains(&grant) {
        return Err(Refusal::FailedPrecondition(format!("key {} is not {grant}", key.id)));
    }
    Ok(key.grants.iter().copied().filter(|held| *held != grant).collect())
}
