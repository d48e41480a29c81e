//! Tokens for machines: JWTs under RS256, which a machine checks by itself with the public keys of
//! `/.well-known/jwks.json`, without asking the authority.
//!
//! Nobody can take such a token back, so it is short-lived: its lifetime is how long a revocation may go unnoticed
//! by a machine that checks this way.

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use domain::{PartId, SigningKeyId, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::SigningError;
use super::opened::{Opened, random, signs};
use super::options::SigningOptions;
use super::purpose::Purpose;

/// A machine whose clock is behind refuses a token that was issued in its future, and allows for nothing.
const BACK_DATED: i64 = 10;

/// How long before a key signs the last part is told of it.
const TOLD_BEFORE: i64 = seconds(120);

/// The longest life of a token.
const MAX_LIFETIME: i64 = seconds(60 * SigningOptions::MAX_EXTERNAL_MINUTES as u64);

/// How long it takes until no part is told of a key any more whose tokens have run out.
const ENDING: i64 = seconds(240);

/// The keys that sign tokens for machines, the oldest first.
pub(super) struct ExternalKeys {
    keys: Vec<ExternalKey>,
}

struct ExternalKey {
    id: SigningKeyId,
    created_at: Timestamp,
    pair: KeyPair,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    kid: &'a str,
    typ: &'static str,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    aud: [&'a str; 1],
    iss: &'a str,
    iat: i64,
    exp: i64,
    jti: &'a str,
    rpc_creds_type: &'static str,
    rpc_auth_md: NoMetadata,
}

#[derive(Serialize)]
struct NoMetadata {}

impl ExternalKeys {
    /// # Errors
    /// Where one is no RSA key.
    pub(super) fn new(keys: &[Opened]) -> Result<Self, SigningError> {
        let of = |key: &Opened| {
            let pair = KeyPair::from_pkcs8(&key.secret).map_err(|_| SigningError::Damaged(key.id))?;
            Ok(ExternalKey { id: key.id, created_at: key.created_at, pair })
        };
        keys.iter().map(of).collect::<Result<_, _>>().map(|keys| Self { keys })
    }

