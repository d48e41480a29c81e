//! The configuration of a part: JSON text that is kept to the byte, one document a revision.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::{DocumentChange, DocumentKind};
use crate::id::PartId;
use crate::name::Name;
use crate::record::Actor;
use crate::stored::{Reader, StoredActor, StoredError, VERSION, json};
use crate::time::Timestamp;

/// How many revisions of a part's configuration are kept.
pub const KEPT_REVISIONS: u32 = 100;

/// The longest configuration, in bytes of JSON.
pub const MAX_CONFIGURATION_BYTES: usize = 1024 * 1024;

/// How deep objects and arrays nest. Told as a protobuf `Struct`, each level takes three messages, and clients read
/// at most 100 of them in one another.
pub const MAX_DEPTH: usize = 30;

/// A JSON object, as the one who wrote it spelled it: order, spaces, and numbers that no double holds.
///
/// `Debug` does not show it: it may hold passwords of modules.
#[derive(Clone, PartialEq, Eq)]
pub struct Configuration(String);

/// Why a text is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfiguration {
    /// Too much of it.
    #[error("must be at most {MAX_CONFIGURATION_BYTES} bytes of JSON, has {0}")]
    TooLong(usize),
    /// Not JSON.
    #[error("must be JSON; it is not at line {line}, column {column}")]
    NotJson {
        /// Where, counted from 1.
        line: usize,
        /// Where in the line, counted from 1.
        column: usize,
    },
    /// Some other JSON than an object.
    #[error("must be a JSON object")]
    NotAnObject,
    /// Objects in objects in objects.
    #[error("must be nested at most {MAX_DEPTH} deep")]
    TooDeep,
}

impl Configuration {
    /// Checks a text and keeps it as it is.
    ///
    /// # Errors
    /// Says which rule the text breaks; never with a word of the text.
    pub fn parse(text: String) -> Result<Self, InvalidConfiguration> {
        check_object(&text, MAX_CONFIGURATION_BYTES).map(|()| Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks that a text is a JSON object of at most this length.
pub(crate) fn check_object(text: &str, max: usize) -> Result<(), InvalidConfiguration> {
    if text.len() > max {
        return Err(InvalidConfiguration::TooLong(text.len()));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| {
        // The parser's own bound lies far above ours.
        if error.to_string().starts_with("recursion limit") {
            InvalidConfiguration::TooDeep
        } else {
            InvalidConfiguration::NotJson { line: error.line(), column: error.column() }
        }
    })?;
    if !value.is_object() {
        return Err(InvalidConfiguration::NotAnObject);
    }
    if depth(&value) > MAX_DEPTH { Err(InvalidConfiguration::TooDeep) } else { Ok(()) }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

impl std::fmt::Debug for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configuration").field("bytes", &self.0.len()).finish()
    }
}

/// One revision of a part's configuration: what, by whom, when, and what the part was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Actor,
    /// What they were called then, if they are a key: it may be gone when somebody asks. People have no name here,
    /// because what is known of them goes when they go.
    pub by_name: Option<Name>,
    /// What the part was called from then on.
    pub part_name: Name,
    /// The configuration.
    pub configuration: Configuration,
}

#[derive(Serialize, Deserialize)]
struct StoredRevision {
    v: u32,
    at: Timestamp,
    by: StoredActor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by_name: Option<Name>,
    part_name: Name,
    configuration: String,
}

impl Revision {
    /// The id of the document that holds a revision. In order of the text is in order of the number.
    #[must_use]
    pub fn document_id(part: PartId, revision: u32) -> String {
        format!("{part}/{revision:010}")
    }

    /// The oldest revision that is kept when this one is the newest; 0 where there is none.
    #[must_use]
    pub const fn oldest_kept(newest: u32) -> u32 {
        match newest.saturating_sub(KEPT_REVISIONS) {
            _ if newest == 0 => 0,
            before => before + 1,
        }
    }

