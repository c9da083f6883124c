//! Where requests may not go: nothing is connected to, and the environment has no say.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use meshhook_core::exec::{Attempt, Executor};
use meshhook_http::{HttpExecutor, HttpExecutorBuilder, Resolve};
use serde_json::json;

use crate::server::{Server, answer, json_answer};
use crate::{permanent, retryable, summary};

/// Answers every name with the same addresses, or a different set at each lookup, and counts.
struct Fake {
    answers: Vec<Vec<IpAddr>>,
    lookups: Arc<AtomicUsize>,
}

#[async_trait]
impl Resolve for Fake {
    async fn resolve(&self, _host: &str) -> std::io::Result<Vec<IpAddr>> {
        let number = self.lookups.fetch_add(1, Ordering::SeqCst);
        match self.answers.get(number.min(self.answers.len().wrapping_sub(1))) {
            Some(answer) => Ok(answer.clone()),
            None => Err(std::io::Error::other("no such name")),
        }
    }
}

/// An executor whose names resolve to these addresses, and the number of its lookups.
pub(crate) fn resolving(answers: &[&[&str]]) -> (HttpExecutorBuilder, Arc<AtomicUsize>) {
    let parse = |texts: &&[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let lookups = Arc::new(AtomicUsize::new(0));
    let fake = Fake { answers: answers.iter().map(parse).collect(), lookups: lookups.clone() };
    (HttpExecutor::builder().resolver(fake), lookups)
}

async fn get(executor: &HttpExecutor, url: &str) -> (String, bool) {
    let result = executor.execute(Attempt::sample(json!({"method": "GET", "url": url}))).await;
    result.map_or_else(|error| summary(Err(error)), |_| ("ok".into(), false))
}

#[tokio::test]
async fn inner_addresses_are_blocked_without_a_lookup_or_a_connection() {
    let server = Server::always(json_answer("{}")).await;
    let port = server.address.port();
    let (builder, lookups) = resolving(&[&["127.0.0.1"]]);
    let executor = builder.build().unwrap();
    for host in [
        "127.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "metadata.google.internal",
        "localhost",
        "LOCALHOST.",
        "foo.localhost",
        "ip6-localhost",
        "postgres",
    ] {
        let url = format!("http://{host}:{port}/");
        assert_eq!(get(&executor, &url).await, permanent("address_blocked"), "{url}");
    }
    for url in [format!("http:127.0.0.1:{port}/"), format!("http:///127.0.0.1:{port}/")] {
        assert_eq!(get(&executor, &url).await, permanent("address_blocked"), "{url}");
    }
    for url in [
        format!("http://a@127.0.0.1:{port}@example.com/"),
        format!("http://example.com\\@127.0.0.1:{port}/"),
        format!("http://1.1.1.1 &@127.0.0.1:{port}# @3.3.3.3/"),
        format!("http://127.0.0.1:{port}\r\n/"),
    ] {
        assert_eq!(get(&executor, &url).await, permanent("invalid_url"), "{url}");
    }
    assert_eq!(lookups.load(Ordering::SeqCst), 0);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn ports_of_other_protocols_are_blocked() {
    let (builder, lookups) = resolving(&[&["1.1.1.1"]]);
    let executor = builder.build().unwrap();
    for port in [0, 22, 25, 3306, 5432, 6379, 11211, 27017] {
        let url = format!("http://example.com:{port}/");
        assert_eq!(get(&executor, &url).await, permanent("address_blocked"), "{url}");
    }
    assert_eq!(get(&executor, "http://example.com:65536/").await, permanent("invalid_url"));
    assert_eq!(lookups.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn names_with_an_inner_address_are_blocked_without_a_connection() {
    let server = Server::always(json_answer("{}")).await;
    let url = format!("http://rebind.example:{}/", server.address.port());
    let mut many = vec!["1.1.1.1"; 199];
    many.push("127.0.0.1");
    for answers in [
        &["127.0.0.1"][..],
        &["1.1.1.1", "127.0.0.1"],
        &["127.0.0.1", "1.1.1.1"],
        &["::1"],
        &["fd00::1"],
        &["169.254.169.254"],
        &["::ffff:127.0.0.1"],
        &many,
    ] {
        let (builder, lookups) = resolving(&[answers]);
        assert_eq!(get(&builder.build().unwrap(), &url).await, permanent("address_blocked"), "{answers:?}");
        assert_eq!(lookups.load(Ordering::SeqCst), 1);
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn the_connection_goes_to_the_addresses_of_the_one_lookup() {
    let server = Server::always(json_answer("{}")).await;
    let url = format!("http://flapping.example:{}/", server.address.port());
    // The second answer would be another host's: it must not be asked for within one connection.
    let (builder, lookups) = resolving(&[&["127.0.0.1"], &["127.0.0.9"]]);
    let executor = builder.allow_host("flapping.example").build().unwrap();
    assert_eq!(get(&executor, &url).await.0, "ok");
    assert_eq!(lookups.load(Ordering::SeqCst), 1);
    assert_eq!(server.request().header("host"), Some(&url[7..url.len() - 1]));
}

#[tokio::test]
async fn names_that_do_not_resolve_may_be_tried_again() {
    let (failing, _) = resolving(&[]);
    assert_eq!(get(&failing.build().unwrap(), "http://gone.example/").await, retryable("http_connect"));
    let (empty, _) = resolving(&[&[]]);
    assert_eq!(get(&empty.build().unwrap(), "http://gone.example/").await, retryable("http_connect"));
}

#[tokio::test]
async fn only_what_the_host_application_lists_is_open() {
    let server = Server::always(json_answer("{}")).await;
    let port = server.address.port();
    let name = format!("http://api.corp.example:{port}/");
    let literal = format!("http://127.0.0.1:{port}/");
    let open = |builder: HttpExecutorBuilder| builder.build().unwrap();

    let listed_host = open(resolving(&[&["127.0.0.1"]]).0.allow_host("*.corp.example"));
    assert_eq!(get(&listed_host, &name).await.0, "ok");
    assert_eq!(get(&listed_host, &literal).await, permanent("address_blocked"));

    let listed_network = open(resolving(&[&["127.0.0.1"]]).0.allow_cidr("127.0.0.1"));
    assert_eq!(get(&listed_network, &name).await.0, "ok");
    assert_eq!(get(&listed_network, &literal).await.0, "ok");
    assert_eq!(
        get(&listed_network, &format!("http://127.0.0.2:{port}/")).await,
        permanent("address_blocked")
    );

    let private = open(resolving(&[&["127.0.0.1"]]).0.allow_private_network());
    assert_eq!(get(&private, &name).await.0, "ok");
    assert_eq!(get(&private, &format!("http://localhost:{port}/")).await.0, "ok");
    assert_eq!(get(&private, "http://169.254.169.254/").await, permanent("address_blocked"));

    let other_ports = open(resolving(&[&["127.0.0.1"]]).0.allow_private_network().ports([80, 443]));
    assert_eq!(get(&other_ports, &name).await, permanent("address_blocked"));
}

#[tokio::test]
async fn a_configured_proxy_gets_everything_and_the_guard_still_judges() {
    let proxy = Server::always(json_answer("{}")).await;
    let (builder, lookups) = resolving(&[&["127.0.0.1"]]);
    let url = format!("http://user:pass@proxy.corp.example:{}/", proxy.address.port());
    let executor = builder.egress_proxy(url).build().unwrap();
    assert_eq!(get(&executor, "http://public.example/p?q=1").await.0, "ok");
    let request = proxy.request();
    assert_eq!(request.target, "http://public.example/p?q=1");
    assert_eq!(request.header("host"), Some("public.example"));
    assert!(request.header("proxy-authorization").is_some());
    assert_eq!(lookups.load(Ordering::SeqCst), 1, "only the proxy's own name is resolved here");
    for url in
        ["http://127.0.0.1/", "http://localhost/", "http://169.254.169.254/", "http://public.example:22/"]
    {
        assert_eq!(get(&executor, url).await, permanent("address_blocked"), "{url}");
    }
    assert_eq!(proxy.requests().len(), 1);
}

/// Runs itself again with a proxy in the environment; the inner run asks a server directly all the same.
#[tokio::test]
async fn proxies_of_the_environment_are_ignored() {
    const INNER: &str = "MESHHOOK_HTTP_TEST_INNER";
    if std::env::var_os(INNER).is_some() {
        let server = Server::always(json_answer("{}")).await;
        let executor = crate::executor();
        assert_eq!(get(&executor, &server.url("/direct")).await.0, "ok");
        assert_eq!(server.request().target, "/direct");
        return;
    }
    let proxy = Server::always(answer("502 Bad Gateway", &[], "")).await;
    let url = proxy.url("");
    let mut inner = std::process::Command::new(std::env::current_exe().unwrap());
    inner.args(["--exact", "guard::proxies_of_the_environment_are_ignored"]).env(INNER, "1");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        inner.env(name, &url);
    }
    inner.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("REQUEST_METHOD");
    let run = tokio::task::spawn_blocking(move || inner.output().unwrap()).await.unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    assert!(String::from_utf8_lossy(&run.stdout).contains("1 passed"));
    assert_eq!(proxy.connections(), 0);
}
