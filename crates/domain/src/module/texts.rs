//! What a module says about itself: a document, because no decision needs it.

use std::fmt;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::checksum::Checksum;
use crate::document::{DocumentChange, DocumentKind};
use crate::id::ModuleId;
use crate::refusal::Refusal;
use crate::stored::StoredError;

/// The most bytes it may say, written as JSON.
pub const MAX_TEXTS: usize = 1_048_576;
/// How many models one module can have.
pub const MAX_MODELS: usize = 1_000;
/// How many applications one module can have.
pub const MAX_APPS: usize = 100;
/// The longest line of a field that is one line, in bytes.
const MAX_LINE: usize = 2_048;
/// The version that is written now.
const VERSION: u32 = 1;

/// What a module says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModuleTexts {
    /// Where its documentation or its source is.
    pub url: String,
    /// What it is for, in a sentence or two.
    pub description: String,
    /// The file in its archive that starts it.
    pub entrypoint: String,
    /// The file in its archive that runs once after it was installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_run: Option<String>,
    /// Its documentation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub markdown: Option<String>,
    /// What it adds to a machine.
    pub models: Vec<ModuleModel>,
    /// The web applications in it.
    pub apps: Vec<ModuleApp>,
}

/// A model that a module adds to a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModuleModel {
    /// The API it implements.
    pub api: String,
    /// Its name.
    pub model: String,
    /// Its documentation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub markdown: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it drives.
    pub supported_hardware: Vec<String>,
}

/// A web application that comes with a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModuleApp {
    /// Its name.
    pub name: String,
    /// Whether it is for one machine or for several.
    pub kind: String,
    /// The file that is opened first.
    pub entrypoint: String,
    /// Fragments that mark the machines it is for.
    pub fragment_ids: Vec<String>,
    /// The file with its logo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo_path: Option<String>,
    /// What stands above and below where one chooses a machine, if it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_picker: Option<[Option<String>; 2]>,
    /// The organizations it is for, if it is not for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_organizations: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
struct Stored<T> {
    v: u32,
    #[serde(flatten)]
    texts: T,
}

/// Names what a module said, by its hash: what was said with a version stays, and the same said twice is kept once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TextsId(Checksum);

impl TextsId {
    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Checksum::from_bytes(bytes))
    }

    /// The id of the document.
    #[must_use]
    pub fn document(self, module: ModuleId) -> String {
        format!("{module}/{self}")
    }
}

impl fmt::Display for TextsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ModuleTexts {
    /// Whether it may be said.
    ///
    /// # Errors
    /// Names the field, as the wire does, and the rule it breaks.
    pub fn check(&self) -> Result<(), Refusal> {
        line("url", &self.url)?;
        if !(self.url.is_empty() || self.url.starts_with("https://") || self.url.starts_with("http://")) {
            return Err(Refusal::invalid("url", "must be empty or begin with https:// or http://"));
        }
        line("entrypoint", &self.entrypoint)?;
        line("first_run", self.first_run.as_deref().unwrap_or_default())?;
        at_most("models", self.models.len(), MAX_MODELS)?;
        for (number, model) in self.models.iter().enumerate() {
            line(&format!("models[{number}].api"), &model.api)?;
            line(&format!("models[{number}].model"), &model.model)?;
        }
        at_most("apps", self.apps.len(), MAX_APPS)?;
        for (number, app) in self.apps.iter().enumerate() {
            line(&format!("apps[{number}].name"), &app.name)?;
            line(&format!("apps[{number}].type"), &app.kind)?;
            line(&format!("apps[{number}].entrypoint"), &app.entrypoint)?;
        }
        Ok(())
    }

