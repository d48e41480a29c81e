//! What a role can be held on, and the role held on it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::id::{InvalidId, LocationId, MachineId, OrganizationId};

/// The three levels of the hierarchy, from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// An organization.
    Organization,
    /// A location, with the locations nested in it.
    Location,
    /// A machine, with its parts.
    Machine,
}

impl ResourceType {
    /// All three, from the top.
    pub const ALL: [Self; 3] = [Self::Organization, Self::Location, Self::Machine];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Location => "location",
            Self::Machine => "machine",
        }
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One organization, location or machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// An organization.
    Organization(OrganizationId),
    /// A location.
    Location(LocationId),
    /// A machine.
    Machine(MachineId),
}

impl Resource {
    /// At which level it stands.
    #[must_use]
    pub const fn resource_type(self) -> ResourceType {
        match self {
            Self::Organization(_) => ResourceType::Organization,
            Self::Location(_) => ResourceType::Location,
            Self::Machine(_) => ResourceType::Machine,
        }
    }

    /// The id alone, as text.
    #[must_use]
    pub fn id_text(self) -> String {
        match self {
            Self::Organization(id) => id.to_string(),
            Self::Location(id) => id.to_string(),
            Self::Machine(id) => id.to_string(),
        }
    }

    /// A resource of the given level from the text of its id.
    ///
    /// # Errors
    /// Where the text is no id of that level.
    pub fn parse(resource_type: ResourceType, id: &str) -> Result<Self, InvalidId> {
        Ok(match resource_type {
            ResourceType::Organization => Self::Organization(id.parse()?),
            ResourceType::Location => Self::Location(id.parse()?),
            ResourceType::Machine => Self::Machine(id.parse()?),
        })
    }
}

impl fmt::Display for Resource {
    /// `machine 0198c5a4-…`, as it stands in messages to people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.resource_type(), self.id_text())
    }
}

/// Stored as `machine:0198c5a4-…`.
impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}:{}", self.resource_type(), self.id_text()))
    }
}

impl<'de> Deserialize<'de> for Resource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let (level, id) = text.split_once(':').ok_or_else(|| D::Error::custom("no `level:id`"))?;
        let level = ResourceType::ALL.into_iter().find(|known| known.name() == level);
        let level = level.ok_or_else(|| D::Error::custom("unknown level"))?;
        Self::parse(level, id).map_err(D::Error::custom)
    }
}

/// The two roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees and edits everything at and below the resource, and decides who else may.
    Owner,
    /// Controls machines and reads some of what is known of them.
    Operator,
}

impl Role {
    /// Both, the stronger first.
    pub const ALL: [Self; 2] = [Self::Owner, Self::Operator];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(())
    }
}

/// A role on a resource (`authorization` on Viam's wire).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// What the holder is.
    pub role: Role,
    /// On what, and on everything below it.
    pub resource: Resource,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.role, self.resource)
    }
}
