//! Making the authority's own keys, and putting new ones beside or in the place of old ones.
//!
//! Rotation overlaps: the old key goes on verifying. For tokens of our own it does so until somebody ends them on
//! purpose, because they have no expiry; the others go when all they signed has run out ([`super::upkeep`]).

use std::time::Duration;

use domain::command::ReplaceSigningKey;
use domain::{SigningKeyId, Timestamp};

use super::{NewKey, Purpose};
use crate::engine::Engine;
use crate::failure::Failure;

/// Through what the authority changes its own keys by itself.
pub(super) const UPKEEP: &str = "claviger";

/// Which keys get a successor, and what becomes of the old ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Which keys.
    pub purposes: Vec<Purpose>,
    /// The old keys that sign tokens are taken away: every token from before is void.
    pub end_old_tokens: bool,
    /// The old CAs are taken away: no certificate from before is to be trusted.
    pub distrust_old_ca: bool,
}

/// A key that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// What it is for.
    pub purpose: Purpose,
    /// Its id.
    pub id: SigningKeyId,
    /// From when on it signs.
    pub signs_at: Timestamp,
    /// How many older ones still verify.
    pub older: usize,
}

/// A stored key, seen from outside.
pub(super) type Held = (SigningKeyId, Timestamp);

/// Makes new keys beside the old ones, or in their place where that was asked for.
///
/// # Errors
/// Where what was asked for makes no sense, or a key cannot be made or written. Keys made before that stay.
pub(crate) async fn rotate(
    engine: &Engine,
    via: &'static str,
    rotation: &Rotation,
) -> Result<Vec<Rotated>, Failure> {
    rotation.check()?;
    let mut done = Vec::new();
    for purpose in &rotation.purposes {
        let gone = if rotation.ends(*purpose) { ids(&held(engine, *purpose)) } else { Vec::new() };
        let id = add(engine, via, *purpose, gone).await?;
        let there = held(engine, *purpose);
        let created_at = there.iter().find(|(it, _)| *it == id).map_or(Timestamp::EPOCH, |(_, at)| *at);
        // Alone, it signs at once.
        let lead = if there.len() > 1 { purpose.lead() } else { Duration::ZERO };
        let older = there.len().saturating_sub(1);
        done.push(Rotated { purpose: *purpose, id, signs_at: after(created_at, lead), older });
    }
    Ok(done)
}

impl Rotation {
    fn ends(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::TokenMac | Purpose::ExternalJwt => self.end_old_tokens,
            Purpose::AuthorityCa => self.distrust_old_ca,
            // What it sealed would never open again.
            Purpose::Sealing => false,
            // A part is told what the two newest made; the next rotation ends the older one.
            Purpose::LocationSecret => false,
        }
    }

    /// Whoever asks that something ends means something that ends.
    fn check(&self) -> Result<(), Failure> {
        let rotates = |wanted: &[Purpose]| self.purposes.iter().any(|purpose| wanted.contains(purpose));
        if self.end_old_tokens && !rotates(&[Purpose::TokenMac, Purpose::ExternalJwt]) {
            let said = "end_old_tokens: needs one of the purposes token-mac, external-jwt; the others sign no tokens";
            return Err(Failure::Malformed(said.to_owned()));
        }
        if self.distrust_old_ca && !rotates(&[Purpose::AuthorityCa]) {
            return Err(Failure::Malformed("distrust_old_ca: needs the purpose authority-ca".to_owned()));
        }
        Ok(())
    }
}

/// Makes the first key of each purpose that has none.
///
/// # Errors
/// Where it cannot be made or written.
pub(crate) async fn ensure(engine: &Engine, purposes: &[Purpose]) -> Result<(), Failure> {
    for purpose in purposes {
        if held(engine, *purpose).is_empty() {
            add(engine, UPKEEP, *purpose, Vec::new()).await?;
        }
    }
    Ok(())
}

/// Puts a new key in the place of all that are there.
///
/// # Errors
/// As [`ensure`].
pub(crate) async fn replace(engine: &Engine, purpose: Purpose) -> Result<(), Failure> {
    add(engine, UPKEEP, purpose, ids(&held(engine, purpose))).await.map(drop)
}

