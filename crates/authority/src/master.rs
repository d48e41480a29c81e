//! The master key, which seals what the authority must be able to read again, and is never in the database.
//!
//! Lost, it cannot be made up for: every token dies (clients log in again with their keys), and so does
//! whatever else was sealed. API keys live on, because only their hashes are kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use crate::data::write_private;

const KEY_LEN: usize = 32;

/// 256 bits that seal (AES-256-GCM). `Debug` does not show them.
pub struct MasterKey {
    bytes: Zeroizing<[u8; KEY_LEN]>,
    cipher: RandomizedNonceKey,
}

/// Why there is no master key, or why it does not open what it should.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file is not there, though there is a database whose secrets it sealed.
    #[error(
        "the master key `{}` is missing: put it back from where it was exported to. \
         Without it no token can be checked; `claviger restore --new-master-key` makes another, \
         and every client has to log in again", .0.display()
    )]
    Missing(PathBuf),
    /// The file or variable holds something else.
    #[error("{from} does not hold a master key: it must be 32 bytes in base64")]
    Malformed {
        /// Where it was looked for.
        from: String,
    },
    /// The file cannot be read or written.
    #[error("the master key `{}` cannot be read or written", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// What was sealed cannot be opened: another key sealed it, or somebody changed it.
    #[error("this master key does not open what is sealed in the database: it belongs to another one")]
    DoesNotOpen,
    /// Nothing can be sealed and no key be made.
    #[error("the system has no randomness to give")]
    NoRandomness,
}

impl MasterKey {
    /// A new one from 32 random bytes.
    fn generate() -> Result<Self, MasterKeyError> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| MasterKeyError::NoRandomness)?;
        Self::from_bytes(bytes)
    }

    fn from_bytes(bytes: Zeroizing<[u8; KEY_LEN]>) -> Result<Self, MasterKeyError> {
        let cipher =
            RandomizedNonceKey::new(&AES_256_GCM, &*bytes).map_err(|_| MasterKeyError::DoesNotOpen)?;
        Ok(Self { bytes, cipher })
    }

    /// Reads it from its text form, as it stands in the file or an environment variable.
    ///
    /// # Errors
    /// Where the text is not 32 bytes in base64.
    pub fn parse(from: &str, text: &str) -> Result<Self, MasterKeyError> {
        let malformed = || MasterKeyError::Malformed { from: from.to_owned() };
        let decoded = Zeroizing::new(BASE64.decode(text.trim()).map_err(|_| malformed())?);
        let bytes: [u8; KEY_LEN] = decoded.as_slice().try_into().map_err(|_| malformed())?;
        Self::from_bytes(Zeroizing::new(bytes))
    }

    /// Reads the file.
    ///
    /// # Errors
    /// Where it is missing, unreadable or holds something else.
    pub fn read(path: &Path) -> Result<Self, MasterKeyError> {
        match fs::read_to_string(path).map(Zeroizing::new) {
            Ok(text) => Self::parse(&format!("`{}`", path.display()), &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(MasterKeyError::Missing(path.to_owned()))
            }
            Err(source) => Err(MasterKeyError::File { path: path.to_owned(), source }),
        }
    }

    /// Makes a new one and writes its file.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn create(path: &Path) -> Result<Self, MasterKeyError> {
        let key = Self::generate()?;
        key.write(path)?;
        Ok(key)
    }

    /// Writes it to a file that only its owner may read.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), MasterKeyError> {
        let text = Zeroizing::new(format!("{}\n", BASE64.encode(*self.bytes)));
        write_private(path, text.as_bytes())
            .map_err(|source| MasterKeyError::File { path: path.to_owned(), source })
    }

    /// Seals bytes for a purpose; only under the same purpose can they be opened again.
    ///
    /// # Errors
    /// Where the system has no randomness to give.
    pub fn seal(&self, purpose: &str, secret: &[u8]) -> Result<String, MasterKeyError> {
        let mut sealed = secret.to_vec();
        let nonce = self
            .cipher
            .seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut sealed)
            .map_err(|_| MasterKeyError::NoRandomness)?;
        sealed.extend_from_slice(nonce.as_ref());
        Ok(BASE64.encode(sealed))
    }

    /// Opens what was sealed for a purpose.
    ///
    /// # Errors
    /// Where it was sealed by another key, for another purpose, or was changed.
    pub fn open(&self, purpose: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
        let wrong = || MasterKeyError::DoesNotOpen;
        let bytes = BASE64.decode(sealed).map_err(|_| wrong())?;
        let (sealed, nonce) = bytes.split_last_chunk::<NONCE_LEN>().ok_or_else(wrong)?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let aad = Aad::from(purpose.as_bytes());
        let len = self.cipher.open_in_place(nonce, aad, &mut opened).map_err(|_| wrong())?.len();
        opened.truncate(len);
        Ok(opened)
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_its_own_for_the_same_purpose() {
        let (key, other) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        let sealed = key.seal("token-mac", b"secret").unwrap();
        assert_eq!(key.open("token-mac", &sealed).unwrap().as_slice(), b"secret");
        assert!(key.open("ca", &sealed).is_err());
        assert!(other.open("token-mac", &sealed).is_err());
        assert!(key.open("token-mac", &sealed[4..]).is_err());
        assert!(key.open("token-mac", "").is_err());
        assert_ne!(sealed, key.seal("token-mac", b"secret").unwrap());
    }

    #[test]
    fn survives_its_file_and_hides_in_debug() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let sealed = MasterKey::create(&path).unwrap().seal("p", b"x").unwrap();
        let again = MasterKey::read(&path).unwrap();
        assert_eq!(again.open("p", &sealed).unwrap().as_slice(), b"x");
        assert_eq!(format!("{again:?}"), "MasterKey");
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(MasterKey::read(&path), Err(MasterKeyError::Malformed { .. })));
    }
}
