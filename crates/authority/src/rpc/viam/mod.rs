//! `viam.app.v1.AppService`, as unmodified Viam clients call it.

mod fragments;
mod keys;
mod locations;
mod machines;
mod organizations;
mod parts;
mod roles;

use wire::viam::app::v1 as pb;
use wire::viam::app::v1::app_service_server::AppService;

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
    }
}
