//! Access tokens: what `Authenticate` returns and every later call carries.
//!
//! A token is opaque to clients: `clvt_` and, in base64url, a version, the id of the key that signed it, the
//! API key's id and generation, the time of issue, and an HMAC-SHA-256 over all of it. It has no expiry of its
//! own, because the Python and TypeScript SDKs never renew one. It proves who authenticated; what they may do
//! is looked up on every call. It dies with the generation of its API key, with the key, or with the signing key.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use domain::{Caller, Denial, KeyId, PartId, SecretId, SigningKeyId, Timestamp, UserId};

use super::opened::{Opened, signs};
use super::purpose::Purpose;

const PREFIX: &str = "clvt_";
/// What the first byte says a token is for.
const KEY: u8 = 1;
const USER: u8 = 2;
const PART: u8 = 3;
/// First byte, signer, who, when it was issued; and what it dies with: a generation or the id of a secret.
const FIXED: usize = 1 + 16 + 16 + 8;
const MAC: usize = 32;
const MAX: usize = FIXED + 16 + MAC;

/// The keys that sign tokens, the oldest first. There are a handful.
pub(super) struct TokenKeys {
    keys: Vec<TokenKey>,
}

struct TokenKey {
    id: SigningKeyId,
    created_at: Timestamp,
    mac: hmac::Key,
}

impl TokenKeys {
    pub(super) fn new(keys: &[Opened]) -> Self {
        let of = |key: &Opened| TokenKey {
            id: key.id,
            created_at: key.created_at,
            mac: hmac::Key::new(hmac::HMAC_SHA256, &key.secret),
        };
        Self { keys: keys.iter().map(of).collect() }
    }

    /// Whether this key is among them.
    pub(super) fn holds(&self, id: SigningKeyId) -> bool {
        self.get(id).is_some()
    }

    #[inline]
    fn get(&self, id: SigningKeyId) -> Option<&TokenKey> {
        self.keys.iter().rev().find(|key| key.id == id)
    }

    /// The token of somebody who authenticated; none for the person at the server, who needs none, and none if there
    /// is no key to sign it with.
    pub(super) fn issue(&self, caller: Caller, now: Timestamp) -> Option<String> {
        let signer = signs(&self.keys, Purpose::TokenMac, |key| key.created_at, now)?;
        let (kind, who, generation, secret) = match &caller {
            Caller::Key { id, generation } => (KEY, id.as_bytes(), Some(generation.to_be_bytes()), None),
            Caller::User { id, generation } => (USER, id.as_bytes(), Some(generation.to_be_bytes()), None),
            Caller::Part { id, secret } => (PART, id.as_bytes(), None, Some(secret.as_bytes())),
            Caller::System => return None,
        };
        let mut bytes = Vec::with_capacity(MAX);
        bytes.push(kind);
        bytes.extend_from_slice(signer.id.as_bytes());
        bytes.extend_from_slice(who);
        bytes.extend_from_slice(&now.as_micros().to_be_bytes());
        bytes.extend_from_slice(generation.as_ref().map_or(&[], |bytes| bytes.as_slice()));
        bytes.extend_from_slice(secret.map_or(&[], |bytes| bytes.as_slice()));
        let mac = hmac::sign(&signer.mac, &bytes);
        bytes.extend_from_slice(mac.as_ref());
        Some(format!("{PREFIX}{}", BASE64URL.encode(bytes)))
    }

