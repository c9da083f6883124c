//! One attempt at an `http_call`, from its config to its outcome.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{Method, StatusCode};
use meshhook_core::clock::Clock;
use meshhook_core::exec::{Attempt, AttemptError, Executor, Outcome};
use meshhook_core::failure::{Failure, code};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::Instrument as _;
use url::Url;

use crate::body::{self, BodyError, Collector, Encoding};
use crate::breaker::{Breakers, Open, StepHash, Target, Verdict};
use crate::builder::HttpExecutorBuilder;
use crate::guard::{Guard, GuardError};
use crate::message::Message;
use crate::redirect::{self, MAX_HOPS};
use crate::request::{Redirects, Request, Rules, guard_failure};
use crate::slot::Slots;
use crate::{header, response, retry_after, transport};

/// Executes `http_call` nodes.
///
/// Cheap to share behind an `Arc`; its connections are pooled and reused across runs. No cookie, TLS identity or
/// authenticated connection is kept, so runs and projects see nothing of each other.
pub struct HttpExecutor {
    pub(crate) client: reqwest::Client,
    pub(crate) guard: Arc<Guard>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) max_request_bytes: usize,
    pub(crate) max_response_bytes: usize,
    pub(crate) breakers: Option<Arc<Breakers>>,
    pub(crate) slots: Option<Arc<Slots>>,
}

impl HttpExecutor {
    /// Starts with the defaults: public addresses only, no proxy, a breaker per host.
    pub fn builder() -> HttpExecutorBuilder {
        HttpExecutorBuilder::default()
    }
}

impl fmt::Debug for HttpExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpExecutor").finish_non_exhaustive()
    }
}

#[async_trait]
impl Executor for HttpExecutor {
    async fn execute(&self, mut attempt: Attempt) -> Result<Outcome, AttemptError> {
        let rules = Rules { guard: &self.guard, max_body_bytes: self.max_request_bytes };
        let request = Request::parse(&mut attempt, rules)?;
        let host = transport::host_label(&request.message.url);
        let span = tracing::debug_span!("http_call", %host, run_id = %attempt.run, step = %attempt.step);
        let deadline = Instant::now() + attempt.timeout.min(LONGEST_TIMEOUT);
        let work = Box::pin(self.perform(&attempt, request, deadline).instrument(span));
        tokio::select! {
            biased;
            () = attempt.cancelled.cancelled() => {
                Err(Failure::retryable(code::CANCELLED, "the attempt was abandoned").into())
            }
            result = tokio::time::timeout_at(deadline, work) => {
                result.unwrap_or_else(|_| Err(timed_out(&host, attempt.timeout).into()))
            }
        }
    }
}

impl HttpExecutor {
    /// Waits for a place at the host, asks its breaker and reports back to it.
    async fn perform(
        &self,
        attempt: &Attempt,
        request: Request,
        deadline: Instant,
    ) -> Result<Outcome, AttemptError> {
        let target = Target::new(&attempt.project, &request.message.url);
        let _slot = match &self.slots {
            Some(slots) => Some(slots.acquire(target.clone()).await),
            None => None,
        };
        let Some(breakers) = &self.breakers else {
            return self.call(attempt, request, deadline).await;
        };
        let host = transport::host_label(&request.message.url);
        let mut hasher = DefaultHasher::new();
        attempt.idempotency_key.hash(&mut hasher);
        let step = hasher.finish();
        let patience = deadline.saturating_duration_since(Instant::now());
        let admitted = breakers.admit(target, step, patience).await;
        let permit = admitted.map_err(|open| self.refused_by_breaker(&open, &host, step))?;
        let result = self.call(attempt, request, deadline).await;
        let verdict = verdict(&result);
        tracing::debug!(?verdict, "attempt ended");
        permit.settle(verdict);
        result
    }

