//! A server under load: clients that send one request after the other, and what that costs.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::client::Connection;
use super::cluster::{Cluster, Spent};
use super::{cpu_micros, histogram, micros};

/// What came back.
pub(crate) struct Answers {
    pub(crate) begun: Instant,
    pub(crate) per_second: f64,
    /// How long each answer took that was as it should be, in microseconds.
    pub(crate) micros: Histogram<u64>,
    /// How many were not.
    pub(crate) refused: u64,
}

/// Sends requests over so many connections, over each the next one when the last was answered, until the time is over.
pub(crate) async fn closed(
    address: &str,
    connections: usize,
    span: Duration,
    request: impl Fn() -> Vec<u8> + Send + Sync + 'static,
    is_good: impl Fn(u16) -> bool + Copy + Send + 'static,
) -> Answers {
    let request = Arc::new(request);
    let begun = Instant::now();
    let client = || {
        let (address, request) = (address.to_owned(), request.clone());
        tokio::spawn(async move {
            let mut connection = Connection::open(&address).await;
            let (mut took, mut refused) = (histogram(), 0);
            while begun.elapsed() < span {
                let request = request();
                let sent = Instant::now();
                let (status, _) = connection.send(&request).await;
                if is_good(status) {
                    took.saturating_record(micros(sent));
                } else {
                    refused += 1;
                }
            }
            (took, refused)
        })
    };
    let (micros, refused) = together((0..connections).map(|_| client()).collect()).await;
    let per_second = micros.len() as f64 / begun.elapsed().as_secs_f64();
    Answers { begun, per_second, micros, refused }
}

/// How long it took all senders together, and how many were refused.
pub(crate) async fn together(senders: Vec<JoinHandle<(Histogram<u64>, u64)>>) -> (Histogram<u64>, u64) {
    let (mut took, mut refused) = (histogram(), 0);
    for sender in senders {
        let (its, its_refused) = sender.await.expect("a sender ends");
        took.add(its).expect("equal histograms");
        refused += its_refused;
    }
    (took, refused)
}

/// What a server and the cluster behind it spend.
pub(crate) struct Meter<'a> {
    process: u32,
    cluster: Option<&'a Cluster>,
    cpu_micros: f64,
    spent: Option<Spent>,
}

impl<'a> Meter<'a> {
    /// Counts from now on.
    pub(crate) fn start(process: u32, cluster: Option<&'a Cluster>) -> Self {
        Self { process, cluster, cpu_micros: cpu_micros(process), spent: cluster.map(Cluster::spent) }
    }

    /// What was spent so far, for each of so many: the server's processor time in microseconds, and what the cluster spent.
    pub(crate) fn per(&self, count: f64) -> (f64, Option<Spent>) {
        let own = (cpu_micros(self.process) - self.cpu_micros) / count;
        let spent = self.cluster.map(Cluster::spent).zip(self.spent);
        (own, spent.map(|(after, before)| after.per(count, before)))
    }
}
