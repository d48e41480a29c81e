//! Documents: what is kept but no decision needs, and so is not resident.
//!
//! A machine's configuration, metadata, sealed secrets, what is known of a person. They are written in the same
//! transaction as the entry that changes them. The entry itself holds their hash only, so that a configuration
//! does not fill the journal, and so that what is deleted is gone. Whatever must not be read in the database is
//! sealed before it gets here: the hash is then one of sealed bytes and tells nothing.

use aws_lc_rs::digest;

use crate::key::hex;

macro_rules! document_kinds {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// What a document is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DocumentKind {
            $($(#[$doc])* $variant,)*
        }

        impl DocumentKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word under which it is stored.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    };
}

document_kinds! {
    /// A secret of a part or a location, sealed; its id is the secret's.
    Secret = "secret",
    /// How a part was to be set up at one time; its id is the part's and the number of the revision.
    Configuration = "configuration",
    /// What people noted down about a resource or a part; its id is the level and the id.
    Metadata = "metadata",
    /// What is known of a person, sealed; its id is the user's.
    Person = "person",
    /// The address an invitation goes to, sealed; its id is the invitation's.
    Invitation = "invitation",
    /// What a module says about itself; its id is the module's, a slash, and the hash of the document.
    Module = "module",
}

/// A document put in the place of the one with its kind and id, or a document gone.
#[derive(Clone, PartialEq, Eq)]
pub struct DocumentChange {
    /// What it is.
    pub kind: DocumentKind,
    /// Which one.
    pub id: String,
    /// The document from now on; nothing where it is no more.
    pub content: Option<Vec<u8>>,
}

impl DocumentChange {
    /// A document as it is from now on.
    pub fn put(kind: DocumentKind, id: &impl ToString, content: Vec<u8>) -> Self {
        Self { kind, id: id.to_string(), content: Some(content) }
    }

    /// A document that is no more.
    pub fn delete(kind: DocumentKind, id: &impl ToString) -> Self {
        Self { kind, id: id.to_string(), content: None }
    }

    /// SHA-256 of the content in hexadecimal, as the entry holds it; nothing where it is no more.
    #[must_use]
    pub fn hash(&self) -> Option<String> {
        let content = self.content.as_deref()?;
        Some(hex(digest::digest(&digest::SHA256, content).as_ref()))
    }
}

/// Without the content, which may be somebody's.
impl std::fmt::Debug for DocumentChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.content.as_ref().map(Vec::len);
        f.debug_struct("DocumentChange")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("bytes", &bytes)
            .finish()
    }
}
