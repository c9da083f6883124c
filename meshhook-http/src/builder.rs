//! Options of an [`HttpExecutor`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use ipnet::IpNet;
use meshhook_core::clock::{Clock, SystemClock};
use url::Url;

use crate::breaker::{BreakerOptions, Breakers};
use crate::executor::HttpExecutor;
use crate::guard::{Guard, HostPattern};
use crate::resolve::{Resolve, SystemResolver};
use crate::slot::Slots;
use crate::transport::{self, ClientOptions};

/// Builds an [`HttpExecutor`]; the defaults are right for requests to the public internet.
#[must_use]
pub struct HttpExecutorBuilder {
    private_allowed: bool,
    networks: Vec<String>,
    hosts: Vec<String>,
    ports: Option<Vec<u16>>,
    resolver: Arc<dyn Resolve>,
    clock: Arc<dyn Clock>,
    connect_timeout: Duration,
    max_request_bytes: usize,
    max_response_bytes: usize,
    user_agent: String,
    root_certificates: Vec<Vec<u8>>,
    proxy: Option<String>,
    breaker: Option<BreakerOptions>,
    max_concurrent_per_host: Option<usize>,
}

/// Why an [`HttpExecutor`] could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Not a network such as `10.0.0.0/8`, or an address.
    #[error("not a network in CIDR notation: {0:?}")]
    Network(String),
    /// Not a host name such as `api.example.com` or `*.example.com`.
    #[error("not a host name: {0:?}")]
    Host(String),
    /// The user agent cannot stand in a header.
    #[error("not a user agent: {0:?}")]
    UserAgent(String),
    /// The proxy's URL is none.
    #[error("the egress proxy is not an http or https URL")]
    Proxy,
    /// Not PEM, or no certificate in it.
    #[error("a root certificate cannot be read")]
    Certificate,
    /// The client could not be made, for example because the system has no trusted certificates.
    #[error("the HTTP client could not be made")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Default for HttpExecutorBuilder {
    fn default() -> Self {
        Self {
            private_allowed: false,
            networks: Vec::new(),
            hosts: Vec::new(),
            ports: None,
            resolver: Arc::new(SystemResolver),
            clock: Arc::new(SystemClock),
            connect_timeout: Duration::from_secs(10),
            max_request_bytes: 16 * 1024 * 1024,
            max_response_bytes: 16 * 1024 * 1024,
            user_agent: concat!("meshhook/", env!("CARGO_PKG_VERSION")).to_owned(),
            root_certificates: Vec::new(),
            proxy: None,
            breaker: Some(BreakerOptions::default()),
            max_concurrent_per_host: None,
        }
    }
}

impl HttpExecutorBuilder {
    /// Allows private and loopback addresses, `localhost` and single-label names.
    ///
    /// Metadata services, link-local, multicast and reserved addresses stay refused; see
    /// [`allow_cidr`](Self::allow_cidr). Meant for development and for networks of which every host may be reached
    /// by whoever writes a workflow.
    pub fn allow_private_network(mut self) -> Self {
        self.private_allowed = true;
        self
    }

    /// Allows the addresses of a network, whatever they are: `10.1.0.0/16`, `fd00::/8`, `127.0.0.1`.
    pub fn allow_cidr(mut self, network: impl Into<String>) -> Self {
        self.networks.push(network.into());
        self
    }

