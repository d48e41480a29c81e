//! What the journal costs beside what the disk and the database cost without it.
//!
//! Absolute figures say little: disks differ, and so does the same disk from minute to minute. So each measure runs
//! side by side with its yardstick, in short rounds by turns, and the medians of the rounds' ratios are what counts.
//!
//! `cargo bench -p journal` uses the system's folder for temporary files; to measure another disk, give `TMPDIR`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    error::Error,
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, Instant},
};

use futures::TryStreamExt;
use journal::{Change, Journal, NewEntry, Options};
use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const ROUNDS: usize = 25;
const ROUND: Duration = Duration::from_millis(200);
/// As many callers as wait for one commit.
const BATCH: u64 = 32;
const RECORDS: u64 = 100_000;
/// Entries before the first is timed: enough to fill the log once.
const WARM_UP: u64 = 40_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome {
    // `cargo test --benches` runs this too, only to see that it works.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 };
    let folder = tempfile::tempdir()?;
    one_entry(folder.path(), rounds).await?;
    many_entries(folder.path(), rounds).await?;
    streaming(folder.path(), rounds).await
}

/// One caller, one entry and one record a commit, beside a write and sync of as many bytes as that puts into the log.
async fn one_entry(folder: &Path, rounds: usize) -> Outcome {
    let mut yardstick = File::create(folder.join("yardstick"))?;
    let journal = Journal::open(&folder.join("one.db"), Options::default()).await?;
    // A log that grows makes the sync slower. Once it has its size, it is overwritten from the start.
    for first in (0..WARM_UP).step_by(100) {
        journal.begin().await?.commit((first..first + 100).map(entry).collect()).await?;
    }
    let mut number = WARM_UP;
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let syncs = per_second(async |_| synced_write(&mut yardstick)).await?;
        let commits = per_second(async |_| {
            number += 1;
            journal.begin().await?.commit(vec![entry(number)]).await?;
            Ok(1)
        })
        .await?;
        ratios.push(report("one-entry commits", commits, "syncs of 8 KiB", syncs));
    }
    println!("one entry a commit: {:.2} of the disk's rate\n", median(&mut ratios));
    Ok(journal.close().await?)
}

/// Overwrites the start of the file, as a log does that was emptied.
fn synced_write(file: &mut File) -> Outcome<u64> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&[0xa5; 8192])?;
    file.sync_data()?;
    Ok(1)
}

/// Many entries a commit, beside a loop that inserts the same rows one by one in transactions of the same size.
async fn many_entries(folder: &Path, rounds: usize) -> Outcome {
    let journal = Journal::open(&folder.join("many.db"), Options::default()).await?;
    let mut bare = bare_database(&folder.join("bare.db")).await?;
    let (mut number, mut bare_number) = (0, 0);
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let ours = per_second(async |_| {
            let entries = (0..BATCH).map(|n| entry(number + n)).collect();
            number += BATCH;
            journal.begin().await?.commit(entries).await?;
            Ok(2 * BATCH)
        })
        .await?;
        let theirs = per_second(async |_| {
            bare_number += BATCH;
            bare_commit(&mut bare, bare_number - BATCH).await
        })
        .await?;
        ratios.push(report("rows in commits of 32 entries", ours, "rows in a bare loop", theirs));
    }
    println!("32 entries a commit: {:.2} of a bare loop\n", median(&mut ratios));
    bare.close().await?;
    Ok(journal.close().await?)
}

/// The same tables under a connection of the same kind.
async fn bare_database(path: &Path) -> Outcome<SqliteConnection> {
    Journal::open(path, Options::default()).await?.close().await?;
    let options = SqliteConnectOptions::new().filename(path).synchronous(SqliteSynchronous::Full);
    Ok(options.disable_statement_logging().connect().await?)
}

