//! Who is calling? From what somebody presents to a principal.

use crate::id::{KeyId, OrganizationId, PartId, SecretId, UserId};
use crate::key::{KeyHash, KeyValue};
use crate::record::{Actor, Key, Membership, Part, Secret, User};
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
    /// Somebody who signed in.
    User {
        /// Who.
        id: UserId,
        /// Which round of being signed in.
        generation: u32,
    },
    /// A part of a machine.
    Part {
        /// The part.
        id: PartId,
        /// The secret it presented, its own or its location's.
        secret: SecretId,
    },
    /// The person at the server itself.
    System,
}

/// What somebody holds in one organization.
#[derive(Clone, Copy, Debug)]
pub struct Holding<'a> {
    /// The organization.
    pub organization: OrganizationId,
    /// The grants; each on something of the organization, or on something that was shared with it.
    pub grants: &'a [Grant],
}

/// Who calls, with what they hold at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Principal<'a>(Who<'a>);

#[derive(Clone, Copy, Debug)]
enum Who<'a> {
    Key(&'a Key),
    User(&'a User),
    Part(&'a Part, SecretId),
    System,
}

impl<'a> Principal<'a> {
    /// The person at the server itself.
    pub const SYSTEM: Principal<'static> = Principal(Who::System);

    /// Who it is.
    #[must_use]
    pub const fn actor(&self) -> Actor {
        match self.0 {
            Who::Key(key) => Actor::Key(key.id),
            Who::User(user) => Actor::User(user.id),
            Who::Part(part, _) => Actor::Part(part.id),
            Who::System => Actor::System,
        }
    }

    /// The same in a form that can wait.
    #[must_use]
    pub const fn caller(&self) -> Caller {
        match self.0 {
            Who::Key(key) => Caller::Key { id: key.id, generation: key.generation },
            Who::User(user) => Caller::User { id: user.id, generation: user.generation },
            Who::Part(part, secret) => Caller::Part { id: part.id, secret },
            Who::System => Caller::System,
        }
    }

    /// The key that was presented, if it was one.
    #[must_use]
    pub const fn key(&self) -> Option<&'a Key> {
        match self.0 {
            Who::Key(key) => Some(key),
            _ => None,
        }
    }

    /// The person who signed in, if it was one.
    #[must_use]
    pub const fn user(&self) -> Option<&'a User> {
        match self.0 {
            Who::User(user) => Some(user),
            _ => None,
        }
    }

    /// What is held, by organization: one for a key, any number for a person. None for the system, which needs
    /// none, and for parts, which ask for nothing but what is their own.
    #[inline]
    pub fn holdings(&self) -> impl Iterator<Item = Holding<'a>> + use<'a> {
        let (one, many): (Option<Holding<'a>>, &'a [Membership]) = match self.0 {
            Who::Key(key) => (Some(Holding { organization: key.organization, grants: &key.grants }), &[]),
            Who::User(user) => (None, &user.memberships),
            Who::Part(..) | Who::System => (None, &[]),
        };
        let many = many.iter();
        one.into_iter().chain(many.map(|it| Holding { organization: it.organization, grants: &it.grants }))
    }

    /// All grants held.
    pub fn grants(&self) -> impl Iterator<Item = &'a Grant> + use<'a> {
        self.holdings().flat_map(|holding| holding.grants)
    }

    /// Whether anything is held in the organization.
    #[must_use]
    pub fn belongs_to(&self, organization: OrganizationId) -> bool {
        self.holdings().any(|holding| holding.organization == organization)
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
                Ok(Principal(Who::Key(key)))
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
    match caller {
        Caller::Key { id, generation } => {
            let key = view.key(id).ok_or(Denial::UnknownKey)?;
            if key.generation != generation {
                return Err(Denial::OldGeneration);
            }
            if key.expired(now) { Err(Denial::Expired) } else { Ok(Principal(Who::Key(key))) }
        }
        Caller::User { id, generation } => {
            let user = view.user(id).ok_or(Denial::UnknownUser)?;
            if user.generation == generation {
                Ok(Principal(Who::User(user)))
            } else {
                Err(Denial::OldGeneration)
            }
        }
        Caller::Part { id, secret } => {
            let part = view.part(id).ok_or(Denial::UnknownSecret)?;
            let known = secrets_of(view, part).any(|known| known.id == secret);
            if known { Ok(Principal(Who::Part(part, secret))) } else { Err(Denial::UnknownSecret) }
        }
        Caller::System => Ok(Principal::SYSTEM),
    }
}

/// Checks the secret of a part: its own, or one of the location its machine stands in.
///
/// # Errors
/// Why it is not accepted. The reason is for the log.
pub fn verify_part<'a, V: View + ?Sized>(
    view: &'a V,
    id: &str,
    secret: &str,
) -> Result<Principal<'a>, Denial> {
    let id: PartId = id.parse().map_err(|_| Denial::MalformedId)?;
    if secret.len() > MAX_SECRET {
        return Err(Denial::MalformedValue);
    }
    let presented = KeyHash::of(secret);
    let part = view.part(id).ok_or(Denial::UnknownSecret)?;
    let known = secrets_of(view, part).find(|known| presented.matches(&known.hash));
    known.map(|known| Principal(Who::Part(part, known.id))).ok_or(Denial::WrongValue)
}

/// The longest secret worth hashing, in bytes.
const MAX_SECRET: usize = 256;

fn secrets_of<'a, V: View + ?Sized>(view: &'a V, part: &'a Part) -> impl Iterator<Item = &'a Secret> {
    let location = view.machine(part.machine).and_then(|machine| view.location(machine.location));
    part.secrets.iter().chain(location.into_iter().flat_map(|location| &location.secrets))
}