    /// Allows a host to have private addresses: `api.corp.example.com`, or `*.corp.example.com` for every name below.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Allows these ports only. By default all are allowed but those of well-known services that are not HTTP.
    pub fn ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.ports = Some(ports.into_iter().collect());
        self
    }

    /// Resolves names with this instead of the operating system.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Reads the time, which `Retry-After` needs, from this clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how long resolving, connecting and the TLS handshake may take together; 10 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the largest request body; 16 MiB by default.
    pub fn max_request_bytes(mut self, max_bytes: usize) -> Self {
        self.max_request_bytes = max_bytes;
        self
    }

    /// Sets the most that a node's `response.max_bytes` can ask for; 16 MiB by default.
    pub fn max_response_bytes(mut self, max_bytes: usize) -> Self {
        self.max_response_bytes = max_bytes;
        self
    }

    /// Sets the `User-Agent` of requests that bring none of their own; `meshhook/<version>` by default.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Trusts the certificate authorities of this PEM bundle besides those of the system.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates.push(pem.into());
        self
    }

    /// Sends everything through an egress proxy such as smokescreen: `http://proxy.corp.example.com:4750`.
    ///
    /// The proxy resolves the names of targets, so it has to refuse inner addresses: what the guard can judge without
    /// resolving (schemes, ports, IP literals, local names, redirects) it still judges. Proxies of the environment
    /// are never used.
    pub fn egress_proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// Opens the circuit breaker of a host after this many different steps failed in a row, for `open` at first and
    /// twice as long after each failed probe, at most `max_open`. By default 20 steps, 1 s, 60 s.
    pub fn breaker(mut self, failures: usize, open: Duration, max_open: Duration) -> Self {
        self.breaker = Some(BreakerOptions { failures: failures.max(1), open, max_open: max_open.max(open) });
        self
    }

    /// Makes every attempt, however often a host failed before.
    pub fn without_breaker(mut self) -> Self {
        self.breaker = None;
        self
    }

    /// Limits how many attempts of a project may be at one host at a time, at least 1; others wait within their
    /// timeout. By default there is no limit.
    pub fn max_concurrent_per_host(mut self, attempts: usize) -> Self {
        self.max_concurrent_per_host = Some(attempts);
        self
    }

    /// Builds the executor.
    ///
    /// # Errors
    ///
    /// [`BuildError`] for options that mean nothing and when the system offers no trusted certificates.
    pub fn build(self) -> Result<HttpExecutor, BuildError> {
        let networks = self.networks.iter().map(|text| parse_network(text)).collect::<Result<_, _>>()?;
        let hosts = self
            .hosts
            .iter()
            .map(|text| HostPattern::parse(text).ok_or_else(|| BuildError::Host(text.clone())));
        let proxy = self.proxy.as_deref().map(parse_proxy).transpose()?;
        let guard = Arc::new(Guard {
            private_allowed: self.private_allowed,
            networks,
            hosts: hosts.collect::<Result<_, _>>()?,
            ports: self.ports,
            proxy: proxy.as_ref().and_then(|url| url.host_str().map(str::to_owned)),
            resolver: self.resolver,
        });
        let user_agent = HeaderValue::from_str(&self.user_agent)
            .map_err(|_| BuildError::UserAgent(self.user_agent.clone()))?;
        let mut roots = Vec::new();
        for pem in &self.root_certificates {
            let found = reqwest::Certificate::from_pem_bundle(pem).map_err(|_| BuildError::Certificate)?;
            if found.is_empty() {
                return Err(BuildError::Certificate);
            }
            roots.extend(found);
        }
        let options = ClientOptions { connect_timeout: self.connect_timeout, user_agent, roots, proxy };
        let client =
            transport::client(guard.clone(), options).map_err(|error| BuildError::Client(error.into()))?;
        Ok(HttpExecutor {
            client,
            guard,
            clock: self.clock,
            max_request_bytes: self.max_request_bytes,
            max_response_bytes: self.max_response_bytes,
            breakers: self.breaker.map(Breakers::new),
            slots: self.max_concurrent_per_host.map(Slots::new),
        })
    }
}

impl fmt::Debug for HttpExecutorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpExecutorBuilder").finish_non_exhaustive()
    }
}

fn parse_network(text: &str) -> Result<IpNet, BuildError> {
    let address = || text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse::<IpNet>().or_else(|_| address()).map_err(|_| BuildError::Network(text.to_owned()))
}

fn parse_proxy(text: &str) -> Result<Url, BuildError> {
    let url = Url::parse(text).map_err(|_| BuildError::Proxy)?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(BuildError::Proxy) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_mean_nothing_are_refused() {
        let build = |builder: HttpExecutorBuilder| builder.build().expect_err("refused");
        let new = HttpExecutorBuilder::default;
        assert!(matches!(build(new().allow_cidr("10.0.0.0/33")), BuildError::Network(_)));
        assert!(matches!(build(new().allow_host("a b")), BuildError::Host(_)));
        assert!(matches!(build(new().user_agent("a\nb")), BuildError::UserAgent(_)));
        assert!(matches!(build(new().root_certificates("not PEM")), BuildError::Certificate));
        assert!(matches!(build(new().egress_proxy("socks5://proxy.example")), BuildError::Proxy));
    }
}
