//! Lengths of time as people write them in configurations and requests: `10s`, `1h30m`, `1.5m`.

use std::time::Duration;

/// Reads a length of time: numbers with units, one behind the other. Besides those that Go knows (ns, us, ms, s, m,
/// h) a day is `d` and a week is `w`. Nothing for anything else, and for what is longer than a thousand years.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    const LONGEST_SECS: u64 = 1_000 * 365 * 86_400;
    let mut rest = text;
    let mut sum = Duration::ZERO;
    loop {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let seconds = number.parse::<f64>().ok()? * seconds_of(unit)?;
        sum = sum.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        if sum.as_secs() > LONGEST_SECS {
            return None;
        }
        if after.is_empty() {
            return Some(sum);
        }
        rest = after;
    }
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, millis) in [
            ("10s", 10_000),
            ("1h30m", 5_400_000),
            ("1.5m", 90_000),
            ("250ms", 250),
            ("10d", 864_000_000),
            ("2w", 1_209_600_000),
            ("0s", 0),
            (".5s", 500),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "10", "s", "-1s", "1x", "1s ", " 1s", "1 s", "1..s", "1h30", "9999999999w", "1e9s", "infs"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
