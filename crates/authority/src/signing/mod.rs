//! The authority's own keys: what it signs tokens with, seals with, and certifies parts with.
//!
//! Each is a record, sealed under the master key. This module opens all of them, knows which one of a purpose
//! signs and which ones still verify, and takes over what changes while the server runs: the writer asks it to
//! after every entry that touches one of these records, before anybody is told that the entry is written.
//!
//! A new key signs once it has been known for a while ([`Purpose::lead`]), an old one verifies until it is taken
//! away. For tokens of our own that is never by itself, because they have no expiry.

mod ca;
pub(crate) mod exchange;
mod external;
mod location;
mod opened;
mod options;
mod purpose;
pub(crate) mod rotate;
mod sealer;
mod tokens;
pub(crate) mod upkeep;

use std::sync::Arc;

use domain::{Caller, Denial, PartId, SigningKey, SigningKeyId, State, Timestamp};
use parking_lot::RwLock;
use zeroize::Zeroizing;

pub use ca::Certificate;
pub use exchange::{ExchangeError, exchange};
pub use location::LocationSecret;
pub use options::SigningOptions;
pub use purpose::Purpose;
pub use rotate::{Rotated, Rotation};
pub use sealer::{SealError, Sealer};

use crate::master::{MasterKey, MasterKeyError};
use ca::{CaKeys, Issued};
use external::ExternalKeys;
use location::LocationKeys;
use tokens::TokenKeys;

/// The authority's own keys, open.
pub struct Signing {
    master: RwLock<Arc<MasterKey>>,
    options: RwLock<SigningOptions>,
    keys: RwLock<Keys>,
    issued: Issued,
}

struct Keys {
    tokens: TokenKeys,
    sealer: Sealer,
    external: Arc<ExternalKeys>,
    ca: Arc<CaKeys>,
    location: LocationKeys,
}

/// Why something could not be signed, or a key not be used.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The master key does not open it, or there is no randomness.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// What is sealed opens and is not what it should be.
    #[error("the authority's own key {0} is damaged: restore a backup")]
    Damaged(SigningKeyId),
    /// There is no key that could sign.
    #[error("the authority has no key of the purpose {}", .0.name())]
    NoKey(Purpose),
    /// A certificate for nobody.
    #[error("a certificate needs at least one name")]
    NoNames,
    /// A key or a signature could not be made.
    #[error("a key or a signature could not be made")]
    NotMade,
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Certificate(#[from] rcgen::Error),
}

/// A new key of the authority's own, ready to be stored.
pub(crate) struct NewKey {
    /// Its id.
    id: SigningKeyId,
    /// The sealed bytes, in base64.
    sealed: String,
}

impl Signing {
    /// Opens the keys that are stored.
    ///
    /// # Errors
    /// Where the master key does not open one of them.
    pub(crate) fn open(master: MasterKey, state: &State) -> Result<Self, SigningError> {
        let stored: Vec<_> = state.signing_keys().collect();
        let keys = RwLock::new(Keys::open(&master, &stored)?);
        let master = RwLock::new(Arc::new(master));
        Ok(Self { master, options: RwLock::default(), keys, issued: Issued::default() })
    }

    /// None yet: whatever is stored does not open, and new ones will take its place.
    pub(crate) fn without_keys(master: MasterKey) -> Result<Self, SigningError> {
        Self::open(master, &State::default())
    }