/// A time this much later.
pub(super) fn after(time: Timestamp, duration: Duration) -> Timestamp {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(time.as_micros().saturating_add(micros))
}

/// The keys of a purpose that are stored, the oldest first.
pub(super) fn held(engine: &Engine, purpose: Purpose) -> Vec<Held> {
    let mut held: Vec<_> = engine.look_as_system(|state| {
        let keys = state.signing_keys().filter(|key| key.purpose == purpose.name());
        keys.map(|key| (key.id, key.created_at)).collect()
    });
    held.sort_unstable_by_key(|(id, created_at)| (*created_at, *id));
    held
}

fn ids(held: &[Held]) -> Vec<SigningKeyId> {
    held.iter().map(|(id, _)| *id).collect()
}

/// Makes a key and stores it instead of others.
pub(super) async fn add(
    engine: &Engine,
    via: &'static str,
    purpose: Purpose,
    instead_of: Vec<SigningKeyId>,
) -> Result<SigningKeyId, Failure> {
    let making = engine.clone();
    // Some take a tenth of a second; calls go on meanwhile.
    let made = tokio::task::spawn_blocking(move || {
        let shared = making.shared();
        shared.signing.make(purpose, shared.clock.now())
    });
    let failed = Failure::Internal("a key of the authority's own could not be made");
    let NewKey { id, sealed } = match made.await {
        Ok(Ok(key)) => key,
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "no new key for {}", purpose.name());
            return Err(failed);
        }
        Err(_) => return Err(failed),
    };
    engine.command(via, ReplaceSigningKey { purpose: purpose.name(), id, sealed, instead_of }).await?;
    Ok(id)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::authority::{Authority, MasterKeySource};
    use crate::data::DataDir;
    use journal::Absent;

    /// An authority in a folder, with keys of all purposes.
    pub(in crate::signing) async fn authority(folder: &std::path::Path) -> Authority {
        let data = DataDir::new(folder);
        let authority = Authority::open(data, Absent::Create, MasterKeySource::DataDir).await.unwrap();
        ensure(&authority.engine, Purpose::ALL).await.unwrap();
        authority
    }

    #[tokio::test]
    async fn a_rotation_ends_what_it_is_asked_to_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority(folder.path()).await;
        let engine = &authority.engine;
        let signing = &engine.shared().signing;
        let now = engine.shared().clock.now();
        let caller = domain::Caller::Key { id: domain::KeyId::from_bytes([7; 16]), generation: 1 };
        let token = signing.token(caller, now).unwrap();
        let sealed = signing.sealer().seal("x", b"secret").unwrap();
        let ca = signing.ca_bundle(now);
        let all = Rotation { purposes: Purpose::ALL.to_vec(), end_old_tokens: false, distrust_old_ca: false };
        let rotated = rotate(engine, "test", &all).await.unwrap();
        assert!(rotated.iter().all(|it| it.older == 1));
        let leads = rotated.iter().map(|it| it.signs_at > engine.shared().clock.now()).collect::<Vec<_>>();
        assert_eq!(leads, [true, false, true, true, false]);
        assert!(signing.check(&token).is_ok());
        let ending = Rotation { end_old_tokens: true, distrust_old_ca: true, ..all };
        let rotated = rotate(engine, "test", &ending).await.unwrap();
        assert_eq!(rotated.iter().map(|it| it.older).collect::<Vec<_>>(), [0, 2, 0, 0, 2]);
        assert!(signing.check(&token).is_err());
        assert!(!signing.ca_bundle(now).contains(&ca));
        assert_eq!(signing.sealer().open("x", &sealed).unwrap().as_slice(), b"secret");
        authority.close().await;
    }

    #[test]
    fn nothing_that_does_not_end_is_asked_to_end() {
        let check = |purposes: &[Purpose], end_old_tokens, distrust_old_ca| {
            Rotation { purposes: purposes.to_vec(), end_old_tokens, distrust_old_ca }.check().is_ok()
        };
        assert!(check(Purpose::ALL, true, true));
        assert!(check(&[Purpose::ExternalJwt], true, false));
        assert!(!check(&[Purpose::AuthorityCa, Purpose::Sealing], true, false));
        assert!(!check(&[Purpose::TokenMac], false, true));
        assert!(check(&[Purpose::Sealing], false, false));
    }
}
