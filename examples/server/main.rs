//! Run with `cargo run --release --example server`
//!
//! A server that needs nothing else: it keeps everything in `./meshhook.db` and listens on `127.0.0.1:8080`. See
//! `--help` for what can be set. It shows all that a host does: open a store, hand over keys, start an engine, serve
//! the router, and stop without losing anything.

mod database;
mod flags;
mod keys;
mod listen;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use meshhook::axum::{AdminKey, OpenLoopback, RouterOptions, health_router, router};
use meshhook::engine::{Engine, EngineOptions, Stopped};
use meshhook::http::HttpExecutor;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::database::Database;
use crate::flags::Flags;
use crate::keys::Keys;
use crate::listen::Bounds;

/// A run makes and drops many small values on whichever thread it happens to be, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colored = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colored).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let result = runtime.block_on(run(flags));
    // What is still blocked now has had its time.
    runtime.shutdown_timeout(Duration::from_millis(500));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error.as_ref()),
    }
}

/// Says why the server does not run, with all causes, on one line. Some errors say their cause themselves.
fn failed(error: &dyn std::error::Error) -> ExitCode {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(&format!(": {said}"));
        }
        cause = error.source();
    }
    // If standard error is gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::FAILURE
}

async fn run(flags: Flags) -> Result<(), Error> {
    if flags.migrate_only {
        let done = Database::migrate(&flags.database, flags.grant.as_deref()).await?;
        let _ = writeln!(std::io::stdout(), "{done}");
        return Ok(());
    }
    // All that is set is looked at before anything is touched.
    let keys = Keys::of(&flags)?;
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
    let routes = router_options(&flags, metrics.clone())?;
    let address = flags.address().await?;
    // Signals count from here on, so that one that comes during the start is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    // First of all, so that a server that cannot listen leaves nothing behind.
    let listener = TcpListener::bind(address).await.map_err(|error| {
        format!("cannot listen on {address}: {error}; choose another with --port or --listen")
    })?;
    let database = Database::open(&flags.database).await?;
    let keys = keys.open()?;
    let mut executor = HttpExecutor::builder();
    if flags.allow_private_network {
        executor = executor.allow_private_network();
    }
    let mut options = EngineOptions::default();
    options.works = !flags.no_worker;
    if let Some(workers) = flags.workers {
        options.max_attempts = workers;
    }
    if let Some(lease) = flags.lease {
        options.lease = lease;
    }
    if let Some(bytes) = flags.max_batch_bytes {
        options.max_batch_bytes = bytes;
    }
    let engine = Engine::builder(database.store())
        .options(options)
        .key_provider(Arc::new(keys))
        .http_call(Arc::new(executor.build()?))
        .start()?;

    if let Err(error) = check_keys(&engine, &flags).await {
        engine.shutdown(Duration::ZERO).await;
        return Err(error);
    }
    let upkeep = tokio::spawn(keep_up(metrics));
    let app = if flags.worker_only {
        health_router(engine.clone(), routes)
    } else {
        router(engine.clone(), routes)
    };

    let address = listener.local_addr()?;
    tracing::info!(pid = std::process::id(), %address, "started");
    let _ = writeln!(std::io::stdout(), "listening on http://{address}");
    let stopping = CancellationToken::new();
    let serving = tokio::spawn(listen::serve(listener, app, Bounds::default(), stopping.clone()));

    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(grace = ?flags.grace, "stopping");
    stopping.cancel();
    // A part of the grace period is left for the listener and the database.
    let for_engine = flags.grace.saturating_sub((flags.grace / 5).min(Duration::from_secs(1)));
    let stop = async {
        let (served, stopped) = tokio::join!(serving, engine.shutdown(for_engine));
        if let Err(error) = served {
            tracing::error!(%error, "the listener broke");
        }
        if stopped != Stopped::Clean {
            tracing::warn!("not everything has ended; what is left is claimed again when its lease ends");
        }
        database.close().await;
    };
    if tokio::time::timeout(flags.grace, stop).await.is_err() {
        tracing::warn!("the grace period is over; what is left is claimed again when its lease ends");
    }
    upkeep.abort();
    Ok(())
}

/// Notices keys that are not those of the database, before anything waits for a secret in vain.
async fn check_keys(engine: &Engine, flags: &Flags) -> Result<(), Error> {
    match engine.check_keys().await {
        Ok(()) => Ok(()),
        Err(error) if error.is_transient() => {
            tracing::warn!(%error, "could not look whether the keys fit the database");
            Ok(())
        }
        Err(error) if flags.accept_lost_secrets => {
            tracing::error!(%error, "no secret of the database can be opened");
            Ok(())
        }
        Err(error) => Err(format!(
            "no secret of the database can be opened: {error}; set --key (or the file PATH.key beside SQLite), or \
             --previous-keys, to what they were sealed with, or --accept-lost-secrets to go on without them"
        )
        .into()),
    }
}

fn router_options(flags: &Flags, metrics: PrometheusHandle) -> Result<RouterOptions, Error> {
    let mut options = match &flags.admin_key {
        Some(key) => RouterOptions::new(AdminKey::new(key)),
        None => RouterOptions::new(OpenLoopback),
    };
    if let Some(url) = &flags.public_url {
        options = options.public_url(url);
    }
    for proxy in &flags.trusted_proxies {
        options = options.trust_proxy(proxy)?;
    }
    Ok(options.metrics(move || metrics.render()))
}

/// Lets the recorder drop what it no longer needs.
async fn keep_up(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        metrics.run_upkeep();
    }
}
