//! Sealing what the authority must be able to read again: secrets of parts and locations, personal data.
//!
//! It is sealed under keys of its own rather than under the master key, so that an exchange of the master key
//! re-seals a handful of keys and touches no document.
//!
//! Sealed bytes are a version, the id of the key that sealed them, a nonce, and the AES-256-GCM ciphertext with
//! its tag. The head and what the bytes are bound to are authenticated with them.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use domain::SigningKeyId;
use zeroize::Zeroizing;

use super::opened::Opened;

const VERSION: u8 = 1;
const HEAD_LEN: usize = 1 + 16;

/// Seals and opens. Cheap to clone; take a fresh one from [`Signing`](super::Signing) for each piece of work, so
/// that new keys are used.
#[derive(Clone)]
pub struct Sealer {
    keys: Arc<Keys>,
}

#[derive(Default)]
struct Keys {
    seals: Option<SigningKeyId>,
    open: HashMap<SigningKeyId, RandomizedNonceKey>,
}

/// Why something could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no key to seal with, or the system has no randomness to give.
    #[error("it could not be sealed")]
    NotSealed,
    /// Sealed by a key that is gone, for something else, or changed since.
    #[error(
        "what is sealed does not open: it was sealed by a key that is gone, for something else, or was changed"
    )]
    DoesNotOpen,
}

impl Sealer {
    /// The newest seals, all open.
    pub(super) fn new(keys: &[Opened]) -> Self {
        let mut all = Keys::default();
        for key in keys {
            if let Ok(cipher) = RandomizedNonceKey::new(&AES_256_GCM, &key.secret) {
                all.open.insert(key.id, cipher);
                all.seals = Some(key.id);
            }
        }
        Self { keys: Arc::new(all) }
    }

    /// Seals bytes so that they open only for what they are bound to, e.g. `part-secret:<part id>:<secret id>`:
    /// copied to the place of another, they do not open.
    ///
    /// # Errors
    /// Where the system has no randomness to give.
    pub fn seal(&self, bound_to: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let id = self.keys.seals.ok_or(SealError::NotSealed)?;
        let key = self.keys.open.get(&id).ok_or(SealError::NotSealed)?;
        let head = head(id);
        let mut text = Zeroizing::new(secret.to_vec());
        let nonce = key
            .seal_in_place_append_tag(Aad::from(bound(&head, bound_to)), &mut *text)
            .map_err(|_| SealError::NotSealed)?;
        Ok([head.as_slice(), nonce.as_ref(), &text].concat())
    }

    /// Opens what was sealed for the same thing.
    ///
    /// # Errors
    /// [`SealError::DoesNotOpen`] where that is not so.
    pub fn open(&self, bound_to: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let wrong = SealError::DoesNotOpen;
        let (head, rest) = sealed.split_first_chunk::<HEAD_LEN>().ok_or(wrong)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(wrong)?;
        let (version, id) = head.split_first_chunk::<1>().ok_or(wrong)?;
        let id: [u8; 16] = id.try_into().map_err(|_| wrong)?;
        if *version != [VERSION] {
            return Err(wrong);
        }
        let key = self.keys.open.get(&SigningKeyId::from_bytes(id)).ok_or(wrong)?;
        let mut opened = Zeroizing::new(text.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let aad = Aad::from(bound(head, bound_to));
        let len = key.open_in_place(nonce, aad, &mut opened).map_err(|_| wrong)?.len();
        opened.truncate(len);
        Ok(opened)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

fn head(id: SigningKeyId) -> [u8; HEAD_LEN] {
    let mut head = [VERSION; HEAD_LEN];
    let (_, rest) = head.split_at_mut(1);
    rest.copy_from_slice(id.as_bytes());
    head
}

/// The head is of one length, so no two pairs make the same bytes.
fn bound(head: &[u8], to: &str) -> Vec<u8> {
    [head, to.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;

    fn key(id: u8) -> Opened {
        let secret = Zeroizing::new(vec![id; 32]);
        Opened { id: SigningKeyId::from_bytes([id; 16]), created_at: Timestamp::EPOCH, secret }
    }

    #[test]
    fn opens_only_for_what_it_was_sealed_for() {
        let sealer = Sealer::new(&[key(1)]);
        let sealed = sealer.seal("part-secret:a", b"secret").unwrap();
        assert_eq!(sealer.open("part-secret:a", &sealed).unwrap().as_slice(), b"secret");
        assert_eq!(sealer.open("part-secret:b", &sealed), Err(SealError::DoesNotOpen));
        assert_eq!(sealer.open("", &sealed), Err(SealError::DoesNotOpen));
        assert_ne!(sealed, sealer.seal("part-secret:a", b"secret").unwrap());
        assert_eq!(sealer.open("e", &sealer.seal("e", b"").unwrap()).unwrap().as_slice(), b"");
        assert_eq!(format!("{sealer:?}"), "Sealer");
    }

    #[test]
    fn every_altered_byte_and_every_length_is_noticed() {
        let sealer = Sealer::new(&[key(1)]);
        let sealed = sealer.seal("x", b"secret").unwrap();
        for place in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[place] ^= 1;
            assert_eq!(sealer.open("x", &altered), Err(SealError::DoesNotOpen), "byte {place}");
            assert_eq!(sealer.open("x", &sealed[..place]), Err(SealError::DoesNotOpen), "length {place}");
        }
    }

    #[test]
    fn the_newest_seals_and_the_old_ones_open() {
        let old = Sealer::new(&[key(1)]);
        let both = Sealer::new(&[key(1), key(2)]);
        let new = Sealer::new(&[key(2)]);
        let by_old = old.seal("x", b"old").unwrap();
        let by_both = both.seal("x", b"new").unwrap();
        assert_eq!(both.open("x", &by_old).unwrap().as_slice(), b"old");
        assert_eq!(new.open("x", &by_both).unwrap().as_slice(), b"new");
        assert_eq!(new.open("x", &by_old), Err(SealError::DoesNotOpen));
        assert_eq!(old.open("x", &by_both), Err(SealError::DoesNotOpen));
        assert_eq!(Sealer::new(&[]).seal("x", b"y"), Err(SealError::NotSealed));
    }
}
