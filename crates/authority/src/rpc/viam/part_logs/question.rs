//! What is asked of a log.

use domain::{PartId, Refusal, Timestamp};
use wire::convert::{self, duration::parse_duration};
use wire::viam::app::v1 as pb;

use crate::failure::Failure;
use crate::logs::{Filter, From, level};

/// How many lines a page has at most, and unless asked otherwise.
const MAX_LIMIT: i64 = 10_000;
const LIMIT: i64 = 100;

/// How many levels one may ask for, and how long the name of one is at most.
const MAX_LEVELS: usize = 20;
const MAX_LEVEL: usize = 32;

/// Which lines, from where, and how many.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) part: PartId,
    pub(super) filter: Filter,
    pub(super) from: From,
    pub(super) limit: usize,
}

impl Question {
    pub(super) fn parse(request: pb::GetRobotPartLogsRequest, now: Timestamp) -> Result<Self, Failure> {
        let ascending = ascending(&request)?;
        let pb::GetRobotPartLogsRequest { id, errors_only, filter, page_token, levels, start, end, .. } =
            request;
        let part = super::part(&id)?;
        let mut filter = super::filter(errors_only, filter)?;
        if !levels.is_empty() {
            let asked = parse_levels(&levels)?;
            // Both were asked for, so both have to be so.
            let both = |asked: &String| filter.levels.is_empty() || filter.levels.contains(asked);
            filter.levels = asked.into_iter().filter(both).collect();
            if filter.levels.is_empty() {
                let rule = "must have one of error and above where errors_only is set";
                return Err(Refusal::invalid("levels", rule).into());
            }
        }
        if request.user_facing_only == Some(true) {
            let rule = "must be absent: machines do not say which lines are meant for users";
            return Err(Refusal::invalid("user_facing_only", rule).into());
        }
        filter.source = request.source.unwrap_or_default();
        filter.start = convert::optional_timestamp("start", start)?;
        filter.end = convert::optional_timestamp("end", end)?;
        if let Some(range) = request.range.filter(|range| !range.is_empty()) {
            narrow(&mut filter, &range, now)?;
        }
        let from = place(page_token.as_deref().unwrap_or_default(), ascending)?;
        let limit = request.limit.unwrap_or(LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Refusal::invalid("limit", format!("must be 1 to {MAX_LIMIT}")).into());
        }
        Ok(Self { part, filter, from, limit: usize::try_from(limit).unwrap_or(1) })
    }
}

fn ascending(request: &pb::GetRobotPartLogsRequest) -> Result<bool, Refusal> {
    match request.order.map(pb::LogOrder::try_from) {
        Some(Ok(pb::LogOrder::Ascending)) => Ok(true),
        None | Some(Ok(pb::LogOrder::Descending | pb::LogOrder::Unspecified)) => Ok(false),
        Some(Err(_)) => Err(Refusal::invalid("order", "must be ascending or descending")),
    }
}

fn parse_levels(levels: &[String]) -> Result<Vec<String>, Refusal> {
    if levels.len() > MAX_LEVELS {
        return Err(Refusal::invalid("levels", format!("must be at most {MAX_LEVELS}")));
    }
    let each = levels.iter().enumerate().map(|(number, text)| {
        let good =
            (1..=MAX_LEVEL).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic());
        let rule = "must be the name of a level, such as info, warn or error";
        if good { Ok(level(text)) } else { Err(Refusal::invalid(format!("levels[{number}]"), rule)) }
    });
    each.collect()
}

/// Adds the end of the time that is missing, so that it is as long as asked for.
fn narrow(filter: &mut Filter, range: &str, now: Timestamp) -> Result<(), Refusal> {
    let rule = "must be a length of time, such as 10m, 10h or 10d";
    let length = parse_duration(range).ok_or_else(|| Refusal::invalid("range", rule))?;
    let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
    let moved = |time: Timestamp, by: i64| Timestamp::from_micros(time.as_micros().saturating_add(by));
    match (filter.start, filter.end) {
        (Some(_), Some(_)) => {
            return Err(Refusal::invalid("range", "must be absent where both start and end are there"));
        }
        (Some(start), None) => filter.end = Some(moved(start, micros)),
        (None, Some(end)) => filter.start = Some(moved(end, -micros)),
        (None, None) => filter.start = Some(moved(now, -micros)),
    }
    Ok(())
}

/// Where a page begins. The token is the place of the last line of the page before, so a page follows on also if that
/// line is gone by then.
fn place(token: &str, ascending: bool) -> Result<From, Refusal> {
    let after = match token {
        "" => None,
        token => Some(token.parse().map_err(|_| {
            Refusal::invalid("page_token", "must be the next_page_token of the page before, or empty")
        })?),
    };
    Ok(if ascending { From::After(after.unwrap_or(0)) } else { From::Before(after.unwrap_or(u64::MAX)) })
}

/// Behind a line that was read.
pub(super) const fn onward(from: From, last: u64) -> From {
    match from {
        From::Before(_) => From::Before(last),
        From::After(_) => From::After(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0198c5a4-7d10-7c3e-9f00-4b1d2e3f4a5b";
    const NOW: Timestamp = Timestamp::from_micros(90_000_000);

    fn asked(change: impl FnOnce(&mut pb::GetRobotPartLogsRequest)) -> Result<Question, String> {
        let mut request = pb::GetRobotPartLogsRequest { id: ID.to_owned(), ..Default::default() };
        change(&mut request);
        Question::parse(request, NOW).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_newest_hundred_unless_asked_otherwise() {
        let question = asked(|_| {}).unwrap();
        assert_eq!((question.from, question.limit), (From::Before(u64::MAX), 100));
        assert_eq!(question.filter, Filter::default());
        let question = asked(|request| {
            request.order = Some(1);
            request.page_token = Some("7".to_owned());
        });
        assert_eq!(question.unwrap().from, From::After(7));
    }

    #[test]
    fn a_range_goes_with_one_end() {
        let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let ends = |start, end| {
            let filter = asked(|request| {
                request.range = Some("1m".to_owned());
                (request.start, request.end) = (start, end);
            })
            .map(|question| question.filter);
            filter.map(|filter| {
                [filter.start, filter.end].map(|end| end.map(|end| end.as_micros() / 1_000_000))
            })
        };
        assert_eq!(ends(None, None), Ok([Some(30), None]));
        assert_eq!(ends(time(10), None), Ok([Some(10), Some(70)]));
        assert_eq!(ends(None, time(80)), Ok([Some(20), Some(80)]));
        assert!(ends(time(1), time(2)).unwrap_err().starts_with("range:"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Change = fn(&mut pb::GetRobotPartLogsRequest);
        let cases: [(Change, &str); 11] = [
            (|it| it.id = "arm".to_owned(), "id:"),
            (|it| it.filter = Some("x".repeat(1_025)), "filter:"),
            (|it| it.page_token = Some("x".to_owned()), "page_token:"),
            (|it| it.levels = vec!["info".to_owned(), String::new()], "levels[1]:"),
            (|it| it.levels = vec!["info".to_owned(); 21], "levels:"),
            (|it| (it.errors_only, it.levels) = (true, vec!["info".to_owned()]), "levels:"),
            (|it| it.limit = Some(0), "limit:"),
            (|it| it.limit = Some(10_001), "limit:"),
            (|it| it.order = Some(9), "order:"),
            (|it| it.range = Some("soon".to_owned()), "range:"),
            (|it| it.user_facing_only = Some(true), "user_facing_only:"),
        ];
        for (change, field) in cases {
            let said = asked(change).unwrap_err();
            assert!(said.starts_with(field), "{said}");
        }
    }
}
