//! Keys. A value leaves the process in three replies only: create, rotate, duplicate.

use domain::command::{CreateKey, DeleteKey, DuplicateKey, NewKey, RenameKey, RotateKey};
use domain::{Grant, Permission, Refusal, Resource, query};
use wire::convert::{self, viam};
use wire::viam::app::v1 as pb;

use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;

pub(super) async fn create(
    app: &App,
    call: &Call,
    request: pb::CreateKeyRequest,
) -> Result<pb::CreateKeyResponse, Failure> {
    let pb::CreateKeyRequest { authorizations, name } = request;
    let command = CreateKey {
        organization: organization_of(&authorizations)?,
        name: convert::name("name", &name)?,
        grants: grants(&authorizations)?,
        expires_at: None,
    };
    let NewKey { key, value } = app.engine.change(call, command).await.map_err(in_viam_words)?;
    Ok(pb::CreateKeyResponse { key: value.expose().to_owned(), id: key.id.to_string() })
}

fn grants(authorizations: &[pb::Authorization]) -> Result<Vec<Grant>, Refusal> {
    let each = authorizations.iter().enumerate();
    each.map(|(number, authorization)| {
        let prefix = format!("authorizations[{number}].");
        if !authorization.identity_id.is_empty() {
            return Err(Refusal::invalid(
                format!("{prefix}identity_id"),
                "must be empty: the key does not exist yet",
            ));
        }
        if !matches!(authorization.identity_type.as_str(), "" | "api-key") {
            return Err(Refusal::invalid(format!("{prefix}identity_type"), "must be api-key"));
        }
        viam::parse_grant(&prefix, authorization)
    })
    .collect()
}

/// The organization that the authorizations name. The CLI leaves it empty for locations and machines: then it is
/// found from what is granted.
fn organization_of(authorizations: &[pb::Authorization]) -> Result<Option<domain::OrganizationId>, Refusal> {
    let mut found = None;
    for (number, authorization) in authorizations.iter().enumerate() {
        let field = format!("authorizations[{number}].organization_id");
        let named = convert::optional_id(&field, &authorization.organization_id)?;
        match (found, named) {
            (Some(before), Some(now)) if before != now => {
                return Err(Refusal::invalid(field, "must be the same in all authorizations"));
            }
            (None, named) => found = named,
            _ => {}
        }
    }
    Ok(found)
}

fn in_viam_words(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(refusal) => Failure::Refused(viam::in_viam_words(refusal)),
        other => other,
    }
}

pub(super) async fn duplicate(
    app: &App,
    call: &Call,
    request: pb::CreateKeyFromExistingKeyAuthorizationsRequest,
) -> Result<pb::CreateKeyFromExistingKeyAuthorizationsResponse, Failure> {
    let command = DuplicateKey { id: convert::id("id", &request.id)? };
    let NewKey { key, value } = app.engine.change(call, command).await?;
    let (id, key) = (key.id.to_string(), value.expose().to_owned());
    Ok(pb::CreateKeyFromExistingKeyAuthorizationsResponse { id, key })
}

pub(super) async fn rotate(
    app: &App,
    call: &Call,
    request: pb::RotateKeyRequest,
) -> Result<pb::RotateKeyResponse, Failure> {
    let command = RotateKey { id: convert::id("id", &request.id)? };
    let NewKey { key, value } = app.engine.change(call, command).await?;
    Ok(pb::RotateKeyResponse { id: key.id.to_string(), key: value.expose().to_owned() })
}

pub(super) async fn rename(
    app: &App,
    call: &Call,
    request: pb::RenameKeyRequest,
) -> Result<pb::RenameKeyResponse, Failure> {
    let pb::RenameKeyRequest { id, name } = request;
    let command = RenameKey { id: convert::id("id", &id)?, name: convert::name("name", &name)? };
    let key = app.engine.change(call, command).await?;
    Ok(pb::RenameKeyResponse { id: key.id.to_string(), name: key.name.to_string() })
}

pub(super) async fn delete(
    app: &App,
    call: &Call,
    request: pb::DeleteKeyRequest,
) -> Result<pb::DeleteKeyResponse, Failure> {
    let command = DeleteKey { id: convert::id("id", &request.id)? };
    app.engine.change(call, command).await?;
    Ok(pb::DeleteKeyResponse {})
}

pub(super) async fn list(
    app: &App,
    call: &Call,
    request: pb::ListKeysRequest,
) -> Result<pb::ListKeysResponse, Failure> {
    let organization = convert::id("org_id", &request.org_id)?;
    let uses = (Permission::ManageKeys, Resource::Organization(organization));
    let api_keys = app.engine.read(call, Some(uses), |state, principal, _| {
        let keys = query::list_keys(state, principal, organization)?;
        Ok(keys.iter().map(|listed| viam::key(listed.key, &listed.grants)).collect())
    })?;
    Ok(pb::ListKeysResponse { api_keys })
}

pub(super) async fn of_robot(
    app: &App,
    call: &Call,
    request: pb::GetRobotApiKeysRequest,
) -> Result<pb::GetRobotApiKeysResponse, Failure> {
    let machine = convert::id("robot_id", &request.robot_id)?;
    let uses = (Permission::ManageKeys, Resource::Machine(machine));
    let api_keys = app.engine.read(call, Some(uses), |state, principal, now| {
        let keys = query::robot_keys(state, principal, machine, now)?;
        Ok(keys.iter().map(|listed| viam::key(listed.key, &listed.grants)).collect())
    })?;
    Ok(pb::GetRobotApiKeysResponse { api_keys })
}
