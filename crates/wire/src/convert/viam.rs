//! `viam.app.v1`, as unmodified Viam clients speak it.

use domain::{
    Grant, Key, KeyId, Location, Machine, Organization, Presence, Refusal, Resource, ResourceType, Role,
};

use super::{id, part::online_state, timestamp};
use crate::viam::app::v1 as pb;

/// The word for a level on Viam's wire.
#[must_use]
pub const fn resource_word(resource_type: ResourceType) -> &'static str {
    match resource_type {
        ResourceType::Organization => "organization",
        ResourceType::Location => "location",
        ResourceType::Machine => "robot",
    }
}

/// Reads a level. `machine` is taken for `robot`, because no client translates the word that people use.
///
/// # Errors
/// Names the field and what is allowed.
pub fn parse_resource_type(field: &str, text: &str) -> Result<ResourceType, Refusal> {
    match text {
        "organization" => Ok(ResourceType::Organization),
        "location" => Ok(ResourceType::Location),
        "robot" | "machine" => Ok(ResourceType::Machine),
        _ => Err(Refusal::invalid(field, "must be organization, location or robot")),
    }
}

/// Reads a resource out of the two fields that name one.
///
/// # Errors
/// Names the field that is wrong.
pub fn parse_resource(prefix: &str, resource_type: &str, resource_id: &str) -> Result<Resource, Refusal> {
    let level = parse_resource_type(&format!("{prefix}resource_type"), resource_type)?;
    Resource::parse(level, resource_id).map_err(|rule| Refusal::invalid(format!("{prefix}resource_id"), rule))
}

/// Reads the grant that an authorization speaks of.
///
/// `authorization_id` decides (`location_owner`). `authorization_type` is `role` from most clients and the role
/// itself from the Go SDK; anything else, or one that contradicts, is refused rather than guessed at.
///
/// # Errors
/// Names the field that is wrong and what is allowed.
pub fn parse_grant(prefix: &str, authorization: &pb::Authorization) -> Result<Grant, Refusal> {
    let pb::Authorization { authorization_type, authorization_id, resource_type, resource_id, .. } =
        authorization;
    let field = format!("{prefix}authorization_id");
    let rule = "must be organization, location or robot, an underscore, and owner or operator, \
        such as location_owner";
    let wrong = || Refusal::invalid(field.as_str(), rule);
    let (level, role) = authorization_id.rsplit_once('_').ok_or_else(wrong)?;
    let level = parse_resource_type(&field, level).map_err(|_| wrong())?;
    let role: Role = role.parse().map_err(|()| wrong())?;
    match authorization_type.as_str() {
        "" | "role" => {}
        word if word == role.name() => {}
        _ => return Err(Refusal::invalid(format!("{prefix}authorization_type"), "must be role")),
    }
    let resource = parse_resource(prefix, resource_type, resource_id)?;
    if resource.resource_type() != level {
        let field = format!("{prefix}resource_type");
        return Err(Refusal::invalid(
            field,
            format!("must be {}, as authorization_id says", resource_word(level)),
        ));
    }
    Ok(Grant { role, resource })
}

/// Reads whose role an authorization speaks of. The SDKs leave the type of the identity empty: ids are unique.
///
/// # Errors
/// Names the field that is wrong.
pub fn parse_identity(prefix: &str, authorization: &pb::Authorization) -> Result<KeyId, Refusal> {
    match authorization.identity_type.as_str() {
        "" | "api-key" => id(format!("{prefix}identity_id"), &authorization.identity_id),
        _ => Err(Refusal::invalid(format!("{prefix}identity_type"), "must be api-key or empty")),
    }
}

/// The `authorization_id` of a grant.
#[must_use]
pub fn authorization_id(grant: Grant) -> String {
    format!("{}_{}", resource_word(grant.resource.resource_type()), grant.role)
}

/// A grant that a key holds, with whose it is.
#[must_use]
pub fn authorization(key: KeyId, organization: &str, grant: Grant) -> pb::Authorization {
    pb::Authorization {
        authorization_type: "role".to_owned(),
        authorization_id: authorization_id(grant),
        resource_type: resource_word(grant.resource.resource_type()).to_owned(),
        resource_id: grant.resource.id_text(),
        identity_id: key.to_string(),
        organization_id: organization.to_owned(),
        identity_type: "api-key".to_owned(),
    }
}

/// A key with some of its grants. The value is not among what is known of it.
#[must_use]
pub fn key(key: &Key, grants: &[Grant]) -> pb::ApiKeyWithAuthorizations {
    let organization = key.organization.to_string();
    let details = grants.iter().map(|grant| pb::AuthorizationDetails {
        authorization_type: "role".to_owned(),
        authorization_id: authorization_id(*grant),
        resource_type: resource_word(grant.resource.resource_type()).to_owned(),
        resource_id: grant.resource.id_text(),
        org_id: organization.clone(),
    });
    pb::ApiKeyWithAuthorizations {
        api_key: Some(pb::ApiKey {
            id: key.id.to_string(),
            key: String::new(),
            name: key.name.to_string(),
            created_on: Some(timestamp(key.created_at)),
        }),
        authorizations: details.collect(),
    }
}

