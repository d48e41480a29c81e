//! Access tokens: what `Authenticate` returns and every later call carries.
//!
//! A token is opaque to clients: `clvt_` and, in base64url, a version, the id of the key that signed it, the
//! API key's id and generation, the time of issue, and an HMAC-SHA-256 over all of it. It has no expiry of its
//! own, because the Python and TypeScript SDKs never renew one. It proves who authenticated; what they may do
//! is looked up on every call. It dies with the generation of its API key, with the key, or with the signing key.

use std::collections::HashMap;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use domain::{Caller, Denial, KeyId, SigningKey, SigningKeyId, Timestamp};

use crate::master::{MasterKey, MasterKeyError};

/// The purpose under which signing keys for tokens are stored and sealed.
pub(crate) const PURPOSE: &str = "token-mac";

const PREFIX: &str = "clvt_";
const VERSION: u8 = 1;
const SIGNED_LEN: usize = 1 + 16 + 16 + 4 + 8;
const LEN: usize = SIGNED_LEN + 32;

/// The keys that sign tokens, unsealed.
pub struct TokenKeys {
    signs: SigningKeyId,
    keys: HashMap<SigningKeyId, hmac::Key>,
}

impl TokenKeys {
    /// Unseals the signing keys for tokens; nothing if there is none yet.
    ///
    /// # Errors
    /// Where the master key does not open one of them.
    pub fn unseal<'a>(
        master: &MasterKey,
        stored: impl Iterator<Item = &'a SigningKey>,
    ) -> Result<Option<Self>, MasterKeyError> {
        let mut keys = HashMap::new();
        let mut newest = None;
        for key in stored.filter(|key| key.purpose == PURPOSE) {
            let secret = master.open(&sealed_for(key.id), &key.sealed)?;
            keys.insert(key.id, hmac::Key::new(hmac::HMAC_SHA256, &secret));
            newest = newest.max(Some((key.created_at, key.id)));
        }
        Ok(newest.map(|(_, signs)| Self { signs, keys }))
    }

    /// Makes a new secret for signing, sealed.
    ///
    /// # Errors
    /// Where the system has no randomness to give.
    pub fn seal_new(master: &MasterKey, id: SigningKeyId) -> Result<String, MasterKeyError> {
        let mut secret = zeroize::Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *secret).map_err(|_| MasterKeyError::DoesNotOpen)?;
        master.seal(&sealed_for(id), &*secret)
    }

    /// The token of somebody who presented a key.
    #[must_use]
    pub fn issue(&self, key: KeyId, generation: u32, now: Timestamp) -> Option<String> {
        let signer = self.keys.get(&self.signs)?;
        let mut bytes = Vec::with_capacity(LEN);
        bytes.push(VERSION);
        bytes.extend_from_slice(self.signs.as_bytes());
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(&generation.to_be_bytes());
        bytes.extend_from_slice(&now.as_micros().to_be_bytes());
        let mac = hmac::sign(signer, &bytes);
        bytes.extend_from_slice(mac.as_ref());
        Some(format!("{PREFIX}{}", BASE64URL.encode(bytes)))
    }

    /// Who authenticated to get this token. Whether they still may do anything is another question.
    ///
    /// # Errors
    /// [`Denial::BadToken`] for whatever we did not sign.
    #[inline]
    pub fn check(&self, token: &str) -> Result<Caller, Denial> {
        let bad = Denial::BadToken;
        let text = token.strip_prefix(PREFIX).ok_or(bad)?;
        let mut bytes = [0; LEN];
        match BASE64URL.decode_slice(text, &mut bytes) {
            Ok(LEN) => {}
            _ => return Err(bad),
        }
        let (signed, mac) = bytes.split_at(SIGNED_LEN);
        let (version, rest) = signed.split_first().ok_or(bad)?;
        let (signer, rest) = rest.split_first_chunk::<16>().ok_or(bad)?;
        let (key, rest) = rest.split_first_chunk::<16>().ok_or(bad)?;
        let (generation, _issued) = rest.split_first_chunk::<4>().ok_or(bad)?;
        let signer = self.keys.get(&SigningKeyId::from_bytes(*signer)).ok_or(bad)?;
        if *version != VERSION || hmac::verify(signer, signed, mac).is_err() {
            return Err(bad);
        }
        Ok(Caller::Key { id: KeyId::from_bytes(*key), generation: u32::from_be_bytes(*generation) })
    }
}

/// A sealed secret is bound to the record it stands in: moved to another, it does not open.
fn sealed_for(id: SigningKeyId) -> String {
    format!("{PURPOSE}:{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(folder: &std::path::Path, id: u8) -> TokenKeys {
        let master = MasterKey::create(&folder.join("master.key")).unwrap();
        let id = SigningKeyId::from_bytes([id; 16]);
        let sealed = TokenKeys::seal_new(&master, id).unwrap();
        let stored = SigningKey { id, purpose: PURPOSE.to_owned(), sealed, created_at: Timestamp::EPOCH };
        TokenKeys::unseal(&master, std::iter::once(&stored)).unwrap().unwrap()
    }

    #[test]
    fn every_altered_character_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path(), 1);
        let key = KeyId::from_bytes([7; 16]);
        let token = keys.issue(key, 3, Timestamp::from_micros(1)).unwrap();
        assert_eq!(keys.check(&token), Ok(Caller::Key { id: key, generation: 3 }));
        for place in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[place] = if altered[place] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert_eq!(keys.check(&altered), Err(Denial::BadToken), "place {place}");
        }
        for text in ["", "clvt_", &token[..token.len() - 1], &format!("{token}A"), &token[5..]] {
            assert_eq!(keys.check(text), Err(Denial::BadToken));
        }
    }

    #[test]
    fn another_authority_s_token_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let token = keys(folder.path(), 1).issue(KeyId::from_bytes([7; 16]), 1, Timestamp::EPOCH).unwrap();
        assert_eq!(keys(folder.path(), 1).check(&token), Err(Denial::BadToken));
        assert_eq!(keys(folder.path(), 2).check(&token), Err(Denial::BadToken));
    }
}
