//! Keys: create, duplicate, rotate, rename, let expire, delete.

use super::{Command, Context, Decision, grants, put};
use crate::authorize::Permit;
use crate::id::{KeyId, OrganizationId};
use crate::key::KeyValue;
use crate::name::Name;
use crate::policy::Permission;
use crate::record::{Change, Grants, Key, Kind, RecordId};
use crate::refusal::Refusal;
use crate::resource::{Grant, Resource};
use crate::time::Timestamp;

/// A key with the value that exists once: it is in no record, no entry and no log.
#[derive(Debug)]
pub struct NewKey {
    /// The key as it is stored.
    pub key: Key,
    /// Its value, for the one who asked.
    pub value: KeyValue,
}

/// Make a key.
#[derive(Clone, Debug)]
pub struct CreateKey {
    /// On behalf of which organization; found from the grants if absent.
    pub organization: Option<OrganizationId>,
    /// What to call it.
    pub name: Name,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// From when on it is refused; never if absent.
    pub expires_at: Option<Timestamp>,
}

impl Command for CreateKey {
    type Reply = NewKey;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<NewKey>, Refusal> {
        let grants = grants::checked(self.grants)?;
        // What they cannot see reads as absent, whatever the organization.
        let _seen = authorize_all(&grants, |resource| context.authorize(Permission::ManageKeys, resource))?;
        let organization = grants::organization_of(context.view, &grants, self.organization)?;
        let permit = authorize_all(&grants, |resource| {
            context.authorize_in(organization, Permission::ManageKeys, resource)
        })?;
        check_expiry(self.expires_at, context.now)?;
        Ok(create(context, permit, organization, self.name, grants.into(), self.expires_at))
    }
}

/// Make a key with the grants of another: how to rotate without downtime.
#[derive(Clone, Copy, Debug)]
pub struct DuplicateKey {
    /// The key to copy the grants of. Its expiry is copied as well: a copy must not outlive the intent.
    pub id: KeyId,
}

impl Command for DuplicateKey {
    type Reply = NewKey;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<NewKey>, Refusal> {
        let permit = context.authorize_key(Permission::ManageKeys, self.id)?;
        let key = existing(context, self.id)?;
        if key.expired(context.now) {
            let rule = "has expired, and so would its copy: set its expiry first, or create another key";
            return Err(Refusal::FailedPrecondition(format!("key {} {rule}", self.id)));
        }
        let name = key.name.with_suffix(" (copy)");
        Ok(create(context, permit, key.organization, name, key.grants, key.expires_at))
    }
}

/// Give a key a new value. The old one is dead when this returns; id, name and grants stay.
#[derive(Clone, Copy, Debug)]
pub struct RotateKey {
    /// Which key.
    pub id: KeyId,
}

impl Command for RotateKey {
    type Reply = NewKey;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<NewKey>, Refusal> {
        let permit = context.authorize_key(Permission::ManageKeys, self.id)?;
        let before = existing(context, self.id)?;
        let value = KeyValue::generate(context.rng);
        let generation = before.generation.checked_add(1).ok_or_else(|| {
            Refusal::FailedPrecondition(format!("key {} cannot be rotated any more: make another", self.id))
        })?;
        let key = Key { hash: value.hash(), generation, ..before };
        Ok(context.decision(permit, vec![put(key.clone())], NewKey { key, value }))
    }
}

/// Give a key another name.
#[derive(Clone, Debug)]
pub struct RenameKey {
    /// Which key.
    pub id: KeyId,
    /// Its new name.
    pub name: Name,
}

impl Command for RenameKey {
    type Reply = Key;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Key>, Refusal> {
        let permit = context.authorize_key(Permission::ManageKeys, self.id)?;
        let before = existing(context, self.id)?;
        if before.name == self.name {
            return Ok(Decision::unchanged(permit, before));
        }
        let key = Key { name: self.name, ..before };
        Ok(context.decision(permit, vec![put(key.clone())], key))
    }
}

/// Say from when on a key is refused, or that it does not expire.
#[derive(Clone, Copy, Debug)]
pub struct SetKeyExpiry {
    /// Which key.
    pub id: KeyId,
    /// From when on it is refused; never if absent.
    pub expires_at: Option<Timestamp>,
}

impl Command for SetKeyExpiry {
    type Reply = Key;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Key>, Refusal> {
        let permit = context.authorize_key(Permission::ManageKeys, self.id)?;
        let before = existing(context, self.id)?;
        check_expiry(self.expires_at, context.now)?;
        if before.expires_at == self.expires_at {
            return Ok(Decision::unchanged(permit, before));
        }
        let key = Key { expires_at: self.expires_at, ..before.clone() };
        grants::keep_an_owner(context.view, &before, Some(&key))?;
        Ok(context.decision(permit, vec![put(key.clone())], key))
    }
}

/// End a key for good.
#[derive(Clone, Copy, Debug)]
pub struct DeleteKey {
    /// Which key.
    pub id: KeyId,
}

impl Command for DeleteKey {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let permit = context.authorize_key(Permission::ManageKeys, self.id)?;
        let key = existing(context, self.id)?;
        grants::keep_an_owner(context.view, &key, None)?;
        Ok(context.decision(permit, vec![Change::Delete(RecordId::Key(self.id))], ()))
    }
}

/// Managing keys is granting permission: it needs the right on every resource that is granted.
fn authorize_all(
    grants: &[Grant],
    authorize: impl Fn(Resource) -> Result<Permit, Refusal>,
) -> Result<Permit, Refusal> {
    let mut permits = grants.iter().map(|grant| authorize(grant.resource));
    let first = permits.next().unwrap_or(Err(Refusal::invalid("grants", "must not be empty")))?;
    permits.try_fold(first, |all, one| Ok(all.and(one?)))
}

fn existing(context: &Context<'_>, id: KeyId) -> Result<Key, Refusal> {
    context.view.key(id).cloned().ok_or(Refusal::NotFound(Kind::Key))
}

fn check_expiry(expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), Refusal> {
    match expires_at {
        Some(at) if at <= now => {
            Err(Refusal::invalid("expires_at", format!("must lie in the future; it is {now} now")))
        }
        _ => Ok(()),
    }
}

pub(super) fn create(
    context: &mut Context<'_>,
    permit: Permit,
    organization: OrganizationId,
    name: Name,
    grants: Grants,
    expires_at: Option<Timestamp>,
) -> Decision<NewKey> {
    let new = new_key(context, organization, name, grants, expires_at);
    context.decision(permit, vec![put(new.key.clone())], new)
}

pub(super) fn new_key(
    context: &mut Context<'_>,
    organization: OrganizationId,
    name: Name,
    grants: Grants,
    expires_at: Option<Timestamp>,
) -> NewKey {
    let value = KeyValue::generate(context.rng);
    let key = Key {
        id: KeyId::generate(context.now, context.rng),
        organization,
        name,
        hash: value.hash(),
        generation: 1,
        grants,
        created_at: context.now,
        creator: context.principal.actor(),
        expires_at,
    };
    NewKey { key, value }
}
