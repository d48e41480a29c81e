//! Modules: software for machines, published by an organization in versions, each for one or more platforms.

mod name;
mod texts;

pub use name::{InvalidModuleName, InvalidModuleRef, InvalidPlatform, ModuleName, ModuleRef, Platform};
pub use semver::Version;
pub use texts::{MAX_APPS, MAX_MODELS, MAX_TEXTS, ModuleApp, ModuleModel, ModuleTexts, TextsId};

use serde::{Deserialize, Serialize};

use crate::checksum::Checksum;
use crate::id::{FileId, ModuleId, OrganizationId};
use crate::time::Timestamp;

/// How many versions one module can have.
pub const MAX_VERSIONS: usize = 1_000;
/// How many platforms one version can be for.
pub const MAX_PLATFORMS: usize = 32;
/// How many tags one file can carry.
pub const MAX_TAGS: usize = 32;
/// The longest tag, in bytes.
pub const MAX_TAG: usize = 128;
/// The longest version number, in bytes.
pub const MAX_VERSION: usize = 128;

/// Who may have a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// The organization it belongs to.
    Private,
    /// Everybody, and everybody finds it in lists.
    Public,
    /// Everybody who knows its name.
    PublicUnlisted,
}

impl Visibility {
    /// Whether it is kept from everybody but its organization.
    #[must_use]
    pub const fn is_private(self) -> bool {
        matches!(self, Self::Private)
    }
}

/// A module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its id, which stays here: the wire knows modules by their names.
    pub id: ModuleId,
    /// The organization it belongs to.
    pub organization: OrganizationId,
    /// Its name; unique in the organization.
    pub name: ModuleName,
    /// Who may have it.
    pub visibility: Visibility,
    /// The document with what it says about itself now.
    pub texts: TextsId,
    /// In ascending order; each has at least one file.
    pub versions: Vec<ModuleVersion>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// One version of a module. What was uploaded once does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleVersion {
    /// Its number.
    pub number: Version,
    /// The document with what the module said about itself when the version's first file came.
    pub texts: TextsId,
    /// By platform.
    pub files: Vec<ModuleFile>,
}

/// One uploaded file: a version for a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFile {
    /// Under which it lies in the store.
    pub id: FileId,
    /// For which machines it is.
    pub platform: Platform,
    /// What a machine must further have.
    pub tags: Vec<String>,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its content.
    pub sha256: Checksum,
    /// CRC-32C of its content, which viam-server checks a download with.
    pub crc32c: u32,
    /// When it was uploaded.
    pub uploaded_at: Timestamp,
}

impl Module {
    /// The version with this number.
    #[must_use]
    pub fn version(&self, number: &Version) -> Option<&ModuleVersion> {
        self.versions.iter().find(|version| version.number == *number)
    }

    /// The file that is called so: number and platform, joined by a dash, the platform's slash a dash as well. That
    /// is how clients ask for one.
    #[must_use]
    pub fn file_called(&self, called: &str) -> Option<(&ModuleVersion, &ModuleFile)> {
        let files = self.versions.iter().flat_map(|it| it.files.iter().map(move |file| (it, file)));
        files.into_iter().find(|(version, file)| file_name(&version.number, &file.platform) == called)
    }

    /// The documents that belong to it: what it says now, and what it said with each version.
    pub fn documents(&self) -> impl Iterator<Item = TextsId> + '_ {
        let all = std::iter::once(self.texts).chain(self.versions.iter().map(|version| version.texts));
        all.collect::<std::collections::BTreeSet<_>>().into_iter()
    }

    /// All of its files.
    pub fn files(&self) -> impl Iterator<Item = &ModuleFile> {
        self.versions.iter().flat_map(|version| &version.files)
    }
}

/// What a file is called after its module's name.
#[must_use]
pub fn file_name(number: &Version, platform: &Platform) -> String {
    format!("{number}-{}", platform.dashed())
}
