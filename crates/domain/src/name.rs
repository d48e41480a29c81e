//! Names that people give to things.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A name of 1 to 255 characters without control characters.
///
/// It is text and nothing else: `<script>` and `'; DROP TABLE` are good names, and whoever shows a name
/// escapes it. Refused besides control characters are line separators and the marks that turn the direction of
/// writing, because a list of keys must read the same in every terminal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing there, or only white space.
    #[error("must have at least one visible character")]
    Empty,
    /// More than [`Name::MAX_CHARS`].
    #[error("must have at most 255 characters, has {0}")]
    TooLong(usize),
    /// A character that would break a line, a terminal or the direction of writing.
    #[error("must not contain the control character U+{0:04X}")]
    Control(u32),
}

impl Name {
    /// The longest name, in Unicode scalar values.
    pub const MAX_CHARS: usize = 255;

    /// Checks a text and keeps it as it is.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let chars = text.chars().count();
        if chars > Self::MAX_CHARS {
            return Err(InvalidName::TooLong(chars));
        }
        if let Some(bad) = text.chars().find(|c| is_control(*c)) {
            return Err(InvalidName::Control(u32::from(bad)));
        }
        if text.trim().is_empty() {
            return Err(InvalidName::Empty);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This name with a suffix, shortened so that the whole stays a name.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        let room = Self::MAX_CHARS.saturating_sub(suffix.chars().count());
        let kept: String = self.0.chars().take(room).collect();
        Self(format!("{kept}{suffix}").into())
    }
}

fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{061C}' | '\u{200E}' | '\u{200F}')
        || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_as_a_table() {
        let long = "x".repeat(255);
        for good in [
            "a",
            "deploy-pipeline",
            "<script>alert(1)</script>",
            "'; DROP TABLE record; --",
            "Größe 10 機械 🤖",
            "שלום",
            "100 %",
            long.as_str(),
            " padded ",
        ] {
            assert_eq!(Name::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(Name::parse(""), Err(InvalidName::Empty));
        assert_eq!(Name::parse(" \u{3000}"), Err(InvalidName::Empty));
        assert_eq!(Name::parse(&"ä".repeat(256)), Err(InvalidName::TooLong(256)));
        for bad in ["\0", "a\nb", "a\tb", "\u{7f}", "\u{85}", "\u{202e}gnp.exe", "\u{200f}a", "a\u{2028}"] {
            assert!(matches!(Name::parse(bad), Err(InvalidName::Control(_))), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_suffix_never_breaks_the_rule() {
        let long = Name::parse(&"ä".repeat(255)).unwrap().with_suffix(" (copy)");
        assert_eq!(Name::parse(long.as_str()).unwrap(), long);
        assert!(long.as_str().ends_with(" (copy)"));
    }
}
