//! Fragments, of which there are none. The CLI lists them before it edits a configuration.

use domain::{OrganizationId, Permission, Resource, authorize};
use wire::convert;
use wire::viam::app::v1 as pb;

use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;

pub(super) async fn list(
    app: &App,
    call: &Call,
    request: pb::ListFragmentsRequest,
) -> Result<pb::ListFragmentsResponse, Failure> {
    let organization: OrganizationId = convert::id("organization_id", &request.organization_id)?;
    let uses = (Permission::ReadFragment, Resource::Organization(organization));
    let _permit = app.engine.read(call, Some(uses), |state, principal, _| {
        authorize(state, principal, Permission::ReadFragment, Resource::Organization(organization))
    })?;
    Ok(pb::ListFragmentsResponse::default())
}