    async fn call(
        &self,
        attempt: &Attempt,
        request: Request,
        deadline: Instant,
    ) -> Result<Outcome, AttemptError> {
        let Request { mut message, signing, redirects, success, parse, max_response_bytes } = request;
        if let Some(signing) = signing {
            // Now, and not before the wait for a place and the breaker: receivers judge the time.
            signing.apply(&mut message, self.clock.now())?;
        }
        let max_bytes = max_response_bytes.min(self.max_response_bytes);
        let Answer { mut response, url, method } = self.send(message, redirects).await?;
        let status = response.status();
        if header::size(response.headers()) > response::MAX_HEADER_BYTES {
            let message = format!("the headers of {} are larger than 64 KiB", transport::host_label(&url));
            return Err(Failure::permanent(code::RESPONSE_TOO_LARGE, message).into());
        }
        if !success.includes(status.as_u16()) {
            return Err(self.status_error(attempt, response, &url, deadline).await);
        }
        let mut headers = response.headers().clone();
        let body = if response::is_bodiless(&method, status) {
            Value::Null
        } else {
            let bytes = body::read(&mut response, max_bytes)
                .await
                .map_err(|error| body_failure(error, &url, max_bytes))?;
            let encoding = Encoding::of(&headers);
            let value = response::body_value(parse, &headers, encoding, &bytes)
                .map_err(|message| Failure::permanent(code::RESPONSE_INVALID, message))?;
            if encoding == Encoding::Gzip {
                // They describe the bytes on the wire, not the body that stands beside them.
                headers.remove(CONTENT_ENCODING);
                headers.remove(CONTENT_LENGTH);
            }
            value
        };
        let headers = response::headers_value(&headers, usize::MAX);
        let members = [("status", status.as_u16().into()), ("headers", headers), ("body", body)];
        Ok(Outcome::out(
            members.into_iter().map(|(name, value): (_, Value)| (name.to_owned(), value)).collect(),
        ))
    }

    /// Sends the request and follows redirects as far as the node allows.
    async fn send(&self, first: Message, redirects: Redirects) -> Result<Answer, AttemptError> {
        let mut next = first;
        for _ in 0..=MAX_HOPS {
            let response = self
                .client
                .execute(next.to_request())
                .await
                .map_err(|error| transport::failure(error, &next.url))?;
            if let Some(peer) = response.remote_addr() {
                self.guard.check_peer(peer, &next.url).map_err(|error| guard_failure(&error))?;
            }
            let mut locations = response.headers().get_all(LOCATION).iter();
            let location = locations
                .next()
                .filter(|_| redirects == Redirects::Follow && redirect::is_redirect(response.status()));
            let Some(location) = location else {
                return Ok(Answer { response, url: next.url, method: next.method });
            };
            if locations.next().is_some() {
                return Err(redirect_refused("a redirect names several locations").into());
            }
            let hop = redirect::next_hop(&next.url, &next.method, response.status(), location.as_bytes())
                .map_err(redirect_refused)?;
            self.guard.check(&hop.url).map_err(|error| match error {
                GuardError::InvalidUrl(message) => redirect_refused(message),
                error => guard_failure(&error),
            })?;
            next = next.redirected(hop);
        }
        Err(redirect_refused("there are more than 5 redirects").into())
    }

