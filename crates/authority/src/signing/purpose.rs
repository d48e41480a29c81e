//! What the authority's own keys are for.

use std::time::Duration;

/// What a key of the authority's own is for. The name is stored, and part of what a sealed key is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The MAC of access tokens.
    TokenMac,
    /// Sealing what the authority must be able to read again.
    Sealing,
    /// The signature of tokens that machines check by themselves.
    ExternalJwt,
    /// The certificates that the authority issues.
    AuthorityCa,
    /// The secrets by which machines let in the other parts of their location.
    LocationSecret,
}

impl Purpose {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::TokenMac, Self::Sealing, Self::ExternalJwt, Self::AuthorityCa, Self::LocationSecret];

    /// The word under which it is stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenMac => "token-mac",
            Self::Sealing => "sealing",
            Self::ExternalJwt => "external-jwt",
            Self::AuthorityCa => "authority-ca",
            Self::LocationSecret => "location-secret",
        }
    }

    /// The purpose with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|purpose| purpose.name() == name)
    }

    /// All names, for people.
    #[must_use]
    pub fn names() -> String {
        let names: Vec<_> = Self::ALL.iter().map(|purpose| purpose.name()).collect();
        names.join(", ")
    }

    /// How long a new key of this purpose is known before it signs.
    #[must_use]
    pub const fn lead(self) -> Duration {
        match self {
            // Another node of the authority may be asked about a token the moment it is issued; by then it has
            // heard of the key that signed it.
            Self::TokenMac => Duration::from_secs(60),
            // Whoever knows of a sealed document has read the journal past the key that sealed it.
            // A part is told the secrets of the newest key and of the one before.
            Self::Sealing | Self::LocationSecret => Duration::ZERO,
            // A machine hears of it with its configuration, seconds after the authority tells it; ten minutes also
            // do for one that was restarting, and leave room to tell a fleet bit by bit.
            Self::ExternalJwt => Duration::from_secs(600),
            // People carry it to clients by hand.
            Self::AuthorityCa => Duration::from_secs(30 * 86_400),
        }
    }
}
