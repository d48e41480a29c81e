//! What the authority's own keys are for.

use std::time::Duration;

/// What a key of the authority's own is for. The name is stored, and part of what a sealed key is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The MAC of access tokens.
    TokenMac,
    /// Sealing what the authority must be able to read again.
    Sealing,
}

impl Purpose {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::TokenMac, Self::Sealing];

    /// The word under which it is stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenMac => "token-mac",
            Self::Sealing => "sealing",
        }
    }

    /// The purpose with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|purpose| purpose.name() == name)
    }

    /// How long a new key of this purpose is known before it signs.
    #[must_use]
    pub const fn lead(self) -> Duration {
        match self {
            // Another node of the authority may be asked about a token the moment it is issued; by then it has
            // heard of the key that signed it.
            Self::TokenMac => Duration::from_secs(60),
            // Whoever knows of a sealed document has read the journal past the key that sealed it.
            Self::Sealing => Duration::ZERO,
        }
    }
}
