//! Roles of keys, and the question who may what.

use domain::command::{AddRole, ChangeRole, RemoveRole};
use domain::{Grant, KeyId, Permission, Refusal, Resource, query};
use wire::convert::{self, viam};
use wire::viam::app::v1 as pb;

use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;

/// How many questions one call may ask. A page of a console asks for dozens.
const MAX_QUESTIONS: usize = 1_000;

fn parse(field: &str, authorization: Option<pb::Authorization>) -> Result<(KeyId, Grant), Refusal> {
    let given = authorization.ok_or_else(|| Refusal::invalid(field, "must be given"))?;
    let prefix = format!("{field}.");
    Ok((viam::parse_identity(&prefix, &given)?, viam::parse_grant(&prefix, &given)?))
}

/// The refusal in the words of a request that holds one authorization.
fn in_viam_words(field: &'static str) -> impl Fn(Failure) -> Failure {
    move |failure| match failure {
        Failure::Refused(Refusal::Invalid { field: of, rule }) if of == "grants" => {
            Refusal::Invalid { field: field.to_owned(), rule }.into()
        }
        other => other,
    }
}

pub(super) async fn add(
    app: &App,
    call: &Call,
    request: pb::AddRoleRequest,
) -> Result<pb::AddRoleResponse, Failure> {
    let (key, grant) = parse("authorization", request.authorization)?;
    app.engine.change(call, AddRole { key, grant }).await.map_err(in_viam_words("authorization"))?;
    Ok(pb::AddRoleResponse {})
}

pub(super) async fn remove(
    app: &App,
    call: &Call,
    request: pb::RemoveRoleRequest,
) -> Result<pb::RemoveRoleResponse, Failure> {
    let (key, grant) = parse("authorization", request.authorization)?;
    app.engine.change(call, RemoveRole { key, grant }).await.map_err(in_viam_words("authorization"))?;
    Ok(pb::RemoveRoleResponse {})
}

pub(super) async fn change(
    app: &App,
    call: &Call,
    request: pb::ChangeRoleRequest,
) -> Result<pb::ChangeRoleResponse, Failure> {
    let pb::ChangeRoleRequest { old_authorization, new_authorization } = request;
    let (key, old) = parse("old_authorization", old_authorization)?;
    let (same, new) = parse("new_authorization", new_authorization)?;
    if key != same {
        let rule = "must be the identity of old_authorization: a role cannot be handed on";
        return Err(Refusal::invalid("new_authorization.identity_id", rule).into());
    }
    let command = ChangeRole { key, old, new };
    app.engine.change(call, command).await.map_err(in_viam_words("new_authorization"))?;
    Ok(pb::ChangeRoleResponse {})
}

pub(super) async fn list(
    app: &App,
    call: &Call,
    request: pb::ListAuthorizationsRequest,
) -> Result<pb::ListAuthorizationsResponse, Failure> {
    let pb::ListAuthorizationsRequest { organization_id, resource_ids } = request;
    let organization = convert::id("organization_id", &organization_id)?;
    let uses = (Permission::ReadRoles, Resource::Organization(organization));
    let authorizations = app.engine.read(call, Some(uses), |state, principal, _| {
        let named = resource_ids.iter().enumerate().map(|(number, id)| {
            // The wire gives an id without its level: it is whatever is there under that id.
            let candidates =
                domain::ResourceType::ALL.into_iter().filter_map(|level| Resource::parse(level, id).ok());
            let candidates: Vec<_> = candidates.collect();
            let there = candidates.iter().find(|it| domain::Lineage::of(state, **it).is_some());
            let field = format!("resource_ids[{number}]");
            let wrong = || Refusal::invalid(field, "must be the id of an organization, location or machine");
            there.or(candidates.first()).copied().ok_or_else(wrong)
        });
        let named = named.collect::<Result<Vec<_>, _>>()?;
        let roles = query::list_roles(state, principal, organization, &named)?;
        let organization = organization.to_string();
        Ok(roles.iter().map(|held| viam::authorization(held.key, &organization, held.grant)).collect())
    })?;
    Ok(pb::ListAuthorizationsResponse { authorizations })
}

pub(super) async fn check(
    app: &App,
    call: &Call,
    request: pb::CheckPermissionsRequest,
) -> Result<pb::CheckPermissionsResponse, Failure> {
    let asked = request.permissions;
    let questions: usize = asked.iter().map(|one| one.permissions.len()).sum();
    if asked.is_empty() || asked.len() > MAX_QUESTIONS || questions > MAX_QUESTIONS {
        let rule = format!("must be 1 to {MAX_QUESTIONS} questions");
        return Err(Refusal::invalid("permissions", rule).into());
    }
    let resources = asked.iter().enumerate().map(|(number, one)| {
        let prefix = format!("permissions[{number}].");
        viam::parse_resource(&prefix, &one.resource_type, &one.resource_id)
    });
    let resources = resources.collect::<Result<Vec<_>, _>>()?;
    let authorized_permissions = app.engine.read(call, None, |state, principal, _| {
        let answers = asked.into_iter().zip(&resources).map(|(one, resource)| {
            let names = one.permissions.iter().map(String::as_str);
            let held = query::check_permissions(state, principal, *resource, names);
            let permissions = held.into_iter().map(str::to_owned).collect();
            pb::AuthorizedPermissions { permissions, ..one }
        });
        Ok(answers.collect())
    })?;
    Ok(pb::CheckPermissionsResponse { authorized_permissions })
}
