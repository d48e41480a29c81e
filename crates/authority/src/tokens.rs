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
use domain::{Caller, Denial, KeyId, PartId, SecretId, SigningKey, SigningKeyId, Timestamp, UserId};

use crate::master::{MasterKey, MasterKeyError};

/// The purpose under which signing keys for tokens are stored and sealed.
pub(crate) const PURPOSE: &str = "token-mac";

const PREFIX: &str = "clvt_";
/// What the first byte says a token is for.
const KEY: u8 = 1;
const USER: u8 = 2;
const PART: u8 = 3;
/// First byte, signer, who, when it was issued; and what it dies with: a generation or the id of a secret.
const FIXED: usize = 1 + 16 + 16 + 8;
const MAC: usize = 32;
const MAX: usize = FIXED + 16 + MAC;

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

    /// The token of somebody who authenticated; none for the person at the server, who needs none.
    #[must_use]
    pub fn issue(&self, caller: Caller, now: Timestamp) -> Option<String> {
        let signer = self.keys.get(&self.signs)?;
        let (kind, who, generation, secret) = match &caller {
            Caller::Key { id, generation } => (KEY, id.as_bytes(), Some(generation.to_be_bytes()), None),
            Caller::User { id, generation } => (USER, id.as_bytes(), Some(generation.to_be_bytes()), None),
            Caller::Part { id, secret } => (PART, id.as_bytes(), None, Some(secret.as_bytes())),
            Caller::System => return None,
        };
        let mut bytes = Vec::with_capacity(MAX);
        bytes.push(kind);
        bytes.extend_from_slice(self.signs.as_bytes());
        bytes.extend_from_slice(who);
        bytes.extend_from_slice(&now.as_micros().to_be_bytes());
        bytes.extend_from_slice(generation.as_ref().map_or(&[], |bytes| bytes.as_slice()));
        bytes.extend_from_slice(secret.map_or(&[], |bytes| bytes.as_slice()));
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
        let mut bytes = [0; MAX];
        let len = BASE64URL.decode_slice(text, &mut bytes).map_err(|_| bad)?;
        let (signed, mac) = bytes.get(..len).and_then(|all| all.split_last_chunk::<MAC>()).ok_or(bad)?;
        let (kind, rest) = signed.split_first().ok_or(bad)?;
        let (signer, rest) = rest.split_first_chunk::<16>().ok_or(bad)?;
        let (who, rest) = rest.split_first_chunk::<16>().ok_or(bad)?;
        let (_issued, rest) = rest.split_first_chunk::<8>().ok_or(bad)?;
        let signer = self.keys.get(&SigningKeyId::from_bytes(*signer)).ok_or(bad)?;
        hmac::verify(signer, signed, mac).map_err(|_| bad)?;
        let generation = || rest.try_into().map(u32::from_be_bytes).map_err(|_| bad);
        match *kind {
            KEY => Ok(Caller::Key { id: KeyId::from_bytes(*who), generation: generation()? }),
            USER => Ok(Caller::User { id: UserId::from_bytes(*who), generation: generation()? }),
            PART => {
                let secret = rest.try_into().map(SecretId::from_bytes).map_err(|_| bad)?;
                Ok(Caller::Part { id: PartId::from_bytes(*who), secret })
            }
            _ => Err(bad),
        }
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
        let caller = Caller::Key { id: KeyId::from_bytes([7; 16]), generation: 3 };
        let token = keys.issue(caller, Timestamp::from_micros(1)).unwrap();
        assert_eq!(keys.check(&token), Ok(caller));
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

    const KEY_7: Caller = Caller::Key { id: KeyId::from_bytes([7; 16]), generation: 1 };

    #[test]
    fn everybody_s_token_says_who_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path(), 1);
        let user = Caller::User { id: UserId::from_bytes([8; 16]), generation: 9 };
        let part = Caller::Part { id: PartId::from_bytes([8; 16]), secret: SecretId::from_bytes([9; 16]) };
        for caller in [KEY_7, user, part] {
            assert_eq!(keys.check(&keys.issue(caller, Timestamp::EPOCH).unwrap()), Ok(caller));
        }
        assert_eq!(keys.issue(Caller::System, Timestamp::EPOCH), None);
    }

    #[test]
    fn another_authority_s_token_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let token = keys(folder.path(), 1).issue(KEY_7, Timestamp::EPOCH).unwrap();
        assert_eq!(keys(folder.path(), 1).check(&token), Err(Denial::BadToken));
        assert_eq!(keys(folder.path(), 2).check(&token), Err(Denial::BadToken));
    }
}