    /// The document of this revision.
    ///
    /// # Errors
    /// Where it cannot be written as JSON, which no revision we make can cause.
    pub(crate) fn document(self, part: PartId, revision: u32) -> Result<DocumentChange, StoredError> {
        let text = json(&StoredRevision {
            v: VERSION,
            at: self.at,
            by: self.by.into(),
            by_name: self.by_name,
            part_name: self.part_name,
            configuration: self.configuration.0,
        })?;
        let id = Self::document_id(part, revision);
        Ok(DocumentChange::put(DocumentKind::Configuration, &id, text.into_bytes()))
    }

    /// A revision from its document.
    ///
    /// # Errors
    /// Where the document is not what it should be, or a newer release wrote it.
    pub fn decode(id: &str, content: &[u8]) -> Result<Self, StoredError> {
        let value = String::from_utf8_lossy(content);
        let reader = Reader { what: "configuration", id, value: &value };
        let it: StoredRevision = reader.read()?;
        reader.version(it.v)?;
        Ok(Self {
            at: it.at,
            by: it.by.into(),
            by_name: it.by_name,
            part_name: it.part_name,
            configuration: Configuration(it.configuration),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Configuration, InvalidConfiguration> {
        Configuration::parse(text.to_owned())
    }

    #[test]
    fn what_is_a_configuration_is_kept_as_it_is() {
        let nested = "{\"a\":".repeat(29) + "[]" + &"}".repeat(29);
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_CONFIGURATION_BYTES - 8));
        for text in
            ["{}", " {\"b\": 1, \"a\" : 12345678901234567890 }\n", "{\"a\":1,\"a\":2}", &nested, &long]
        {
            assert_eq!(parse(text).unwrap().as_str(), text);
        }
        assert_eq!(format!("{:?}", parse("{\"password\":\"x\"}").unwrap()), "Configuration { bytes: 16 }");
    }

    #[test]
    fn what_is_none_is_refused_without_being_told() {
        use InvalidConfiguration::{NotAnObject, NotJson, TooDeep, TooLong};
        let deep = "{\"a\":".repeat(30) + "[]" + &"}".repeat(30);
        let deeper = "[".repeat(100_000);
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_CONFIGURATION_BYTES - 7));
        for (text, why) in [
            ("", NotJson { line: 1, column: 0 }),
            ("{\"a\":hunter2}", NotJson { line: 1, column: 6 }),
            ("{\"a\":NaN}", NotJson { line: 1, column: 6 }),
            ("{\"a\":1e999}", NotJson { line: 1, column: 10 }),
            ("{}{}", NotJson { line: 1, column: 3 }),
            ("[]", NotAnObject),
            ("null", NotAnObject),
            (&deep, TooDeep),
            (&deeper, TooDeep),
            (&long, TooLong(MAX_CONFIGURATION_BYTES + 1)),
        ] {
            let refused = parse(text).unwrap_err();
            assert_eq!(refused, why, "{}", text.get(..20).unwrap_or(text));
            assert!(!refused.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn a_revision_survives_its_document() {
        let part = PartId::from_bytes([7; 16]);
        let revision = Revision {
            at: Timestamp::from_micros(1_000),
            by: Actor::System,
            by_name: Some(Name::parse("a \"key\"").unwrap()),
            part_name: Name::parse("arm").unwrap(),
            configuration: parse("{\"b\":\"\\u00e4ä\",\n\"a\":1.0}").unwrap(),
        };
        let document = revision.clone().document(part, 42).unwrap();
        assert_eq!(document.id, "07070707-0707-0707-0707-070707070707/0000000042");
        assert_eq!(Revision::decode(&document.id, &document.content.unwrap()).unwrap(), revision);
        assert!(Revision::decode("x", b"\xff").is_err());
        assert!(Revision::decode("x", b"{\"v\":2}").unwrap_err().to_string().contains("newer release"));
        assert_eq!([0, 1, 100, 101, 250].map(Revision::oldest_kept), [0, 1, 1, 2, 151]);
    }
}
