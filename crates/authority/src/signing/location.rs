//! The secret by which a machine lets in the other parts of its location, one of its own for every part.
//!
//! It is derived rather than stored: whoever has the part's configuration has it, nobody else does, and what is known
//! of one part opens no other.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use domain::{PartId, SigningKeyId};
use zeroize::Zeroizing;

use super::opened::Opened;

/// With how many keys a part's secrets are made: the newest, and the one before, which others may still use.
const LIVE: usize = 2;

/// The keys that part's secrets are made with, the oldest first.
pub(super) struct LocationKeys {
    keys: Vec<(SigningKeyId, hmac::Key)>,
}

/// A secret of a part.
pub struct LocationSecret {
    /// Which key made it.
    pub id: SigningKeyId,
    /// The secret.
    pub value: Zeroizing<String>,
}

impl LocationKeys {
    pub(super) fn new(keys: &[Opened]) -> Self {
        let of = |key: &Opened| (key.id, hmac::Key::new(hmac::HMAC_SHA256, &key.secret));
        Self { keys: keys.iter().map(of).collect() }
    }

    /// The secrets of a part, the newest first.
    pub(super) fn secrets(&self, part: PartId) -> Vec<LocationSecret> {
        let newest = self.keys.iter().rev().take(LIVE);
        let of = |(id, key): &(SigningKeyId, hmac::Key)| {
            let mac = hmac::sign(key, part.as_bytes());
            LocationSecret { id: *id, value: Zeroizing::new(BASE64URL.encode(mac)) }
        };
        newest.map(of).collect()
    }
}

impl std::fmt::Debug for LocationSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocationSecret by {}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;

    fn opened(id: u8) -> Opened {
        let secret = Zeroizing::new(vec![id; 32]);
        Opened { id: SigningKeyId::from_bytes([id; 16]), created_at: Timestamp::EPOCH, secret }
    }

    #[test]
    fn every_part_has_its_own_and_always_the_same() {
        let keys = LocationKeys::new(&[opened(1)]);
        let [one, other] = [1, 2].map(|id| PartId::from_bytes([id; 16]));
        let value = |keys: &LocationKeys, part| keys.secrets(part)[0].value.to_string();
        assert_eq!(value(&keys, one), value(&LocationKeys::new(&[opened(1)]), one));
        assert_ne!(value(&keys, one), value(&keys, other));
        assert_eq!(value(&keys, one).len(), 43);
        assert!(!format!("{:?}", keys.secrets(one)).contains(&value(&keys, one)));
    }

    #[test]
    fn a_new_key_makes_another_and_the_one_before_stays() {
        let part = PartId::from_bytes([7; 16]);
        let ids = |keys: &[Opened]| {
            let secrets = LocationKeys::new(keys).secrets(part);
            secrets.iter().map(|secret| secret.id.as_bytes()[0]).collect::<Vec<_>>()
        };
        assert_eq!(ids(&[opened(1)]), [1]);
        assert_eq!(ids(&[opened(1), opened(2)]), [2, 1]);
        assert_eq!(ids(&[opened(1), opened(2), opened(3)]), [3, 2]);
        assert!(ids(&[]).is_empty());
    }
}
