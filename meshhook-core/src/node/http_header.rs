//! What may stand in an HTTP header, and which headers are not the user's.

/// Whether a text is a header's name: a token (RFC 9110, section 5.6.2) of at most 256 bytes.
pub(super) fn is_header_name(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Whether a text can be a header's value: at most 8 KiB and no control character but a tab.
pub(super) fn is_header_value(text: &str) -> bool {
    text.len() <= 8 * 1024 && !text.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7F)
}

/// Whether a header says how the connection or the message is handled: those are for the client or server to set.
///
/// A foreign value could smuggle a second message past whoever checked the first.
#[must_use]
pub fn is_reserved_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    RESERVED.contains(&name.as_str()) || name.starts_with("proxy-") || name.starts_with(':')
}

const RESERVED: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens_and_values_have_no_control_characters() {
        for good in ["Accept", "x-y", "X_1", "a.b", &"x".repeat(256)] {
            assert!(is_header_name(good), "{good}");
        }
        for bad in ["", "a b", "a:b", "a\r\nb", "é", "a\0", &"x".repeat(257)] {
            assert!(!is_header_name(bad), "{bad:?}");
        }
        assert!(is_header_value("Bearer x\ty é"));
        for bad in ["a\r\nb: c", "a\n", "\0", "\u{7f}"] {
            assert!(!is_header_value(bad), "{bad:?}");
        }
    }

    #[test]
    fn headers_of_the_connection_are_reserved_in_any_case() {
        for name in [
            "Host",
            "CONTENT-LENGTH",
            "transfer-encoding",
            "Connection",
            "Proxy-Authorization",
            "expect",
            "Upgrade",
        ] {
            assert!(is_reserved_header(name), "{name}");
        }
        for name in ["authorization", "accept", "content-type", "x-host"] {
            assert!(!is_reserved_header(name), "{name}");
        }
    }
}