async fn bare_commit(connection: &mut SqliteConnection, first: u64) -> Outcome<u64> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for n in first..first + BATCH {
        let NewEntry { at, body, changes, .. } = entry(n);
        let seq = i64::try_from(n)? + 1;
        sqlx::query("INSERT INTO journal (seq, at, hash, entry) VALUES ($1, $2, $3, $4)")
            .bind(seq)
            .bind(at)
            .bind(vec![0_u8; 32])
            .bind(body)
            .execute(&mut *transaction)
            .await?;
        for Change { kind, id, value } in changes {
            sqlx::query(
                "INSERT INTO record (kind, id, seq, value) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (kind, id) DO UPDATE SET seq = excluded.seq, value = excluded.value",
            )
            .bind(kind)
            .bind(id)
            .bind(seq)
            .bind(value)
            .execute(&mut *transaction)
            .await?;
        }
    }
    transaction.commit().await?;
    Ok(2 * BATCH)
}

/// A start: every record out of the database, beside the same query whose rows are only counted, and beside SQLite
/// adding up the lengths by itself, which hands out no row at all.
async fn streaming(folder: &Path, rounds: usize) -> Outcome {
    let path = folder.join("records.db");
    let journal = Journal::open(&path, Options::default()).await?;
    for first in (0..RECORDS).step_by(1000) {
        journal.begin().await?.commit((first..first + 1000).map(entry).collect()).await?;
    }
    let mut bare = SqliteConnectOptions::new().filename(&path).read_only(true).connect().await?;
    let (mut to_bare, mut to_sqlite) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let mut bytes = 0;
        let ours = timed(journal.for_each_record(|record| {
            bytes += record.kind.len() + record.id.len() + record.value.len();
            Ok::<(), journal::Error>(())
        }))
        .await?;
        let scan = timed(bare_scan(&mut bare)).await?;
        let sum = "SELECT SUM(LENGTH(kind) + LENGTH(id) + seq + LENGTH(value)) FROM record";
        let inside = timed(sqlx::query(sum).fetch_one(&mut bare)).await?;
        println!(
            "  {RECORDS} records: {ours:?}, bare scan {scan:?}, inside SQLite {inside:?}, {bytes} bytes"
        );
        to_bare.push(ours.div_duration_f64(scan));
        to_sqlite.push(ours.div_duration_f64(inside));
    }
    println!(
        "reading all records: {:.2} times a bare scan, {:.2} times a scan inside SQLite",
        median(&mut to_bare),
        median(&mut to_sqlite)
    );
    bare.close().await?;
    Ok(journal.close().await?)
}

async fn bare_scan(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let mut rows = sqlx::query("SELECT kind, id, seq, value FROM record").fetch(connection);
    let mut sum = 0;
    while let Some(row) = rows.try_next().await? {
        sum += row.try_get::<i64, _>(2)?;
    }
    Ok(sum)
}

/// An entry of the size that the authority writes. Ids start with the time, as those of the authority do.
fn entry(number: u64) -> NewEntry {
    let id = format!("{number:012x}-{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let grants = r#"[{"role":"operator","on":{"location":"0192f0c1-7c3a-7d52-9f0e-4b8a6c1d2e3f"}}]"#;
    let value = format!(r#"{{"v":1,"name":"key {number}","organization":"0192f0c1","grants":{grants}}}"#);
    let body =
        format!(r#"{{"v":1,"by":{{"user":"0192f0c1"}},"through":"CreateKey","put":[{{"key":"{id}"}}]}}"#);
    let changes = vec![Change { kind: "key", id, value: Some(value) }];
    NewEntry { at: 1_700_000_000_000_000, body, changes, documents: vec![] }
}

/// Does the work again and again for one round; it tells how much it did each time.
async fn per_second(mut work: impl AsyncFnMut(()) -> Outcome<u64>) -> Outcome<f64> {
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < ROUND {
        done += work(()).await?;
    }
    Ok(f64::from(u32::try_from(done)?) / start.elapsed().as_secs_f64())
}

async fn timed<T, E: Error + 'static>(work: impl Future<Output = Result<T, E>>) -> Outcome<Duration> {
    let start = Instant::now();
    work.await?;
    Ok(start.elapsed())
}

fn report(what: &str, ours: f64, yardstick: &str, theirs: f64) -> f64 {
    println!("  {what}: {ours:.0}/s, {yardstick}: {theirs:.0}/s");
    ours / theirs
}

fn median(ratios: &mut [f64]) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
}
