//! Parts of machines. Operators need them for their addresses; secrets and configuration are the owners'.

use domain::command::{AskForRestart, CreatePart, DeletePart, MarkAsMain, UpdatePart};
use domain::{Permission, Resource, query};
use wire::convert::{self, part};
use wire::viam::app::v1 as pb;

use super::shown::{Seen, shown, shown_again};
use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;
use crate::secrets;

pub(super) async fn list(
    app: &App,
    call: &Call,
    request: pb::GetRobotPartsRequest,
) -> Result<pb::GetRobotPartsResponse, Failure> {
    let id = convert::id("robot_id", &request.robot_id)?;
    let uses = (Permission::ReadRobot, Resource::Machine(id));
    let seen = app.engine.read(call, Some(uses), |state, principal, now| {
        let parts = query::list_parts(state, principal, id)?;
        parts
            .into_iter()
            .map(|part| Seen::of(app, state, principal, part, now))
            .collect::<Result<Vec<_>, _>>()
    })?;
    let mut parts = Vec::with_capacity(seen.len());
    for seen in seen {
        parts.push(shown(app, &seen).await?.0);
    }
    Ok(pb::GetRobotPartsResponse { parts })
}

pub(super) async fn get(
    app: &App,
    call: &Call,
    request: pb::GetRobotPartRequest,
) -> Result<pb::GetRobotPartResponse, Failure> {
    let id = convert::id("id", &request.id)?;
    let seen = app.engine.read(call, None, |state, principal, now| {
        Seen::of(app, state, principal, query::get_part(state, principal, id)?, now)
    })?;
    let (part, config_json) = shown(app, &seen).await?;
    Ok(pb::GetRobotPartResponse { part: Some(part), config_json: config_json.unwrap_or_default() })
}

pub(super) async fn by_name(
    app: &App,
    call: &Call,
    request: pb::GetRobotPartByNameAndLocationRequest,
) -> Result<pb::GetRobotPartByNameAndLocationResponse, Failure> {
    let pb::GetRobotPartByNameAndLocationRequest { name, location_id } = request;
    let location = convert::id("location_id", &location_id)?;
    let name = convert::name("name", &name)?;
    let uses = (Permission::ReadRobot, Resource::Location(location));
    let seen = app.engine.read(call, Some(uses), |state, principal, now| {
        let part = query::part_by_name(state, principal, name.as_str(), location)?;
        Seen::of(app, state, principal, part, now)
    })?;
    Ok(pb::GetRobotPartByNameAndLocationResponse { part: Some(shown(app, &seen).await?.0) })
}

pub(super) async fn create(
    app: &App,
    call: &Call,
    request: pb::NewRobotPartRequest,
) -> Result<pb::NewRobotPartResponse, Failure> {
    let pb::NewRobotPartRequest { robot_id, part_name } = request;
    let command = CreatePart {
        machine: convert::id("robot_id", &robot_id)?,
        name: convert::name("part_name", &part_name)?,
        secret: secrets::make(&app.engine)?,
    };
    let part = app.engine.change(call, command).await?;
    Ok(pb::NewRobotPartResponse { part_id: part.id.to_string() })
}

pub(super) async fn update(
    app: &App,
    call: &Call,
    request: pb::UpdateRobotPartRequest,
) -> Result<pb::UpdateRobotPartResponse, Failure> {
    let pb::UpdateRobotPartRequest { id, name, robot_config, last_known_update, robot_config_json } = request;
    let command = UpdatePart {
        id: convert::id("id", &id)?,
        name: Some(convert::name("name", &name)?),
        configuration: part::parse_configuration(robot_config.as_ref(), robot_config_json)?,
        last_known_update: convert::optional_timestamp("last_known_update", last_known_update)?,
    };
    let part = app.engine.change(call, command).await?;
    Ok(pb::UpdateRobotPartResponse { part: Some(shown_again(app, call, part).await?) })
}

pub(super) async fn delete(
    app: &App,
    call: &Call,
    request: pb::DeleteRobotPartRequest,
) -> Result<pb::DeleteRobotPartResponse, Failure> {
    let command = DeletePart { id: convert::id("part_id", &request.part_id)? };
    app.engine.change(call, command).await?;
    Ok(pb::DeleteRobotPartResponse {})
}

pub(super) async fn mark_as_main(
    app: &App,
    call: &Call,
    request: pb::MarkPartAsMainRequest,
) -> Result<pb::MarkPartAsMainResponse, Failure> {
    let command = MarkAsMain { id: convert::id("part_id", &request.part_id)? };
    app.engine.change(call, command).await?;
    Ok(pb::MarkPartAsMainResponse {})
}

pub(super) async fn mark_for_restart(
    app: &App,
    call: &Call,
    request: pb::MarkPartForRestartRequest,
) -> Result<pb::MarkPartForRestartResponse, Failure> {
    let command = AskForRestart { id: convert::id("part_id", &request.part_id)? };
    app.engine.change(call, command).await?;
    Ok(pb::MarkPartForRestartResponse {})
}
