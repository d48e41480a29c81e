//! Parts of machines. Operators need them for their addresses; secrets and configuration are the owners'.

use domain::{Kind, Permission, Refusal, Resource, View as _, query};
use wire::convert::{self, viam};
use wire::viam::app::v1 as pb;

use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;

pub(super) async fn list(
    app: &App,
    call: &Call,
    request: pb::GetRobotPartsRequest,
) -> Result<pb::GetRobotPartsResponse, Failure> {
    let id = convert::id("robot_id", &request.robot_id)?;
    let uses = (Permission::ReadRobot, Resource::Machine(id));
    let parts = app.engine.read(call, Some(uses), |state, principal, _| {
        let machine = query::get_machine(state, principal, id)?;
        let parts = query::list_parts(state, principal, id)?;
        Ok(parts.into_iter().map(|part| viam::part(part, machine)).collect())
    })?;
    Ok(pb::GetRobotPartsResponse { parts })
}

pub(super) async fn get(
    app: &App,
    call: &Call,
    request: pb::GetRobotPartRequest,
) -> Result<pb::GetRobotPartResponse, Failure> {
    let id = convert::id("id", &request.id)?;
    let part = app.engine.read(call, None, |state, principal, _| {
        let part = query::get_part(state, principal, id)?;
        let machine = state.machine(part.machine).ok_or(Refusal::NotFound(Kind::Machine))?;
        Ok(viam::part(part, machine))
    })?;
    Ok(pb::GetRobotPartResponse { part: Some(part), config_json: String::new() })
}
