//! A run's events as they are committed, as server-sent events.
//!
//! The history is the truth, and it is read from the store; news of a commit only makes the next read come sooner.
//! So a stream that resumes behind `Last-Event-ID` neither leaves out nor repeats an event, whichever process
//! commits them. It ends with the run, when the server stops, or when the caller may no longer read.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event as SentEvent, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, header};
use meshhook_core::engine::Project;
use meshhook_core::event::Event;
use meshhook_core::id::RunId;
use meshhook_core::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::auth::Permission;
use crate::call::{Call, Caller, Shared};
use crate::problem::Problem;
use crate::steps::position;
use crate::table::Route;

/// How many events are read at once.
const BATCH: usize = 200;
/// How often a stream without events shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/api/projects/{project}/runs/{run}/stream", Permission::View, |call| {
            Box::pin(follow(call))
        })
        .about("followRun", "A run's events as they are committed; ends with the run")
        .header("Last-Event-ID", "the position of the last event that is known")
        .answers_as::<String>(
            200,
            "server-sent events: `id` seq, `event` type, `data` the event",
            "text/event-stream",
        ),
    ]
}

async fn follow(call: Call) -> Result<Response, Problem> {
    let run = call.run()?;
    let after = last_event_id(&call.headers)?;
    let project = call.project().clone();
    let page = project.events(run, after, BATCH).await?;
    let permit = call
        .shared
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_| Problem::unavailable("too many live streams are open"))?;
    let follower = Follower {
        shared: call.shared,
        caller: call.caller,
        headers: call.headers,
        project,
        run,
        after,
        ready: page.events.into(),
        more: page.more,
        checked: Instant::now(),
        _permit: permit,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn last_event_id(headers: &HeaderMap) -> Result<u64, Problem> {
    let malformed = || Problem::invalid("header.last-event-id", "must be the position of an event");
    let mut values = headers.get_all("last-event-id").iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(0),
        (Some(value), None) => value.to_str().ok().and_then(position).ok_or_else(malformed),
        (Some(_), Some(_)) => Err(malformed()),
    }
}

/// Where one stream stands.
struct Follower {
    shared: Arc<Shared>,
    caller: Caller,
    headers: HeaderMap,
    project: Project,
    run: RunId,
    /// The last event that was sent.
    after: u64,
    ready: VecDeque<Event>,
    /// Whether there are events behind the ready ones.
    more: bool,
    /// When the caller's role was last judged.
    checked: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// The next event to send; `None` ends the stream.
    async fn next(&mut self) -> Option<SentEvent> {
        let mut ended = false;
        loop {
            if self.checked.elapsed() >= self.shared.options.recheck {
                self.caller.authorize(&self.shared, &self.headers).await.ok()?;
                self.checked = Instant::now();
            }
            if let Some(event) = self.ready.pop_front() {
                self.after = event.seq;
                return Some(sent(&event));
            }
            if ended || self.project.is_stopping() {
                return None;
            }
            // A run that has ended may have been retried since; so what ends the stream is that nothing is behind its
            // end, and the end is looked for before the last read.
            if !self.more {
                let status = self.project.wait_for_end(self.run, Duration::ZERO).await;
                ended = self.note(status)?.is_terminal();
                if !ended {
                    self.project.wait_for_events(self.run, self.after).await;
                }
            }
            let page = self.project.events(self.run, self.after, BATCH).await;
            let page = self.note(page)?;
            self.ready = page.events.into();
            self.more = page.more;
            ended &= self.ready.is_empty();
        }
    }

    /// A stream has no place for a problem: it ends, and the client asks again from where it stood.
    fn note<T, E: std::error::Error + 'static>(&self, result: Result<T, E>) -> Option<T> {
        result
            .inspect_err(|error| {
                tracing::warn!(run_id = %self.run, error = error as &dyn std::error::Error, "a live stream broke off");
            })
            .ok()
    }
}

fn sent(event: &Event) -> SentEvent {
    // Canonical JSON has no line breaks, so no text in an event can end its line or begin a field.
    let data = json::to_canonical_string(&event.to_value());
    SentEvent::default().id(event.seq.to_string()).event(event.data.kind()).data(data)
}
