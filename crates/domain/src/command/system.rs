//! What only the person at the server does: found an organization, recover a lost owner, keep signing keys.

use super::key::{NewKey, new_key};
use super::secret::NewSecret;
use super::{Command, Context, Decision, put};
use crate::authorize::authorize_system;
use crate::id::{OrganizationId, SigningKeyId};
use crate::name::Name;
use crate::policy::Permission;
use crate::record::{Change, Grants, Kind, Location, Machine, Organization, RecordId, SigningKey};
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

/// Make a small fleet to begin with, in one entry: an organization and its owner key, a location, a machine and
/// a key that may control it.
#[derive(Clone, Debug)]
pub struct FoundFleet {
    /// What to call the organization.
    pub organization: Name,
    /// What to call the location.
    pub location: Name,
    /// What to call the machine.
    pub machine: Name,
    /// What to call the organization's owner key.
    pub owner_key: Name,
    /// What to call the machine's operator key.
    pub operator_key: Name,
    /// By what the machine's main part will be known.
    pub secret: NewSecret,
}

/// The fleet that was made.
#[derive(Debug)]
pub struct NewFleet {
    /// The organization.
    pub organization: Organization,
    /// Its location.
    pub location: Location,
    /// The machine in it.
    pub machine: Machine,
    /// The organization's owner key.
    pub owner_key: NewKey,
    /// The machine's operator key.
    pub operator_key: NewKey,
}

impl Command for FoundFleet {
    type Reply = NewFleet;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<NewFleet>, Refusal> {
        let permit = authorize_system(&context.principal, Permission::CreateOrganization)?;
        let organization = super::organization::new(context, self.organization);
        let location = super::location::new(context, organization.id, None, self.location);
        let (machine, part) = super::machine::new(context, location.id, self.machine, &self.secret);
        let owner_key = new_key(context, organization.id, self.owner_key, owner_of(organization.id), None);
        let operator = Grant { role: Role::Operator, resource: Resource::Machine(machine.id) };
        let operator_key = new_key(context, organization.id, self.operator_key, [operator].into(), None);
        let changes = vec![
            put(organization.clone()),
            put(location.clone()),
            put(machine.clone()),
            put(part),
            put(owner_key.key.clone()),
            put(operator_key.key.clone()),
        ];
        let fleet = NewFleet { organization, location, machine, owner_key, operator_key };
        Ok(context.decision(permit, changes, fleet).with_documents(vec![self.secret.document()]))
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

/// Take signing keys away. Whatever they signed is void.
#[derive(Clone, Debug)]
pub struct RetireSigningKeys {
    /// Which; one that is gone already is no error.
    pub ids: Vec<SigningKeyId>,
}

impl Command for RetireSigningKeys {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let permit = authorize_system(&context.principal, Permission::ManageKeys)?;
        let there = self.ids.into_iter().filter(|id| context.view.signing_key(*id).is_some());
        let changes: Vec<_> = there.map(|id| Change::Delete(RecordId::SigningKey(id))).collect();
        if changes.is_empty() {
            return Ok(Decision::unchanged(permit, ()));
        }
        Ok(context.decision(permit, changes, ()))
    }
}

/// Seal signing keys anew, under another master key. They stay the same keys, and what they signed stays good.
#[derive(Clone, Debug)]
pub struct ResealSigningKeys {
    /// Each with its newly sealed bytes, in base64.
    pub sealed: Vec<(SigningKeyId, String)>,
}

impl Command for ResealSigningKeys {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let permit = authorize_system(&context.principal, Permission::ManageKeys)?;
        let resealed = self.sealed.into_iter().map(|(id, sealed)| {
            let key = context.view.signing_key(id).ok_or(Refusal::NotFound(Kind::SigningKey))?;
            Ok(put(SigningKey { sealed, ..key.clone() }))
        });
        let changes = resealed.collect::<Result<_, Refusal>>()?;
        Ok(context.decision(permit, changes, ()))
    }
}

fn owner_of(organization: OrganizationId) -> Grants {
    [Grant { role: Role::Owner, resource: Resource::Organization(organization) }].into()
}
