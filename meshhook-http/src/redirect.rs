//! Where a redirect leads, and what may go there.
//!
//! A redirect is the answer of a stranger: it may point inside, at another party or back to plain HTTP. The method
//! changes as in browsers (the Fetch standard, <https://fetch.spec.whatwg.org/#http-redirect-fetch>). Within an
//! origin the node's headers, auth and (for 307 and 308) body go along; to another origin nothing of the node's
//! goes, and what was dropped stays dropped when a later hop leads back.

use http::{Method, StatusCode};
use url::Url;

use crate::guard::check_text;

/// The most redirects that are followed.
pub(crate) const MAX_HOPS: usize = 5;

/// Where to go next.
#[derive(Debug, PartialEq)]
pub(crate) struct Hop {
    pub(crate) url: Url,
    pub(crate) method: Method,
    /// Whether the request's body still makes sense there.
    pub(crate) keeps_body: bool,
    /// Whether it is the same scheme, host and port.
    pub(crate) same_origin: bool,
}

/// Whether a status is a redirect that can be followed.
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Reads a redirect; the guard has yet to judge its URL.
pub(crate) fn next_hop(
    from: &Url,
    method: &Method,
    status: StatusCode,
    location: &[u8],
) -> Result<Hop, &'static str> {
    let text = std::str::from_utf8(location).map_err(|_| "a redirect's location is not UTF-8")?;
    check_text(text).map_err(|_| "a redirect's location is malformed")?;
    let mut url = from.join(text).map_err(|_| "a redirect's location is not a URL")?;
    url.set_fragment(None);
    if !matches!(url.scheme(), "http" | "https") {
        return Err("a redirect leads to a scheme other than http and https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a redirect's location carries credentials");
    }
    if from.scheme() == "https" && url.scheme() == "http" {
        return Err("a redirect leads from https to http");
    }
    let becomes_get = match status.as_u16() {
        301 | 302 => *method == Method::POST,
        303 => *method != Method::GET && *method != Method::HEAD,
        _ => false,
    };
    let same_origin = from.origin() == url.origin();
    Ok(Hop {
        same_origin,
        keeps_body: same_origin && !becomes_get,
        method: if becomes_get { Method::GET } else { method.clone() },
        url,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(from: &str, method: &str, status: u16, location: &str) -> Result<Hop, &'static str> {
        let method = method.parse().unwrap();
        next_hop(&from.parse().unwrap(), &method, StatusCode::from_u16(status).unwrap(), location.as_bytes())
    }

    #[test]
    fn methods_change_as_in_browsers() {
        for (status, method, expected, keeps_body) in [
            (301, "POST", "GET", false),
            (302, "POST", "GET", false),
            (303, "POST", "GET", false),
            (301, "PUT", "PUT", true),
            (302, "DELETE", "DELETE", true),
            (303, "PUT", "GET", false),
            (303, "HEAD", "HEAD", true),
            (307, "POST", "POST", true),
            (308, "PATCH", "PATCH", true),
            (302, "GET", "GET", true),
        ] {
            let hop = hop("https://a.example/x", method, status, "/y").unwrap();
            assert_eq!((hop.method.as_str(), hop.keeps_body), (expected, keeps_body), "{status} {method}");
            assert_eq!(hop.url.as_str(), "https://a.example/y");
        }
    }

    #[test]
    fn another_scheme_host_or_port_is_another_origin() {
        for (location, same_origin) in [
            ("y", true),
            ("?q", true),
            ("//a.example/y", true),
            ("https://A.example:443/y#z", true),
            ("https://a.example:8443/y", false),
            ("https://b.example/y", false),
            ("https://x.a.example/y", false),
        ] {
            let hop = hop("https://a.example/x", "POST", 307, location).unwrap();
            assert_eq!((hop.same_origin, hop.keeps_body), (same_origin, same_origin), "{location}");
            assert_eq!(hop.url.fragment(), None);
        }
        assert!(!hop("http://a.example/x", "GET", 302, "https://a.example/x").unwrap().same_origin);
    }

    #[test]
    fn redirects_that_lead_astray_are_refused() {
        for location in [
            "http://a.example/",
            "ftp://a.example/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:,x",
            "https://u:p@a.example/",
            "https://u@a.example/",
            "https://[",
            "\\\\b.example/",
            "/\\b.example/",
            "/a\tb",
        ] {
            assert!(hop("https://a.example/x", "GET", 302, location).is_err(), "{location}");
        }
        let invalid =
            next_hop(&"https://a.example".parse().unwrap(), &Method::GET, StatusCode::FOUND, b"/\xff");
        assert!(invalid.is_err());
    }
}
