//! Addresses of parts: one DNS label a part, so that one wildcard record and one wildcard certificate serve the
//! fleet.
//!
//! The label is the part's name in letters, digits and dashes, a dash, and the id of the location its machine
//! stands in: `arm-main-x7k2p9q4wz`. Where that is too long or somebody else has it, the name is cut and six
//! characters of a hash stand behind it: `arm-main-3kq0va-x7k2p9q4wz`. A label always ends in the location's id,
//! so whoever names the parts in one location can never take an address of another. It is chosen when the part is
//! made, renamed or moved, and stays until then, whatever becomes of the others.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::id::{LocationId, PartId};
use crate::name::Name;

/// The first label of a part's address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Arc<str>);

impl Label {
    /// The longest label that DNS knows.
    pub const MAX: usize = 63;
    /// A dash and the id of a location.
    const TAIL: usize = 11;
    /// The characters of a hash.
    const HASH: usize = 6;

    /// The label for a part: the first of its candidates that nobody else has.
    pub fn choose(name: &Name, location: LocationId, part: PartId, taken: impl Fn(&str) -> bool) -> Self {
        let mut candidates = Self::candidates(name, location, part);
        // The candidates have no end, and each but the first is as good as random.
        candidates.find(|label| !taken(label.as_str())).unwrap_or_else(|| hashed("part", location, part, 0))
    }

    /// All labels that would do, the best first.
    pub fn candidates(name: &Name, location: LocationId, part: PartId) -> impl Iterator<Item = Self> {
        let slug = slug(name.as_str());
        let plain = (slug.len() + Self::TAIL <= Self::MAX).then(|| Self(format!("{slug}-{location}").into()));
        plain.into_iter().chain((0..).map(move |number| hashed(&slug, location, part, number)))
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is left of a name in a label: its ASCII letters and digits in lower case, and one dash for whatever stands
/// between them.
fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    if slug.is_empty() { "part".to_owned() } else { slug }
}

fn hashed(slug: &str, location: LocationId, part: PartId, number: u32) -> Label {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let text = format!("{part}/{number}");
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let digit = |byte: &u8| ALPHABET.get(usize::from(byte % 32)).copied().map_or('0', char::from);
    let hash: String = hash.as_ref().iter().take(Label::HASH).map(digit).collect();
    let room = Label::MAX - Label::TAIL - 1 - Label::HASH;
    // A slug is ASCII: every place is one between two characters.
    let cut = slug.get(..room).unwrap_or(slug).trim_end_matches('-');
    Label(format!("{cut}-{hash}-{location}").into())
}

/// So that an index by label is asked with a text.
impl Borrow<str> for Label {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({self})")
    }
}

impl Serialize for Label {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        if is_label(&text) { Ok(Self(text.into())) } else { Err(D::Error::custom("not a DNS label")) }
    }
}

fn is_label(text: &str) -> bool {
    let inside = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=Label::MAX).contains(&text.len())
        && text.bytes().all(inside)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The domain that all addresses of the fleet lie in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain(Arc<str>);

/// Why a text is no domain for addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a domain name such as machines.example.com: labels of letters, digits and dashes, at most 180 \
     characters"
)]
pub struct InvalidDomain;

impl Domain {
    /// Leaves room for a label, `local` and the dots within the 253 characters of a name.
    const MAX: usize = 180;

