//! Typed ids. An id exists only if it is well formed, and a machine's id is no key's id.
//!
//! All of them but locations' are version 7 UUIDs, so that a list in id order is a list in order of creation
//! and inserts into an index stay at its right edge. They are accepted with or without dashes, in either case,
//! and always answered in lower case with dashes. Not accepted: braces and `urn:uuid:`, which no client sends.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use rand_core::Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

use crate::time::Timestamp;

/// The text is not an id of the kind that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {expected}")]
pub struct InvalidId {
    expected: &'static str,
}

const UUID_FORM: &str = "a UUID such as 0198c5a4-7d10-7c3e-9f00-4b1d2e3f4a5b";
const LOCATION_FORM: &str = "a location id of 10 letters and digits such as x7k2p9q4wz";

fn parse_uuid(text: &str) -> Result<Uuid, InvalidId> {
    // 32 and 36 are the lengths of the two accepted forms; the parser itself would also take braces.
    if !matches!(text.len(), 32 | 36) {
        return Err(InvalidId { expected: UUID_FORM });
    }
    Uuid::try_parse(text).map_err(|_| InvalidId { expected: UUID_FORM })
}

fn generate_uuid(now: Timestamp, rng: &mut (impl Rng + ?Sized)) -> Uuid {
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    uuid::Builder::from_unix_timestamp_millis(now.as_millis_unsigned(), &random).into_uuid()
}

macro_rules! text_form {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(Uuid);

        /// As one number: a check hashes half a dozen ids, and a derived hash takes them byte by byte.
        impl Hash for $name {
            #[inline]
            fn hash<H: Hasher>(&self, hasher: &mut H) {
                hasher.write_u128(self.0.as_u128());
            }
        }

        impl $name {
            /// A new id, ordered by `now`, from the caller's randomness.
            pub fn generate(now: Timestamp, rng: &mut (impl Rng + ?Sized)) -> Self {
                Self(generate_uuid(now, rng))
            }

            /// The id with these 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The id's 16 bytes, most significant first.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_uuid(text).map(Self)
            }
        }

        text_form!($name);
    )*};
}

uuid_id! {
    /// An organization's id.
    OrganizationId;
    /// A machine's id (`robot` on Viam's wire).
    MachineId;
    /// The id of one part of a machine.
    PartId;
    /// A key's id: public, stable across rotation, the handle by which a key is looked up.
    KeyId;
    /// The id of a key that the authority itself signs or seals with.
    SigningKeyId;
    /// The id of a person who is a member of organizations.
    UserId;
    /// The id of an invitation to become a member.
    InvitationId;
    /// The id of a secret by which a part, or the parts in a location, are known.
    SecretId;
    /// The id of a module, which no wire shows: modules go by their names.
    ModuleId;
    /// The id of one uploaded file of a module, by which it is found in the store.
    FileId;
}

/// A location's id: ten characters of `0-9a-z`.
///
/// Shorter than a UUID because it stands in every machine's address, which is one DNS label of at most 63
/// characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocationId([u8; 10]);

/// As one number, like the others.
impl Hash for LocationId {
    #[inline]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let [a, b, c, d, e, f, g, h, i, j] = self.0;
        hasher.write_u128(u128::from_be_bytes([0, 0, 0, 0, 0, 0, a, b, c, d, e, f, g, h, i, j]));
    }
}

impl LocationId {
    /// A new id from the caller's randomness (51 bits; the caller checks that it is free).
    pub fn generate(rng: &mut (impl Rng + ?Sized)) -> Self {
        const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut id = [0; 10];
        for place in &mut id {
            // 252 is the largest multiple of 36 in a byte: above it some letters would come up more often.
            let byte = std::iter::repeat_with(|| next_byte(rng)).find(|byte| *byte < 252).unwrap_or(0);
            *place = ALPHABET.get(usize::from(byte % 36)).copied().unwrap_or(b'0');
        }
        Self(id)
    }
}

fn next_byte(rng: &mut (impl Rng + ?Sized)) -> u8 {
    let mut byte = [0];
    rng.fill_bytes(&mut byte);
    let [byte] = byte;
    byte
}

impl fmt::Display for LocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // INVARIANT: only ASCII gets in, through `generate` and `from_str`.
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl FromStr for LocationId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = InvalidId { expected: LOCATION_FORM };
        let mut id: [u8; 10] = text.as_bytes().try_into().map_err(|_| wrong)?;
        id.make_ascii_lowercase();
        if id.iter().all(u8::is_ascii_alphanumeric) { Ok(Self(id)) } else { Err(wrong) }
    }
}

text_form!(LocationId);

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn uuids_are_accepted_in_two_forms_and_either_case() {
        let canonical = "0198c5a4-7d10-7c3e-9f00-4b1d2e3f4a5b";
        for text in [canonical, "0198c5a47d107c3e9f004b1d2e3f4a5b", "0198C5A4-7D10-7C3E-9F00-4B1D2E3F4A5B"] {
            assert_eq!(text.parse::<KeyId>().unwrap().to_string(), canonical);
        }
        for text in [
            "",
            "{0198c5a4-7d10-7c3e-9f00-4b1d2e3f4a5b}",
            "0198c5a4",
            "urn:uuid:0198c5a4-7d10-7c3e-9f00-4b1d2e3f4a5b",
            "0198c5a4-7d10-7c3e-9f00-4b1d2e3f4a5g",
            " 198c5a4-7d10-7c3e-9f00-4b1d2e3f4a5b",
        ] {
            assert!(text.parse::<KeyId>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn uuids_are_ordered_by_time() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let early = KeyId::generate(Timestamp::from_micros(1_000_000), &mut rng);
        let late = KeyId::generate(Timestamp::from_micros(1_001_000), &mut rng);
        assert!(early < late);
    }

    #[test]
    fn location_ids_survive_text() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for _ in 0..1_000 {
            let id = LocationId::generate(&mut rng);
            assert_eq!(id.to_string().to_uppercase().parse::<LocationId>().unwrap(), id);
        }
        for text in ["", "abc", "abcdefghi-", "abcdefghijk", "äbcdefghi"] {
            assert!(text.parse::<LocationId>().is_err(), "{text:?} was accepted");
        }
    }
}
