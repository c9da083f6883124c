//! The outbound guard: where requests may go.
//!
//! ```text
//!  text ──► Url ──┬─ literal ──► address table
//!                 └─ name ─────► name rules ──► resolver ──► address table (every answer) ──► connect
//!                                                                                  peer ──► address table
//! ```
//!
//! The text is parsed once; from then on the parsed URL is what is checked and what is used, so that no two
//! parsers can disagree about it. IP literals (in all the spellings that [`url`] normalizes: decimal, octal,
//! hexadecimal, full-width) never reach a resolver and are checked here. Names are resolved by
//! [`Guard::resolve`], which is the client's only resolver: it answers with checked addresses, so there is no
//! second lookup that could answer differently (DNS rebinding). If any answer is refused, all are: a name that
//! points both outside and inside is not one to trust.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use url::{Host, Url};

use crate::address::{Reach, reach};
use crate::resolve::Resolve;

/// Decides where requests may go.
pub(crate) struct Guard {
    pub(crate) private_allowed: bool,
    pub(crate) networks: Vec<IpNet>,
    pub(crate) hosts: Vec<HostPattern>,
    /// The only ports allowed; `None` allows all but [`REFUSED_PORTS`].
    pub(crate) ports: Option<Vec<u16>>,
    /// The host of the proxy through which everything goes: it is the host application's choice, and it resolves and
    /// judges the targets' names.
    pub(crate) proxy: Option<String>,
    pub(crate) resolver: Arc<dyn Resolve>,
}

/// Why a request may not go where it wants to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GuardError {
    /// Not a URL that a request can go to.
    #[error("{0}")]
    InvalidUrl(&'static str),
    /// The target is private, local or reserved.
    #[error("{0}")]
    Blocked(String),
    /// The name has no addresses, at least now.
    #[error("{0}")]
    Unresolved(String),
}

impl Guard {
    /// Reads a URL and checks all that can be known without resolving its host.
    pub(crate) fn parse(&self, text: &str) -> Result<Url, GuardError> {
        check_text(text)?;
        let url = Url::parse(text).map_err(|_| GuardError::InvalidUrl("the URL cannot be parsed"))?;
        self.check(&url)?;
        Ok(url)
    }

    /// Checks all of a URL that can be known without resolving its host.
    pub(crate) fn check(&self, url: &Url) -> Result<(), GuardError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(GuardError::InvalidUrl("the URL's scheme is neither http nor https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(GuardError::InvalidUrl("the URL carries credentials: use auth"));
        }
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(GuardError::InvalidUrl("the URL is longer than 16 KiB"));
        }
        self.check_port(url.port_or_known_default().unwrap_or(0))?;
        match url.host() {
            None | Some(Host::Domain("")) => Err(GuardError::InvalidUrl("the URL has no host")),
            Some(Host::Ipv4(ip)) => self.check_address(ip.into(), None),
            Some(Host::Ipv6(ip)) => self.check_address(ip.into(), None),
            Some(Host::Domain(name)) => self.check_name(name),
        }
    }

    /// Resolves a name and checks every answer; at most [`MAX_ADDRESSES`] are handed on.
    pub(crate) async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, GuardError> {
        let is_proxy = self.proxy.as_deref() == Some(name);
        if !is_proxy {
            self.check_name(name)?;
        }
        let unresolved = |cause: &str| GuardError::Unresolved(format!("could not resolve {name}: {cause}"));
        let found = self.resolver.resolve(name).await.map_err(|error| unresolved(&error.to_string()))?;
        if found.is_empty() {
            return Err(unresolved("it has no addresses"));
        }
        for ip in found.iter().filter(|_| !is_proxy) {
            self.check_address(*ip, Some(name))?;
        }
        // Port 0 stands for the URL's.
        Ok(found.into_iter().take(MAX_ADDRESSES).map(|ip| SocketAddr::new(ip, 0)).collect())
    }

    /// Checks the address that a connection really goes to.
    pub(crate) fn check_peer(&self, peer: SocketAddr, url: &Url) -> Result<(), GuardError> {
        if self.proxy.is_some() { Ok(()) } else { self.check_address(peer.ip(), url.domain()) }
    }

    fn check_port(&self, port: u16) -> Result<(), GuardError> {
        let allowed = match &self.ports {
            Some(ports) => ports.contains(&port),
            None => REFUSED_PORTS.binary_search(&port).is_err(),
        };
        if allowed { Ok(()) } else { Err(GuardError::Blocked(format!("port {port} is not allowed"))) }
    }

    fn check_name(&self, name: &str) -> Result<(), GuardError> {
        let bare = name.strip_suffix('.').unwrap_or(name);
        if self.is_listed(bare) {
            return Ok(());
        }
        let blocked = |why: &str| Err(GuardError::Blocked(format!("{name} {why}")));
        if METADATA_NAMES.iter().any(|suffix| is_within(bare, suffix)) {
            return blocked("is a metadata service");
        }
        if self.private_allowed {
            return Ok(());
        }
        if is_within(bare, "localhost") {
            return blocked("is this host");
        }
        if !bare.contains('.') {
            return blocked("is a name of the local network");
        }
        Ok(())
    }

    fn check_address(&self, ip: IpAddr, name: Option<&str>) -> Result<(), GuardError> {
        if self.networks.iter().any(|network| network.contains(&ip.to_canonical())) {
            return Ok(());
        }
        let private_allowed =
            || self.private_allowed || name.is_some_and(|name| self.is_listed(name.trim_end_matches('.')));
        match reach(ip) {
            Reach::Public => Ok(()),
            Reach::Private if private_allowed() => Ok(()),
            // The address of a name is not told: it would describe the inner network to outsiders.
            Reach::Private | Reach::Forbidden => Err(GuardError::Blocked(match name {
                Some(name) => format!("{name} has an address that is private, local or reserved"),
                None => format!("{ip} is private, local or reserved"),
            })),
        }
    }

    fn is_listed(&self, name: &str) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(name))
    }
}

