//! The HTTP client and what its errors mean.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use meshhook_core::failure::{Failure, code};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

use crate::guard::{Guard, GuardError};
use crate::request::guard_failure;

/// What a client is made of besides the guard.
pub(crate) struct ClientOptions {
    pub(crate) connect_timeout: Duration,
    pub(crate) user_agent: HeaderValue,
    /// Trusted besides those of the system.
    pub(crate) roots: Vec<reqwest::Certificate>,
    pub(crate) proxy: Option<Url>,
}

/// Makes the one client of an executor.
///
/// Every default that could send something unasked is turned off by name, so that features which another crate of
/// the process enables in reqwest change nothing here.
pub(crate) fn client(guard: Arc<Guard>, options: ClientOptions) -> Result<reqwest::Client, reqwest::Error> {
    let ClientOptions { connect_timeout, user_agent, roots, proxy } = options;
    let mut builder = reqwest::Client::builder()
        .tls_backend_rustls()
        .dns_resolver(CheckedResolver(guard))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .user_agent(user_agent)
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(Duration::from_secs(20))
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .http2_max_header_list_size(MAX_HTTP2_HEADER_BYTES);
    if !roots.is_empty() {
        builder = builder.tls_certs_merge(roots);
    }
    if let Some(proxy) = proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy)?);
    }
    builder.build()
}

/// A client error as a step's failure. It names the host at most: the URL may hold a secret.
pub(crate) fn failure(error: reqwest::Error, url: &Url) -> Failure {
    let error = error.without_url();
    if let Some(refusal) = causes(&error).find_map(|cause| cause.downcast_ref::<GuardError>()) {
        return guard_failure(refusal);
    }
    let host = host_label(url);
    if error.is_connect() {
        let cause = if error.is_timeout() { "it took too long".into() } else { root_cause(&error) };
        return Failure::retryable(code::HTTP_CONNECT, format!("could not connect to {host}: {cause}"));
    }
    if error.is_builder() {
        return Failure::permanent(code::INVALID_URL, format!("no request to {host} can be made"));
    }
    Failure::retryable(
        code::HTTP_TRANSPORT,
        format!("the connection to {host} broke: {}", root_cause(&error)),
    )
}

/// A URL's host, with its port where that is not the scheme's own.
pub(crate) fn host_label(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The client's only resolver: it answers with addresses that the guard has checked.
struct CheckedResolver(Arc<Guard>);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let checked = guard.resolve(name.as_str()).await?;
            Ok(Box::new(checked.into_iter()) as Addrs)
        })
    }
}

/// The causes of an error, outermost first, the error itself left out.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source()).take(16)
}

fn root_cause(error: &reqwest::Error) -> String {
    let text = causes(error).last().map_or_else(|| error.to_string(), ToString::to_string);
    text.chars().take(200).collect()
}

/// Effects of runs that were committed together start together. With less than that, a burst at one host would close most of
/// its connections and the next one open them again, which costs more than the calls.
const MAX_IDLE_PER_HOST: usize = 256;

/// Of HTTP/2 answers. HTTP/1 has hyper's bounds: 100 headers in about 400 KiB.
const MAX_HTTP2_HEADER_BYTES: u32 = 64 * 1024;
