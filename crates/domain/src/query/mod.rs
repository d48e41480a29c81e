//! The reads: look, authorize, answer. What a caller may not see is not in the answer.

mod access;
mod calls;
mod fleet;
mod keys;
mod modules;
mod parts;

pub use access::{RoleHeld, check_permissions, list_roles};
pub use calls::speak_for;
pub use fleet::{
    get_location, get_machine, get_organization, get_part, list_locations, list_machines, list_organizations,
    list_parts, machines_in_organization, may_see_inside, organizations_of,
};
pub use keys::{ListedKey, get_key, list_keys, list_managers, robot_keys};
pub(crate) use modules::find_module;
pub use modules::{get_module, get_public_module, list_modules, namespace_available};
pub use parts::{
    PartRights, is_known, location_with_secrets, machine_summaries, may_read_metadata, part_by_address,
    part_by_name, part_for,
};
