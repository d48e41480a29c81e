//! An email address, and the keyed hash by which the person behind it is found.
//!
//! Addresses are plain ASCII and compared without regard to case: two that look alike are then the same or differ
//! in a letter a person can see. What is resident and in the journal is a hash with a key of the authority's own,
//! so that removing a person removes their address; without the key nobody can try addresses against it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hmac;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::key::{hex, unhex};

/// The longest address that mail can carry, in bytes.
const MAX: usize = 254;

/// An email address in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

/// The text is no address we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an email address of at most 254 ASCII characters, such as ada@example.com")]
pub struct InvalidEmail;

impl Email {
    /// The address, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash by which the person is found.
    #[must_use]
    pub fn hash(&self, key: &hmac::Key) -> EmailHash {
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(hmac::sign(key, self.0.as_bytes()).as_ref()) {
            *to = *from;
        }
        EmailHash(hash)
    }
}

impl FromStr for Email {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, InvalidEmail> {
        let (local, domain) = text.rsplit_once('@').ok_or(InvalidEmail)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&'*+-/=?^_`{|}~.".contains(&byte);
        let dotted = |part: &str| !part.is_empty() && part.split('.').all(|label| !label.is_empty());
        let host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        let good = text.len() <= MAX
            && local.len() <= 64
            && dotted(local)
            && dotted(domain)
            && local.bytes().all(plain)
            && domain.bytes().all(host);
        if good { Ok(Self(text.to_ascii_lowercase())) } else { Err(InvalidEmail) }
    }
}

/// An address is somebody's: it does not get into a log by accident.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email")
    }
}

/// A keyed hash of an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailHash([u8; 32]);

impl EmailHash {
    /// The hash with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for EmailHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailHash")
    }
}

/// Stored as 64 hexadecimal digits.
impl Serialize for EmailHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for EmailHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        unhex(&text).map(Self).ok_or_else(|| D::Error::custom("not 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_without_case() {
        let email: Email = "Ada.Lovelace+robots@Example.COM".parse().unwrap();
        assert_eq!(email.as_str(), "ada.lovelace+robots@example.com");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(65));
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@@example.com",
            "ada @example.com",
            "ada@exam ple.com",
            "ada.@example.com",
            "ada@example..com",
            "аda@example.com",
            "ada@exämple.com",
            "ada@example.com\n",
            &long,
        ] {
            assert_eq!(text.parse::<Email>(), Err(InvalidEmail), "{text:?}");
        }
    }

    #[test]
    fn the_hash_depends_on_the_key() {
        let key = |byte| hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]);
        let email: Email = "ada@example.com".parse().unwrap();
        assert_eq!(email.hash(&key(1)), email.hash(&key(1)));
        assert_ne!(email.hash(&key(1)), email.hash(&key(2)));
    }
}
