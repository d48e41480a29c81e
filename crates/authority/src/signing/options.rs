//! What the person who runs the authority decides about its own keys.

use std::time::Duration;

/// How the authority's own keys are used and renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningOptions {
    /// What the authority is called in what it issues.
    pub name: String,
    /// How long a token for a machine lives.
    pub external_lifetime: Duration,
    /// At which age the keys that sign tokens get a successor; never by itself if absent.
    pub rotate_after: Option<Duration>,
}

impl SigningOptions {
    /// The name, unless told otherwise.
    pub const NAME: &'static str = "claviger";
    /// How long a token for a machine lives, in minutes, unless told otherwise.
    pub const EXTERNAL_MINUTES: u16 = 5;
    /// The longest lifetime there may be, in minutes: for so long an old key stays published.
    pub const MAX_EXTERNAL_MINUTES: u16 = 60;
    /// At which age, in days, keys get a successor unless told otherwise.
    pub const ROTATE_DAYS: u16 = 90;
}

impl Default for SigningOptions {
    fn default() -> Self {
        Self {
            name: Self::NAME.to_owned(),
            external_lifetime: Duration::from_secs(60 * u64::from(Self::EXTERNAL_MINUTES)),
            rotate_after: Some(Duration::from_secs(86_400 * u64::from(Self::ROTATE_DAYS))),
        }
    }
}