    /// Who authenticated to get this token, and which key signed it.
    ///
    /// # Errors
    /// [`Denial::BadToken`] for whatever we did not sign.
    #[inline]
    pub(super) fn check(&self, token: &str) -> Result<(Caller, SigningKeyId), Denial> {
        let bad = Denial::BadToken;
        let text = token.strip_prefix(PREFIX).ok_or(bad)?;
        let mut bytes = [0; MAX];
        let len = BASE64URL.decode_slice(text, &mut bytes).map_err(|_| bad)?;
        let (signed, mac) = bytes.get(..len).and_then(|all| all.split_last_chunk::<MAC>()).ok_or(bad)?;
        let (kind, rest) = signed.split_first().ok_or(bad)?;
        let (signer, rest) = rest.split_first_chunk::<16>().ok_or(bad)?;
        let (who, rest) = rest.split_first_chunk::<16>().ok_or(bad)?;
        let (_issued, rest) = rest.split_first_chunk::<8>().ok_or(bad)?;
        let signer = self.get(SigningKeyId::from_bytes(*signer)).ok_or(bad)?;
        hmac::verify(&signer.mac, signed, mac).map_err(|_| bad)?;
        let generation = || rest.try_into().map(u32::from_be_bytes).map_err(|_| bad);
        let caller = match *kind {
            KEY => Caller::Key { id: KeyId::from_bytes(*who), generation: generation()? },
            USER => Caller::User { id: UserId::from_bytes(*who), generation: generation()? },
            PART => {
                let secret = rest.try_into().map(SecretId::from_bytes).map_err(|_| bad)?;
                Caller::Part { id: PartId::from_bytes(*who), secret }
            }
            _ => return Err(bad),
        };
        Ok((caller, signer.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * SECOND)
    }

    fn opened(id: u8, secret: u8, created_at: Timestamp) -> Opened {
        let secret = Zeroizing::new(vec![secret; 32]);
        Opened { id: SigningKeyId::from_bytes([id; 16]), created_at, secret }
    }

    #[test]
    fn every_altered_character_is_noticed() {
        let keys = TokenKeys::new(&[opened(1, 1, at(0))]);
        let caller = Caller::Key { id: KeyId::from_bytes([7; 16]), generation: 3 };
        let token = keys.issue(caller, at(1)).unwrap();
        assert_eq!(keys.check(&token), Ok((caller, SigningKeyId::from_bytes([1; 16]))));
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
        let keys = TokenKeys::new(&[opened(1, 1, at(0))]);
        let user = Caller::User { id: UserId::from_bytes([8; 16]), generation: 9 };
        let part = Caller::Part { id: PartId::from_bytes([8; 16]), secret: SecretId::from_bytes([9; 16]) };
        for caller in [KEY_7, user, part] {
            assert_eq!(keys.check(&keys.issue(caller, at(0)).unwrap()).unwrap().0, caller);
        }
        assert_eq!(keys.issue(Caller::System, at(0)), None);
    }

    #[test]
    fn another_authority_s_token_is_none() {
        let token = TokenKeys::new(&[opened(1, 1, at(0))]).issue(KEY_7, at(0)).unwrap();
        for (id, secret) in [(1, 2), (2, 1)] {
            let other = TokenKeys::new(&[opened(id, secret, at(0))]);
            assert_eq!(other.check(&token), Err(Denial::BadToken));
        }
    }

    #[test]
    fn a_new_key_signs_once_it_is_known_and_the_old_one_verifies_until_it_is_gone() {
        let signer = |keys: &TokenKeys, now| keys.check(&keys.issue(KEY_7, now).unwrap()).unwrap().1;
        let (old, new) = (SigningKeyId::from_bytes([1; 16]), SigningKeyId::from_bytes([2; 16]));
        let both = TokenKeys::new(&[opened(1, 1, at(0)), opened(2, 2, at(100))]);
        assert_eq!([at(0), at(100), at(159)].map(|now| signer(&both, now)), [old; 3]);
        assert_eq!([at(160), at(1_000)].map(|now| signer(&both, now)), [new; 2]);
        let before = both.issue(KEY_7, at(100)).unwrap();
        assert!(both.check(&before).is_ok());
        // Alone, it signs at once.
        let alone = TokenKeys::new(&[opened(2, 2, at(100))]);
        assert_eq!(alone.check(&before), Err(Denial::BadToken));
        assert!(alone.holds(new) && !alone.holds(old));
        assert_eq!(signer(&alone, at(100)), new);
        assert_eq!(TokenKeys::new(&[]).issue(KEY_7, at(0)), None);
    }
}
