//! A file as an answer in HTTP: whole, in part, or not at all where the caller has it already.

use std::ops::Range;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::{Module, ModuleFile};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::modules::plain;
use crate::files::Files;

/// What viam-server takes an archive for; it refuses any other.
const KIND: &str = "application/x-gzip";
/// Where viam-server looks for a checksum; it refuses a file without one.
const HASHES: HeaderName = HeaderName::from_static("x-goog-hash");

/// What a request asks for.
pub(super) struct Asked<'a> {
    pub(super) headers: &'a HeaderMap,
    /// Whether the content is wanted, and not only what is known of it.
    pub(super) with_body: bool,
    pub(super) version: &'a str,
    pub(super) file: &'a str,
}

/// What to answer with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Of(Range<u64>),
    Unchanged,
    None,
}

pub(super) async fn answer(files: &Files, module: &Module, asked: &Asked<'_>) -> Response<Body> {
    let called = asked.file.strip_suffix(".tar.gz").map(|platform| format!("{}-{platform}", asked.version));
    let Some((version, file)) = called.and_then(|called| module.file_called(&called)) else {
        return plain(StatusCode::NOT_FOUND, "not found\n");
    };
    let etag = format!("\"{}\"", file.sha256);
    let part = part(asked.headers, &etag, file.size);
    let (status, range) = match &part {
        Part::Whole => (StatusCode::OK, 0..file.size),
        Part::Of(range) => (StatusCode::PARTIAL_CONTENT, range.clone()),
        Part::Unchanged => (StatusCode::NOT_MODIFIED, 0..0),
        Part::None => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
    };
    let body = if asked.with_body && !range.is_empty() {
        match files.read(file.id, range.clone()).await {
            Ok(content) => Body::from_stream(content),
            Err(_) => return plain(StatusCode::SERVICE_UNAVAILABLE, "the store of files does not answer\n"),
        }
    } else {
        Body::empty()
    };
    let name = format!("{}-{}-{}.tar.gz", module.name, version.number, file.platform.dashed());
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    describe(answer.headers_mut(), module, file, &etag, &name);
    size(answer.headers_mut(), &part, &range, file.size);
    answer
}

fn describe(headers: &mut HeaderMap, module: &Module, file: &ModuleFile, etag: &str, name: &str) {
    // A shared cache must ask again as well: it may have become private.
    let cache = if module.visibility.is_private() { "private, no-cache" } else { "no-cache" };
    let crc32c = BASE64.encode(file.crc32c.to_be_bytes());
    for (header, value) in [
        (header::ETAG, etag),
        (header::ACCEPT_RANGES, "bytes"),
        (header::CACHE_CONTROL, cache),
        (header::VARY, "authorization, key, key_id, part_id, secret"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_TYPE, KIND),
        (header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\"")),
        (HASHES, &format!("crc32c={crc32c}")),
    ] {
        put(headers, header, value);
    }
}

fn size(headers: &mut HeaderMap, part: &Part, range: &Range<u64>, size: u64) {
    let length = range.end.saturating_sub(range.start);
    match part {
        Part::Whole => put(headers, header::CONTENT_LENGTH, &length.to_string()),
        Part::Of(_) => {
            put(headers, header::CONTENT_LENGTH, &length.to_string());
            let last = range.end.saturating_sub(1);
            put(headers, header::CONTENT_RANGE, &format!("bytes {}-{last}/{size}", range.start));
        }
        Part::Unchanged => {}
        Part::None => put(headers, header::CONTENT_RANGE, &format!("bytes */{size}")),
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Every value is made of what was parsed, and that is ASCII.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn part(headers: &HeaderMap, etag: &str, size: u64) -> Part {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let known = text(header::IF_NONE_MATCH).is_some_and(|known| {
        known.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == etag)
    });
    if known {
        return Part::Unchanged;
    }
    let same = text(header::IF_RANGE).is_none_or(|of| of == etag);
    match text(header::RANGE).filter(|_| same).and_then(parse_range) {
        Some(asked) => within(asked, size).map_or(Part::None, Part::Of),
        // Several ranges at once, and what is none, are answered with all of it, as one may.
        None => Part::Whole,
    }
}

/// First and last byte; without a first the last so many.
fn parse_range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| if text.is_empty() { Some(None) } else { digits(text).map(Some) };
    match (number(first.trim())?, number(last.trim())?) {
        (None, None) => None,
        (Some(first), Some(last)) if last < first => None,
        range => Some(range),
    }
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn within((first, last): (Option<u64>, Option<u64>), size: u64) -> Option<Range<u64>> {
    let range = match (first, last) {
        (Some(first), last) => first..last.map_or(size, |last| last.saturating_add(1)).min(size),
        (None, count) => size.saturating_sub(count.unwrap_or(0))..size,
    };
    (range.start < range.end).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(HeaderName, &str)]) -> Part {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(name.clone(), value.parse().unwrap());
        }
        part(&headers, "\"e\"", 10)
    }

    #[test]
    fn ranges_as_a_table() {
        for (range, expected) in [
            ("bytes=0-0", Part::Of(0..1)),
            ("bytes=2-5", Part::Of(2..6)),
            ("bytes=2-", Part::Of(2..10)),
            ("bytes=9-99", Part::Of(9..10)),
            ("bytes=-3", Part::Of(7..10)),
            ("bytes=-30", Part::Of(0..10)),
            ("bytes=0-18446744073709551615", Part::Of(0..10)),
            ("bytes=10-", Part::None),
            ("bytes=-0", Part::None),
            ("bytes=5-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("lines=1-2", Part::Whole),
            ("bytes=99999999999999999999-", Part::Whole),
        ] {
            assert_eq!(asked(&[(header::RANGE, range)]), expected, "{range}");
        }
    }

    #[test]
    fn what_the_caller_has_is_not_sent_again() {
        for known in ["\"e\"", "W/\"e\"", "\"x\", \"e\"", "*"] {
            assert_eq!(asked(&[(header::IF_NONE_MATCH, known)]), Part::Unchanged, "{known}");
        }
        assert_eq!(asked(&[(header::IF_NONE_MATCH, "\"x\"")]), Part::Whole);
        let range = (header::RANGE, "bytes=1-1");
        assert_eq!(asked(&[range.clone(), (header::IF_RANGE, "\"e\"")]), Part::Of(1..2));
        assert_eq!(asked(&[range, (header::IF_RANGE, "\"x\"")]), Part::Whole, "it is another file by now");
    }
}
