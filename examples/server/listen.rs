//! Connections: accepted, bounded, and let go.
//!
//! Whoever is slow holds a connection only for so long: a head has its time, a body too (the router sees to that), a
//! connection without a request counts as a slow head, and an answer that nobody reads is broken off. Live streams are
//! no exception: their signs of life are written, too, and the router bounds their number.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// What connections may cost.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// The most connections at once. More wait until they are accepted.
    pub(crate) connections: usize,
    /// How long a client may take to send a request's head, and to begin it.
    pub(crate) head: Duration,
    /// The most bytes of a head. It has at most 100 fields, too.
    pub(crate) head_bytes: usize,
    /// How long a client may read nothing of an answer.
    pub(crate) write: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 8_192,
            head: Duration::from_secs(10),
            head_bytes: 64 * 1024,
            write: Duration::from_secs(30),
        }
    }
}

/// Serves until told to stop, then until the requests under way are answered.
pub(crate) async fn serve(listener: TcpListener, app: Router, bounds: Bounds, stopping: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head).max_buf_size(bounds.head_bytes);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(bounds.connections));
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            next = next => next,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: some must be given back first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Answers are small; without this they wait for the client's acknowledgements.
        let _ = stream.set_nodelay(true);
        let app = app.clone();
        let service = service_fn(move |request: http::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            app.clone().oneshot(request)
        });
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(bounds.write));
        let connection = graceful.watch(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}
