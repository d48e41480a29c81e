use journal::{Absent, LinesFrom, Options};

use super::*;

const PART: PartId = PartId::from_bytes([1; 16]);
const OTHER: PartId = PartId::from_bytes([2; 16]);

async fn journal(folder: &tempfile::TempDir) -> Journal {
    let options = Options { absent: Absent::Create, views: &[] };
    Journal::open(&folder.path().join("claviger.db"), options).await.unwrap()
}

fn said(numbers: std::ops::Range<u32>) -> Vec<Bytes> {
    numbers.map(|number| Bytes::from(number.to_string())).collect()
}

async fn texts(logs: &Logs, journal: &Journal, from: From, limit: usize) -> Vec<String> {
    let lines = logs.read(journal, PART, from, limit).await.unwrap();
    lines.into_iter().map(|(_, body)| String::from_utf8(body.to_vec()).unwrap()).collect()
}

/// Every line once and in order, whatever is written already, page by page in both directions.
#[tokio::test]
async fn what_is_written_and_what_waits_read_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder).await;
    let logs = Logs::load(&journal).await.unwrap();
    assert!(texts(&logs, &journal, From::After(0), 9).await.is_empty());
    logs.add(PART, said(0..4)).unwrap();
    logs.flush(&journal).await.unwrap();
    logs.add(PART, said(4..7)).unwrap();
    logs.add(OTHER, said(0..9)).unwrap();
    for written in [false, true] {
        if written {
            logs.flush(&journal).await.unwrap();
        }
        for size in [1, 2, 3, 4, 7, 8] {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            let mut from = 0;
            while let Some((place, _)) = {
                let page = logs.read(&journal, PART, From::After(from), size).await.unwrap();
                up.extend(page.iter().map(|(_, body)| body.clone()));
                page.last().cloned()
            } {
                from = place;
            }
            let mut from = u64::MAX;
            while let Some((place, _)) = {
                let page = logs.read(&journal, PART, From::Before(from), size).await.unwrap();
                down.extend(page.iter().map(|(_, body)| body.clone()));
                page.last().cloned()
            } {
                from = place;
            }
            down.reverse();
            assert_eq!((&up, &down), (&said(0..7), &said(0..7)), "{size} {written}");
        }
    }
}

#[tokio::test]
async fn a_start_goes_on_where_the_log_ended() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder).await;
    let logs = Logs::load(&journal).await.unwrap();
    logs.add(PART, said(0..3)).unwrap();
    logs.flush(&journal).await.unwrap();
    let logs = Logs::load(&journal).await.unwrap();
    logs.add(PART, said(3..5)).unwrap();
    logs.flush(&journal).await.unwrap();
    assert_eq!(texts(&logs, &journal, From::Before(u64::MAX), 9).await, ["4", "3", "2", "1", "0"]);
}

#[tokio::test]
async fn a_log_is_bounded_by_lines_and_by_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder).await;
    let logs = Logs::load(&journal).await.unwrap();
    for _ in 0..3 {
        logs.add(PART, said(0..8_000)).unwrap();
        logs.flush(&journal).await.unwrap();
    }
    let kept = texts(&logs, &journal, From::Before(u64::MAX), usize::MAX).await;
    assert!((9_000..=10_000).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept[0], "7999");
    // They are not merely hidden.
    let rows = journal.lines(&PART.to_string(), LinesFrom::After(0), u32::MAX).await.unwrap();
    assert_eq!(rows.len(), kept.len());

    let large = Bytes::from(vec![b'x'; 200_000]);
    for _ in 0..100 {
        logs.add(PART, vec![large.clone()]).unwrap();
    }
    // Also before anything is written.
    assert!(logs.kept.lock().waiting <= 4 * 1024 * 1024);
    for _ in 0..2 {
        let lines = logs.read(&journal, PART, From::After(0), usize::MAX).await.unwrap();
        let bytes: usize = lines.iter().map(|(_, body)| body.len()).sum();
        assert!((3_000_000..=4 * 1024 * 1024).contains(&bytes), "{bytes}");
        logs.flush(&journal).await.unwrap();
    }
    assert_eq!(logs.kept.lock().waiting, 0);
}

#[tokio::test]
async fn what_cannot_be_held_is_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder).await;
    let logs = Logs::load(&journal).await.unwrap();
    let large = Bytes::from(vec![b'x'; 1_000_000]);
    let parts = (0..=255).map(|n| PartId::from_bytes([n; 16]));
    let refused = parts.filter(|part| logs.add(*part, vec![large.clone()]) == Err(Full)).count();
    assert_eq!(refused, 256 - 67);
    logs.flush(&journal).await.unwrap();
    assert_eq!(logs.add(PART, vec![large]), Ok(()));
}

#[tokio::test]
async fn a_log_goes_with_its_part() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder).await;
    let logs = Logs::load(&journal).await.unwrap();
    logs.add(PART, said(0..3)).unwrap();
    logs.flush(&journal).await.unwrap();
    logs.add(PART, said(3..5)).unwrap();
    logs.add(OTHER, said(0..1)).unwrap();
    logs.forget(&journal, &[PART]).await.unwrap();
    assert!(texts(&logs, &journal, From::After(0), 9).await.is_empty());
    assert!(journal.lines(&PART.to_string(), LinesFrom::After(0), 9).await.unwrap().is_empty());
    assert_eq!(logs.kept.lock().waiting, 1);
}

#[tokio::test]
async fn who_watches_hears_of_every_line() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::load(&journal(&folder).await).await.unwrap();
    let mut end = logs.watch(PART);
    logs.add(OTHER, said(0..1)).unwrap();
    assert!(!end.has_changed().unwrap());
    logs.add(PART, said(0..1)).unwrap();
    assert!(end.has_changed().unwrap());
    assert!(*end.borrow_and_update() > 0);
}
