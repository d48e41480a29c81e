use std::sync::Arc;

use domain::command::{CreateLocation, CreateMachine, DeleteKey, DeleteMachine, FoundOrganization};
use domain::{Name, OrganizationId, Resource};
use journal::Absent;
use tempfile::TempDir;

use super::*;
use crate::{Authority, DataDir, MasterKeySource};

const ALL: Between = Between { after: 0, before: u64::MAX };

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn some(subject: Subject) -> Subjects {
    [subject].into()
}

fn organization(number: u8) -> Subject {
    Subject::Within(Resource::Organization(OrganizationId::from_bytes([number; 16])))
}

async fn open(folder: &TempDir) -> Authority {
    let data = DataDir::new(folder.path().to_owned());
    Authority::open(data, Absent::Create, MasterKeySource::DataDir).await.unwrap()
}

/// What has happened: everything that is found anew must be this.
async fn live(authority: &Authority) {
    let engine = &authority.engine;
    let found = FoundOrganization { name: name("o"), key_name: name("k") };
    let (organization, key) = engine.command("test", found).await.unwrap();
    for number in 0..10 {
        let location = CreateLocation {
            organization: organization.id,
            parent: None,
            name: name(&format!("location {number}")),
        };
        let location = engine.command("test", location).await.unwrap().id;
        let machine =
            CreateMachine { location, name: name("m"), secret: crate::secrets::make(engine).unwrap() };
        let machine = engine.command("test", machine).await.unwrap().id;
        engine.command("test", DeleteMachine { id: machine }).await.unwrap();
    }
    let refused = engine.command("test", DeleteKey { id: key.key.id }).await;
    assert!(refused.is_err(), "a refusal is no entry");
}

/// Every row of the index.
async fn rows(folder: &TempDir) -> Vec<(String, i64)> {
    let path = DataDir::new(folder.path().to_owned()).database();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query_as("SELECT subject, seq FROM trace ORDER BY subject, seq")
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

/// Does what a person with a shell could do, or a crash.
async fn tamper(folder: &TempDir, sql: &'static str) {
    let path = DataDir::new(folder.path().to_owned()).database();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
}

#[tokio::test]
async fn an_index_that_is_made_anew_is_the_one_that_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(&folder).await;
    live(&authority).await;
    authority.close().await;
    let written = rows(&folder).await;
    assert!(written.len() > 100, "{}", written.len());
    for lost in [
        "DELETE FROM trace; DELETE FROM note WHERE name = 'journal.traced'",
        "DELETE FROM trace WHERE seq > 15; UPDATE note SET value = '15' WHERE name = 'journal.traced'",
        "DELETE FROM trace WHERE seq > 31; UPDATE note SET value = '31' WHERE name = 'journal.traced'",
        "INSERT INTO trace VALUES ('elsewhere', 999); UPDATE note SET value = '999' WHERE name = 'journal.traced'",
    ] {
        tamper(&folder, lost).await;
        let authority = open(&folder).await;
        let head = authority.engine.journal().head().seq;
        assert_eq!(authority.engine.shared().trail.settled().await.unwrap(), head);
        authority.close().await;
        assert_eq!(rows(&folder).await, written, "{lost}");
    }
}

#[tokio::test]
async fn what_waits_is_found_before_and_after_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(&folder).await;
    live(&authority).await;
    let (shared, journal) = (authority.engine.shared(), authority.engine.journal());
    let head = shared.trail.settled().await.unwrap();
    assert_eq!(head, journal.head().seq);
    let all =
        |direction| shared.trail.find(journal, Subject::By(domain::Actor::System), ALL, 1_000, direction);
    let mut found = all(Direction::Forward).await.unwrap();
    assert!(found.iter().copied().eq(1..=head));
    authority.engine.stop();
    shared.trail.stop();
    tokio::time::timeout(Duration::from_secs(10), async {
        while journal.traced().await.unwrap() < head {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    assert!(shared.trail.tail.lock().found.is_empty());
    found.reverse();
    assert_eq!(all(Direction::Backward).await.unwrap(), found);
    authority.close().await;
}

#[tokio::test]
async fn a_gap_is_not_passed_over_and_what_waits_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let journal =
        journal::Journal::open(&folder.path().join("j.db"), journal::Options::default()).await.unwrap();
    let trail = Arc::new(Trail::load(&journal).await.unwrap());
    trail.add(1, some(organization(1)));
    trail.add(2, some(organization(2)));
    assert_eq!(trail.settled().await.unwrap(), 2);
    trail.add(2, some(organization(3)));
    let third = trail.find(&journal, organization(3), ALL, 9, Direction::Forward).await.unwrap();
    assert!(third.is_empty());
    // Nobody told of 3: what waited is found out again later, together with it.
    trail.add(4, some(organization(4)));
    let asked = tokio::spawn({
        let trail = Arc::clone(&trail);
        async move { trail.settled().await }
    });
    tokio::task::yield_now().await;
    assert!(!asked.is_finished());
    {
        let mut tail = trail.tail.lock();
        assert_eq!((tail.complete(), tail.waiting.len(), tail.found.len()), (0, 1, 1));
        tail.written(3, vec![]);
        trail.complete.send_replace(tail.complete());
    }
    assert_eq!(asked.await.unwrap().unwrap(), 4);
    for seq in 5..=10 + u64::try_from(KEPT).unwrap() {
        trail.add(seq, some(organization(1)));
    }
    let tail = trail.tail.lock();
    assert!(tail.waiting.len() <= KEPT && tail.found.len() == tail.waiting.len());
    assert_eq!(tail.complete(), 3);
}