    /// The document, and what names it.
    ///
    /// # Errors
    /// Where it is longer than [`MAX_TEXTS`].
    pub(crate) fn document(&self, module: ModuleId) -> Result<(TextsId, DocumentChange), Refusal> {
        let too_long = || {
            let rule = format!("must be at most {MAX_TEXTS} bytes with all other texts of the module");
            Refusal::invalid("markdown_description", rule)
        };
        // Texts are always writable; the error arm is for the type only.
        let content = serde_json::to_vec(&Stored { v: VERSION, texts: self }).map_err(|_| too_long())?;
        if content.len() > MAX_TEXTS {
            return Err(too_long());
        }
        let hash = digest::digest(&digest::SHA256, &content);
        let id = TextsId::from_bytes(hash.as_ref().try_into().map_err(|_| too_long())?);
        Ok((id, DocumentChange::put(DocumentKind::Module, &id.document(module), content)))
    }

    /// Reads the document.
    ///
    /// # Errors
    /// Where it is not what it should be, or a newer release wrote it.
    pub fn read(id: &str, content: &[u8]) -> Result<Self, StoredError> {
        let stored: Stored<Self> = serde_json::from_slice(content).map_err(|source| {
            StoredError::Malformed { what: "module".to_owned(), id: id.to_owned(), source }
        })?;
        if stored.v > VERSION {
            let (what, id) = ("module".to_owned(), id.to_owned());
            return Err(StoredError::Newer { what, id, version: stored.v });
        }
        Ok(stored.texts)
    }
}

fn line(field: &str, text: &str) -> Result<(), Refusal> {
    if text.len() > MAX_LINE {
        return Err(Refusal::invalid(field, format!("must be at most {MAX_LINE} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::invalid(field, "must be one line without control characters"));
    }
    Ok(())
}

fn at_most(field: &str, found: usize, most: usize) -> Result<(), Refusal> {
    if found > most {
        return Err(Refusal::invalid(field, format!("must be at most {most}, are {found}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: ModuleId = ModuleId::from_bytes([1; 16]);

    #[test]
    fn what_is_said_is_read_back() {
        let texts = ModuleTexts {
            url: "https://example.com".to_owned(),
            markdown: Some("# Größe\n100 %".to_owned()),
            models: vec![ModuleModel { api: "rdk:component:arm".to_owned(), ..ModuleModel::default() }],
            apps: vec![ModuleApp {
                machine_picker: Some([None, Some("x".to_owned())]),
                ..ModuleApp::default()
            }],
            ..ModuleTexts::default()
        };
        texts.check().unwrap();
        let (id, change) = texts.document(MODULE).unwrap();
        assert_eq!(change.id, format!("{MODULE}/{id}"));
        assert_eq!(change.hash(), Some(id.to_string()));
        assert_eq!(ModuleTexts::read("x", &change.content.unwrap()).unwrap(), texts);
        assert_ne!(ModuleTexts::default().document(MODULE).unwrap().0, id);
    }

    #[test]
    fn a_newer_form_is_not_guessed_at() {
        assert!(matches!(ModuleTexts::read("x", br#"{"v":2}"#), Err(StoredError::Newer { version: 2, .. })));
        assert!(matches!(ModuleTexts::read("x", b"{"), Err(StoredError::Malformed { .. })));
        assert_eq!(ModuleTexts::read("x", br#"{"v":1}"#).unwrap(), ModuleTexts::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let url = |url: &str| ModuleTexts { url: url.to_owned(), ..ModuleTexts::default() };
        let entrypoint = |text: String| ModuleTexts { entrypoint: text, ..ModuleTexts::default() };
        let models = vec![ModuleModel::default(); MAX_MODELS + 1];
        let api = ModuleModel { api: "a\0".to_owned(), ..ModuleModel::default() };
        for (texts, field) in [
            (url("javascript:alert(1)"), "url"),
            (url("https://a\nb"), "url"),
            (entrypoint("x".repeat(MAX_LINE + 1)), "entrypoint"),
            (ModuleTexts { models, ..ModuleTexts::default() }, "models"),
            (ModuleTexts { models: vec![api], ..ModuleTexts::default() }, "models[0].api"),
        ] {
            assert!(matches!(texts.check(), Err(Refusal::Invalid { field: found, .. }) if found == field));
        }
        let long = ModuleTexts { markdown: Some("x".repeat(MAX_TEXTS)), ..ModuleTexts::default() };
        assert!(long.document(MODULE).is_err());
    }
}
