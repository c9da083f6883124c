//! When the other side asks to be tried again.

use std::time::{Duration, UNIX_EPOCH};

use http::header::{HeaderMap, RETRY_AFTER};
use meshhook_core::time::Timestamp;

/// The longest wait that a `Retry-After` can ask for.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(3_600);

/// Reads `Retry-After` (RFC 9110, section 10.2.3): seconds or an HTTP date, at most an hour from now.
///
/// What is malformed, given twice or not in the future is ignored: the node's own backoff stands then.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let mut values = headers.get_all(RETRY_AFTER).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let text = value.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean a longer wait than is granted anyway.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        Timestamp::EPOCH.after(at).since(now)
    };
    if wait.is_zero() { None } else { Some(now.after(wait.min(MAX_WAIT))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(values: &[&str]) -> Option<u64> {
        let now: Timestamp = "2026-01-02T03:04:05.5Z".parse().unwrap();
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        }
        retry_after(&headers, now).map(|at| at.since(now).as_millis() as u64)
    }

    #[test]
    fn seconds_and_dates_are_understood() {
        assert_eq!(read(&["1"]), Some(1_000));
        assert_eq!(read(&[" 120 "]), Some(120_000));
        assert_eq!(read(&["Fri, 02 Jan 2026 03:05:05 GMT"]), Some(59_500));
        assert_eq!(read(&["Friday, 02-Jan-26 03:05:05 GMT"]), Some(59_500));
    }

    #[test]
    fn long_waits_are_cut_to_an_hour() {
        for text in [
            "3600",
            "3601",
            "86400",
            "1000000000000000000",
            "99999999999999999999999999",
            "Fri, 31 Dec 9999 23:59:59 GMT",
        ] {
            assert_eq!(read(&[text]), Some(3_600_000), "{text}");
        }
    }

    #[test]
    fn nonsense_is_ignored() {
        for text in [
            "",
            "0",
            "-1",
            "+5",
            "1.5",
            "1e18",
            "soon",
            "10s",
            "0x10",
            "１",
            "Fri, 02 Jan 2026 03:04:05 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Fri, 31 Dec 1999 23:59:59 GMT",
            "2026-01-02T04:00:00Z",
            "5, 6",
        ] {
            assert_eq!(HeaderValue::from_str(text).ok().and_then(|_| read(&[text])), None, "{text}");
        }
        assert_eq!(read(&["5", "5"]), None);
        assert_eq!(read(&[]), None);
    }
}
