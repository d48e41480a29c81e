//! The policy: one table.
//!
//! A row is a permission, a column is a role held at a level, a cell says whether it is given. A role holds on
//! its resource and on everything below it; nothing is ever taken away by holding more. Rows marked `wide`
//! speak of the organization as a whole (its fragments, its packages): who has them through a location or a
//! machine has them on the organization too. That is the one place where a narrow role reaches upward.
//!
//! What is shared with another organization is reached by its people and keys as well: a role on their whole
//! organization counts as one on the location. Rows marked `home`, and `wide` ones, stay with the organization
//! that the location belongs to.
//!
//! The names above the line are Viam's 36, as its clients ask for them through `CheckPermissions`. Those below
//! are ours, for acts that have no public name. docs/permissions.md says where each cell comes from.

use crate::resource::{ResourceType, Role};

/// Where a permission that is held applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// On the resource of the grant and below it.
    Down,
    /// There, and on the organization that the resource lies in; only within one's own organization.
    Wide,
    /// As down, but only within one's own organization: not on what others share.
    Home,
}

const Y: bool = true;
const N: bool = false;

macro_rules! policy {
    ($($variant:ident $name:literal $reach:ident [$($cell:ident)*])*) => {
        /// What somebody may be allowed to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Permission {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Permission {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name, as clients ask for it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Where it applies.
            #[must_use]
            pub const fn reach(self) -> Reach {
                match self { $(Self::$variant => Reach::$reach),* }
            }

            const fn cells(self) -> [bool; 6] {
                match self { $(Self::$variant => [$($cell),*]),* }
            }
        }
    };
}

#[rustfmt::skip]
policy! {
    // owner and operator of:                                                 org.  loc.  machine
    ReadOrganization            "read_organization"                    Down [Y Y   N N   N N]
    WriteOrganization           "write_organization"                   Down [Y N   N N   N N]
    ReadFragment                "read_fragment"                        Wide [Y N   Y N   Y N]
    WriteFragment               "write_fragment"                       Down [Y N   N N   N N]
    ReadLocation                "read_location"                        Down [Y Y   Y Y   N N]
    WriteLocation               "write_location"                       Down [Y N   Y N   N N]
    ReadLocationSecret          "read_location_secret"                 Down [Y N   Y N   N N]
    ReadRobot                   "read_robot"                           Down [Y Y   Y Y   Y Y]
    ReadRobotSecret             "read_robot_secret"                    Down [Y N   Y N   Y N]
    ReadRobotConfig             "read_robot_config"                    Down [Y N   Y N   Y N]
    ReadRobotLogs               "read_robot_logs"                      Down [Y N   Y N   Y N]
    ReadRobotHistory            "read_robot_history"                   Down [Y N   Y N   Y N]
    WriteRobot                  "write_robot"                          Down [Y N   Y N   Y N]
    ControlRobot                "control_robot"                        Down [Y Y   Y Y   Y Y]
    ReadOrganizationData        "read_organization_data_management"    Down [Y Y   N N   N N]
    ReadLocationData            "read_location_data_management"        Down [Y Y   Y Y   N N]
    ReadRobotData               "read_robot_data_management"           Down [Y Y   Y Y   Y Y]
    WriteOrganizationData       "write_organization_data_management"   Down [Y N   N N   N N]
    WriteLocationData           "write_location_data_management"       Down [Y N   Y N   N N]
    WriteRobotData              "write_robot_data_management"          Down [Y N   Y N   Y N]
    WriteData                   "write_data_management"                Down [Y N   Y N   Y N]
    ReadMappingSessions         "read_mapping_sessions"                Down [Y N   Y N   Y N]
    CreateMaps                  "create_maps"                          Down [Y N   Y N   Y N]
    ReadPrivateRegistryItem     "read_private_registry_item"           Wide [Y N   Y N   Y N]
    WritePrivateRegistryItem    "write_private_registry_item"          Down [Y N   N N   N N]
    WritePublicRegistryItem     "write_public_registry_item"           Down [Y N   N N   N N]
    ReadPackages                "read_packages"                        Wide [Y N   Y N   Y N]
    WritePackages               "write_packages"                       Wide [Y N   Y N   Y N]
    DeletePackages              "delete_packages"                      Down [Y N   N N   N N]
    TrainModels                 "train_models"                         Wide [Y N   Y N   Y N]
    CreateDataset               "create_dataset"                       Wide [Y N   Y N   Y N]
    ListDataset                 "list_dataset"                         Wide [Y N   Y N   Y N]
    RenameDataset               "rename_dataset"                       Down [Y N   N N   N N]
    DeleteDataset               "delete_dataset"                       Down [Y N   N N   N N]
    ConfigureDatabaseUser       "configure_database_user"              Down [Y N   N N   N N]
    GetDatabaseConnection       "get_database_connection"              Down [Y N   N N   N N]
    // ---- ours -------------------------------------------------------------------------------------
    CreateOrganization          "create_organization"                  Down [N N   N N   N N]
    DeleteOrganization          "delete_organization"                  Down [Y N   N N   N N]
    CreateLocation              "create_location"                      Down [Y N   N N   N N]
    DeleteLocation              "delete_location"                      Home [Y N   Y N   N N]
    MoveLocation                "move_location"                        Home [Y N   Y N   N N]
    SetRegion                   "set_region"                           Home [Y N   Y N   N N]
    ShareLocation               "share_location"                       Down [Y N   Y N   N N]
    CreateMachine               "create_machine"                       Down [Y N   Y N   N N]
    MoveMachine                 "move_machine"                         Down [Y N   Y N   N N]
    DeleteMachine               "delete_machine"                       Down [Y N   Y N   Y N]
    ReadMetadata                "read_metadata"                        Down [Y N   Y N   Y N]
    WriteMetadata               "write_metadata"                       Down [Y N   Y N   Y N]
    ReadRoles                   "read_roles"                           Down [Y Y   Y Y   Y Y]
    ManageMembers               "manage_members"                       Down [Y N   Y N   Y N]
    ManageKeys                  "manage_keys"                          Down [Y N   Y N   Y N]
    ReadAudit                   "read_audit"                           Home [Y N   Y N   Y N]
}

impl Permission {
    /// How many of them are Viam's; they come first.
    pub const PUBLIC: usize = 36;

    /// Whether a role held at a level gives this permission.
    #[inline]
    #[must_use]
    pub const fn given_by(self, role: Role, level: ResourceType) -> bool {
        let [oo, oc, lo, lc, mo, mc] = self.cells();
        match (level, role) {
            (ResourceType::Organization, Role::Owner) => oo,
            (ResourceType::Organization, Role::Operator) => oc,
            (ResourceType::Location, Role::Owner) => lo,
            (ResourceType::Location, Role::Operator) => lc,
            (ResourceType::Machine, Role::Owner) => mo,
            (ResourceType::Machine, Role::Operator) => mc,
        }
    }

    /// The permission with this name; nothing for a name nobody knows.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|permission| permission.name() == name)
    }
}
