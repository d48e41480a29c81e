//! What only the person at the server does: found an organization, recover a lost owner, keep signing keys.

use super::key::{NewKey, new_key};
use super::{Command, Context, Decision, put};
use crate::authorize::authorize_system;
use crate::id::{OrganizationId, SigningKeyId};
use crate::name::Name;
use crate::policy::Permission;
use crate::record::{Change, Kind, Organization, RecordId, SigningKey};
use crate::refusal::Refusal;
use crate::resource::{Grant, Resource, Role};

/// Make an organization and its owner key, in one entry: neither is any use alone.
#[derive(Clone, Debug)]
pub struct FoundOrganization {
    /// What to call the organization.
    pub name: Name,
    /// What to call the key.
    pub key_name: Name,
}

impl Command for FoundOrganization {
    type Reply = (Organization, NewKey);

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Self::Reply>, Refusal> {
        let permit = authorize_system(&context.principal, Permission::CreateOrganization)?;
        let organization = super::organization::new(context, self.name);
        let owner = owner_of(organization.id);
        let key = new_key(context, organization.id, self.key_name, owner, None);
        let changes = vec![put(organization.clone()), put(key.key.clone())];
        Ok(context.decision(permit, changes, (organization, key)))
    }
}

/// Make another owner key for an organization whose last one was lost.
#[derive(Clone, Debug)]
pub struct RecoverOwner {
    /// Which organization.
    pub organization: OrganizationId,
    /// What to call the key.
    pub key_name: Name,
}

impl Command for RecoverOwner {
    type Reply = NewKey;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<NewKey>, Refusal> {
        let permit = authorize_system(&context.principal, Permission::ManageKeys)?;
        if context.view.organization(self.organization).is_none() {
            return Err(Refusal::NotFound(Kind::Organization));
        }
        let owner = owner_of(self.organization);
        Ok(super::key::create(context, permit, self.organization, self.key_name, owner, None))
    }
}

/// Put a signing key in the place of others. Whatever they signed is void.
#[derive(Clone, Debug)]
pub struct ReplaceSigningKey {
    /// What it is for, e.g. `token-mac`.
    pub purpose: &'static str,
    /// Its id, which the caller needed to seal it.
    pub id: SigningKeyId,
    /// The sealed bytes, in base64.
    pub sealed: String,
    /// Which to take away.
    pub instead_of: Vec<SigningKeyId>,
}

impl Command for ReplaceSigningKey {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let permit = authorize_system(&context.principal, Permission::ManageKeys)?;
        let new = SigningKey {
            id: self.id,
            purpose: self.purpose.to_owned(),
            sealed: self.sealed,
            created_at: context.now,
        };
        let gone = self.instead_of.into_iter().map(|id| Change::Delete(RecordId::SigningKey(id)));
        let changes = gone.chain([put(new)]).collect();
        Ok(context.decision(permit, changes, ()))
    }
}

fn owner_of(organization: OrganizationId) -> Box<[Grant]> {
    Box::new([Grant { role: Role::Owner, resource: Resource::Organization(organization) }])
}