    /// A new secret. This is the one that takes a while.
    pub(super) fn make() -> Result<Zeroizing<Vec<u8>>, SigningError> {
        let made = KeyPair::generate(KeySize::Rsa2048).map_err(|_| SigningError::NotMade)?;
        let der: Pkcs8V1Der<'_> = made.as_der().map_err(|_| SigningError::NotMade)?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }

    /// A token by which `sub` is known to whoever answers at `aud`.
    pub(super) fn issue(
        &self,
        options: &SigningOptions,
        sub: &str,
        aud: &str,
        now: Timestamp,
    ) -> Result<String, SigningError> {
        let key = signs(&self.keys, Purpose::ExternalJwt, |key| key.created_at, now);
        let key = key.ok_or(SigningError::NoKey(Purpose::ExternalJwt))?;
        let iat = now.as_micros().div_euclid(1_000_000).saturating_sub(BACK_DATED);
        let lifetime = i64::try_from(options.external_lifetime.as_secs()).unwrap_or(i64::MAX);
        let claims = Claims {
            sub,
            aud: [aud],
            iss: &options.name,
            iat,
            exp: iat.saturating_add(lifetime),
            jti: &BASE64URL.encode(&*random()?),
            rpc_creds_type: "external",
            rpc_auth_md: NoMetadata {},
        };
        let header = Header { alg: "RS256", kid: &key.id.to_string(), typ: "JWT" };
        let mut token = format!("{}.{}", encoded(&header)?, encoded(&claims)?);
        let mut signature = vec![0; key.pair.public_modulus_len()];
        key.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .map_err(|_| SigningError::NotMade)?;
        token.push('.');
        token.push_str(&BASE64URL.encode(signature));
        Ok(token)
    }

    /// The public keys as a JSON Web Key Set, those included that do not sign yet or any more. The order is that of
    /// their making, so the same keys are the same bytes.
    pub(super) fn jwks(&self) -> Value {
        published(self.keys.iter())
    }

    /// The same as a part is told it at a time. A key reaches the fleet bit by bit until shortly before it signs, and
    /// leaves it bit by bit once all it signed has run out.
    pub(super) fn jwks_of(&self, part: PartId, now: Timestamp) -> Value {
        let lead = seconds(Purpose::ExternalJwt.lead().as_secs());
        let told_after = share(part, lead - TOLD_BEFORE);
        let over_after = lead + MAX_LIFETIME + share(part, ENDING);
        let past = |key: &ExternalKey, micros: i64| {
            key.created_at.as_micros().saturating_add(micros) <= now.as_micros()
        };
        let told = |(place, key): &(usize, &ExternalKey)| {
            let mut newer = self.keys.iter().skip(place + 1);
            (*place == 0 || past(key, told_after)) && !newer.any(|newer| past(newer, over_after))
        };
        published(self.keys.iter().enumerate().filter(told).map(|(_, key)| key))
    }
}

/// Which part of a time is a part's own: always the same, and each as good as random.
fn share(part: PartId, of: i64) -> i64 {
    let hash = digest::digest(&digest::SHA256, part.as_bytes());
    let number = hash.as_ref().iter().take(7).fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    number.checked_rem(of).unwrap_or(0)
}

const fn seconds(seconds: u64) -> i64 {
    seconds.cast_signed().saturating_mul(1_000_000)
}

fn published<'a>(keys: impl Iterator<Item = &'a ExternalKey>) -> Value {
    let of = |key: &ExternalKey| {
        let public = key.pair.public_key();
        json!({
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": key.id.to_string(),
            "n": BASE64URL.encode(public.modulus().big_endian_without_leading_zero()),
            "e": BASE64URL.encode(public.exponent().big_endian_without_leading_zero()),
        })
    };
    json!({ "keys": keys.map(of).collect::<Vec<_>>() })
}