    /// Reads a domain name, in either case.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidDomain> {
        let text = text.to_ascii_lowercase();
        if text.len() > Self::MAX || !text.split('.').all(is_label) {
            return Err(InvalidDomain);
        }
        Ok(Self(text.into()))
    }

    /// The domain as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of the part with this label.
    #[must_use]
    pub fn fqdn(&self, label: &Label) -> String {
        format!("{label}.{}", self.0)
    }

    /// Its address within the network it stands in.
    #[must_use]
    pub fn local_fqdn(&self, label: &Label) -> String {
        format!("{label}.local.{}", self.0)
    }

    /// The label of an address, if it lies in this domain; either form, in either case.
    #[must_use]
    pub fn label_of(&self, address: &str) -> Option<String> {
        let address = address.trim_end_matches('.').to_ascii_lowercase();
        let (label, rest) = address.split_once('.')?;
        let rest = rest.strip_prefix("local.").filter(|rest| *rest == &*self.0).unwrap_or(rest);
        (rest == &*self.0 && is_label(label)).then(|| label.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng as _, SeedableRng as _};

    use super::*;
    use crate::time::Timestamp;

    fn label(name: &str, taken: &[&str]) -> String {
        let location = "x7k2p9q4wz".parse().unwrap();
        let name = Name::parse(name).unwrap();
        let part = PartId::from_bytes([7; 16]);
        Label::choose(&name, location, part, |label| taken.contains(&label)).to_string()
    }

    #[test]
    fn a_name_is_read_in_its_address() {
        for (name, expected) in [
            ("arm-main", "arm-main-x7k2p9q4wz"),
            ("Arm  (left)!", "arm-left-x7k2p9q4wz"),
            ("--a__b--", "a-b-x7k2p9q4wz"),
            ("Größe 10", "gr-e-10-x7k2p9q4wz"),
            ("機械", "part-x7k2p9q4wz"),
            ("xn--a", "xn-a-x7k2p9q4wz"),
            ("7", "7-x7k2p9q4wz"),
        ] {
            assert_eq!(label(name, &[]), expected);
        }
        assert_eq!(label(&"a".repeat(52), &[]), format!("{}-x7k2p9q4wz", "a".repeat(52)));
    }

    #[test]
    fn a_long_or_taken_one_gets_a_hash() {
        let long = label(&"a".repeat(53), &[]);
        assert_eq!(long.len(), 63);
        assert!(long.starts_with(&"a".repeat(45)) && long.ends_with("-x7k2p9q4wz"), "{long}");
        let second = label("arm", &["arm-x7k2p9q4wz"]);
        let third = label("arm", &["arm-x7k2p9q4wz", &second]);
        assert!(second.starts_with("arm-") && second.ends_with("-x7k2p9q4wz"), "{second}");
        assert_eq!(second.len(), "arm-x7k2p9q4wz".len() + 7);
        assert_ne!(second, third);
        assert_eq!(second, label("arm", &["arm-x7k2p9q4wz"]));
    }

    /// Random names in two locations: every label is one, ends in its location, and belongs to one part.
    #[test]
    fn whatever_the_names_labels_are_labels_and_unique() {
        let mut rng = ChaCha20Rng::seed_from_u64(63);
        let alphabet: Vec<char> = "aAbB01-_ .ä機\u{301}%/\\'\"".chars().collect();
        let locations = [LocationId::generate(&mut rng), LocationId::generate(&mut rng)];
        let mut labels = BTreeMap::new();
        for number in 0..20_000_u32 {
            let len = match number % 4 {
                0 => 1 + rng.next_u32() as usize % 3,
                1 => 50 + rng.next_u32() as usize % 6,
                2 => 255,
                _ => 1 + rng.next_u32() as usize % 80,
            };
            let pick = |_| alphabet[rng.next_u32() as usize % alphabet.len()];
            let Ok(name) = Name::parse(&(0..len).map(pick).collect::<String>()) else { continue };
            let location = locations[number as usize % 2];
            let part = PartId::generate(Timestamp::from_micros(i64::from(number)), &mut rng);
            let label = Label::choose(&name, location, part, |label| labels.contains_key(label));
            assert!(is_label(label.as_str()), "{name}: {label}");
            assert!(!label.as_str().contains("--"), "{name}: {label}");
            assert!(label.as_str().ends_with(&format!("-{location}")), "{name}: {label}");
            assert_eq!(labels.insert(label.to_string(), part), None, "{name}: {label}");
        }
        assert!(labels.len() > 15_000);
    }

    /// A part that is asked about again, with everybody else where they are, keeps what it has.
    #[test]
    fn its_own_label_is_not_taken() {
        let location = "x7k2p9q4wz".parse().unwrap();
        let name = Name::parse("arm").unwrap();
        let [one, other] = [1, 2].map(|id| PartId::from_bytes([id; 16]));
        let first = Label::choose(&name, location, one, |_| false);
        let second = Label::choose(&name, location, other, |label| label == first.as_str());
        assert_eq!(Label::choose(&name, location, other, |label| label == first.as_str()), second);
    }

    #[test]
    fn addresses_are_found_again() {
        let domain = Domain::parse("Machines.Example.com").unwrap();
        let label: Label = serde_json::from_str("\"arm-x7k2p9q4wz\"").unwrap();
        assert_eq!(domain.fqdn(&label), "arm-x7k2p9q4wz.machines.example.com");
        assert_eq!(domain.local_fqdn(&label), "arm-x7k2p9q4wz.local.machines.example.com");
        for address in [
            domain.fqdn(&label),
            domain.local_fqdn(&label),
            domain.fqdn(&label).to_uppercase(),
            domain.fqdn(&label) + ".",
        ] {
            assert_eq!(domain.label_of(&address).as_deref(), Some("arm-x7k2p9q4wz"), "{address}");
        }
        for address in [
            "",
            "arm",
            "arm.example.com",
            "machines.example.com",
            "a.b.machines.example.com",
            "-a.machines.example.com",
        ] {
            assert_eq!(domain.label_of(address), None, "{address}");
        }
        for text in ["", ".", "a..b", "-a.b", "a_b", "a b", "ä.com", &"a.".repeat(100)] {
            assert_eq!(Domain::parse(text), Err(InvalidDomain), "{text:?}");
        }
        for stored in ["\"\"", "\"A\"", "\"a.b\""] {
            assert!(serde_json::from_str::<Label>(stored).is_err());
        }
    }
}
