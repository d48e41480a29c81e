//! Machines, which Viam's wire calls robots.

use domain::command::{CreateMachine, DeleteMachine, UpdateMachine};
use domain::{LocationId, Machine, Permission, Refusal, Resource, State, Timestamp, View as _, query};
use wire::convert::{self, viam};
use wire::viam::app::v1 as pb;

use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;
use crate::secrets;

/// A machine, with when any of its parts was last heard of.
fn shown(app: &App, state: &State, machine: &Machine, now: Timestamp) -> pb::Robot {
    let parts = state.parts_of(machine.id).map(|part| part.id);
    viam::robot(machine, app.engine.shared().parts.state_of_any(parts, now))
}

/// How many locations one call may ask for.
const MAX_LOCATIONS: usize = 1_000;

pub(super) async fn create(
    app: &App,
    call: &Call,
    request: pb::NewRobotRequest,
) -> Result<pb::NewRobotResponse, Failure> {
    let pb::NewRobotRequest { name, location } = request;
    let command = CreateMachine {
        location: convert::id("location", &location)?,
        name: convert::name("name", &name)?,
        secret: secrets::make(&app.engine)?,
    };
    let machine = app.engine.change(call, command).await?;
    Ok(pb::NewRobotResponse { id: machine.id.to_string() })
}

pub(super) async fn get(
    app: &App,
    call: &Call,
    request: pb::GetRobotRequest,
) -> Result<pb::GetRobotResponse, Failure> {
    let id = convert::id("id", &request.id)?;
    let uses = (Permission::ReadRobot, Resource::Machine(id));
    let robot = app.engine.read(call, Some(uses), |state, principal, now| {
        query::get_machine(state, principal, id).map(|machine| shown(app, state, machine, now))
    })?;
    Ok(pb::GetRobotResponse { robot: Some(robot) })
}

pub(super) async fn update(
    app: &App,
    call: &Call,
    request: pb::UpdateRobotRequest,
) -> Result<pb::UpdateRobotResponse, Failure> {
    let pb::UpdateRobotRequest { id, name, location } = request;
    let command = UpdateMachine {
        id: convert::id("id", &id)?,
        name: Some(convert::name("name", &name)?),
        location: convert::optional_id("location", &location)?,
    };
    let machine = app.engine.change(call, command).await?;
    let now = app.engine.shared().clock.now();
    let robot = app.engine.look_as_system(|state| shown(app, state, &machine, now));
    Ok(pb::UpdateRobotResponse { robot: Some(robot) })
}

pub(super) async fn delete(
    app: &App,
    call: &Call,
    request: pb::DeleteRobotRequest,
) -> Result<pb::DeleteRobotResponse, Failure> {
    let command = DeleteMachine { id: convert::id("id", &request.id)? };
    app.engine.change(call, command).await?;
    Ok(pb::DeleteRobotResponse {})
}

pub(super) async fn list(
    app: &App,
    call: &Call,
    request: pb::ListRobotsRequest,
) -> Result<pb::ListRobotsResponse, Failure> {
    let location = convert::id("location_id", &request.location_id)?;
    let uses = (Permission::ReadRobot, Resource::Location(location));
    let robots = app.engine.read(call, Some(uses), |state, principal, now| {
        let seen = query::list_machines(state, principal, location)?;
        Ok(seen.into_iter().map(|machine| shown(app, state, machine, now)).collect())
    })?;
    Ok(pb::ListRobotsResponse { robots })
}

pub(super) async fn list_for_locations(
    app: &App,
    call: &Call,
    request: pb::ListRobotsForLocationsRequest,
) -> Result<pb::ListRobotsForLocationsResponse, Failure> {
    let ids = request.location_ids;
    if ids.is_empty() || ids.len() > MAX_LOCATIONS {
        let rule = format!("must be 1 to {MAX_LOCATIONS} ids");
        return Err(Refusal::invalid("location_ids", rule).into());
    }
    let each = ids.iter().enumerate();
    let parsed = each.map(|(number, id)| convert::id(format!("location_ids[{number}]"), id));
    // Named twice is answered once.
    let locations = parsed.collect::<Result<std::collections::BTreeSet<LocationId>, _>>()?;
    let robots = app.engine.read(call, None, |state, principal, now| {
        let mut robots = Vec::new();
        for location in &locations {
            let seen = query::list_machines(state, principal, *location)?;
            robots.extend(seen.into_iter().map(|machine| shown(app, state, machine, now)));
        }
        Ok(robots)
    })?;
    Ok(pb::ListRobotsForLocationsResponse { robots })
}

pub(super) async fn list_for_organization(
    app: &App,
    call: &Call,
    request: pb::ListRobotsForOrgRequest,
) -> Result<pb::ListRobotsForOrgResponse, Failure> {
    let organization = convert::id("org_id", &request.org_id)?;
    let uses = (Permission::ReadRobot, Resource::Organization(organization));
    let robots = app.engine.read(call, Some(uses), |state, principal, now| {
        let seen = query::machines_in_organization(state, principal, organization)?;
        Ok(seen.into_iter().map(|machine| shown(app, state, machine, now)).collect())
    })?;
    Ok(pb::ListRobotsForOrgResponse { robots })
}