    /// Takes over what changed. A key that does not open is left out and logged; what was taken away is gone in
    /// any case.
    pub(crate) fn refresh(&self, state: &State) {
        let master = self.master();
        let opens = |key: &&SigningKey| match open_one(&master, key) {
            Ok(()) => true,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, id = %key.id, purpose = key.purpose, "a signing key is not taken over");
                false
            }
        };
        let stored: Vec<_> = state.signing_keys().filter(opens).collect();
        match Keys::open(&master, &stored) {
            Ok(keys) => *self.keys.write() = keys,
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "no key is taken over"),
        }
    }

    /// What seals the keys.
    fn master(&self) -> Arc<MasterKey> {
        Arc::clone(&self.master.read())
    }

    /// From now on, this seals the keys.
    fn set_master(&self, master: MasterKey) {
        *self.master.write() = Arc::new(master);
    }

    /// Signing takes a while, and is not done under the lock.
    fn external(&self) -> Arc<ExternalKeys> {
        Arc::clone(&self.keys.read().external)
    }

    fn ca(&self) -> Arc<CaKeys> {
        Arc::clone(&self.keys.read().ca)
    }

    /// A new key, made and sealed. Making one for external tokens takes a while; do it where that hurts nobody.
    ///
    /// # Errors
    /// Where the system has no randomness to give.
    pub(crate) fn make(&self, purpose: Purpose, now: Timestamp) -> Result<NewKey, SigningError> {
        let id = opened::new_id(now);
        let secret: Zeroizing<Vec<u8>> = match purpose {
            Purpose::TokenMac | Purpose::Sealing | Purpose::LocationSecret => opened::random()?,
            Purpose::ExternalJwt => ExternalKeys::make()?,
            Purpose::AuthorityCa => CaKeys::make(&self.options.read().name, id, now)?,
        };
        let sealed = self.master().seal(&opened::bound_to(purpose.name(), id), &secret)?;
        Ok(NewKey { id, sealed })
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

    /// A token by which a caller is known to the machine whose part answers at `aud`, e.g. a key's id to
    /// `arm-main.fleet.example`. Whether they may have it is the caller's business.
    ///
    /// # Errors
    /// Where there is no key to sign it with, which is so before the authority is served.
    pub fn external_token(&self, sub: &str, aud: &str, now: Timestamp) -> Result<String, SigningError> {
        self.external().issue(&self.options(), sub, aud, now)
    }

    /// The public keys that check those tokens, as a JSON Web Key Set: the same bytes until a key comes or goes.
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        self.external().jwks()
    }

    /// The public keys as a part is told them. The whole fleet would start its web service anew at once if all heard of
    /// a new key, or of the end of an old one, in the same second: so each part hears of it in its own time, early
    /// enough.
    #[must_use]
    pub fn jwks_of(&self, part: PartId, now: Timestamp) -> serde_json::Value {
        let keys = Arc::clone(&self.keys.read().external);
        keys.jwks_of(part, now)
    }

    /// The secrets by which a part lets in others, the newest first: of this part alone.
    #[must_use]
    pub fn location_secrets(&self, part: PartId) -> Vec<LocationSecret> {
        self.keys.read().location.secrets(part)
    }

    /// A certificate with its key for these names, the first of which is its common name. Asked for again it is the
    /// same, until 30 of its 90 days are left, its CA is not trusted any more, or the authority is restarted.
    ///
    /// # Errors
    /// Where a name cannot stand in a certificate, or there is no CA, which is so before the authority is served.
    pub fn certificate_for(&self, names: &[String], now: Timestamp) -> Result<Certificate, SigningError> {
        self.ca().certificate_for(&self.issued, names, now)
    }

    /// The certificates of the authority's CA, in PEM: who trusts them trusts whatever it issued or will issue.
    #[must_use]
    pub fn ca_bundle(&self, now: Timestamp) -> String {
        self.ca().bundle(now)
    }

    /// What the person who runs the authority decided; before it is served, the defaults.
    #[must_use]
    pub fn options(&self) -> SigningOptions {
        self.options.read().clone()
    }

    pub(crate) fn configure(&self, options: SigningOptions) {
        *self.options.write() = options;
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

/// Every key of the authority's own, sealed under another master key.
fn reseal(
    old: &MasterKey,
    new: &MasterKey,
    state: &State,
) -> Result<Vec<(SigningKeyId, String)>, MasterKeyError> {
    let anew = |key: &SigningKey| {
        let bound_to = opened::bound_to(&key.purpose, key.id);
        Ok((key.id, new.seal(&bound_to, &old.open(&bound_to, &key.sealed)?)?))
    };
    state.signing_keys().map(anew).collect()
}

fn open_one(master: &MasterKey, key: &SigningKey) -> Result<(), MasterKeyError> {
    master.open(&opened::bound_to(&key.purpose, key.id), &key.sealed).map(drop)
}

impl Keys {
    fn open(master: &MasterKey, stored: &[&SigningKey]) -> Result<Self, SigningError> {
        let of = |purpose| opened::open(master, stored, purpose);
        Ok(Self {
            tokens: TokenKeys::new(&of(Purpose::TokenMac)?),
            sealer: Sealer::new(&of(Purpose::Sealing)?),
            external: Arc::new(ExternalKeys::new(&of(Purpose::ExternalJwt)?)?),
            ca: Arc::new(CaKeys::new(&of(Purpose::AuthorityCa)?)?),
            location: LocationKeys::new(&of(Purpose::LocationSecret)?),
        })
    }
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signing")
    }
}
