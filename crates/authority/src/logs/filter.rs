//! Which lines of a log somebody asks for.

use domain::Timestamp;
use wire::convert;
use wire::viam::common::v1::LogEntry;

/// What a line has to be; what is absent is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// One of these levels.
    pub(crate) levels: Vec<String>,
    /// With this in its message.
    pub(crate) text: String,
    /// From this logger, or from one below it.
    pub(crate) source: String,
    /// From then on.
    pub(crate) start: Option<Timestamp>,
    /// Before then.
    pub(crate) end: Option<Timestamp>,
}

/// The levels of what went wrong.
const ERRORS: [&str; 5] = ["error", "dpanic", "panic", "fatal", "critical"];

impl Filter {
    /// Lines of what went wrong, or all.
    pub(crate) fn errors(only: bool) -> Self {
        let levels = if only { ERRORS.map(str::to_owned).to_vec() } else { Vec::new() };
        Self { levels, ..Self::default() }
    }

    /// Whether the line is asked for.
    pub(crate) fn matches(&self, line: &LogEntry) -> bool {
        let level = || level(&line.level);
        let time = || line.time.and_then(|time| convert::parse_timestamp("time", time).ok());
        (self.levels.is_empty() || self.levels.contains(&level()))
            && line.message.contains(&self.text)
            && self.is_from(&line.logger_name)
            && self.start.is_none_or(|start| time().is_some_and(|time| time >= start))
            && self.end.is_none_or(|end| time().is_some_and(|time| time < end))
    }

    fn is_from(&self, logger: &str) -> bool {
        self.source.is_empty()
            || logger
                .strip_prefix(self.source.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// A level in the one way it is compared: machines write `INFO`, `info` and `warning`.
pub(crate) fn level(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    if text == "warning" { "warn".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_asked_has_to_be_so() {
        let line = LogEntry {
            level: "WARNING".to_owned(),
            message: "motor is hot".to_owned(),
            logger_name: "rdk.arm.left".to_owned(),
            time: Some(convert::timestamp(Timestamp::from_micros(5))),
            ..LogEntry::default()
        };
        let at = |micros| Some(Timestamp::from_micros(micros));
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let all = Filter::default();
        for (filter, expected) in [
            (all.clone(), true),
            (Filter { levels: texts(&["info", "warn"]), ..all.clone() }, true),
            (Filter { levels: texts(&["info"]), ..all.clone() }, false),
            (Filter::errors(true), false),
            (Filter::errors(false), true),
            (Filter { text: "is hot".to_owned(), ..all.clone() }, true),
            (Filter { text: "is cold".to_owned(), ..all.clone() }, false),
            (Filter { source: "rdk.arm".to_owned(), ..all.clone() }, true),
            (Filter { source: "rdk.arm.left".to_owned(), ..all.clone() }, true),
            (Filter { source: "rdk.a".to_owned(), ..all.clone() }, false),
            (Filter { start: at(5), end: at(6), ..all.clone() }, true),
            (Filter { start: at(6), ..all.clone() }, false),
            (Filter { end: at(5), ..all.clone() }, false),
        ] {
            assert_eq!(filter.matches(&line), expected, "{filter:?}");
        }
        let timeless = LogEntry { time: None, ..line };
        assert!(!Filter { start: at(0), ..all }.matches(&timeless));
    }
}
