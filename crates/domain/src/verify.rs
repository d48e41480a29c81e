//! Who is calling? From what somebody presents to a principal.

use crate::id::{KeyId, OrganizationId};
use crate::key::{KeyHash, KeyValue};
use crate::record::{Actor, Key};
use crate::refusal::Denial;
use crate::resource::Grant;
use crate::time::Timestamp;
use crate::view::View;

/// Who calls, in a form that can wait in a queue. What they may do is looked up when they are heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Somebody who presented a key, or a token made from it, when the key had this generation.
    Key {
        /// The key.
        id: KeyId,
        /// Which of its values.
        generation: u32,
    },
    /// The person at the server itself.
    System,
}

/// Who calls, with what they hold at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Principal<'a> {
    key: Option<&'a Key>,
}

impl<'a> Principal<'a> {
    /// The person at the server itself.
    pub const SYSTEM: Principal<'static> = Principal { key: None };

    /// Who it is.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.key.map_or(Actor::System, |key| Actor::Key(key.id))
    }

    /// The same in a form that can wait.
    #[must_use]
    pub fn caller(&self) -> Caller {
        self.key.map_or(Caller::System, |key| Caller::Key { id: key.id, generation: key.generation })
    }

    /// The key that was presented; nothing for the system.
    #[must_use]
    pub const fn key(&self) -> Option<&'a Key> {
        self.key
    }

    /// The grants held; none for the system, which needs none.
    #[must_use]
    pub fn grants(&self) -> &'a [Grant] {
        self.key.map_or(&[], |key| &key.grants)
    }

    /// The organization all the grants lie in; nothing for the system.
    #[must_use]
    pub fn organization(&self) -> Option<OrganizationId> {
        self.key.map(|key| key.organization)
    }
}

/// Checks a presented id and value.
///
/// Takes one look-up and one hash whether the id is known or not, so that the time tells nothing about it. The
/// checksum of the value is looked at only to name the reason: a value that is right has a right checksum.
///
/// # Errors
/// Why the pair is not accepted. The reason is for the log, never for the caller.
#[inline]
pub fn verify<'a, V: View + ?Sized>(
    view: &'a V,
    id: &str,
    value: &str,
    now: Timestamp,
) -> Result<Principal<'a>, Denial> {
    let id: KeyId = id.parse().map_err(|_| Denial::MalformedId)?;
    // Nothing of another length is a value; a megabyte is not worth hashing.
    if value.len() != KeyValue::LEN {
        return Err(Denial::MalformedValue);
    }
    let key = view.key(id);
    let presented = KeyHash::of(value);
    // An unknown key is compared like a known one, with a hash that no value has.
    let expected = key.map_or(KeyHash::from_bytes([0; 32]), |key| key.hash);
    let equal = presented.matches(&expected);
    match key {
        Some(key) if equal => {
            if key.expired(now) {
                Err(Denial::Expired)
            } else {
                Ok(Principal { key: Some(key) })
            }
        }
        _ => Err(reason(key.is_some(), value)),
    }
}

#[cold]
fn reason(known: bool, value: &str) -> Denial {
    match KeyValue::check(value) {
        Err(_) => Denial::MalformedValue,
        Ok(()) if known => Denial::WrongValue,
        Ok(()) => Denial::UnknownKey,
    }
}

/// Looks up what a caller holds now. Whoever was verified a moment ago may have lost everything since.
///
/// # Errors
/// Why the caller is not accepted any more.
#[inline]
pub fn present<'a, V: View + ?Sized>(
    view: &'a V,
    caller: Caller,
    now: Timestamp,
) -> Result<Principal<'a>, Denial> {
    let Caller::Key { id, generation } = caller else { return Ok(Principal::SYSTEM) };
    let key = view.key(id).ok_or(Denial::UnknownKey)?;
    if key.generation != generation {
        return Err(Denial::OldGeneration);
    }
    if key.expired(now) { Err(Denial::Expired) } else { Ok(Principal { key: Some(key) }) }
}
