//! Locations.

use domain::command::{
    CreateLocation, DeleteLocation, NewParent, ShareLocation, UnshareLocation, UpdateLocation,
};
use domain::{
    Kind, Location, LocationId, Permission, Principal, RecordId, Refusal, Resource, State, View as _, query,
    visible,
};
use wire::convert::{self, viam, viam::LocationDetail};
use wire::viam::app::v1 as pb;

use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;

/// A location as the caller may see it.
fn shown(state: &State, principal: &Principal<'_>, location: &Location) -> Result<pb::Location, Refusal> {
    let organizations = query::organizations_of(state, principal, location.id)?;
    let detail = if query::may_see_inside(state, principal, location.id) {
        let above = |id| visible(state, principal, Resource::Location(id));
        LocationDetail::Full {
            machines: state.children(RecordId::Location(location.id), Kind::Machine).count(),
            parent_visible: location.parent.is_some_and(above),
        }
    } else {
        LocationDetail::Stripped
    };
    Ok(viam::location(location, &organizations, detail))
}

/// A location that was just changed, as the one who changed it may see it.
fn changed(app: &App, call: &Call, location: &Location) -> Result<Option<pb::Location>, Failure> {
    Ok(Some(app.engine.look(call.caller, |state, principal, _| shown(state, principal, location))?))
}

pub(super) async fn create(
    app: &App,
    call: &Call,
    request: pb::CreateLocationRequest,
) -> Result<pb::CreateLocationResponse, Failure> {
    let pb::CreateLocationRequest { organization_id, name, parent_location_id } = request;
    let command = CreateLocation {
        organization: convert::id("organization_id", &organization_id)?,
        parent: convert::optional_id("parent_location_id", &parent_location_id.unwrap_or_default())?,
        name: convert::name("name", &name)?,
    };
    let location = app.engine.change(call, command).await?;
    Ok(pb::CreateLocationResponse { location: changed(app, call, &location)? })
}

pub(super) async fn get(
    app: &App,
    call: &Call,
    request: pb::GetLocationRequest,
) -> Result<pb::GetLocationResponse, Failure> {
    let id: LocationId = convert::id("location_id", &request.location_id)?;
    let uses = (Permission::ReadLocation, Resource::Location(id));
    let location = app.engine.read(call, Some(uses), |state, principal, _| {
        shown(state, principal, query::get_location(state, principal, id)?)
    })?;
    Ok(pb::GetLocationResponse { location: Some(location) })
}

pub(super) async fn update(
    app: &App,
    call: &Call,
    request: pb::UpdateLocationRequest,
) -> Result<pb::UpdateLocationResponse, Failure> {
    let pb::UpdateLocationRequest { location_id, name, parent_location_id, region } = request;
    let parent = match parent_location_id.as_deref() {
        None => None,
        // Given and empty: to the top of the organization.
        Some("") => Some(NewParent::Top),
        Some(id) => Some(NewParent::Location(convert::id("parent_location_id", id)?)),
    };
    let command = UpdateLocation {
        id: convert::id("location_id", &location_id)?,
        // Given and empty: as it is. The SDK's own documentation moves locations that way.
        name: convert::optional_name("name", name.as_deref().filter(|name| !name.is_empty()))?,
        parent,
        region: convert::optional_name("region", region.as_deref())?,
    };
    let location = app.engine.change(call, command).await?;
    Ok(pb::UpdateLocationResponse { location: changed(app, call, &location)? })
}

pub(super) async fn delete(
    app: &App,
    call: &Call,
    request: pb::DeleteLocationRequest,
) -> Result<pb::DeleteLocationResponse, Failure> {
    let command = DeleteLocation { id: convert::id("location_id", &request.location_id)? };
    app.engine.change(call, command).await?;
    Ok(pb::DeleteLocationResponse {})
}

pub(super) async fn list(
    app: &App,
    call: &Call,
    request: pb::ListLocationsRequest,
) -> Result<pb::ListLocationsResponse, Failure> {
    let organization = convert::id("organization_id", &request.organization_id)?;
    let uses = (Permission::ReadLocation, Resource::Organization(organization));
    let locations = app.engine.read(call, Some(uses), |state, principal, _| {
        let seen = query::list_locations(state, principal, organization)?;
        seen.into_iter().map(|location| shown(state, principal, location)).collect()
    })?;
    Ok(pb::ListLocationsResponse { locations })
}

pub(super) async fn share(
    app: &App,
    call: &Call,
    request: pb::ShareLocationRequest,
) -> Result<pb::ShareLocationResponse, Failure> {
    let id = convert::id("location_id", &request.location_id)?;
    let organization = convert::id("organization_id", &request.organization_id)?;
    app.engine.change(call, ShareLocation { id, organization }).await?;
    Ok(pb::ShareLocationResponse {})
}

pub(super) async fn unshare(
    app: &App,
    call: &Call,
    request: pb::UnshareLocationRequest,
) -> Result<pb::UnshareLocationResponse, Failure> {
    let id = convert::id("location_id", &request.location_id)?;
    let organization = convert::id("organization_id", &request.organization_id)?;
    app.engine.change(call, UnshareLocation { id, organization }).await?;
    Ok(pb::UnshareLocationResponse {})
}

pub(super) async fn organizations(
    app: &App,
    call: &Call,
    request: pb::GetOrganizationsWithAccessToLocationRequest,
) -> Result<pb::GetOrganizationsWithAccessToLocationResponse, Failure> {
    let id: LocationId = convert::id("location_id", &request.location_id)?;
    let uses = (Permission::ReadLocation, Resource::Location(id));
    let organization_identities = app.engine.read(call, Some(uses), |state, principal, _| {
        let organizations = query::organizations_of(state, principal, id)?;
        Ok(organizations.into_iter().map(viam::organization_identity).collect())
    })?;
    Ok(pb::GetOrganizationsWithAccessToLocationResponse { organization_identities })
}
