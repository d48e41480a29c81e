//! Roles of keys that exist: add one, take one away, change one.

use super::{Command, Context, Decision, grants, put};
use crate::id::KeyId;
use crate::policy::Permission;
use crate::record::{Key, Kind};
use crate::refusal::Refusal;
use crate::resource::Grant;

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
        let permit = context.authorize(Permission::ManageKeys, self.grant.resource)?;
        let before = seen(context, self.key)?;
        let permit = permit.and(context.authorize_key(Permission::ManageKeys, self.key)?);
        grants::organization_of(context.view, &[self.grant], Some(before.organization))
            .map_err(|_| Refusal::invalid("grants", "must lie in the organization of the key"))?;
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
        let permit = context.authorize(Permission::ManageKeys, self.grant.resource)?;
        let before = seen(context, self.key)?;
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
        let old = context.authorize(Permission::ManageKeys, self.old.resource)?;
        let permit = old.and(context.authorize(Permission::ManageKeys, self.new.resource)?);
        let before = seen(context, self.key)?;
        let permit = match self.old.resource == self.new.resource {
            true => permit,
            // It reaches further than before: see `AddRole`.
            false => permit.and(context.authorize_key(Permission::ManageKeys, self.key)?),
        };
        grants::organization_of(context.view, &[self.new], Some(before.organization))
            .map_err(|_| Refusal::invalid("new_authorization", "must lie in the organization of the key"))?;
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
    match context.principal.organization() {
        Some(own) if own != key.organization => Err(Refusal::NotFound(Kind::Key)),
        _ => Ok(key.clone()),
    }
}

fn without(key: &Key, grant: Grant) -> Result<Vec<Grant>, Refusal> {
    if !key.grants.contains(&grant) {
        return Err(Refusal::FailedPrecondition(format!("key {} is not {grant}", key.id)));
    }
    Ok(key.grants.iter().copied().filter(|held| *held != grant).collect())
}