    /// An answer that the node does not count as success.
    async fn status_error(
        &self,
        attempt: &Attempt,
        mut response: reqwest::Response,
        url: &Url,
        deadline: Instant,
    ) -> AttemptError {
        let status = response.status();
        let headers = response.headers().clone();
        let patience = deadline.saturating_duration_since(Instant::now()) / 2;
        let mut start = Collector::new(Encoding::of(&headers), READ_FOR_EXCERPT);
        // An excerpt is not worth more than a moment: what came until then will do.
        let reading = body::read_start(&mut response, &mut start);
        let _ = tokio::time::timeout(patience.min(EXCERPT_PATIENCE), reading).await;
        let mut bytes = start.into_bytes();
        if bytes.len() == READ_FOR_EXCERPT {
            // Where the body was cut, a secret may have been: too little of it is left to be recognized.
            bytes.truncate(READ_FOR_EXCERPT - CUT_MARGIN);
        }
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let mut text = response::text(content_type, &bytes);
        attempt.masker.mask_string(&mut text);
        let details = json!({
            "status": status.as_u16(),
            "headers": response::headers_value(&headers, MAX_DETAIL_HEADER_BYTES),
            "body": response::excerpt(text),
        });
        let message = format!("{} answered {}", transport::host_label(url), describe(status));
        if is_retryable(status) {
            let failure = Failure::retryable(code::HTTP_STATUS, message).with_details(details);
            let error = AttemptError::from(failure);
            match retry_after::retry_after(&headers, self.clock.now()) {
                Some(at) => error.retry_not_before(at),
                None => error,
            }
        } else {
            Failure::permanent(code::HTTP_STATUS, message).with_details(details).into()
        }
    }

    fn refused_by_breaker(&self, open: &Open, host: &str, step: StepHash) -> AttemptError {
        let message =
            format!("{host} failed too often in a row and is left alone for a while (circuit breaker)");
        // A fixed share of the spread for each step, so that not all come back at once.
        let share = (step % 1_000) as u32;
        let wait = open.retry_in + open.spread / 1_000 * share;
        AttemptError::from(Failure::retryable(code::HTTP_CONNECT, message))
            .retry_not_before(self.clock.now().after(wait))
    }
}

/// The final answer and where it came from.
struct Answer {
    response: reqwest::Response,
    url: Url,
    method: Method,
}

/// What the attempt's result says about the host.
fn verdict(result: &Result<Outcome, AttemptError>) -> Verdict {
    let Err(error) = result else { return Verdict::Healthy };
    match error.failure.code.as_ref() {
        code::HTTP_CONNECT | code::HTTP_TRANSPORT | code::TIMED_OUT => Verdict::Failing,
        code::HTTP_STATUS => {
            let details = error.failure.details.as_deref();
            let status = details.and_then(|details| details["status"].as_u64()).unwrap_or(0);
            if status >= 500 { Verdict::Failing } else { Verdict::Healthy }
        }
        code::RESPONSE_TOO_LARGE | code::RESPONSE_INVALID => Verdict::Healthy,
        _ => Verdict::Neither,
    }
}

fn body_failure(error: BodyError, url: &Url, max_bytes: usize) -> Failure {
    match error {
        BodyError::TooLarge => {
            let message = format!("the response is larger than {max_bytes} bytes");
            Failure::permanent(code::RESPONSE_TOO_LARGE, message)
        }
        BodyError::Malformed => {
            Failure::permanent(code::RESPONSE_INVALID, "the response is not the gzip that it claims to be")
        }
        BodyError::Broken(error) => transport::failure(error, url),
    }
}

/// Statuses after which another attempt may succeed.
fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500..=599)
}

fn describe(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or("");
    format!("{} {reason}", status.as_u16()).trim_end().to_owned()
}

fn timed_out(host: &str, timeout: Duration) -> Failure {
    let timeout = meshhook_core::time::format_duration(timeout);
    Failure::retryable(code::TIMED_OUT, format!("{host} did not answer completely within {timeout}"))
}

fn redirect_refused(message: &str) -> Failure {
    Failure::permanent(code::REDIRECT_REFUSED, message)
}

/// Beyond any run's timeout; keeps the deadline within the clock's range.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(366 * 86_400);

/// How much of a refused answer's body is read for its excerpt.
const READ_FOR_EXCERPT: usize = 64 * 1024;

/// How much before a cut may be the head of a secret in its longest encoding.
const CUT_MARGIN: usize = 1_024;

/// How long a refused answer's body is waited for.
const EXCERPT_PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes of headers that an `http_status` failure keeps.
const MAX_DETAIL_HEADER_BYTES: usize = 16 * 1024;
