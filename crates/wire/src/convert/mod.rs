//! Between the wire and the domain: parse, don't check.
//!
//! Whatever comes out of here is well formed, or a [`Refusal`] says which field is not and what it must be.
//! [`viam`] and [`modules`] speak `viam.app.v1`, [`claviger`] and [`audit`] speak `claviger.v1`; what they share is here.

pub mod audit;
pub mod claviger;
pub mod config;
pub mod duration;
pub mod modules;
pub mod part;
mod status;
pub mod structs;
pub mod viam;

pub use status::status;

use std::fmt::Display;
use std::str::FromStr;

use domain::{Name, Refusal, Timestamp};

/// Reads an id out of a field.
///
/// # Errors
/// Names the field and the form an id of that kind has.
pub fn id<T: FromStr<Err = impl Display>>(field: impl Into<String>, text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|rule| Refusal::invalid(field, rule))
}

/// Reads an id out of a field where empty means absent.
///
/// # Errors
/// As [`id`].
pub fn optional_id<T: FromStr<Err = impl Display>>(field: &str, text: &str) -> Result<Option<T>, Refusal> {
    if text.is_empty() { Ok(None) } else { id(field, text).map(Some) }
}

/// Reads a name out of a field.
///
/// # Errors
/// Names the field and the rule for names it breaks.
pub fn name(field: impl Into<String>, text: &str) -> Result<Name, Refusal> {
    Name::parse(text).map_err(|rule| Refusal::invalid(field, rule))
}

/// Reads a name out of an optional field.
///
/// # Errors
/// As [`name`].
pub fn optional_name(field: &str, text: Option<&str>) -> Result<Option<Name>, Refusal> {
    text.map(|text| name(field, text)).transpose()
}

/// A point in time for the wire.
#[must_use]
pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.as_micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

/// Reads a point in time out of a field; finer than a microsecond is cut off.
///
/// # Errors
/// Where it lies outside the years 1 to 9998 (calendars end a little before 9999 does) or its nanoseconds are none.
pub fn parse_timestamp(field: &str, time: prost_types::Timestamp) -> Result<Timestamp, Refusal> {
    const YEAR_1: i64 = -62_135_596_800;
    const YEAR_9998: i64 = 253_370_764_799;
    let prost_types::Timestamp { seconds, nanos } = time;
    if !(YEAR_1..=YEAR_9998).contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return Err(Refusal::invalid(field, "must be a point in time between the years 1 and 9998"));
    }
    Ok(Timestamp::from_micros(seconds * 1_000_000 + i64::from(nanos / 1_000)))
}

/// Reads a point in time out of a field that may be absent.
///
/// # Errors
/// As [`parse_timestamp`].
pub fn optional_timestamp(
    field: &str,
    time: Option<prost_types::Timestamp>,
) -> Result<Option<Timestamp>, Refusal> {
    time.map(|time| parse_timestamp(field, time)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_wire() {
        for micros in [0, 1, -1, 1_795_000_000_123_456, -62_135_596_800_000_000] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(parse_timestamp("t", timestamp(time)).unwrap(), time);
        }
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000)] {
            assert!(parse_timestamp("t", prost_types::Timestamp { seconds, nanos }).is_err());
        }
    }
}
