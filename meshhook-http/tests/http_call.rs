//! The `http_call` executor against a scripted server on the loopback interface.

#![expect(clippy::unwrap_used, reason = "test helpers may panic like the tests that use them")]

#[path = "http_call/body.rs"]
mod body;
#[path = "http_call/breaker.rs"]
mod breaker;
#[path = "http_call/exchange.rs"]
mod exchange;
#[path = "http_call/fault.rs"]
mod fault;
#[path = "http_call/guard.rs"]
mod guard;
#[path = "http_call/redirect.rs"]
mod redirect;
#[path = "http_call/server.rs"]
mod server;
#[path = "http_call/status.rs"]
mod status;
#[path = "http_call/tls.rs"]
mod tls;
#[path = "http_call/trace.rs"]
mod trace;

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::exec::{Attempt, AttemptError, Executor, Outcome};
use meshhook_http::HttpExecutor;
use serde_json::Value;

/// An executor that may reach the scripted servers, one for each test: making one reads the system's certificates.
fn executor() -> Arc<HttpExecutor> {
    thread_local! {
        static EXECUTOR: Arc<HttpExecutor> =
            Arc::new(HttpExecutor::builder().allow_private_network().build().expect("an executor"));
    }
    EXECUTOR.with(Arc::clone)
}

async fn call(config: Value) -> Result<Outcome, AttemptError> {
    executor().execute(Attempt::sample(config)).await
}

async fn call_within(timeout: Duration, config: Value) -> Result<Outcome, AttemptError> {
    let mut attempt = Attempt::sample(config);
    attempt.timeout = timeout;
    executor().execute(attempt).await
}

/// The output of a call that succeeds.
async fn output(config: Value) -> Value {
    let outcome = call(config).await.expect("the call succeeds");
    assert_eq!(outcome.port, "out");
    outcome.output
}

/// The code of a call that fails, and whether it may be retried.
async fn code_of(config: Value) -> (String, bool) {
    summary(call(config).await)
}

fn summary(result: Result<Outcome, AttemptError>) -> (String, bool) {
    let failure = result.expect_err("the call fails").failure;
    (failure.code.into_owned(), failure.retryable)
}

fn permanent(code: &str) -> (String, bool) {
    (code.to_owned(), false)
}

fn retryable(code: &str) -> (String, bool) {
    (code.to_owned(), true)
}
