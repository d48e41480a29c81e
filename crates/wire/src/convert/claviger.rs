//! `claviger.v1`, ours.

use domain::{Actor, Grant, Key, Refusal, Resource, ResourceType, Role, Timestamp};

use super::timestamp;
use crate::claviger::v1 as pb;

/// A resource for the wire.
#[must_use]
pub fn resource(resource: Resource) -> pb::Resource {
    let level = match resource.resource_type() {
        ResourceType::Organization => pb::ResourceType::Organization,
        ResourceType::Location => pb::ResourceType::Location,
        ResourceType::Machine => pb::ResourceType::Machine,
    };
    pb::Resource { r#type: level.into(), id: resource.id_text() }
}

/// Reads a resource.
///
/// # Errors
/// Names the field that is wrong and what is allowed.
pub fn parse_resource(field: &str, it: Option<&pb::Resource>) -> Result<Resource, Refusal> {
    let it = it.ok_or_else(|| Refusal::invalid(field, "must be given"))?;
    let level = match pb::ResourceType::try_from(it.r#type) {
        Ok(pb::ResourceType::Organization) => ResourceType::Organization,
        Ok(pb::ResourceType::Location) => ResourceType::Location,
        Ok(pb::ResourceType::Machine) => ResourceType::Machine,
        Ok(pb::ResourceType::Unspecified) | Err(_) => {
            return Err(Refusal::invalid(
                format!("{field}.type"),
                "must be organization, location or machine",
            ));
        }
    };
    Resource::parse(level, &it.id).map_err(|rule| Refusal::invalid(format!("{field}.id"), rule))
}

/// A role for the wire.
#[must_use]
pub const fn role(role: Role) -> pb::Role {
    match role {
        Role::Owner => pb::Role::Owner,
        Role::Operator => pb::Role::Operator,
    }
}

/// Reads a role where absence means any.
///
/// # Errors
/// Where it is a number that nobody gave a meaning.
pub fn parse_role(field: &str, it: i32) -> Result<Option<Role>, Refusal> {
    match pb::Role::try_from(it) {
        Ok(pb::Role::Unspecified) => Ok(None),
        Ok(pb::Role::Owner) => Ok(Some(Role::Owner)),
        Ok(pb::Role::Operator) => Ok(Some(Role::Operator)),
        Err(_) => Err(Refusal::invalid(field, "must be owner or operator")),
    }
}

/// A grant for the wire.
#[must_use]
pub fn grant(grant: Grant) -> pb::Grant {
    pb::Grant { role: role(grant.role).into(), resource: Some(resource(grant.resource)) }
}

/// Reads a grant.
///
/// # Errors
/// Names the field that is wrong and what is allowed.
pub fn parse_grant(field: &str, it: &pb::Grant) -> Result<Grant, Refusal> {
    let role_field = format!("{field}.role");
    let role = parse_role(&role_field, it.role)?;
    let role = role.ok_or_else(|| Refusal::invalid(role_field, "must be owner or operator"))?;
    Ok(Grant { role, resource: parse_resource(&format!("{field}.resource"), it.resource.as_ref())? })
}

/// Who did something.
#[must_use]
pub fn actor(actor: Actor) -> pb::Actor {
    let kind = match actor {
        Actor::Key(id) => pb::actor::Kind::KeyId(id.to_string()),
        Actor::User(id) => pb::actor::Kind::UserId(id.to_string()),
        Actor::Part(id) => pb::actor::Kind::PartId(id.to_string()),
        Actor::System => pb::actor::Kind::System(true),
    };
    pb::Actor { kind: Some(kind) }
}

/// Reads who did something.
///
/// # Errors
/// Names the field that is wrong and what is allowed.
pub fn parse_actor(field: &str, it: pb::Actor) -> Result<Actor, Refusal> {
    match it.kind {
        Some(pb::actor::Kind::KeyId(id)) => super::id(format!("{field}.key_id"), &id).map(Actor::Key),
        Some(pb::actor::Kind::UserId(id)) => super::id(format!("{field}.user_id"), &id).map(Actor::User),
        Some(pb::actor::Kind::PartId(id)) => super::id(format!("{field}.part_id"), &id).map(Actor::Part),
        Some(pb::actor::Kind::System(true)) => Ok(Actor::System),
        Some(pb::actor::Kind::System(false)) | None => {
            Err(Refusal::invalid(field, "must be a key, a person, a part or the system"))
        }
    }
}

/// When a key was last used, and from where.
#[derive(Clone, Debug, Default)]
pub struct LastUse {
    /// When.
    pub at: Option<Timestamp>,
    /// From which address, as the server saw it.
    pub address: String,
}

/// A key with those of its grants that the caller may see.
#[must_use]
pub fn key(key: &Key, grants: &[Grant], manageable: bool, used: LastUse, now: Timestamp) -> pb::Key {
    let state = if key.expired(now) { pb::KeyState::Expired } else { pb::KeyState::Active };
    pb::Key {
        id: key.id.to_string(),
        name: key.name.to_string(),
        organization_id: key.organization.to_string(),
        grants: grants.iter().copied().map(grant).collect(),
        created_at: Some(timestamp(key.created_at)),
        creator: Some(actor(key.creator)),
        expires_at: key.expires_at.map(timestamp),
        last_used_at: used.at.map(timestamp),
        last_used_address: used.address,
        state: state.into(),
        manageable,
        rotations: key.generation.saturating_sub(1),
    }
}
