//! A key's value, which exists once, and its hash, which is all that stays.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::Zeroizing;

/// The secret half of an API key: `clvk_`, 43 random characters of base62, 6 characters of checksum.
///
/// 43 characters drawn evenly from 62 hold 256.03 bits. The checksum is the CRC-32 (IEEE) of everything before
/// it, in base62: a mistyped value can be told from a wrong one, and a scanner can recognise ours
/// in a file without asking anybody. The prefix never changes: secret scanners know it.
///
/// `Debug` does not show it, and it is wiped from memory when it is dropped.
pub struct KeyValue(Zeroizing<String>);

/// A text that cannot be a key value: wrong prefix, length, alphabet or checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key value")]
pub struct MalformedKey;

impl KeyValue {
    /// What every value starts with.
    pub const PREFIX: &'static str = "clvk_";
    const RANDOM_CHARS: usize = 43;
    const CHECKSUM_CHARS: usize = 6;
    /// The length of every value, in bytes. With SHA-256's padding it fits one 64-byte block.
    pub const LEN: usize = Self::PREFIX.len() + Self::RANDOM_CHARS + Self::CHECKSUM_CHARS;

    /// A new value from the caller's randomness.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(Self::LEN));
        text.push_str(Self::PREFIX);
        while text.len() < Self::PREFIX.len() + Self::RANDOM_CHARS {
            let mut bytes = Zeroizing::new([0_u8; 64]);
            rng.fill_bytes(&mut *bytes);
            // 248 is the largest multiple of 62 in a byte: above it some letters would come up more often.
            let even = bytes.iter().filter(|byte| **byte < 248).map(|byte| base62_digit(u32::from(*byte)));
            let missing = Self::PREFIX.len() + Self::RANDOM_CHARS - text.len();
            text.extend(even.take(missing));
        }
        let checksum = checksum(text.as_bytes());
        text.extend(checksum.map(char::from));
        Self(text)
    }

    /// Checks the form and the checksum of a text that somebody presents.
    ///
    /// # Errors
    /// Where it cannot be one of our values; which rule it broke is nobody's business.
    pub fn check(text: &str) -> Result<(), MalformedKey> {
        let bytes = text.as_bytes();
        if bytes.len() != Self::LEN || !text.starts_with(Self::PREFIX) {
            return Err(MalformedKey);
        }
        let (body, presented) = bytes.split_at(Self::LEN - Self::CHECKSUM_CHARS);
        let random = body.iter().skip(Self::PREFIX.len());
        if random.copied().all(|byte| byte.is_ascii_alphanumeric()) && presented == checksum(body) {
            Ok(())
        } else {
            Err(MalformedKey)
        }
    }

    /// The value itself. Whoever calls this is about to hand it to the one who asked for the key.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What stays of it.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyValue")
    }
}

fn base62_digit(value: u32) -> char {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char::from(ALPHABET.get((value % 62) as usize).copied().unwrap_or(b'0'))
}

fn checksum(body: &[u8]) -> [u8; KeyValue::CHECKSUM_CHARS] {
    let mut rest = crc32fast::hash(body);
    let mut digits = [b'0'; KeyValue::CHECKSUM_CHARS];
    for place in digits.iter_mut().rev() {
        *place = base62_digit(rest) as u8;
        rest /= 62;
    }
    digits
}

/// SHA-256 of a key value: what is stored, and what is compared.
///
/// A fast hash is right here: the value has 256 random bits, so there is nothing to guess. `Debug` does not
/// show it either, because a hash in a log is a thing to explain.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a presented value.
    #[must_use]
    pub fn of(value: &str) -> Self {
        let mut hash = [0; 32];
        // SHA-256 is 32 bytes long; `zip` is how to copy without an index that could be wrong.
        for (to, from) in hash.iter_mut().zip(digest::digest(&digest::SHA256, value.as_bytes()).as_ref()) {
            *to = *from;
        }
        Self(hash)
    }

    /// The hash with these bytes, as read back from where it was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are equal, in a time that does not tell where they differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// In constant time, so that no comparison can be the wrong one.
impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other)
    }
}

impl Eq for KeyHash {}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

/// Stored as 64 hexadecimal digits.
impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        unhex(&text).map(Self).ok_or_else(|| D::Error::custom("not 64 hexadecimal digits"))
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    // By hand: a start reads one of these for every key.
    const fn nibble(digit: u8) -> Option<u8> {
        match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        }
    }
    let mut bytes = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn a_generated_value_is_well_formed_and_hidden() {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        for _ in 0..1_000 {
            let value = KeyValue::generate(&mut rng);
            assert_eq!(value.expose().len(), 54);
            assert_eq!(KeyValue::check(value.expose()), Ok(()));
            assert_eq!(format!("{value:?} {:?}", value.hash()), "KeyValue KeyHash");
        }
    }

    #[test]
    fn every_single_typo_is_noticed() {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let value = KeyValue::generate(&mut rng).expose().to_owned();
        for place in 0..value.len() {
            for typo in [b'0', b'z', b'A', b' ', b'_'] {
                let mut bytes = value.clone().into_bytes();
                if bytes[place] != typo {
                    bytes[place] = typo;
                    let text = String::from_utf8(bytes).unwrap();
                    assert_eq!(KeyValue::check(&text), Err(MalformedKey), "place {place}");
                }
            }
        }
        for text in
            ["", "clvk_", &value[..53], &format!("{value}0"), &value.to_uppercase(), &format!(" {value}")]
        {
            assert_eq!(KeyValue::check(text), Err(MalformedKey));
        }
    }

    #[test]
    fn every_letter_comes_up_equally_often() {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..20_000 {
            let value = KeyValue::generate(&mut rng);
            for letter in value.expose()[5..48].chars() {
                *counts.entry(letter).or_insert(0_u32) += 1;
            }
        }
        assert_eq!(counts.len(), 62);
        let expected = 20_000 * 43 / 62;
        // Five standard deviations of a binomial with this mean.
        assert!(counts.values().all(|count| count.abs_diff(expected) < 5 * 118), "{counts:?}");
    }

    #[test]
    fn hashes_survive_text() {
        let hash = KeyHash::of("x");
        assert!(KeyHash::from_bytes(unhex(&hex(hash.as_bytes())).unwrap()).matches(&hash));
        assert!(!hash.matches(&KeyHash::of("y")));
        assert_eq!(unhex("00"), None);
    }
}
