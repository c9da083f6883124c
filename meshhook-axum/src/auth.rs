//! Who may do what.
//!
//! Each route names the [`Permission`] it needs. Before anything else is looked at, an [`Authorizer`] decides; so the
//! role is judged before existence, and a caller without it learns nothing about what is there.

use std::net::IpAddr;

use async_trait::async_trait;
use http::{HeaderMap, Method, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Permission {
    /// Nothing: health, metrics, and hooks, which verify their senders themselves. Authorizers are not asked.
    Open,
    /// To read, and to compute without effect: validate, preview, verify. The role `viewer`.
    View,
    /// To change workflows and runs. The role `editor`.
    Edit,
    /// To change secrets. The role `admin`.
    Administer,
    /// What concerns the server and not one project. The server's admin key.
    Serve,
}

/// A request as an authorizer sees it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Access<'a> {
    /// What the route needs.
    pub permission: Permission,
    /// The project that the path names, as it stands there; `None` for routes of the whole server. It may not exist.
    pub project: Option<&'a str>,
    /// The request's method.
    pub method: &'a Method,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The address at the other end of the connection, a proxy's if there is one; `None` when the server does not
    /// provide `axum::extract::ConnectInfo<SocketAddr>`.
    pub peer: Option<IpAddr>,
}

/// A request that may go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// Who asks, for histories (`by` of a pause) and audits. Never a secret.
    pub actor: Option<String>,
}

impl Grant {
    /// Lets a nameless caller go on.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Lets a caller go on.
    #[must_use]
    pub fn to(actor: impl Into<String>) -> Self {
        Self { actor: Some(actor.into()) }
    }
}

/// Why a request may not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// Nobody knows who asks: 401.
    #[error("a valid key is needed")]
    Unauthorized,
    /// Who asks has not the role: 403.
    #[error("who asks may not do this")]
    Forbidden,
    /// No key is asked for, and the connection comes from another machine: 403.
    #[error(
        "without an admin key only connections from this machine are served: see `--admin-key` or `AdminKey`"
    )]
    RemotePeer,
    /// No key is asked for, and the request names a host that is not this machine: 403.
    #[error(
        "without an admin key only requests to a loopback name (localhost, 127.0.0.1, [::1]) are served, not to \
         {host:?}: see `--admin-key` or `AdminKey`"
    )]
    ForeignHost {
        /// The host that was asked for, at most 100 characters of it.
        host: String,
    },
    /// No key is asked for, and a page of another origin wants to change something: 403.
    #[error(
        "without an admin key pages of other origins may change nothing: see `--admin-key` or `AdminKey`"
    )]
    ForeignOrigin,
    /// It matters where the request comes from, and the server does not say: 403. The host mends this by serving the
    /// router with `into_make_service_with_connect_info::<SocketAddr>()`.
    #[error(
        "the server does not say where requests come from: its host must provide ConnectInfo<SocketAddr>"
    )]
    PeerUnknown,
    /// Who asks belongs to another project: 404, as if it did not exist.
    #[error("no such project")]
    ForeignProject,
    /// It cannot be decided now: 503.
    #[error("access cannot be decided now")]
    Unavailable,
}

/// Decides who may do what.
///
/// It is asked before each request and every few seconds during a stream, so that a role that was taken away ends
/// open streams, too.
#[async_trait]
pub trait Authorizer: Send + Sync + 'static {
    /// Decides about one request.
    ///
    /// # Errors
    ///
    /// [`Denied`], which becomes the answer.
    async fn authorize(&self, access: Access<'_>) -> Result<Grant, Denied>;
}

/// One key that may do everything, sent as `Authorization: Bearer …`.
///
/// Keys are compared by their SHA-256 in constant time.
pub struct AdminKey {
    digest: [u8; 32],
}

impl AdminKey {
    /// Takes the key.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self { digest: Sha256::digest(key).into() }
    }
}

impl std::fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminKey").finish_non_exhaustive()
    }
}

#[async_trait]
impl Authorizer for AdminKey {
    async fn authorize(&self, access: Access<'_>) -> Result<Grant, Denied> {
        let token = bearer(access.headers).ok_or(Denied::Unauthorized)?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        if bool::from(digest.ct_eq(&self.digest)) {
            Ok(Grant::to("admin"))
        } else {
            Err(Denied::Unauthorized)
        }
    }
}

/// The token of a bearer `Authorization` header; `None` when there is not exactly one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// No key at all, for a server that listens on a loopback address only.
///
/// What keeps others out is then where they are: the connection must come from a loopback address, which the server
/// tells by `axum::extract::ConnectInfo<SocketAddr>` (`into_make_service_with_connect_info::<SocketAddr>()`); without it
/// every request is refused. A browser on the same machine comes from there too, on behalf of any page. So the host
/// that a request names must be a loopback one (else a page could point its own name at 127.0.0.1), and what
/// changes something must not come from a page of another origin.
///
/// A proxy on the same machine makes everybody local. Behind one, use [`AdminKey`].
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenLoopback;

