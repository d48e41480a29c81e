//! The high-water mark: how far the journal had come, kept beside the master key and not in the database.
//!
//! Somebody who puts an old database file back by hand brings deleted keys back to life. The mark notices: the
//! journal must still hold the entry it names, with the same hash. It is written after each commit without
//! waiting for the disk, so after a power cut it may lag behind the journal, which is harmless; it is never
//! ahead of it. Putting back both files together is not noticed: that is what `claviger restore` is for.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use journal::Head;

/// The mark's file, open for as long as the authority runs.
#[derive(Debug)]
pub struct Mark {
    file: File,
    path: PathBuf,
}

/// What is wrong with the mark.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// The file cannot be read or written.
    #[error("the high-water mark `{}` cannot be read or written", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "the high-water mark `{}` is damaged. If the database was not put back by hand, accept it as it is: \
         claviger restore confirm", .0.display()
    )]
    Damaged(PathBuf),
}

/// Sequence number in 20 digits, a space, the hash in 64, a newline: always the same length, so that one write
/// replaces it whole.
fn line(head: Head) -> String {
    format!("{:020} {}\n", head.seq, head.hash)
}

impl Mark {
    /// Opens the mark, or makes one that says `head`, and tells what it says.
    ///
    /// # Errors
    /// Where the file cannot be used or holds something else.
    pub fn open(path: &Path, head: Head) -> Result<(Self, Head), MarkError> {
        let failed = |source| MarkError::File { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path).map_err(failed)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let mark = Self { file, path: path.to_owned() };
        if text.is_empty() {
            mark.advance(head)?;
            return Ok((mark, head));
        }
        let said = parse(&text).ok_or_else(|| MarkError::Damaged(path.to_owned()))?;
        Ok((mark, said))
    }

    /// Says that the journal has come this far.
    ///
    /// # Errors
    /// Where the file cannot be written. The journal is right all the same; the mark lags behind.
    pub fn advance(&self, head: Head) -> Result<(), MarkError> {
        let failed = |source| MarkError::File { path: self.path.clone(), source };
        self.file.write_all_at(line(head).as_bytes(), 0).map_err(failed)
    }
}

fn parse(text: &str) -> Option<Head> {
    let (seq, hash) = text.strip_suffix('\n')?.split_once(' ')?;
    let head = Head { seq: seq.parse().ok()?, hash: hash.parse().ok()? };
    // What is written is what would be written: nothing else passes for a mark.
    (line(head) == text).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_and_notices_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark");
        let head = Head { seq: 7, hash: "ab".repeat(32).parse().unwrap() };
        let (mark, said) = Mark::open(&path, Head::EMPTY).unwrap();
        assert_eq!(said, Head::EMPTY);
        mark.advance(head).unwrap();
        assert_eq!(Mark::open(&path, Head::EMPTY).unwrap().1, head);
        for damaged in ["x", "7 00", &line(head)[..60]] {
            std::fs::write(&path, damaged).unwrap();
            assert!(matches!(Mark::open(&path, head), Err(MarkError::Damaged(_))), "{damaged}");
        }
    }
}