/// Refuses text that parsers read differently from each other.
pub(crate) fn check_text(text: &str) -> Result<(), GuardError> {
    if text.chars().any(char::is_control) {
        return Err(GuardError::InvalidUrl("the URL contains control characters"));
    }
    let before_query = text.split(['?', '#']).next().unwrap_or(text);
    if before_query.contains('\\') {
        return Err(GuardError::InvalidUrl("the URL contains a backslash"));
    }
    Ok(())
}

/// A host that the host application allows although its addresses are private.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostPattern {
    /// This name.
    Exact(String),
    /// Every name below this one.
    Below(String),
}

impl HostPattern {
    /// Reads `name` or `*.name`; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, below) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let Ok(Host::Domain(name)) = Host::parse(name.strip_suffix('.').unwrap_or(name)) else { return None };
        if name.contains('*') {
            return None;
        }
        Some(if below { HostPattern::Below(name) } else { HostPattern::Exact(name) })
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            HostPattern::Exact(exact) => name == exact,
            HostPattern::Below(parent) => name != parent && is_within(name, parent),
        }
    }
}

/// Whether a name is `parent` or below it, compared label by label.
fn is_within(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The longest URL, its query included.
pub(crate) const MAX_URL_BYTES: usize = 16 * 1024;

/// How many of a name's addresses are tried.
pub(crate) const MAX_ADDRESSES: usize = 8;

/// Names under which clouds serve credentials to their machines.
const METADATA_NAMES: [&str; 8] = [
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.azure.internal",
    "metadata.goog",
    "metadata.google.internal",
    "metadata.packet.net",
    "metadata.platformequinix.com",
];

/// Ports of services that are not HTTP and can be talked into something by a request: the Fetch standard's list
/// (<https://fetch.spec.whatwg.org/#port-blocking>) and common databases, caches, queues and control sockets.
const REFUSED_PORTS: &[u16] = &[
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103,
    104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 445, 465, 512, 513,
    514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 873, 989, 990, 993, 995, 1433,
    1434, 1521, 1719, 1720, 1723, 2049, 2181, 2379, 2380, 3306, 3389, 3659, 4045, 4190, 4369, 5060, 5061,
    5432, 5433, 5672, 5900, 6000, 6379, 6432, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9042, 9092,
    9160, 10080, 10250, 11211, 25672, 27017, 27018,
];

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;

    struct Answers(Vec<IpAddr>);

    #[async_trait]
    impl Resolve for Answers {
        async fn resolve(&self, _host: &str) -> std::io::Result<Vec<IpAddr>> {
            Ok(self.0.clone())
        }
    }

    fn answering(addresses: &[&str]) -> Guard {
        Guard {
            private_allowed: false,
            networks: Vec::new(),
            hosts: Vec::new(),
            ports: None,
            proxy: None,
            resolver: Arc::new(Answers(addresses.iter().map(|text| text.parse().unwrap()).collect())),
        }
    }

    fn is_blocked<T: std::fmt::Debug>(result: &Result<T, GuardError>) -> bool {
        matches!(result, Err(GuardError::Blocked(_)))
    }

    #[test]
    fn refused_ports_are_sorted() {
        assert!(REFUSED_PORTS.is_sorted());
    }

    #[test]
    fn every_spelling_of_an_inner_address_is_blocked() {
        for text in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127。0。0。1/",
            "http://①②⑦.0.0.1/",
            "http:127.0.0.1/",
            "http:///127.0.0.1/",
            "http://127.0.0.1./",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[::]/",
            "http://169.254.169.254/latest/meta-data",
            "http://[fd00:ec2::254]/",
            "http://169.254.170.2/",
            "http://100.100.100.200/",
            "http://192.0.0.192/",
            "http://metadata.google.internal/",
            "http://METADATA.google.internal./",
            "http://localhost/",
            "http://LOCALHOST./",
            "http://foo.localhost/",
            "http://ip6-localhost/",
            "http://postgres/",
            "http://example.com:22/",
            "http://example.com:25/",
            "http://example.com:5432/",
            "http://example.com:6379/",
            "http://example.com:11211/",
            "http://example.com:0/",
        ] {
            let result = answering(&["1.1.1.1"]).parse(text);
            assert!(is_blocked(&result), "{text}: {result:?}");
        }
    }

    #[test]
    fn urls_that_can_be_misread_are_invalid() {
        for text in [
            "",
            "example.com",
            "/path",
            "ftp://example.com/",
            "file:///etc/passwd",
            "gopher://example.com/",
            "javascript:alert(1)",
            "https://user:pw@example.com/",
            "https://user@example.com/",
            "http://a@127.0.0.1:80@example.com/",
            "http://example.com\\@127.0.0.1/",
            "http://1.1.1.1 &@2.2.2.2# @3.3.3.3/",
            "http://example.com:65536/",
            "http://exa\nmple.com/",
            "http://example.com/\r\nHost: x",
            "http://example.com/\0",
            "\u{9}http://example.com/",
            "http://",
            "http://exa mple.com/",
            "http://[::1/",
            "http://%31%32%37.0.0.1%00/",
        ] {
            let result = answering(&["1.1.1.1"]).parse(text);
            assert!(matches!(result, Err(GuardError::InvalidUrl(_))), "{text}: {result:?}");
        }
        let long = format!("http://example.com/{}", "a".repeat(MAX_URL_BYTES));
        assert!(matches!(answering(&["1.1.1.1"]).parse(&long), Err(GuardError::InvalidUrl(_))));
    }

    #[test]
    fn public_urls_pass() {
        for text in [
            "https://example.com/",
            "http://example.com:8080/a?b=c\\d#e",
            "https://1.1.1.1/",
            "https://[2606:4700::1111]:8443/",
            "https://bücher.example/",
            "HTTPS://EXAMPLE.com",
        ] {
            assert!(answering(&["1.1.1.1"]).parse(text).is_ok(), "{text}");
        }
    }

    #[tokio::test]
    async fn one_inner_answer_blocks_the_name() {
        for answers in [
            &["10.0.0.1"][..],
            &["1.1.1.1", "10.0.0.1"],
            &["1.1.1.1", "::1"],
            &["fd00::1"],
            &["169.254.169.254"],
        ] {
            let result = answering(answers).resolve("example.com").await;
            assert!(is_blocked(&result), "{answers:?}");
        }
        let mut many = vec!["1.1.1.1"; 199];
        many.push("10.0.0.1");
        assert!(is_blocked(&answering(&many).resolve("example.com").await));
    }

    #[tokio::test]
    async fn only_a_few_of_many_addresses_are_tried() {
        let found = answering(&["1.1.1.1"; 200]).resolve("example.com").await.unwrap();
        assert_eq!(found.len(), MAX_ADDRESSES);
        assert!(matches!(
            answering(&[]).resolve("example.com").await,
            Err(GuardError::Unresolved(message)) if message.contains("no addresses")
        ));
    }

    #[tokio::test]
    async fn private_networks_are_open_once_allowed_but_metadata_is_not() {
        let guard = Guard { private_allowed: true, ..answering(&["192.168.0.7"]) };
        for text in ["http://127.0.0.1:3000/", "http://localhost/", "http://postgres/", "http://[fd00::1]/"] {
            assert!(guard.parse(text).is_ok(), "{text}");
        }
        for text in
            ["http://169.254.169.254/", "http://metadata/", "http://[fd00:ec2::254]/", "http://224.0.0.1/"]
        {
            assert!(is_blocked(&guard.parse(text)), "{text}");
        }
        assert!(guard.resolve("intranet").await.is_ok());
    }

    #[tokio::test]
    async fn a_listed_host_may_be_private_and_no_other() {
        let hosts = ["*.corp.example.com", "localhost"];
        let guard = Guard {
            hosts: hosts.iter().map(|text| HostPattern::parse(text).unwrap()).collect(),
            ..answering(&["10.0.0.1"])
        };
        assert!(guard.resolve("a.corp.example.com").await.is_ok());
        assert!(guard.resolve("a.b.corp.example.com.").await.is_ok());
        assert!(guard.resolve("localhost").await.is_ok());
        for name in ["corp.example.com", "evilcorp.example.com", "a.corp.example.com.evil.org"] {
            assert!(is_blocked(&guard.resolve(name).await), "{name}");
        }
        let metadata = Guard { hosts: guard.hosts.clone(), ..answering(&["169.254.169.254"]) };
        assert!(is_blocked(&metadata.resolve("a.corp.example.com").await));
    }

    #[tokio::test]
    async fn a_listed_network_is_open_in_every_notation() {
        let guard = Guard { networks: vec!["10.1.0.0/16".parse().unwrap()], ..answering(&["10.1.2.3"]) };
        assert!(guard.parse("http://10.1.2.3/").is_ok());
        assert!(guard.parse("http://[::ffff:10.1.2.3]/").is_ok());
        assert!(guard.resolve("example.com").await.is_ok());
        assert!(is_blocked(&guard.parse("http://10.2.0.1/")));
    }

    #[test]
    fn the_peer_is_judged_like_the_address() {
        let url = Url::parse("http://api.example.com/").unwrap();
        let check =
            |guard: &Guard, ip: &str| guard.check_peer(SocketAddr::new(ip.parse().unwrap(), 80), &url);
        let guard = answering(&[]);
        assert!(check(&guard, "1.1.1.1").is_ok());
        for ip in ["127.0.0.1", "10.0.0.1", "::1", "::ffff:10.0.0.1", "169.254.169.254"] {
            assert!(is_blocked(&check(&guard, ip)), "{ip}");
        }
        let hosts = vec![HostPattern::parse("api.example.com").unwrap()];
        let listed = Guard { hosts, ..answering(&[]) };
        assert!(check(&listed, "10.0.0.1").is_ok());
        assert!(is_blocked(&check(&listed, "169.254.169.254")));
    }

    #[test]
    fn host_patterns_have_one_form() {
        for text in ["", "*", "*.", "a.*.com", "127.0.0.1", "a b", "*.*.com"] {
            assert_eq!(HostPattern::parse(text), None, "{text}");
        }
        assert_eq!(HostPattern::parse("EXAMPLE.com."), Some(HostPattern::Exact("example.com".into())));
    }

    #[test]
    fn listed_ports_are_the_only_ones() {
        let guard = Guard { ports: Some(vec![443]), ..answering(&["1.1.1.1"]) };
        assert!(guard.parse("https://example.com/").is_ok());
        assert!(is_blocked(&guard.parse("http://example.com/")));
        assert!(is_blocked(&guard.parse("https://example.com:8443/")));
    }
}