#[async_trait]
impl Authorizer for OpenLoopback {
    async fn authorize(&self, access: Access<'_>) -> Result<Grant, Denied> {
        if !access.peer.ok_or(Denied::PeerUnknown)?.to_canonical().is_loopback() {
            return Err(Denied::RemotePeer);
        }
        let text =
            |name: header::HeaderName| access.headers.get(name).map(|value| value.to_str().unwrap_or(""));
        let host = text(header::HOST);
        if let Some(host) = host.filter(|host| !is_loopback(host)) {
            return Err(Denied::ForeignHost { host: host.chars().take(100).collect() });
        }
        if !access.method.is_safe() {
            let foreign = text(header::ORIGIN)
                .is_some_and(|origin| origin.split_once("://").map(|(_, authority)| authority) != host);
            let fetched = access.headers.get("sec-fetch-site").map(|site| site.as_bytes());
            if foreign || fetched.is_some_and(|site| site != b"same-origin" && site != b"none") {
                return Err(Denied::ForeignOrigin);
            }
        }
        Ok(Grant::anonymous())
    }
}

/// Whether the authority of a URL names this machine.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    async fn ask(authorizer: &dyn Authorizer, method: Method, headers: &HeaderMap) -> Result<Grant, Denied> {
        let peer = Some(IpAddr::from([127, 0, 0, 1]));
        let access = Access { permission: Permission::Edit, project: None, method: &method, headers, peer };
        authorizer.authorize(access).await
    }

    #[tokio::test]
    async fn the_admin_key_must_be_sent_once_and_whole() {
        let key = AdminKey::new("correct horse");
        let sent = |value: &str| headers(&[("authorization", value)]);
        for good in ["Bearer correct horse", "bearer correct horse", "BEARER  correct horse"] {
            assert_eq!(ask(&key, Method::GET, &sent(good)).await, Ok(Grant::to("admin")), "{good}");
        }
        for bad in
            ["", "Bearer", "Bearer ", "Bearer correct hors", "Bearer correct horse2", "Basic correct horse"]
        {
            assert_eq!(ask(&key, Method::GET, &sent(bad)).await, Err(Denied::Unauthorized), "{bad}");
        }
        assert_eq!(ask(&key, Method::GET, &HeaderMap::new()).await, Err(Denied::Unauthorized));
        let mut twice = sent("Bearer correct horse");
        twice.append("authorization", "Bearer correct horse".parse().unwrap());
        assert_eq!(ask(&key, Method::GET, &twice).await, Err(Denied::Unauthorized));
        assert!(!format!("{key:?}").contains("horse"));
    }

    #[tokio::test]
    async fn without_a_key_only_this_machine_is_let_in() {
        let (method, headers) = (Method::GET, headers(&[("host", "localhost:8080")]));
        for (peer, expected) in [
            (Some("127.0.0.1"), Ok(Grant::anonymous())),
            (Some("127.9.9.9"), Ok(Grant::anonymous())),
            (Some("::1"), Ok(Grant::anonymous())),
            (Some("::ffff:127.0.0.1"), Ok(Grant::anonymous())),
            (Some("10.0.0.1"), Err(Denied::RemotePeer)),
            (Some("::ffff:10.0.0.1"), Err(Denied::RemotePeer)),
            (Some("fe80::1"), Err(Denied::RemotePeer)),
            (Some("0.0.0.0"), Err(Denied::RemotePeer)),
            (None, Err(Denied::PeerUnknown)),
        ] {
            let peer = peer.map(|peer| peer.parse().unwrap());
            let (permission, headers) = (Permission::View, &headers);
            let access = Access { permission, project: None, method: &method, headers, peer };
            assert_eq!(OpenLoopback.authorize(access).await, expected, "{peer:?}");
        }
    }

    #[tokio::test]
    async fn without_a_key_pages_of_other_origins_change_nothing() {
        type Case = (Method, &'static [(&'static str, &'static str)], bool);
        let cases: &[Case] = &[
            (Method::GET, &[], true),
            (Method::GET, &[("host", "127.0.0.1:8080")], true),
            (Method::GET, &[("host", "localhost")], true),
            (Method::GET, &[("host", "[::1]:8080")], true),
            (Method::GET, &[("host", "evil.example")], false),
            (Method::GET, &[("host", "127.0.0.1.evil.example:80")], false),
            (Method::GET, &[("host", "10.0.0.1")], false),
            (Method::POST, &[("host", "localhost:1"), ("origin", "http://localhost:1")], true),
            (Method::POST, &[("host", "localhost:1"), ("origin", "http://localhost:2")], false),
            (Method::POST, &[("host", "localhost:1"), ("origin", "https://evil.example")], false),
            (Method::POST, &[("host", "localhost:1"), ("origin", "null")], false),
            (Method::POST, &[("host", "localhost:1"), ("sec-fetch-site", "cross-site")], false),
            (Method::POST, &[("host", "localhost:1"), ("sec-fetch-site", "same-origin")], true),
        ];
        for (method, pairs, allowed) in cases {
            let answer = ask(&OpenLoopback, method.clone(), &headers(pairs)).await;
            assert_eq!(answer.is_ok(), *allowed, "{method} {pairs:?}");
        }
        let denied =
            ask(&OpenLoopback, Method::GET, &headers(&[("host", "flows.example:80")])).await.unwrap_err();
        assert!(denied.to_string().contains("\"flows.example:80\""), "{denied}");
    }
}