fn encoded(part: &impl Serialize) -> Result<String, SigningError> {
    serde_json::to_vec(part).map(|json| BASE64URL.encode(json)).map_err(|_| SigningError::NotMade)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn opened(id: u8, created_at: Timestamp) -> Opened {
        let secret = ExternalKeys::make().unwrap();
        Opened { id: SigningKeyId::from_bytes([id; 16]), created_at, secret }
    }

    fn decoded(part: &str) -> Value {
        serde_json::from_slice(&BASE64URL.decode(part).unwrap()).unwrap()
    }

    /// Checks a token as a machine does: with the published keys alone.
    fn checked(token: &str, jwks: &Value) -> Option<(Value, Value)> {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let (header, claims) = (decoded(header), decoded(claims));
        let key = jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"])?;
        let [n, e] = ["n", "e"].map(|name| BASE64URL.decode(key[name].as_str().unwrap()).unwrap());
        let signature = BASE64URL.decode(signature).unwrap();
        RsaPublicKeyComponents { n, e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
            .ok()
            .map(|()| (header, claims))
    }

    #[test]
    fn a_machine_can_check_it_with_the_published_keys() {
        let keys = ExternalKeys::new(&[opened(1, at(0))]).unwrap();
        let token = keys.issue(&SigningOptions::default(), "key-id", "part.example", at(1_000)).unwrap();
        let (header, mut claims) = checked(&token, &keys.jwks()).unwrap();
        assert_eq!(
            header,
            json!({"alg": "RS256", "kid": "01010101-0101-0101-0101-010101010101", "typ": "JWT"})
        );
        assert_eq!(claims["jti"].as_str().unwrap().len(), 43);
        claims.as_object_mut().unwrap().remove("jti");
        let expected = json!({
            "sub": "key-id", "aud": ["part.example"], "iss": "claviger", "iat": 990, "exp": 1290,
            "rpc_creds_type": "external", "rpc_auth_md": {},
        });
        assert_eq!(claims, expected);
        let key = &keys.jwks()["keys"][0];
        assert_eq!((&key["kty"], &key["alg"], &key["use"]), (&json!("RSA"), &json!("RS256"), &json!("sig")));
        assert_eq!(key["e"], "AQAB");
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = signed.split_once('.').unwrap();
        let forged = BASE64URL.encode(r#"{"sub":"other","aud":["part.example"]}"#);
        assert_eq!(checked(&format!("{header}.{forged}.{signature}"), &keys.jwks()), None);
    }

    #[test]
    fn a_new_key_is_published_before_it_signs_and_the_old_one_after() {
        let both = ExternalKeys::new(&[opened(1, at(0)), opened(2, at(1_000))]).unwrap();
        let options = SigningOptions::default();
        let kid = |now| {
            let token = both.issue(&options, "s", "a", now).unwrap();
            checked(&token, &both.jwks()).unwrap().0["kid"].clone()
        };
        let (old, new) = ("01010101-0101-0101-0101-010101010101", "02020202-0202-0202-0202-020202020202");
        assert_eq!([at(0), at(1_000), at(1_599)].map(kid), [old; 3]);
        assert_eq!([at(1_600), at(9_000)].map(kid), [new; 2]);
        assert_eq!(both.jwks()["keys"].as_array().unwrap().len(), 2);
        assert_eq!(both.jwks(), both.jwks());
    }

    #[test]
    fn no_two_tokens_are_the_same_and_without_a_key_there_is_none() {
        let keys = ExternalKeys::new(&[opened(1, at(0))]).unwrap();
        let token = || keys.issue(&SigningOptions::default(), "s", "a", at(1)).unwrap();
        assert_ne!(token(), token());
        let none = ExternalKeys::new(&[]).unwrap();
        assert!(none.issue(&SigningOptions::default(), "s", "a", at(1)).is_err());
        assert_eq!(none.jwks(), json!({"keys": []}));
    }

    /// At every second of a change, each part of a fleet knows the key that signs and the one whose tokens live.
    #[test]
    fn a_fleet_hears_of_a_change_bit_by_bit_and_in_time() {
        const CHANGED: i64 = 10_000;
        let keys = ExternalKeys::new(&[opened(1, at(0)), opened(2, at(CHANGED))]).unwrap();
        let fleet: Vec<_> = (0..=255).map(|id| PartId::from_bytes([id; 16])).collect();
        let both = |part: &&PartId, now| keys.jwks_of(**part, at(now))["keys"].as_array().unwrap().len() == 2;
        let told = |now| fleet.iter().filter(|part| both(part, now)).count();
        assert_eq!(told(CHANGED - 1), 0);
        let growing: Vec<_> = (0..=480).step_by(60).map(|after| told(CHANGED + after)).collect();
        assert!(growing.is_sorted() && growing[1] < 64 && growing[4] > 64, "{growing:?}");
        let signs = CHANGED + 600;
        assert_eq!([told(signs - 120), told(signs + 3_599)], [256; 2]);
        let shrinking: Vec<_> = (0..=240).step_by(60).map(|after| told(signs + 3_600 + after)).collect();
        assert!(shrinking.is_sorted_by(|a, b| a >= b) && shrinking[1] > 128, "{shrinking:?}");
        assert_eq!(shrinking[4], 0);
        let last = keys.jwks_of(fleet[0], at(signs + 9_999));
        assert_eq!(last["keys"][0]["kid"], "02020202-0202-0202-0202-020202020202");
        // A key that stands alone is told at once: there is no other to go on with.
        let alone = ExternalKeys::new(&[opened(2, at(CHANGED))]).unwrap();
        assert_eq!(alone.jwks_of(fleet[0], at(CHANGED)), alone.jwks());
    }
}
