//! Durable key creation, against the disk and against a bare loop that writes the same rows.
//!
//! `cargo bench -p authority --bench creates`; `TMPDIR` chooses the disk.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

mod common;

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use authority::engine::Engine;
use authority::{Absent, Authority, DataDir, MasterKeySource};
use common::{ROUNDS, found, in_flight, median, per_second};
use domain::command::CreateKey;
use domain::{Grant, Name, Resource, Role, encode_record};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, QueryBuilder, Sqlite, SqliteConnection};
use tokio::sync::Mutex;

const CALLERS: usize = 32;
/// Creates before the first is timed. Few enough that the database's log only grows meanwhile.
const WARM_UP: u64 = 500;
/// The size of the database's log in daily use, in bytes.
const LOG: usize = 16 << 20;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // On a worker, as calls are: a hand-over to the thread that waits outside would not happen in a server.
    runtime.block_on(async { tokio::spawn(run()).await.unwrap() });
}

async fn run() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::new(folder.path().join("data"));
    let authority = Authority::open(data, Absent::Create, MasterKeySource::DataDir).await.unwrap();
    let engine = authority.engine.clone();
    let command = create(&engine).await;

    let log = folder.path().join("data").join("claviger.db-wal");
    let mut yardstick =
        Log::new(&folder.path().join("yardstick"), bytes_of_a_create(&engine, &command, &log).await);
    let mut one = Vec::new();
    for _ in 0..ROUNDS {
        let syncs = per_second(|| {
            yardstick.write();
            async { 1 }
        })
        .await;
        let creates = per_second(|| async {
            engine.command("bench", command.clone()).await.unwrap();
            1
        })
        .await;
        println!("  one caller: {creates:7.0} creates/s, {syncs:7.0} syncs of {} bytes/s", yardstick.bytes);
        one.push(creates / syncs);
    }

    let bare = Arc::new(Mutex::new(Bare::open(&folder.path().join("bare.db")).await));
    let (mut many, mut shared) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (entries, commits) = engine.shared().metrics.written();
        let creates = in_flight(CALLERS, |_| {
            let (engine, command) = (engine.clone(), command.clone());
            move || {
                let (engine, command) = (engine.clone(), command.clone());
                Box::pin(async move {
                    engine.command("bench", command).await.unwrap();
                })
            }
        })
        .await;
        let (entries_now, commits_now) = engine.shared().metrics.written();
        let a_sync = (entries_now - entries) as f64 / (commits_now - commits) as f64;
        // As many to a commit as ours had.
        let batch = (a_sync.round() as u64).max(1);
        let rows = rows_of(&engine, entries, batch).await;
        let loops = per_second(|| async { bare.lock().await.write(&rows).await }).await;
        println!(
            "  {CALLERS} callers: {creates:7.0} creates/s, {a_sync:4.1} a sync; bare loop {loops:7.0}/s"
        );
        many.push(creates / loops);
        shared.push(a_sync);
    }
    println!("one caller: creates / syncs of the same bytes (limit 0.50)   {:.2}", median(&mut one));
    println!("{CALLERS} callers: creates a sync (limit 8.0)                   {:.1}", median(&mut shared));
    println!("{CALLERS} callers: creates / bare loop of the same rows (0.50)  {:.2}", median(&mut many));
    drop(engine);
    authority.close().await;
}

/// A fleet, and the command that makes one more key for it.
async fn create(engine: &Engine) -> CreateKey {
    let fleet = found(engine).await;
    let grant = Grant { role: Role::Operator, resource: Resource::Machine(fleet.machine.id) };
    let name = Name::parse("one of many keys").unwrap();
    CreateKey { organization: None, name, grants: vec![grant], expires_at: None }
}

/// How many bytes a create adds to the database's log, on average: asked of the log while it is still growing.
async fn bytes_of_a_create(engine: &Engine, command: &CreateKey, log: &Path) -> usize {
    let before = log.metadata().unwrap().len();
    for _ in 0..WARM_UP {
        engine.command("bench", command.clone()).await.unwrap();
    }
    usize::try_from((log.metadata().unwrap().len() - before) / WARM_UP).unwrap()
}

/// What the disk does with the same bytes: a file of a log's size, overwritten from its start to its end and again,
/// and synced after each piece.
struct Log {
    file: File,
    bytes: usize,
}

impl Log {
    fn new(path: &Path, bytes: usize) -> Self {
        let mut file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        file.write_all(&vec![0x5a; LOG]).unwrap();
        file.sync_all().unwrap();
        Self { file, bytes }
    }

    fn write(&mut self) {
        if self.file.stream_position().unwrap() + self.bytes as u64 > LOG as u64 {
            self.file.rewind().unwrap();
        }
        self.file.write_all(&vec![0xa5; self.bytes]).unwrap();
        self.file.sync_data().unwrap();
    }
}

/// A row of the journal and the record it left.
struct Rows {
    at: i64,
    hash: Vec<u8>,
    body: String,
    id: String,
    value: String,
}

/// What the engine wrote, to be written again.
async fn rows_of(engine: &Engine, after: u64, batch: u64) -> Vec<Rows> {
    let entries = engine.journal().entries(after, u32::try_from(batch).unwrap()).await.unwrap();
    let record = |entry: &journal::StoredEntry| {
        let at = domain::Timestamp::from_micros(entry.at);
        let recorded = domain::Recorded::decode(entry.seq, at, &entry.body).unwrap();
        match recorded.changes().first() {
            Some(domain::Change::Put(record)) => encode_record(record).unwrap(),
            _ => String::new(),
        }
    };
    let rows = entries.iter().map(|entry| Rows {
        at: entry.at,
        hash: entry.hash.as_bytes().to_vec(),
        body: entry.body.clone(),
        id: format!("{:032}", entry.seq),
        value: record(entry),
    });
    rows.collect()
}

/// A database with the same two tables, and nothing but SQL in front of it.
struct Bare {
    connection: SqliteConnection,
    seq: i64,
}

impl Bare {
    async fn open(path: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        let mut connection = options.disable_statement_logging().connect().await.unwrap();
        let tables = "CREATE TABLE journal (seq BIGINT PRIMARY KEY, at BIGINT, hash BLOB, entry TEXT); \
                      CREATE TABLE record (kind TEXT, id TEXT, seq BIGINT, value TEXT, PRIMARY KEY (kind, id))";
        sqlx::raw_sql(tables).execute(&mut connection).await.unwrap();
        Self { connection, seq: 0 }
    }

    /// One transaction, one statement a table. How many entries were written.
    async fn write(&mut self, rows: &[Rows]) -> u64 {
        let first = self.seq;
        self.seq += i64::try_from(rows.len()).unwrap();
        let numbered = || (first + 1..).zip(rows);
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO journal (seq, at, hash, entry) ");
        insert.push_values(numbered(), |mut values, (seq, row)| {
            values
                .push_bind(seq)
                .push_bind(row.at)
                .push_bind(row.hash.as_slice())
                .push_bind(row.body.as_str());
        });
        insert.build().execute(&mut *transaction).await.unwrap();
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO record (kind, id, seq, value) ");
        insert.push_values(numbered(), |mut values, (seq, row)| {
            let id = format!("{seq:012}-{}", row.id);
            values.push_bind("key").push_bind(id).push_bind(seq).push_bind(row.value.as_str());
        });
        insert.build().execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        rows.len() as u64
    }
}
