//! `viam.app.v1.AppService`, as unmodified Viam clients call it.

mod fragments;
mod history;
mod keys;
mod locations;
mod machines;
mod metadata;
mod modules;
mod organizations;
mod part_logs;
mod parts;
mod robot;
mod roles;
mod secrets;
mod shown;
mod summaries;
mod upload;

use tonic::{Request, Response, Status, Streaming};
use wire::viam::app::v1 as pb;
use wire::viam::app::v1::app_service_server::AppService;

pub(super) use modules::owned;

use super::Told;
use crate::call::Call;

super::serve! {
    AppService {
        create_key(pb::CreateKeyRequest) -> pb::CreateKeyResponse = keys::create,
        delete_key(pb::DeleteKeyRequest) -> pb::DeleteKeyResponse = keys::delete,
        list_keys(pb::ListKeysRequest) -> pb::ListKeysResponse = keys::list,
        rename_key(pb::RenameKeyRequest) -> pb::RenameKeyResponse = keys::rename,
        rotate_key(pb::RotateKeyRequest) -> pb::RotateKeyResponse = keys::rotate,
        create_key_from_existing_key_authorizations(pb::CreateKeyFromExistingKeyAuthorizationsRequest)
            -> pb::CreateKeyFromExistingKeyAuthorizationsResponse = keys::duplicate,
        get_robot_api_keys(pb::GetRobotApiKeysRequest) -> pb::GetRobotApiKeysResponse = keys::of_robot,

        add_role(pb::AddRoleRequest) -> pb::AddRoleResponse = roles::add,
        remove_role(pb::RemoveRoleRequest) -> pb::RemoveRoleResponse = roles::remove,
        change_role(pb::ChangeRoleRequest) -> pb::ChangeRoleResponse = roles::change,
        list_authorizations(pb::ListAuthorizationsRequest) -> pb::ListAuthorizationsResponse = roles::list,
        check_permissions(pb::CheckPermissionsRequest) -> pb::CheckPermissionsResponse = roles::check,

        create_organization(pb::CreateOrganizationRequest) -> pb::CreateOrganizationResponse
            = organizations::create,
        list_organizations(pb::ListOrganizationsRequest) -> pb::ListOrganizationsResponse
            = organizations::list,
        get_organization(pb::GetOrganizationRequest) -> pb::GetOrganizationResponse = organizations::get,
        update_organization(pb::UpdateOrganizationRequest) -> pb::UpdateOrganizationResponse
            = organizations::update,
        delete_organization(pb::DeleteOrganizationRequest) -> pb::DeleteOrganizationResponse
            = organizations::delete,
        get_organization_namespace_availability(pb::GetOrganizationNamespaceAvailabilityRequest)
            -> pb::GetOrganizationNamespaceAvailabilityResponse = organizations::namespace_available,
        update_organization_namespace(pb::UpdateOrganizationNamespaceRequest)
            -> pb::UpdateOrganizationNamespaceResponse = organizations::update_namespace,

        create_location(pb::CreateLocationRequest) -> pb::CreateLocationResponse = locations::create,
        get_location(pb::GetLocationRequest) -> pb::GetLocationResponse = locations::get,
        update_location(pb::UpdateLocationRequest) -> pb::UpdateLocationResponse = locations::update,
        delete_location(pb::DeleteLocationRequest) -> pb::DeleteLocationResponse = locations::delete,
        list_locations(pb::ListLocationsRequest) -> pb::ListLocationsResponse = locations::list,

        share_location(pb::ShareLocationRequest) -> pb::ShareLocationResponse = locations::share,
        unshare_location(pb::UnshareLocationRequest) -> pb::UnshareLocationResponse = locations::unshare,
        get_organizations_with_access_to_location(pb::GetOrganizationsWithAccessToLocationRequest)
            -> pb::GetOrganizationsWithAccessToLocationResponse = locations::organizations,

        new_robot(pb::NewRobotRequest) -> pb::NewRobotResponse = machines::create,
        get_robot(pb::GetRobotRequest) -> pb::GetRobotResponse = machines::get,
        update_robot(pb::UpdateRobotRequest) -> pb::UpdateRobotResponse = machines::update,
        delete_robot(pb::DeleteRobotRequest) -> pb::DeleteRobotResponse = machines::delete,
        list_robots(pb::ListRobotsRequest) -> pb::ListRobotsResponse = machines::list,
        list_robots_for_locations(pb::ListRobotsForLocationsRequest) -> pb::ListRobotsForLocationsResponse
            = machines::list_for_locations,
        list_robots_for_org(pb::ListRobotsForOrgRequest) -> pb::ListRobotsForOrgResponse
            = machines::list_for_organization,

        list_fragments(pb::ListFragmentsRequest) -> pb::ListFragmentsResponse = fragments::list,

        get_robot_parts(pb::GetRobotPartsRequest) -> pb::GetRobotPartsResponse = parts::list,
        get_robot_part(pb::GetRobotPartRequest) -> pb::GetRobotPartResponse = parts::get,
        get_robot_part_by_name_and_location(pb::GetRobotPartByNameAndLocationRequest)
            -> pb::GetRobotPartByNameAndLocationResponse = parts::by_name,
        new_robot_part(pb::NewRobotPartRequest) -> pb::NewRobotPartResponse = parts::create,
        update_robot_part(pb::UpdateRobotPartRequest) -> pb::UpdateRobotPartResponse = parts::update,
        delete_robot_part(pb::DeleteRobotPartRequest) -> pb::DeleteRobotPartResponse = parts::delete,
        mark_part_as_main(pb::MarkPartAsMainRequest) -> pb::MarkPartAsMainResponse = parts::mark_as_main,
        mark_part_for_restart(pb::MarkPartForRestartRequest) -> pb::MarkPartForRestartResponse
            = parts::mark_for_restart,
        get_robot_part_history(pb::GetRobotPartHistoryRequest) -> pb::GetRobotPartHistoryResponse
            = history::of_part,
        list_machine_summaries(pb::ListMachineSummariesRequest) -> pb::ListMachineSummariesResponse
            = summaries::list,

        create_robot_part_secret(pb::CreateRobotPartSecretRequest) -> pb::CreateRobotPartSecretResponse
            = secrets::create_of_part,
        delete_robot_part_secret(pb::DeleteRobotPartSecretRequest) -> pb::DeleteRobotPartSecretResponse
            = secrets::delete_of_part,
        location_auth(pb::LocationAuthRequest) -> pb::LocationAuthResponse = secrets::of_location,
        create_location_secret(pb::CreateLocationSecretRequest) -> pb::CreateLocationSecretResponse
            = secrets::create_of_location,
        delete_location_secret(pb::DeleteLocationSecretRequest) -> pb::DeleteLocationSecretResponse
            = secrets::delete_of_location,

        get_organization_metadata(pb::GetOrganizationMetadataRequest) -> pb::GetOrganizationMetadataResponse
            = metadata::of_organization,
        update_organization_metadata(pb::UpdateOrganizationMetadataRequest)
            -> pb::UpdateOrganizationMetadataResponse = metadata::set_of_organization,
        get_location_metadata(pb::GetLocationMetadataRequest) -> pb::GetLocationMetadataResponse
            = metadata::of_location,
        update_location_metadata(pb::UpdateLocationMetadataRequest) -> pb::UpdateLocationMetadataResponse
            = metadata::set_of_location,
        get_robot_metadata(pb::GetRobotMetadataRequest) -> pb::GetRobotMetadataResponse = metadata::of_machine,
        update_robot_metadata(pb::UpdateRobotMetadataRequest) -> pb::UpdateRobotMetadataResponse
            = metadata::set_of_machine,
        get_robot_part_metadata(pb::GetRobotPartMetadataRequest) -> pb::GetRobotPartMetadataResponse
            = metadata::of_part,
        update_robot_part_metadata(pb::UpdateRobotPartMetadataRequest) -> pb::UpdateRobotPartMetadataResponse
            = metadata::set_of_part,
        get_robot_part_logs(pb::GetRobotPartLogsRequest) -> pb::GetRobotPartLogsResponse = part_logs::get,

        create_module(pb::CreateModuleRequest) -> pb::CreateModuleResponse = modules::create,
        update_module(pb::UpdateModuleRequest) -> pb::UpdateModuleResponse = modules::update,
        get_module(pb::GetModuleRequest) -> pb::GetModuleResponse = modules::get,
        list_modules(pb::ListModulesRequest) -> pb::ListModulesResponse = modules::list,
    }

    async fn upload_module_file(
        &self,
        request: Request<Streaming<pb::UploadModuleFileRequest>>,
    ) -> Result<Response<pb::UploadModuleFileResponse>, Status> {
        upload::upload(self, request).await.map(Response::new)
    }

    type TailRobotPartLogsStream = Told<pb::TailRobotPartLogsResponse>;

    async fn tail_robot_part_logs(
        &self,
        request: Request<pb::TailRobotPartLogsRequest>,
    ) -> Result<Response<Self::TailRobotPartLogsStream>, Status> {
        let call = Call::of(request.extensions())?;
        Ok(Response::new(part_logs::tail(self, &call, request.into_inner()).await?))
    }
}
