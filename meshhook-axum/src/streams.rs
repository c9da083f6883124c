//! A run's events as they are committed, as server-sent events.
//!
//! A stream that resumes behind `Last-Event-ID` neither leaves out nor repeats an event, whichever process commits them.
//! It ends with the run, when the server stops, or when the caller may no longer read.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event as SentEvent, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, header};
use meshhook_core::engine::Follower;
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
    let events = call.project().follow(run, after).await?;
    let permit = call
        .shared
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_| Problem::unavailable("too many live streams are open"))?;
    let live = Live {
        shared: call.shared,
        caller: call.caller,
        headers: call.headers,
        run,
        events,
        ready: VecDeque::new(),
        checked: Instant::now(),
        _permit: permit,
    };
    let events = stream::unfold(live, |mut live| async move {
        let event = live.next().await?;
        Some((Ok::<_, Infallible>(event), live))
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

/// A stream that is open.
struct Live {
    shared: Arc<Shared>,
    caller: Caller,
    headers: HeaderMap,
    run: RunId,
    events: Follower,
    ready: VecDeque<Event>,
    /// When the caller's role was last judged.
    checked: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Live {
    /// The next event to send; `None` ends the stream.
    async fn next(&mut self) -> Option<SentEvent> {
        loop {
            if self.checked.elapsed() >= self.shared.options.recheck {
                self.caller.authorize(&self.shared, &self.headers).await.ok()?;
                self.checked = Instant::now();
            }
            if let Some(event) = self.ready.pop_front() {
                return Some(sent(&event));
            }
            match self.events.next().await {
                Ok(events) => self.ready = events?.into(),
                // A stream has no place for a problem: it ends, and the client asks again from where it stood.
                Err(error) => {
                    tracing::warn!(run_id = %self.run, error = &error as &dyn std::error::Error, "a live stream broke off");
                    return None;
                }
            }
        }
    }
}

fn sent(event: &Event) -> SentEvent {
    // Canonical JSON has no line breaks, so no text in an event can end its line or begin a field.
    let data = json::to_canonical_string(&event.to_value());
    SentEvent::default().id(event.seq.to_string()).event(event.data.kind()).data(data)
}
