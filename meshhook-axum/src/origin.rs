//! Under which URL the world sees this server.
//!
//! Senders that sign their URL sign what *they* called. Behind a proxy only the operator or the proxy knows that:
//! the configured public URL comes first, then what a trusted proxy forwarded, then the request itself. From anybody
//! else forwarded headers are ignored, so that no sender chooses the URL that its signature is checked against.
//!
//! Whether the host itself ends TLS is not seen here: over HTTP/1 a request does not say so, and what it says over
//! HTTP/2 is the sender's word. Such a host has to name its public URL.

use std::net::{IpAddr, SocketAddr};

use axum::extract::connect_info::MockConnectInfo;
use axum::extract::{ConnectInfo, OriginalUri};
use http::request::Parts;
use http::{HeaderMap, header};

use crate::options::RouterOptions;

/// The public URL of the place where the router is mounted, without a slash at its end.
pub(crate) fn base_url(options: &RouterOptions, parts: &Parts) -> String {
    if let Some(url) = &options.public_url {
        return url.clone();
    }
    let trusted = peer(parts).is_some_and(|peer| {
        let peer = peer.to_canonical();
        options.trusted_proxies.iter().any(|network| network.contains(&peer))
    });
    let forwarded = |name| if trusted { last(&parts.headers, name) } else { None };
    let scheme = match forwarded("x-forwarded-proto") {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        _ => "http",
    };
    let own = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let of_uri = parts.uri.authority().map(|authority| authority.as_str());
    let said = [forwarded("x-forwarded-host"), own, of_uri];
    let host = said.into_iter().flatten().find(|host| is_authority(host)).unwrap_or("localhost");
    format!("{scheme}://{host}{}", mount(parts))
}

/// The path under which a host nested the router.
fn mount(parts: &Parts) -> &str {
    parts
        .extensions
        .get::<OriginalUri>()
        .and_then(|original| original.path().strip_suffix(parts.uri.path()))
        .unwrap_or("")
}

/// The other end of the connection, if the server tells; in tests, what they say it is.
pub(crate) fn peer(parts: &Parts) -> Option<IpAddr> {
    let told = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let mocked = || parts.extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0);
    told.or_else(mocked).map(|address| address.ip())
}

/// A list header's last element: the one that the nearest proxy wrote.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim).filter(|value| !value.is_empty())
}

fn is_authority(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::OpenLoopback;

    fn parts(peer: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri("/hooks/default/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
        parts.extensions.insert(OriginalUri("/mesh/hooks/default/x".parse().unwrap()));
        parts
    }

    #[test]
    fn forwarded_headers_count_only_from_trusted_proxies() {
        let options =
            RouterOptions::new(OpenLoopback).trust_proxy("10.0.0.0/8").unwrap().trust_proxy("::1").unwrap();
        let sent = [
            ("host", "inner:8080"),
            ("x-forwarded-proto", "http, https"),
            ("x-forwarded-host", "evil.example, public.example"),
        ];
        for (peer, expected) in [
            ("10.1.2.3:5", "https://public.example/mesh"),
            ("[::1]:5", "https://public.example/mesh"),
            ("[::ffff:10.1.2.3]:5", "https://public.example/mesh"),
            ("11.1.2.3:5", "http://inner:8080/mesh"),
        ] {
            assert_eq!(base_url(&options, &parts(peer, &sent)), expected, "{peer}");
        }
        let fixed = options.public_url("https://fixed.example/m/");
        assert_eq!(base_url(&fixed, &parts("10.1.2.3:5", &sent)), "https://fixed.example/m");
        assert!(RouterOptions::new(OpenLoopback).trust_proxy("all").is_err());
    }

    #[test]
    fn a_forwarded_host_that_is_none_gives_way_to_the_requests_own() {
        let options = RouterOptions::new(OpenLoopback).trust_proxy("10.0.0.0/8").unwrap();
        for forwarded in ["a b", "public.example/x", "public.example, user@host", ","] {
            let sent =
                [("host", "inner:8080"), ("x-forwarded-proto", "https"), ("x-forwarded-host", forwarded)];
            let base = base_url(&options, &parts("10.1.2.3:5", &sent));
            assert_eq!(base, "https://inner:8080/mesh", "{forwarded}");
        }
    }

    #[test]
    fn hosts_that_are_none_are_not_repeated() {
        let options = RouterOptions::new(OpenLoopback);
        for host in ["a b", "a/b", "a\"b", "user@host", ""] {
            let base = base_url(&options, &parts("127.0.0.1:1", &[("host", host)]));
            assert_eq!(base, "http://localhost/mesh", "{host}");
        }
    }
}
