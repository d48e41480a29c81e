//! How much is kept of a log.

use prost::Message as _;
use wire::viam::common::v1::LogEntry;

/// The most bytes of a part's log.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The most lines of a part's log.
const MAX_LINES: u64 = 10_000;

/// The most bytes of a line.
const MAX_LINE: u64 = 256 * 1024;

/// The most bytes of one text in a line.
const MAX_TEXT: usize = 64 * 1024;

/// The most bytes of one call.
pub(crate) const MAX_CALL: usize = 1024 * 1024;

/// How far back lines are kept. The oldest one may begin up to a line's length further back.
const KEPT: u64 = MAX_BYTES - MAX_LINE;

/// What the shortest line counts for: so many of them fill what is kept that the number of lines is bounded too.
const LEAST: u64 = KEPT.div_ceil(MAX_LINES - 1);

const _: () = assert!(KEPT / LEAST < MAX_LINES);
const _: () = assert!(KEPT + MAX_LINE <= MAX_BYTES);

/// What a line counts for.
pub(super) fn charge(len: usize) -> u64 {
    number(len).max(LEAST)
}

fn number(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Lines at or before this place are dropped.
pub(super) const fn floor(end: u64) -> u64 {
    end.saturating_sub(KEPT)
}

/// Cuts a line to the length it may have: its texts first, then what was said beside them.
pub(crate) fn cut(line: &mut LogEntry) {
    for text in [&mut line.host, &mut line.level, &mut line.logger_name, &mut line.message, &mut line.stack] {
        let whole = text.len();
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        if text.len() < whole {
            text.push_str(" ... (cut)");
        }
    }
    // The names of a host, a level and a logger are short, or nothing is lost.
    for text in [&mut line.host, &mut line.level, &mut line.logger_name] {
        text.truncate(text.floor_char_boundary(1_024));
    }
    if number(line.encoded_len()) > MAX_LINE {
        line.fields.clear();
    }
    if number(line.encoded_len()) > MAX_LINE {
        line.caller = None;
    }
}

#[cfg(test)]
mod tests {
    use prost_types::{Struct, Value, value::Kind};

    use super::*;

    #[test]
    fn a_short_line_counts_for_more_than_it_is() {
        assert_eq!((charge(0), charge(1_000)), (LEAST, 1_000));
        assert_eq!((floor(5), floor(KEPT + 5)), (0, 5));
    }

    #[test]
    fn the_longest_line_fits() {
        let long = || "\u{e4}".repeat(MAX_TEXT);
        let text = Value { kind: Some(Kind::StringValue(long())) };
        let beside = Struct { fields: [("text".to_owned(), text)].into() };
        let mut line = LogEntry {
            host: long(),
            level: long(),
            time: None,
            logger_name: long(),
            message: long(),
            caller: Some(beside.clone()),
            stack: long(),
            fields: vec![beside; 9],
        };
        cut(&mut line);
        assert!(number(line.encoded_len()) <= MAX_LINE, "{}", line.encoded_len());
        assert!(line.message.ends_with("\u{e4} ... (cut)") && line.message.len() <= MAX_TEXT + 10);
        let mut short = LogEntry { message: "short".to_owned(), ..LogEntry::default() };
        cut(&mut short);
        assert_eq!(short.message, "short");
    }
}
