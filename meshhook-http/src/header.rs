//! Rules for the header names and values that a node sends.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use meshhook_core::node::is_reserved_header;

/// The most headers that a node may send.
pub(crate) const MAX_HEADERS: usize = 64;

/// The longest names and values of a node's headers together.
pub(crate) const MAX_HEADER_BYTES: usize = 32 * 1024;

/// Reads a header's name.
///
/// # Errors
///
/// For a name that is no token, and for one that frames the message, speaks to the next hop or names the host:
/// these are the client's to set, and a foreign value could smuggle a second request past the guard.
pub(crate) fn name(text: &str) -> Result<HeaderName, &'static str> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| "is not a header name")?;
    if name.as_str().len() > 256 {
        return Err("is longer than 256 bytes");
    }
    if is_reserved_header(name.as_str()) {
        return Err("is reserved: the client sets it itself");
    }
    Ok(name)
}

/// Reads a header's value, which from then on is kept out of debug output and compression tables.
///
/// # Errors
///
/// For a value with line breaks or other control characters.
pub(crate) fn value(text: &str) -> Result<HeaderValue, &'static str> {
    let trimmed = text.trim_matches([' ', '\t']);
    let mut value = HeaderValue::from_bytes(trimmed.as_bytes())
        .map_err(|_| "contains a line break or another control character")?;
    value.set_sensitive(true);
    Ok(value)
}

/// The bytes that headers take, as the caps count them.
pub(crate) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_refused_in_any_case() {
        for text in [
            "Host",
            "CONTENT-LENGTH",
            "Transfer-Encoding",
            "Connection",
            "Proxy-Authorization",
            "proxy-connection",
            "TE",
            "Trailer",
            "Upgrade",
            "Expect",
            "Keep-Alive",
            "HTTP2-Settings",
        ] {
            assert!(name(text).unwrap_err().contains("reserved"), "{text}");
        }
    }

    #[test]
    fn names_are_tokens() {
        for text in ["", " ", "a b", "a:", ":authority", "a\r\nb", "ä", &"x".repeat(257)] {
            assert!(name(text).is_err(), "{text:?}");
        }
        assert_eq!(name("X-Api-Key").unwrap(), "x-api-key");
    }

    #[test]
    fn values_have_no_line_breaks() {
        for text in ["a\r\nY: b", "a\nb", "a\rb", "a\0b", "\u{7f}", "a\u{1}"] {
            assert!(value(text).is_err(), "{text:?}");
        }
        assert_eq!(value(" a\tb \t").unwrap(), "a\tb");
        assert_eq!(value("grüße").unwrap().as_bytes(), "grüße".as_bytes());
        assert_eq!(format!("{:?}", value("secret").unwrap()), "Sensitive");
    }
}
