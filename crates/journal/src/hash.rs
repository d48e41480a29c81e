//! The chain: what makes a missing or edited entry visible.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

/// The SHA-256 that stands for an entry and, through the chain, for everything before it.
///
/// Written and read as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; SHA256_OUTPUT_LEN]);

/// What was read is not a [`struct@Hash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is written as 64 lower-case hexadecimal digits")]
pub struct InvalidHash;

impl Hash {
    /// What stands before the first entry: 32 zero bytes.
    pub const ZERO: Hash = Hash([0; SHA256_OUTPUT_LEN]);

    /// The hash of an entry: SHA-256 over the hash before it, its number and its time in microseconds since the epoch
    /// (8 bytes each, most significant first), and the bytes of its body.
    ///
    /// Every part but the last has a fixed length, so no two entries are hashed from the same bytes.
    pub(crate) fn of(previous: Hash, seq: u64, at: i64, body: &str) -> Hash {
        let mut context = Context::new(&SHA256);
        context.update(&previous.0);
        context.update(&seq.to_be_bytes());
        context.update(&at.to_be_bytes());
        context.update(body.as_bytes());
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        for (byte, digested) in bytes.iter_mut().zip(context.finish().as_ref()) {
            *byte = *digested;
        }
        Hash(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; SHA256_OUTPUT_LEN] {
        &self.0
    }
}

impl From<[u8; SHA256_OUTPUT_LEN]> for Hash {
    fn from(bytes: [u8; SHA256_OUTPUT_LEN]) -> Hash {
        Hash(bytes)
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = InvalidHash;

    fn try_from(bytes: &[u8]) -> Result<Hash, InvalidHash> {
        bytes.try_into().map(Hash).map_err(|_| InvalidHash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Hash, InvalidHash> {
        let digits = text.as_bytes();
        if digits.len() != 2 * SHA256_OUTPUT_LEN {
            return Err(InvalidHash);
        }
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = match pair {
                [high, low] => nibble(*high)? << 4 | nibble(*low)?,
                _ => return Err(InvalidHash),
            };
        }
        Ok(Hash(bytes))
    }
}

/// Upper case is refused: a hash has one spelling, so that text can be compared and searched.
fn nibble(digit: u8) -> Result<u8, InvalidHash> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(InvalidHash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with another implementation, Python's `hashlib` and `struct`.
    #[test]
    fn the_hash_of_an_entry_is_pinned() {
        let first = Hash::of(Hash::ZERO, 1, 1_700_000_000_000_000, r#"{"v":1}"#);
        assert_eq!(first.to_string(), "5d3fb54e8f1d29fca78b44fd89cef36c8067ed1cc04627bf01d4b365fad529b1");
        let second = Hash::of(first, 2, -1, "");
        assert_eq!(second.to_string(), "112790d8b34855184182bb808717b15c3fb8438705e36eee35a5bc1b50bad337");
    }

    #[test]
    fn text_and_back() {
        let hash = Hash::of(Hash::ZERO, 7, 7, "seven");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(Hash::ZERO.to_string(), "0".repeat(64));
        assert_eq!(format!("{hash:?}"), format!("Hash({hash})"));
    }

    #[test]
    fn other_spellings_are_refused() {
        let zeros = "0".repeat(64);
        for wrong in [
            &zeros[1..],
            &format!("{zeros}0"),
            &zeros.replacen('0', "A", 1),
            &zeros.replacen("00", "é", 1),
            "",
        ] {
            assert_eq!(wrong.parse::<Hash>(), Err(InvalidHash), "{wrong:?}");
        }
    }

    #[test]
    fn only_32_bytes_are_a_hash() {
        assert_eq!(Hash::try_from([0; 32].as_slice()), Ok(Hash::ZERO));
        assert_eq!(Hash::try_from([0; 31].as_slice()), Err(InvalidHash));
    }
}
