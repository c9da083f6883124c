//! HTTPS: whom the executor trusts.
//!
//! The certificate is for `tls.example`, from an authority that exists only in `tls/ca.pem`; both are valid for a
//! century and were made with `openssl ca`. The authority's key was thrown away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use meshhook_core::exec::{Attempt, Executor};
use meshhook_http::HttpExecutorBuilder;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::guard::resolving;
use crate::server::{Server, json_answer};
use crate::{permanent, retryable, summary};

pub(crate) const AUTHORITY: &[u8] = include_bytes!("tls/ca.pem");

/// A server that answers every connection with these bytes; tells its port and counts requests.
pub(crate) async fn serve(answer: String) -> (u16, Arc<AtomicUsize>) {
    let chain = CertificateDer::from_pem_slice(include_bytes!("tls/server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = requests.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust us goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = vec![0; 4_096];
            if stream.read(&mut head).await.is_ok_and(|n| n > 0) {
                counter.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    (port, requests)
}

pub(crate) fn builder() -> HttpExecutorBuilder {
    resolving(&[&["127.0.0.1"]]).0.allow_host("tls.example").allow_host("other.example")
}

pub(crate) async fn get(builder: HttpExecutorBuilder, config: Value) -> Result<Value, (String, bool)> {
    let result = builder.build().unwrap().execute(Attempt::sample(config)).await;
    result.map(|outcome| outcome.output).map_err(|error| summary(Err(error)))
}

pub(crate) fn ok() -> String {
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi".into()
}

#[tokio::test]
async fn an_added_authority_is_trusted() {
    let (port, _) = serve(ok()).await;
    let config = json!({"method": "GET", "url": format!("https://tls.example:{port}/")});
    let output = get(builder().root_certificates(AUTHORITY), config).await.unwrap();
    assert_eq!((&output["status"], &output["body"]), (&json!(200), &json!("hi")));
}

#[tokio::test]
async fn unknown_authorities_and_other_names_get_no_request() {
    let (port, requests) = serve(ok()).await;
    let config = json!({"method": "GET", "url": format!("https://tls.example:{port}/")});
    assert_eq!(get(builder(), config).await, Err(retryable("http_connect")));
    let config = json!({"method": "GET", "url": format!("https://other.example:{port}/")});
    assert_eq!(get(builder().root_certificates(AUTHORITY), config).await, Err(retryable("http_connect")));
    assert_eq!(requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_refused() {
    let plain = Server::always(json_answer("{}")).await;
    let location = format!("http://tls.example:{}/", plain.address.port());
    let head = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let (port, requests) = serve(head).await;
    let config =
        json!({"method": "GET", "url": format!("https://tls.example:{port}/"), "follow_redirects": true});
    let result = get(builder().root_certificates(AUTHORITY), config).await;
    assert_eq!(result, Err(permanent("redirect_refused")));
    assert_eq!((requests.load(Ordering::SeqCst), plain.connections()), (1, 0));
}
