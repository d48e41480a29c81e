//! What a process that was killed left behind.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::time::Duration;

use domain::{FileId, Timestamp};
use futures::TryStreamExt as _;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::{Files, MODULES, SUFFIX};

/// How old a whole file that nobody speaks of has to be. Somebody may be about to put a newer backup back, whose
/// journal speaks of it.
const KEPT: i64 = 24 * 60 * 60;
/// The longest the start of an authority waits for its store.
const START: Duration = Duration::from_secs(10);

impl Files {
    /// Deletes what uploads that were killed left behind, and whole files of which no entry has spoken for a day.
    /// Before anything is served: an upload that runs would look the same.
    ///
    /// What a store elsewhere has of uploads that were killed is no object and not seen here; the store forgets it by a
    /// rule of its own.
    pub(crate) async fn sweep(&self, known: &HashSet<FileId>, now: Timestamp) {
        if let Err(error) = self.delete_unfinished() {
            tracing::warn!(%error, "what broken uploads left behind is not deleted");
        }
        match tokio::time::timeout(START, self.strays(known, now)).await {
            Ok(Ok(strays)) => {
                for id in strays {
                    tracing::info!(%id, "a file that nobody speaks of is deleted");
                    self.delete(id).await;
                }
            }
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the store of files does not answer; nothing else is affected");
            }
            Err(_) => tracing::error!("the store of files does not answer in time; nothing else is affected"),
        }
    }

    async fn strays(&self, known: &HashSet<FileId>, now: Timestamp) -> object_store::Result<Vec<FileId>> {
        let old = |meta: &ObjectMeta| {
            meta.last_modified.timestamp().saturating_add(KEPT) < now.as_micros().div_euclid(1_000_000)
        };
        let all: Vec<_> = self.store.list(Some(&Path::from(MODULES))).try_collect().await?;
        let stray = |meta: &ObjectMeta| {
            let name = meta.location.filename()?.strip_suffix(SUFFIX)?;
            name.parse().ok().filter(|id| !known.contains(id))
        };
        Ok(all.iter().filter(|meta| old(meta)).filter_map(stray).collect())
    }

    /// In a folder an upload stands beside its place until it is whole, with a `#` and a number behind the name.
    fn delete_unfinished(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        for entry in fs::read_dir(folder.join(MODULES))? {
            let entry = entry?;
            let name = entry.file_name();
            let unfinished =
                name.to_str().and_then(|name| name.split_once(SUFFIX)).is_some_and(|(_, rest)| {
                    let number = rest.strip_prefix('#').unwrap_or_default();
                    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
                });
            if unfinished {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;

    use super::*;
    use crate::data::DataDir;
    use crate::files::FileOptions;

    const fn id(byte: u8) -> FileId {
        FileId::from_bytes([byte; 16])
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn here(folder: &std::path::Path) -> Files {
        Files::open(&DataDir::new(folder), &FileOptions::default()).unwrap()
    }

    fn names(folder: &std::path::Path) -> Vec<String> {
        let entries = fs::read_dir(folder.join("files").join(MODULES)).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    async fn upload(
        files: &Files,
        id: FileId,
        pieces: &[&'static [u8]],
    ) -> Result<super::super::Uploaded, crate::Failure> {
        let mut upload = files.begin(id).await?;
        for piece in pieces {
            upload.write(Bytes::from_static(piece)).await?;
        }
        upload.finish().await
    }

    /// What is given up is deleted by a task of its own.
    async fn settled(folder: &std::path::Path, expected: &[String]) {
        for _ in 0..200 {
            if names(folder) == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(names(folder), expected);
    }

    #[tokio::test]
    async fn what_was_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let files = here(folder.path());
        let done = upload(&files, id(1), &[b"\x1f", b"\x8b-the", b" rest"]).await.unwrap();
        assert_eq!((done.size, done.crc32c), (11, 0xd1ed_5aa3));
        let part: Vec<_> = files.read(id(1), 3..7).await.unwrap().try_collect().await.unwrap();
        assert_eq!(part.concat(), b"the ");
        files.delete(id(1)).await;
        assert!(files.read(id(1), 0..1).await.is_err());
    }

    #[tokio::test]
    async fn what_is_refused_or_broken_off_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let options = FileOptions { limit: 4, ..FileOptions::default() };
        let files = Files::open(&DataDir::new(folder.path()), &options).unwrap();
        for pieces in [&[&b"\x1f\x8b"[..], b"123"][..], &[b"PK"], &[b"\x1f"], &[], &[b"\x1f", b"x"]] {
            assert!(upload(&files, id(1), pieces).await.is_err(), "{pieces:?}");
        }
        let mut broken = files.begin(id(2)).await.unwrap();
        broken.write(Bytes::from_static(b"\x1f\x8b")).await.unwrap();
        drop(broken);
        settled(folder.path(), &[]).await;
    }

    #[tokio::test]
    async fn only_strays_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let files = here(folder.path());
        for id in [id(1), id(2)] {
            upload(&files, id, &[b"\x1f\x8b"]).await.unwrap();
        }
        let place = folder.path().join("files").join(MODULES);
        fs::write(place.join(format!("{}{SUFFIX}#1", id(3))), "half").unwrap();
        fs::write(place.join("notes.txt"), "somebody's own").unwrap();
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
        let known = HashSet::from([id(1)]);
        let [one, two] = [1, 2].map(|byte| format!("{}{SUFFIX}", id(byte)));
        let notes = "notes.txt".to_owned();
        files.sweep(&known, at(now)).await;
        assert_eq!(names(folder.path()), [one.clone(), two, notes.clone()], "a day is not over");
        files.sweep(&known, at(now + KEPT + 60)).await;
        assert_eq!(names(folder.path()), [one, notes]);
    }

    #[test]
    fn addresses_are_looked_at() {
        for bad in ["", "s3://", "s3:///folder", "https://example.com", "file:///tmp", "s3://bucket/a//b"] {
            let options = FileOptions { store_url: Some(bad.to_owned()), ..FileOptions::default() };
            assert!(Files::open(&DataDir::new("nowhere"), &options).is_err(), "{bad}");
        }
    }
}
