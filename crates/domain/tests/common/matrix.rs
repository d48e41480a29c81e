//! The policy once more, row by row as docs/permissions.md words it, so that the table in `src/policy.rs` is
//! not its own judge.

use domain::{Permission, ResourceType, Role};

/// The six columns of [`MATRIX`], left to right.
pub(crate) const COLUMNS: [(ResourceType, Role); 6] = [
    (ResourceType::Organization, Role::Owner),
    (ResourceType::Organization, Role::Operator),
    (ResourceType::Location, Role::Owner),
    (ResourceType::Location, Role::Operator),
    (ResourceType::Machine, Role::Owner),
    (ResourceType::Machine, Role::Operator),
];

/// How many of the rows are Viam's; the others are ours.
pub(crate) const PUBLIC: usize = 36;

/// Permission, then `Y` or `-` for owner and operator of an organization, a location, a machine.
#[rustfmt::skip]
pub(crate) const MATRIX: [(&str, &str); 52] = [
    ("read_organization",                  "Y Y - - - -"),
    ("write_organization",                 "Y - - - - -"),
    ("read_fragment",                      "Y - Y - Y -"),
    ("write_fragment",                     "Y - - - - -"),
    ("read_location",                      "Y Y Y Y - -"),
    ("write_location",                     "Y - Y - - -"),
    ("read_location_secret",               "Y - Y - - -"),
    ("read_robot",                         "Y Y Y Y Y Y"),
    ("read_robot_config",                  "Y - Y - Y -"),
    ("read_robot_logs",                    "Y - Y - Y -"),
    ("read_robot_history",                 "Y - Y - Y -"),
    ("read_robot_secret",                  "Y - Y - Y -"),
    ("write_robot",                        "Y - Y - Y -"),
    ("control_robot",                      "Y Y Y Y Y Y"),
    ("read_organization_data_management",  "Y Y - - - -"),
    ("read_location_data_management",      "Y Y Y Y - -"),
    ("read_robot_data_management",         "Y Y Y Y Y Y"),
    ("write_organization_data_management", "Y - - - - -"),
    ("write_location_data_management",     "Y - Y - - -"),
    ("write_robot_data_management",        "Y - Y - Y -"),
    ("write_data_management",              "Y - Y - Y -"),
    ("read_mapping_sessions",              "Y - Y - Y -"),
    ("create_maps",                        "Y - Y - Y -"),
    ("read_private_registry_item",         "Y - Y - Y -"),
    ("read_packages",                      "Y - Y - Y -"),
    ("write_private_registry_item",        "Y - - - - -"),
    ("write_public_registry_item",         "Y - - - - -"),
    ("write_packages",                     "Y - Y - Y -"),
    ("delete_packages",                    "Y - - - - -"),
    ("train_models",                       "Y - Y - Y -"),
    ("create_dataset",                     "Y - Y - Y -"),
    ("list_dataset",                       "Y - Y - Y -"),
    ("rename_dataset",                     "Y - - - - -"),
    ("delete_dataset",                     "Y - - - - -"),
    ("configure_database_user",            "Y - - - - -"),
    ("get_database_connection",            "Y - - - - -"),
    // ---- ours ----
    // "Create a new organization" is an act of people: with a key it is denied.
    ("create_organization",                "- - - - - -"),
    // "Delete org".
    ("delete_organization",                "Y - - - - -"),
    // "Create a NEW location in the org", taken literally: not the owners of a location, nested or not.
    ("create_location",                    "Y - - - - -"),
    // "Delete location".
    ("delete_location",                    "Y - Y - - -"),
    // "Move the location under another parent".
    ("move_location",                      "Y - Y - - -"),
    // "Change region" of a location.
    ("set_region",                         "Y - Y - - -"),
    // "Share the location with another org", "Un-share the location".
    ("share_location",                     "Y - Y - - -"),
    // "Create a machine", "in this and child locations".
    ("create_machine",                     "Y - Y - - -"),
    // "Moving a machine to another location is for org owners and location owners".
    ("move_machine",                       "Y - Y - - -"),
    // "Delete machine".
    ("delete_machine",                     "Y - Y - Y -"),
    // "Read and write metadata", strictly downward: at and below what is owned.
    ("read_metadata",                      "Y - Y - Y -"),
    ("write_metadata",                     "Y - Y - Y -"),
    // "See other people's roles".
    ("read_roles",                         "Y Y Y Y Y Y"),
    // "Invite / resend / revoke invite", "Change someone else's role": within their own resources.
    ("manage_members",                     "Y - Y - Y -"),
    // Managing keys is granting permission: owners of what the keys reach, operators never.
    ("manage_keys",                        "Y - Y - Y -"),
    // What happened to what one owns.
    ("read_audit",                         "Y - Y - Y -"),
];

/// "Organization-level facts": whoever has these through a location or a machine has them on its organization.
pub(crate) const WIDE: [&str; 7] = [
    "read_private_registry_item",
    "read_packages",
    "list_dataset",
    "create_dataset",
    "read_fragment",
    "write_packages",
    "train_models",
];

/// What the organizations that a location is shared with may not: it stays with the one it belongs to.
pub(crate) const HOME: [&str; 4] = ["delete_location", "move_location", "set_region", "read_audit"];

/// The cell of [`MATRIX`]; nothing for a permission that has no row.
pub(crate) fn cell(permission: Permission, role: Role, level: ResourceType) -> Option<bool> {
    let column = COLUMNS.iter().position(|column| *column == (level, role))?;
    let (_, row) = MATRIX.iter().find(|(name, _)| *name == permission.name())?;
    row.split(' ').nth(column).map(|word| word == "Y")
}