/// An organization.
#[must_use]
pub fn organization(it: &Organization) -> pb::Organization {
    let text = |name: &Option<domain::Name>| name.as_ref().map(ToString::to_string);
    pb::Organization {
        id: it.id.to_string(),
        name: it.name.to_string(),
        created_on: Some(timestamp(it.created_at)),
        public_namespace: text(&it.public_namespace).unwrap_or_default(),
        default_region: text(&it.default_region).unwrap_or_default(),
        cid: text(&it.cid),
        ..Default::default()
    }
}

/// What an organization is called.
#[must_use]
pub fn organization_identity(it: &Organization) -> pb::OrganizationIdentity {
    pb::OrganizationIdentity { id: it.id.to_string(), name: it.name.to_string() }
}

/// How much of a location a caller gets to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocationDetail {
    /// Everything but its secrets.
    Full {
        /// How many machines stand directly in it.
        machines: usize,
        /// Whether the caller may know the location it is nested in.
        parent_visible: bool,
    },
    /// That it is there, what it is called and whose it is.
    Stripped,
}

/// A location, with the organizations that the caller may know to have a part in it.
#[must_use]
pub fn location(it: &Location, organizations: &[&Organization], detail: LocationDetail) -> pb::Location {
    let part_of = |organization: &&Organization| pb::LocationOrganization {
        organization_id: organization.id.to_string(),
        primary: organization.id == it.organization,
    };
    let owner = organizations.iter().find(|organization| organization.id == it.organization);
    let stripped = pb::Location {
        id: it.id.to_string(),
        name: it.name.to_string(),
        organizations: organizations.iter().map(part_of).collect(),
        primary_org_identity: owner.map(|owner| organization_identity(owner)),
        ..Default::default()
    };
    let LocationDetail::Full { machines, parent_visible } = detail else { return stripped };
    let parent = it.parent.filter(|_| parent_visible);
    pb::Location {
        created_on: Some(timestamp(it.created_at)),
        parent_location_id: parent.map(|id| id.to_string()).unwrap_or_default(),
        robot_count: i32::try_from(machines).unwrap_or(i32::MAX),
        config: it.region.as_ref().map(|region| pb::StorageConfig { region: region.to_string() }),
        ..stripped
    }
}

/// A machine.
#[must_use]
pub fn robot(it: &Machine, presence: Presence) -> pb::Robot {
    pb::Robot {
        id: it.id.to_string(),
        name: it.name.to_string(),
        location: it.location.to_string(),
        last_access: presence.last_access.map(timestamp),
        created_on: Some(timestamp(it.created_at)),
        online_state: online_state(presence).into(),
        seconds_since_online: presence.seconds_since_online,
    }
}

/// The same refusal in the words of Viam's wire, where grants are called authorizations.
#[must_use]
pub fn in_viam_words(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Invalid { field, rule } => Refusal::Invalid {
            field: match field.strip_prefix("grants") {
                Some(rest) => format!("authorizations{rest}"),
                None => field,
            },
            rule,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorization(kind: &str, id: &str, resource_type: &str) -> pb::Authorization {
        pb::Authorization {
            authorization_type: kind.to_owned(),
            authorization_id: id.to_owned(),
            resource_type: resource_type.to_owned(),
            resource_id: match resource_type {
                "location" => "x7k2p9q4wz".to_owned(),
                _ => "0198c5a4-7d10-7c3e-9f00-4b1d2e3f4a5b".to_owned(),
            },
            ..Default::default()
        }
    }

    #[test]
    fn every_client_is_understood() {
        for (kind, id, resource_type) in [
            ("role", "organization_owner", "organization"),
            ("role", "location_operator", "location"),
            ("role", "robot_owner", "robot"),
            ("owner", "robot_owner", "robot"),
            ("operator", "location_operator", "location"),
            ("role", "machine_owner", "machine"),
            ("role", "robot_owner", "machine"),
            ("", "robot_operator", "robot"),
        ] {
            let grant = parse_grant("", &authorization(kind, id, resource_type)).unwrap();
            assert!(id.ends_with(grant.role.name()));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (kind, id, resource_type, field) in [
            ("role", "_", "", "authorization_id"),
            ("role", "", "robot", "authorization_id"),
            ("role", "robot_admin", "robot", "authorization_id"),
            ("role", "fragment_owner", "fragment", "authorization_id"),
            ("role", "robot_owner", "fragment", "resource_type"),
            ("role", "robot_owner", "location", "resource_type"),
            ("permission", "robot_owner", "robot", "authorization_type"),
            ("operator", "robot_owner", "robot", "authorization_type"),
        ] {
            match parse_grant("authorizations[3].", &authorization(kind, id, resource_type)) {
                Err(Refusal::Invalid { field: found, .. }) => {
                    assert_eq!(found, format!("authorizations[3].{field}"), "{kind} {id} {resource_type}");
                }
                other => panic!("{kind} {id} {resource_type}: {other:?}"),
            }
        }
    }
}
