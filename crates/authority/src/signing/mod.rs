//! The authority's own keys: what it signs tokens with, seals with, and certifies parts with.
//!
//! Each is a record, sealed under the master key. This module opens all of them, knows which one of a purpose
//! signs and which ones still verify, and takes over what changes while the server runs: the writer asks it to
//! after every entry that touches one of these records, before anybody is told that the entry is written.
//!
//! A new key signs once it has been known for a while ([`Purpose::lead`]), an old one verifies until it is taken
//! away. For tokens of our own that is never by itself, because they have no expiry.

mod opened;
mod purpose;
pub(crate) mod rotate;
mod sealer;
mod tokens;

use domain::{Caller, Denial, SigningKey, SigningKeyId, State, Timestamp};
use parking_lot::RwLock;

pub use purpose::Purpose;
pub use sealer::{SealError, Sealer};

use crate::master::{MasterKey, MasterKeyError};
use tokens::TokenKeys;

/// The authority's own keys, open.
pub struct Signing {
    master: MasterKey,
    keys: RwLock<Keys>,
}

struct Keys {
    tokens: TokenKeys,
    sealer: Sealer,
}

/// A new key of the authority's own, ready to be stored.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What it is for.
    pub purpose: Purpose,
    /// Its id.
    pub id: SigningKeyId,
    /// The sealed bytes, in base64.
    pub sealed: String,
}

impl Signing {
    /// Opens the keys that are stored.
    ///
    /// # Errors
    /// Where the master key does not open one of them.
    pub(crate) fn open(master: MasterKey, state: &State) -> Result<Self, MasterKeyError> {
        let stored: Vec<_> = state.signing_keys().collect();
        let keys = RwLock::new(Keys::open(&master, &stored)?);
        Ok(Self { master, keys })
    }

    /// None yet: whatever is stored does not open, and new ones will take its place.
    pub(crate) fn without_keys(master: MasterKey) -> Result<Self, MasterKeyError> {
        Self::open(master, &State::default())
    }

    /// Takes over what changed. A key that does not open is left out and logged; what was taken away is gone in
    /// any case.
    pub(crate) fn refresh(&self, state: &State) {
        let opens = |key: &&SigningKey| match open_one(&self.master, key) {
            Ok(()) => true,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, id = %key.id, purpose = key.purpose, "a signing key is not taken over");
                false
            }
        };
        let stored: Vec<_> = state.signing_keys().filter(opens).collect();
        match Keys::open(&self.master, &stored) {
            Ok(keys) => *self.keys.write() = keys,
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "no key is taken over"),
        }
    }

    /// A new key, made and sealed. Making one for external tokens takes a while; do it where that hurts nobody.
    ///
    /// # Errors
    /// Where the system has no randomness to give.
    pub(crate) fn make(&self, purpose: Purpose, now: Timestamp) -> Result<NewKey, MasterKeyError> {
        let id = opened::new_id(now);
        let secret = match purpose {
            Purpose::TokenMac | Purpose::Sealing => opened::random()?,
        };
        let sealed = self.master.seal(&opened::bound_to(purpose.name(), id), &secret)?;
        Ok(NewKey { purpose, id, sealed })
    }

    /// The token of somebody who authenticated; nothing if there is no key to sign it with.
    #[must_use]
    pub(crate) fn token(&self, caller: Caller, now: Timestamp) -> Option<String> {
        self.keys.read().tokens.issue(caller, now)
    }

    /// Who authenticated to get this token, and which key signed it. Whether they still may do anything is
    /// another question.
    ///
    /// # Errors
    /// [`Denial::BadToken`] for whatever we did not sign, or signed with a key that was taken away.
    #[inline]
    pub(crate) fn check(&self, token: &str) -> Result<(Caller, SigningKeyId), Denial> {
        self.keys.read().tokens.check(token)
    }

    /// Whether tokens signed by this key are accepted still.
    pub(crate) fn verifies(&self, signer: SigningKeyId) -> bool {
        self.keys.read().tokens.holds(signer)
    }

    /// What seals secrets that have to be read again. Take it anew for each piece of work.
    #[must_use]
    pub fn sealer(&self) -> Sealer {
        self.keys.read().sealer.clone()
    }
}

/// Whether the master key opens every key of the authority's own that is stored.
///
/// # Errors
/// Where it does not.
pub(crate) fn opens(master: &MasterKey, state: &State) -> Result<(), MasterKeyError> {
    state.signing_keys().try_for_each(|key| open_one(master, key))
}

fn open_one(master: &MasterKey, key: &SigningKey) -> Result<(), MasterKeyError> {
    master.open(&opened::bound_to(&key.purpose, key.id), &key.sealed).map(drop)
}

impl Keys {
    fn open(master: &MasterKey, stored: &[&SigningKey]) -> Result<Self, MasterKeyError> {
        let of = |purpose| opened::open(master, stored, purpose);
        Ok(Self {
            tokens: TokenKeys::new(&of(Purpose::TokenMac)?),
            sealer: Sealer::new(&of(Purpose::Sealing)?),
        })
    }
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signing")
    }
}
