//! Reading a log: what is written and what still waits, as one.

use domain::PartId;
use journal::{Journal, LinesFrom};
use prost::bytes::Bytes;

use super::{Line, Log, Logs, bounds};

/// From where, and which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// The lines before this place, the newest first.
    Before(u64),
    /// The lines after this place, the oldest first.
    After(u64),
}

/// What memory knows of what was asked for.
struct Remembered {
    /// The lines that wait, in the order asked for.
    waiting: Vec<Line>,
    /// Everything from here on waits.
    first: u64,
    /// What lies here or further back does not count any more.
    floor: u64,
}

impl Logs {
    /// At most `limit` lines of a part, as their places and bytes.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub(crate) async fn read(
        &self,
        journal: &Journal,
        part: PartId,
        from: From,
        limit: usize,
    ) -> Result<Vec<(u64, Bytes)>, journal::Error> {
        let known = self.kept.lock().parts.get(&part).map(|log| log.remembered(from, limit));
        let Some(Remembered { waiting, first, floor }) = known else { return Ok(Vec::new()) };
        let subject = part.to_string();
        let rows = async |from, limit: usize| {
            let limit = u32::try_from(limit).unwrap_or(u32::MAX);
            let rows = journal.lines(&subject, from, limit).await?;
            let rows = rows.into_iter().map(|(place, body)| (place, Bytes::from(body)));
            // What was written since memory was asked is in the lines that waited.
            Ok(rows.filter(|(place, _)| (floor + 1..first).contains(place)).collect::<Vec<_>>())
        };
        let waiting = waiting.into_iter().map(|line| (line.place, line.body));
        match from {
            From::Before(place) => {
                let mut lines: Vec<_> = waiting.collect();
                if lines.len() < limit {
                    let rest = limit - lines.len();
                    lines.extend(rows(LinesFrom::Before(place.min(first)), rest).await?);
                }
                Ok(lines)
            }
            From::After(place) => {
                let mut lines = Vec::new();
                if place < first {
                    lines = rows(LinesFrom::After(place.max(floor)), limit).await?;
                }
                let rest = limit.saturating_sub(lines.len());
                lines.extend(waiting.take(rest));
                Ok(lines)
            }
        }
    }
}

impl Log {
    fn remembered(&self, from: From, limit: usize) -> Remembered {
        let waiting = match from {
            From::Before(place) => {
                let wanted = self.waiting.iter().rev().filter(|line| line.place < place);
                wanted.take(limit).cloned().collect()
            }
            From::After(place) => {
                let wanted = self.waiting.iter().filter(|line| line.place > place);
                wanted.take(limit).cloned().collect()
            }
        };
        let first = self.waiting.front().map_or(u64::MAX, |line| line.place);
        Remembered { waiting, first, floor: bounds::floor(self.end) }
    }
}
