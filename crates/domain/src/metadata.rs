//! Metadata: what people note down about an organization, a location, a machine or a part. Some keep passwords
//! there, so only owners read it, and only downward.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::configuration::{InvalidConfiguration, check_object};
use crate::document::{DocumentChange, DocumentKind};
use crate::id::PartId;
use crate::resource::Resource;
use crate::stored::{Reader, StoredError, VERSION, json};

/// The most that is kept about one thing, in bytes of JSON.
pub const MAX_METADATA_BYTES: usize = 64 * 1024;

/// What metadata is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataSubject {
    /// An organization, a location or a machine.
    Resource(Resource),
    /// A part of a machine.
    Part(PartId),
}

impl MetadataSubject {
    /// The id of the document that holds it.
    #[must_use]
    pub fn document_id(self) -> String {
        match self {
            Self::Resource(resource) => format!("{}:{}", resource.resource_type(), resource.id_text()),
            Self::Part(id) => format!("part:{id}"),
        }
    }

    /// The document is no more.
    pub(crate) fn gone(self) -> DocumentChange {
        DocumentChange::delete(DocumentKind::Metadata, &self.document_id())
    }
}

/// A JSON object of at most [`MAX_METADATA_BYTES`]. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Metadata(String);

#[derive(Serialize, Deserialize)]
struct StoredMetadata {
    v: u32,
    data: Box<RawValue>,
}

impl Metadata {
    /// Checks a text.
    ///
    /// # Errors
    /// Says which rule the text breaks; never with a word of the text.
    pub fn parse(text: String) -> Result<Self, String> {
        match check_object(&text, MAX_METADATA_BYTES) {
            Ok(()) => Ok(Self(text)),
            Err(InvalidConfiguration::TooLong(len)) => {
                Err(format!("must be at most {MAX_METADATA_BYTES} bytes of JSON, has {len}"))
            }
            Err(other) => Err(other.to_string()),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing is noted down.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.trim_matches(|c: char| c.is_ascii_whitespace() || matches!(c, '{' | '}')).is_empty()
    }

    pub(crate) fn document(self, subject: MetadataSubject) -> Result<DocumentChange, StoredError> {
        if self.is_empty() {
            return Ok(subject.gone());
        }
        let data = RawValue::from_string(self.0).map_err(StoredError::Unwritable)?;
        let text = json(&StoredMetadata { v: VERSION, data })?;
        Ok(DocumentChange::put(DocumentKind::Metadata, &subject.document_id(), text.into_bytes()))
    }

    /// Metadata from its document.
    ///
    /// # Errors
    /// Where the document is not what it should be, or a newer release wrote it.
    pub fn decode(id: &str, content: &[u8]) -> Result<Self, StoredError> {
        let value = String::from_utf8_lossy(content);
        let reader = Reader { what: "metadata", id, value: &value };
        let it: StoredMetadata = reader.read()?;
        reader.version(it.v)?;
        Ok(Self(it.data.get().to_owned()))
    }
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata").field("bytes", &self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_its_document_and_is_gone_when_empty() {
        let subject = MetadataSubject::Part(PartId::from_bytes([7; 16]));
        let metadata = Metadata::parse("{\"token\":\"hunter2\"}".to_owned()).unwrap();
        assert!(!metadata.is_empty() && !format!("{metadata:?}").contains("hunter2"));
        let document = metadata.clone().document(subject).unwrap();
        assert_eq!(document.id, "part:07070707-0707-0707-0707-070707070707");
        assert_eq!(Metadata::decode(&document.id, &document.content.unwrap()).unwrap(), metadata);
        let empty = Metadata::parse(" { } ".to_owned()).unwrap();
        assert!(empty.is_empty());
        assert_eq!(empty.document(subject).unwrap(), subject.gone());
        assert!(Metadata::parse(format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_METADATA_BYTES))).is_err());
    }
}
