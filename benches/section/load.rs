//! Runs that are started one after the other, or at a given rate, and how they fared.

use std::future::{Future, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use meshhook::engine::StartRequest;
use meshhook::id::WorkflowSlug;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::host::{Host, Server};
use super::shape::{Shape, delivery, input};
use super::watched::Counts;
use crate::kit::client::Connection;
use crate::kit::load::together;
use crate::kit::{histogram, micros};

/// Where runs are started.
#[derive(Clone)]
pub(crate) enum Place {
    Here(Host),
    There(Arc<Server>),
}

/// What a load came to.
pub(crate) struct Tally {
    /// How long each took, in microseconds: until its end, or until it was accepted where nobody waits for that.
    pub(crate) micros: Histogram<u64>,
    /// How many were not accepted, or did not end well.
    pub(crate) refused: u64,
    /// How many transactions were asked for.
    pub(crate) calls: u64,
    pub(crate) seconds: f64,
}

impl Tally {
    pub(crate) fn runs(&self) -> f64 {
        self.micros.len() as f64
    }
}

/// How often it is looked how many runs have ended.
const LOOK: Duration = Duration::from_millis(3);

/// Ids that no other delivery of this process has.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Place {
    /// What its store was asked so far.
    pub(crate) fn counts(&self) -> Counts {
        match self {
            Place::Here(host) => host.store.counts(),
            Place::There(server) => server.counts(),
        }
    }

    /// The process that the engine is in.
    pub(crate) fn process(&self) -> u32 {
        match self {
            Place::Here(_) => std::process::id(),
            Place::There(server) => server.process(),
        }
    }

    async fn sender(&self, shape: Shape) -> Sender {
        match self {
            Place::Here(host) => {
                Sender::Here(host.clone(), WorkflowSlug::new(shape.slug()).expect("a valid slug"))
            }
            Place::There(server) => Sender::There(Connection::open(&server.address).await, shape),
        }
    }

    /// So many at a time, each sender its next run when the last has ended; until the time is over.
    pub(crate) async fn closed(&self, shape: Shape, in_flight: usize, span: Duration) -> Tally {
        self.load(shape, in_flight, move |begun| ready((begun.elapsed() < span).then(Instant::now))).await
    }

    /// So many per second, whether or not the last have ended. A run that had to wait for a sender has been under way
    /// since it was due.
    pub(crate) async fn paced(&self, shape: Shape, per_second: f64, span: Duration) -> Tally {
        let sent = AtomicU64::new(0);
        let next = move |begun| {
            let after = Duration::from_secs_f64(sent.fetch_add(1, Ordering::Relaxed) as f64 / per_second);
            ready((after < span).then(|| begun + after))
        };
        self.load(shape, 256, next).await
    }

    /// So many at a time of runs for whose ends nobody waits: a sender is told that one may follow. All have ended when
    /// this returns; how long each took is only until it was accepted.
    pub(crate) async fn unawaited(&self, shape: Shape, in_flight: usize, span: Duration) -> Tally {
        let (places, before) = (Arc::new(Semaphore::new(in_flight)), self.counts().ended);
        let free = places.clone();
        let next = move |begun: Instant| {
            let free = free.clone();
            async move {
                free.acquire().await.ok()?.forget();
                (begun.elapsed() < span).then(Instant::now)
            }
        };
        let begun = Instant::now();
        let load = self.load(shape, 64, next);
        let mut ended = 0;
        let mut make_room = || {
            let now = self.counts().ended - before;
            places.add_permits(usize::try_from(now - ended).expect("few"));
            ended = now;
            now
        };
        tokio::pin!(load);
        let mut tally = loop {
            match tokio::time::timeout(LOOK, &mut load).await {
                Ok(tally) => break tally,
                Err(_) => drop(make_room()),
            }
            if begun.elapsed() > span {
                // Who waits for a place is to see that the time is over.
                places.add_permits(64);
            }
        };
        while make_room() < tally.micros.len() {
            assert!(begun.elapsed() < span + Duration::from_secs(60), "runs do not end");
            tokio::time::sleep(LOOK).await;
        }
        tally.seconds = begun.elapsed().as_secs_f64();
        tally
    }

    /// Senders that ask when to send next, until they are told nothing; what they ask is told when they began.
    async fn load<N, F>(&self, shape: Shape, senders: usize, next: N) -> Tally
    where
        N: Fn(Instant) -> F + Send + Sync + 'static,
        F: Future<Output = Option<Instant>> + Send,
    {
        let (calls, next) = (self.counts().total(), Arc::new(next));
        let mut idle = Vec::new();
        for _ in 0..senders {
            idle.push(self.sender(shape).await);
        }
        let begun = Instant::now();
        let start = |mut sender: Sender| {
            let next = next.clone();
            tokio::spawn(async move {
                let (mut took, mut refused) = (histogram(), 0);
                while let Some(due) = next(begun).await {
                    // The timer is coarser than what is measured: who slept counts from waking up.
                    let from = if due > Instant::now() {
                        tokio::time::sleep_until(due).await;
                        Instant::now()
                    } else {
                        due
                    };
                    if sender.send().await {
                        took.saturating_record(micros(from));
                    } else {
                        refused += 1;
                    }
                }
                (took, refused)
            })
        };
        let (micros, refused) = together(idle.into_iter().map(start).collect()).await;
        let seconds = begun.elapsed().as_secs_f64();
        Tally { micros, refused, calls: self.counts().total() - calls, seconds }
    }
}

/// Starts runs, one after the other.
enum Sender {
    Here(Host, WorkflowSlug),
    There(Connection, Shape),
}

impl Sender {
    /// Starts a run, and waits for its end where that is what its shape says; answers whether all went well.
    async fn send(&mut self) -> bool {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        match self {
            Sender::Here(host, slug) => {
                let request = StartRequest::new(input()).idempotency_key(id.to_string());
                let Ok(run) = host.project.start_run(slug, request).await else { return false };
                if run.end.is_some() || slug.as_str() == Shape::Accept.slug() {
                    return true;
                }
                let end = host.project.wait_for_end(run.run, Duration::from_secs(60)).await;
                end.is_ok_and(|status| status.is_terminal())
            }
            Sender::There(connection, shape) => {
                let expected = match shape {
                    Shape::Pure | Shape::Accept => 202,
                    Shape::Strict | Shape::OneCall | Shape::ThreeCalls => 200,
                };
                connection.send(&delivery().request(shape.slug(), id)).await.0 == expected
            }
        }
    }
}

/// Starts runs and reads their live streams to the end, one after the other; answers when the time is over.
pub(crate) async fn follow(server: &Server, followers: usize, span: Duration) -> Histogram<u64> {
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..followers {
        let mut connection = Connection::open(&server.address).await;
        tasks.push(tokio::spawn(async move {
            let mut took = histogram();
            while begun.elapsed() < span {
                let from = Instant::now();
                let id = NEXT.fetch_add(1, Ordering::Relaxed);
                let (status, body) = connection.send(&delivery().request(Shape::Accept.slug(), id)).await;
                assert_eq!(status, 202, "{body}");
                let body: serde_json::Value = serde_json::from_str(&body).expect("an answer is JSON");
                let run = body["run_id"].as_str().expect("it names the run");
                connection.follow(&format!("/api/projects/default/runs/{run}/stream")).await;
                took.saturating_record(micros(from));
            }
            took
        }));
    }
    let mut took = histogram();
    for task in tasks {
        took.add(task.await.expect("a follower ends")).expect("equal histograms");
    }
    took
}
