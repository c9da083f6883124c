//! What a host decides about the router.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::auth::Authorizer;

/// What a host decides about the router. Start with [`RouterOptions::new`].
#[derive(Clone)]
pub struct RouterOptions {
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) public_url: Option<String>,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) metrics: Option<RenderMetrics>,
    pub(crate) cursor_key: Option<[u8; 32]>,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_hook_bytes: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) max_streams: usize,
    pub(crate) recheck: Duration,
}

type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

impl fmt::Debug for RouterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterOptions")
            .field("public_url", &self.public_url)
            .field("trusted_proxies", &self.trusted_proxies)
            .finish_non_exhaustive()
    }
}

/// The text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither an address nor a network such as 10.0.0.0/8")]
pub struct InvalidNetwork {
    text: String,
}

impl RouterOptions {
    /// The defaults, with who decides about access.
    pub fn new(authorizer: impl Authorizer) -> Self {
        Self {
            authorizer: Arc::new(authorizer),
            public_url: None,
            trusted_proxies: Vec::new(),
            metrics: None,
            cursor_key: None,
            max_body_bytes: 2 << 20,
            max_hook_bytes: 128 << 20,
            body_timeout: Duration::from_secs(30),
            max_streams: 256,
            recheck: Duration::from_secs(5),
        }
    }

    /// Sets the URL under which the world reaches the place where the router is mounted, without a slash at its end.
    /// It is shown as part of hooks' URLs, and signed URLs are checked against it. Without one it is rebuilt from each
    /// request, with `https` only where a [trusted proxy](Self::trust_proxy) says so: a host that ends TLS itself must
    /// set this, or schemes that sign the URL refuse everything.
    #[must_use]
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = Some(url.into().trim_end_matches('/').to_owned());
        self
    }

    /// Believes the forwarded headers of requests that come from an address or network. Without such a call they are
    /// ignored.
    ///
    /// The peer's address is read from `axum::extract::ConnectInfo<SocketAddr>`; a server that does not provide it
    /// has no trusted proxies.
    ///
    /// # Errors
    ///
    /// [`InvalidNetwork`] when the text is neither an address nor a network.
    pub fn trust_proxy(mut self, network: &str) -> Result<Self, InvalidNetwork> {
        let parsed = network.parse().or_else(|_| network.parse::<std::net::IpAddr>().map(IpNet::from));
        self.trusted_proxies.push(parsed.map_err(|_| InvalidNetwork { text: network.to_owned() })?);
        Ok(self)
    }

    /// Sets what renders `/metrics` in the Prometheus text format. Without it there is no such page.
    #[must_use]
    pub fn metrics(mut self, render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.metrics = Some(Arc::new(render));
        self
    }

    /// Sets the key that cursors are signed with, for lists that go on at another process or after a restart. Without
    /// one it is drawn at start.
    #[must_use]
    pub fn cursor_key(mut self, key: [u8; 32]) -> Self {
        self.cursor_key = Some(key);
        self
    }

    /// Sets the largest body that the API reads; hooks have limits of their own. 2 MiB.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Sets how many bytes of webhooks' bodies are in memory at once; past it, webhooks are answered 503. 128 MiB.
    ///
    /// One hook holds at most half of it, one project three quarters, and less while others hold some, so that
    /// nobody keeps the others from being heard. A hook may still hold one body of its largest size where that is more:
    /// let this be a multiple of `max_webhook_body_bytes` in
    /// [`DefinitionLimits`](meshhook_core::definition::DefinitionLimits).
    #[must_use]
    pub fn max_hook_bytes(mut self, bytes: usize) -> Self {
        self.max_hook_bytes = bytes;
        self
    }

    /// Sets how long a request's body may take. 30 s.
    #[must_use]
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout = timeout;
        self
    }

    /// Sets how many live streams may be open at once. 256.
    #[must_use]
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.max_streams = streams;
        self
    }

    /// Sets how often the authorizer is asked again while a stream is open. 5 s.
    #[must_use]
    pub fn recheck(mut self, every: Duration) -> Self {
        self.recheck = every;
        self
    }
}
