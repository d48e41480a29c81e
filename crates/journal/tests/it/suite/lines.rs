//! Lines, which stand beside the chain.

use journal::{CommitError, Error, Head, Journal, Line, LinesFrom};

use crate::ground::Ground;

fn line(subject: &str, place: u64, body: &str) -> Line {
    Line { subject: subject.to_owned(), place, body: body.as_bytes().to_vec() }
}

async fn read(journal: &Journal, subject: &str, from: LinesFrom, limit: u32) -> Vec<(u64, String)> {
    let lines = journal.lines(subject, from, limit).await.unwrap();
    lines.into_iter().map(|(place, body)| (place, String::from_utf8(body).unwrap())).collect()
}

async fn places(journal: &Journal, subject: &str) -> Vec<u64> {
    let all = read(journal, subject, LinesFrom::After(0), u32::MAX).await;
    all.into_iter().map(|(place, _)| place).collect()
}

pub(crate) async fn pages_both_ways(ground: impl Ground) {
    let journal = ground.open().await;
    journal.add_lines(&[], &[]).await.unwrap();
    let many: Vec<_> = (1..=300).map(|n| line("arm", n * 10, &format!("{n}"))).collect();
    journal.add_lines(&many, &[]).await.unwrap();
    journal.add_lines(&[line("rover", 1, "\u{0}odd")], &[]).await.unwrap();
    let page = read(&journal, "arm", LinesFrom::Before(u64::MAX), 2).await;
    assert_eq!(page, [(3000, "300".to_owned()), (2990, "299".to_owned())]);
    let page = read(&journal, "arm", LinesFrom::Before(2990), 1).await;
    assert_eq!(page, [(2980, "298".to_owned())]);
    let page = read(&journal, "arm", LinesFrom::After(2980), 9).await;
    assert_eq!(page, [(2990, "299".to_owned()), (3000, "300".to_owned())]);
    assert_eq!(read(&journal, "rover", LinesFrom::After(0), 9).await, [(1, "\u{0}odd".to_owned())]);
    assert_eq!(read(&journal, "nobody", LinesFrom::After(0), 9).await, []);
    assert_eq!(journal.head(), Head::EMPTY);
}

/// So that a batch whose outcome is unknown may be written again.
pub(crate) async fn a_line_takes_the_place_of_another(ground: impl Ground) {
    let journal = ground.open().await;
    let first = [line("arm", 1, "a"), line("arm", 2, "b"), line("arm", 2, "c")];
    journal.add_lines(&first, &[]).await.unwrap();
    journal.add_lines(&first, &[]).await.unwrap();
    let all = read(&journal, "arm", LinesFrom::After(0), 9).await;
    assert_eq!(all, [(1, "a".to_owned()), (2, "c".to_owned())]);
}

pub(crate) async fn what_lies_too_far_back_is_forgotten(ground: impl Ground) {
    let journal = ground.open().await;
    let both: Vec<_> = (1..=9).flat_map(|n| [line("arm", n, ""), line("rover", n, "")]).collect();
    journal.add_lines(&both, &[("arm".to_owned(), 3)]).await.unwrap();
    assert_eq!(places(&journal, "arm").await, [4, 5, 6, 7, 8, 9]);
    assert_eq!(places(&journal, "rover").await.len(), 9);
    let further = [line("arm", 10, "")];
    journal.add_lines(&further, &[("arm".to_owned(), 8), ("rover".to_owned(), u64::MAX >> 1)]).await.unwrap();
    assert_eq!(places(&journal, "arm").await, [9, 10]);
    assert_eq!(ground.count("SELECT COUNT(*) FROM line").await, 2);
}

pub(crate) async fn every_subject_is_told_once(ground: impl Ground) {
    let journal = ground.open().await;
    let told = async || {
        let mut told = Vec::new();
        let read = journal.for_each_last_line(|subject, place| {
            told.push((subject, place));
            Ok::<(), Error>(())
        });
        read.await.unwrap();
        told
    };
    assert_eq!(told().await, []);
    let lines: Vec<_> = (0..200)
        .flat_map(|n| [line(&format!("{n:03}"), n + 1, ""), line(&format!("{n:03}"), n + 7, "")])
        .collect();
    journal.add_lines(&lines, &[]).await.unwrap();
    let expected: Vec<_> = (0..200).map(|n| (format!("{n:03}"), n + 7)).collect();
    assert_eq!(told().await, expected);
}

/// Refused whole: the line that is in range is not written either.
pub(crate) async fn a_place_out_of_range(ground: impl Ground) {
    let journal = ground.open().await;
    let outcome = journal.add_lines(&[line("arm", 1, ""), line("arm", u64::MAX, "")], &[]).await;
    assert!(
        matches!(outcome, Err(CommitError::Refused(Error::OutOfRange { column: "place", .. }))),
        "{outcome:?}"
    );
    assert_eq!(places(&journal, "arm").await, []);
}
