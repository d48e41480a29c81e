//! What modules and platforms are called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::name::Name;

/// The name of a module: 1 to 100 of `a-z`, `A-Z`, `0-9`, `_` and `-`.
///
/// It stands in URLs, in the names of files and folders on machines, and in the names of models.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleName(Box<str>);

/// Why a text is no module's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {} letters, digits, dashes and underscores", ModuleName::MAX)]
pub struct InvalidModuleName;

impl ModuleName {
    /// The longest name.
    pub const MAX: usize = 100;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it is compared: some file systems of machines do not tell capitals apart.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for ModuleName {
    type Err = InvalidModuleName;

    fn from_str(text: &str) -> Result<Self, InvalidModuleName> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let good = (1..=Self::MAX).contains(&text.len()) && text.bytes().all(plain);
        if good { Ok(Self(text.into())) } else { Err(InvalidModuleName) }
    }
}

/// A module as the wire names it: whose it is, a colon, its name. Whose is said by an organization's id or by its
/// namespace; which of the two is looked up when it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleRef {
    /// The id or the namespace.
    pub prefix: Name,
    /// The module's name.
    pub name: ModuleName,
}

/// Why a text names no module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidModuleRef {
    /// Not two parts.
    #[error("must be an organization's namespace or id, a colon and the name of a module, such as acme:arm")]
    Form,
    /// The second part is no name.
    #[error("{0} after the colon")]
    Name(InvalidModuleName),
}

impl ModuleRef {
    /// Reads one whose parts are joined by this character: a colon, or the slash of a package's id.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str, joint: char) -> Result<Self, InvalidModuleRef> {
        let (prefix, name) = text.split_once(joint).ok_or(InvalidModuleRef::Form)?;
        let prefix = Name::parse(prefix).map_err(|_| InvalidModuleRef::Form)?;
        Ok(Self { prefix, name: name.parse().map_err(InvalidModuleRef::Name)? })
    }
}

impl FromStr for ModuleRef {
    type Err = InvalidModuleRef;

    fn from_str(text: &str) -> Result<Self, InvalidModuleRef> {
        Self::parse(text, ':')
    }
}

/// Which machines a file is for: `any`, or an operating system and a processor, such as `linux/arm64`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform(Box<str>);

/// Why a text is no platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be any, or an operating system, a slash and a processor in lower case, such as linux/amd64")]
pub struct InvalidPlatform;

impl Platform {
    /// The longest word on either side of the slash.
    const MAX: usize = 32;

    /// The platform as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With a dash for the slash, as it stands in names of files.
    #[must_use]
    pub fn dashed(&self) -> String {
        self.0.replace('/', "-")
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let word = |text: &str| {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            (1..=Self::MAX).contains(&text.len()) && text.bytes().all(plain)
        };
        let good = match text.split_once('/') {
            Some((system, processor)) => word(system) && word(processor),
            None => text == "any",
        };
        if good { Ok(Self(text.into())) } else { Err(InvalidPlatform) }
    }
}

impl fmt::Display for ModuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.prefix, self.name)
    }
}

macro_rules! text {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

text!(ModuleName Platform);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_a_table() {
        let long = "x".repeat(100);
        for good in ["a", "arm-2", "Arm_2", "-", "0", long.as_str()] {
            assert_eq!(good.parse::<ModuleName>().unwrap().as_str(), good);
        }
        let longer = "x".repeat(101);
        for bad in ["", "a b", "a:b", "a/b", "..", "a.b", "größe", "a\n", longer.as_str()] {
            assert_eq!(bad.parse::<ModuleName>(), Err(InvalidModuleName), "{bad:?}");
        }
    }

    #[test]
    fn both_prefixes_are_taken() {
        for text in ["acme:arm", "0198c5a4-7d10-7c3e-9f00-4b1d2e3f4a5b:arm"] {
            let module: ModuleRef = text.parse().unwrap();
            assert_eq!(module.to_string(), text);
            assert_eq!(ModuleRef::parse(&text.replace(':', "/"), '/').unwrap(), module);
        }
        assert_eq!("arm".parse::<ModuleRef>(), Err(InvalidModuleRef::Form));
        assert_eq!(":arm".parse::<ModuleRef>(), Err(InvalidModuleRef::Form));
        for bad in ["acme:", "acme:arm:2", "acme:arm/../x"] {
            assert_eq!(bad.parse::<ModuleRef>(), Err(InvalidModuleRef::Name(InvalidModuleName)), "{bad}");
        }
    }

    #[test]
    fn platforms_as_a_table() {
        for good in ["any", "linux/amd64", "linux/arm32v7", "linux/any", "darwin/arm64", "linux/x86_64"] {
            assert_eq!(good.parse::<Platform>().unwrap().dashed(), good.replace('/', "-"));
        }
        for bad in ["", "linux", "linux/", "/amd64", "linux/amd64/v2", "Linux/amd64", "linux-amd64", "../etc"]
        {
            assert_eq!(bad.parse::<Platform>(), Err(InvalidPlatform), "{bad:?}");
        }
    }
}
