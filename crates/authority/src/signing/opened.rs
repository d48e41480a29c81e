//! Opening the records that hold the authority's own keys, and making new ones.

use domain::{SigningKey, SigningKeyId, Timestamp};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use super::purpose::Purpose;
use crate::master::{MasterKey, MasterKeyError};

/// A key of the authority's own, open.
pub(super) struct Opened {
    pub(super) id: SigningKeyId,
    pub(super) created_at: Timestamp,
    pub(super) secret: Zeroizing<Vec<u8>>,
}

/// The keys of a purpose, the oldest first.
///
/// # Errors
/// Where the master key does not open one of them.
pub(super) fn open(
    master: &MasterKey,
    stored: &[&SigningKey],
    purpose: Purpose,
) -> Result<Vec<Opened>, MasterKeyError> {
    let ours = stored.iter().filter(|key| key.purpose == purpose.name());
    let mut opened = ours
        .map(|key| {
            let secret = master.open(&bound_to(&key.purpose, key.id), &key.sealed)?;
            Ok(Opened { id: key.id, created_at: key.created_at, secret })
        })
        .collect::<Result<Vec<_>, MasterKeyError>>()?;
    opened.sort_unstable_by_key(|key| (key.created_at, key.id));
    Ok(opened)
}

/// A sealed key is bound to the record it stands in: moved to another, it does not open.
pub(super) fn bound_to(purpose: &str, id: SigningKeyId) -> String {
    format!("{purpose}:{id}")
}

/// 32 random bytes.
///
/// # Errors
/// Where the system has no randomness to give.
pub(super) fn random() -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
    let mut secret = Zeroizing::new(vec![0; 32]);
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| MasterKeyError::NoRandomness)?;
    Ok(secret)
}

/// An id for a new key.
pub(super) fn new_id(now: Timestamp) -> SigningKeyId {
    SigningKeyId::generate(now, &mut UnwrapErr(SysRng))
}

/// Which of the keys of a purpose signs now: the newest that has been known long enough. Where none has, it is the
/// oldest: the others would be too early by more.
pub(super) fn signs<K>(
    keys: &[K],
    purpose: Purpose,
    created_at: impl Fn(&K) -> Timestamp,
    now: Timestamp,
) -> Option<&K> {
    let lead = i64::try_from(purpose.lead().as_micros()).unwrap_or(i64::MAX);
    let known = |key: &&K| created_at(key).as_micros().saturating_add(lead) <= now.as_micros();
    keys.iter().rev().find(known).or_else(|| keys.first())
}
