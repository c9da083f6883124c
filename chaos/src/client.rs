//! The clients: they send signed webhooks at a steady rate and write down what they were told.
//!
//! ```text
//!   sent ─┬─ 202 ──────────────► accepted: from here on it must never be lost
//!         ├─ 503, 401, … ──────► refused: sent again under the same id by some senders; by the others never,
//!         │                      and then it must have left nothing behind
//!         └─ anything else ────► nobody knows: sent again under the same id until somebody does
//! ```
//!
//! A few are sent twice at the same time to two servers, a few carry a wrong signature, and for some of the runs an
//! event is posted that they wait for. Some webhooks are [batches].

mod batches;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Outcome;
use crate::batch::{self, Batch};
use crate::random::Random;
use crate::server::Server;
use crate::workflow::{EVENT, SECRET, WORKFLOW};

/// What a client knows about one delivery.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) id: String,
    /// Whether its run waits for an event.
    pub(crate) waits: bool,
    /// The runs that answers named: one, if all is well.
    pub(crate) runs: Vec<String>,
    /// The status with which it was refused.
    pub(crate) refused: Option<u16>,
    /// How often nobody knew.
    pub(crate) lost: u32,
    /// Answers that there should not be.
    pub(crate) unexpected: Vec<String>,
    /// Whether its signature was wrong.
    pub(crate) is_forged: bool,
    /// Whether its sender sends it again when the server was too busy to take it.
    pub(crate) is_persistent: bool,
}

impl Delivery {
    /// Whether it is known what became of it.
    pub(crate) fn is_known(&self) -> bool {
        !self.runs.is_empty() || self.refusal().is_some()
    }

    /// With which status it was refused, for certain: no answer was lost and it was not sent again, or it never had a
    /// chance.
    pub(crate) fn refusal(&self) -> Option<u16> {
        let is_certain = (self.lost == 0 && !self.is_persistent) || self.refused == Some(FORGED);
        self.refused.filter(|_| self.runs.is_empty() && is_certain)
    }
}

/// What the clients know in the end.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) batches: Vec<Batch>,
    /// How many webhooks were to be sent.
    pub(crate) intended: u64,
}

impl Ledger {
    /// How many webhooks were sent.
    pub(crate) fn attempted(&self) -> u64 {
        (self.deliveries.len() + self.batches.len()) as u64
    }

    /// How many of them were accepted.
    pub(crate) fn acked(&self) -> u64 {
        let deliveries = self.deliveries.iter().filter(|delivery| !delivery.runs.is_empty());
        let batches = self.batches.iter().filter(|batch| batch.is_accepted());
        (deliveries.count() + batches.count()) as u64
    }
}

/// How an attempt to send ended.
enum Answer {
    Accepted(Value),
    Refused(u16),
    Unknown,
    Unexpected(String),
}

/// One request, as it is sent.
struct Sending<'a> {
    hook: &'a str,
    id: &'a str,
    body: &'a str,
    is_forged: bool,
}

/// Sends to servers.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    http: reqwest::Client,
    servers: Arc<[Arc<Server>]>,
    seed: u64,
    known: Arc<Mutex<Known>>,
}

type Known = (Vec<Delivery>, Vec<Batch>);

/// What a wrong signature is answered.
pub(crate) const FORGED: u16 = 401;
/// The most deliveries under way.
const AT_ONCE: usize = 400;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(6);

impl Clients {
    /// Clients of the servers that take webhooks.
    pub(crate) fn new(servers: &[Arc<Server>], seed: u64) -> Outcome<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let servers = servers.iter().filter(|server| server.takes_in).cloned().collect();
        Ok(Self { http, servers, seed, known: Arc::default() })
    }

    /// Sends so many a second until `stop`, then settles what nobody knows until `end`. Answers what is known.
    pub(crate) async fn send(self, rate: u64, stop: CancellationToken, end: CancellationToken) -> Ledger {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut pace =
            tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate.max(1)).unwrap_or(1));
        let mut under_way = JoinSet::new();
        let mut intended = 0;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = pace.tick() => {}
            }
            intended += 1;
            // One that finds no place is not sent: the report counts it.
            if let Ok(place) = places.clone().try_acquire_owned() {
                let (clients, end) = (self.clone(), end.clone());
                under_way.spawn(async move {
                    let _place = place;
                    clients.send_one(intended, &end).await;
                });
            }
            while under_way.try_join_next().is_some() {}
        }
        while under_way.join_next().await.is_some() {}
        let (deliveries, batches) =
            std::mem::take(&mut *self.known.lock().unwrap_or_else(PoisonError::into_inner));
        Ledger { deliveries, batches, intended }
    }

    /// Sends one webhook until it is known what became of it, and writes down what is known.
    async fn send_one(&self, number: u64, end: &CancellationToken) {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut plan) = batch::plan(self.seed, number) {
            end.run_until_cancelled(self.deliver_batch(number, &mut plan)).await;
            known().1.push(plan.batch);
            return;
        }
        let mut delivery = self.new_delivery(number);
        if end.run_until_cancelled(self.deliver(number, &mut delivery)).await.is_none() {
            delivery.lost += 1;
        }
        known().0.push(delivery);
    }

    fn new_delivery(&self, number: u64) -> Delivery {
        let mut random = Random::of(self.seed, &format!("delivery {number}"));
        Delivery {
            id: format!("{:016x}{:016x}", random.next(), random.next()),
            waits: random.percent(40),
            runs: Vec::new(),
            refused: None,
            lost: 0,
            unexpected: Vec::new(),
            is_forged: random.percent(2),
            is_persistent: random.percent(50),
        }
    }

    async fn deliver(&self, number: u64, delivery: &mut Delivery) {
        let mut random = Random::of(self.seed, &format!("body {number}"));
        let body = body(delivery, &mut random);
        let is_twice = random.percent(5);
        loop {
            let sending =
                Sending { hook: WORKFLOW, id: &delivery.id, body: &body, is_forged: delivery.is_forged };
            let mut answers = vec![self.attempt(self.some_server(&mut random), &sending)];
            if is_twice {
                answers.push(self.attempt(self.some_server(&mut random), &sending));
            }
            for answer in futures_util::future::join_all(answers).await {
                match answer {
                    Answer::Accepted(accepted) => match accepted["run_id"].as_str() {
                        Some(run) => delivery.runs.push(run.to_owned()),
                        None => delivery.unexpected.push(format!("202 without a run: {accepted}")),
                    },
                    Answer::Refused(status) => delivery.refused = Some(status),
                    Answer::Unknown => delivery.lost += 1,
                    Answer::Unexpected(what) => delivery.unexpected.push(what),
                }
            }
            if delivery.is_known() || !delivery.unexpected.is_empty() {
                break;
            }
            tokio::time::sleep(random.within(Duration::from_millis(50)..Duration::from_millis(600))).await;
        }
        if let (true, Some(run)) = (delivery.waits, delivery.runs.first().cloned()) {
            tokio::time::sleep(random.within(Duration::ZERO..Duration::from_secs(2))).await;
            delivery.unexpected.extend(self.post_event(&run, &mut random).await);
        }
    }

    fn some_server(&self, random: &mut Random) -> &Server {
        &self.servers[random.below(self.servers.len())]
    }

    async fn attempt(&self, server: &Server, sending: &Sending<'_>) -> Answer {
        let Sending { hook, id, body, is_forged } = *sending;
        let secret = if is_forged { "another secret" } else { SECRET };
        let request = self
            .http
            .post(server.url(&format!("/hooks/default/{hook}")))
            .header("content-type", "application/json")
            .header("x-github-delivery", id)
            .header("x-github-event", "star")
            .header("x-hub-signature-256", sign(secret, body))
            .body(body.to_owned());
        let Ok(answer) = request.send().await else { return Answer::Unknown };
        let status = answer.status().as_u16();
        let Ok(text) = answer.text().await else { return Answer::Unknown };
        match status {
            202 => match serde_json::from_str::<Value>(&text) {
                Ok(accepted) => Answer::Accepted(accepted),
                Err(_) => Answer::Unexpected(format!("202 with {text}")),
            },
            // The server does not know either.
            503 if text.contains("it is not known") => Answer::Unknown,
            503 | 429 => Answer::Refused(status),
            FORGED if is_forged => Answer::Refused(status),
            _ => Answer::Unexpected(format!("{status} for a webhook: {text}")),
        }
    }

    /// Posts the event that a run waits for, until somebody has taken it.
    async fn post_event(&self, run: &str, random: &mut Random) -> Option<String> {
        let path = format!("/api/projects/default/runs/{run}/events/{EVENT}");
        let mut was_lost = false;
        loop {
            let request = self
                .http
                .post(self.some_server(random).url(&path))
                .json(&json!({ "payload": { "go": true } }));
            match request.send().await {
                Ok(answer) => match answer.status().as_u16() {
                    202 => return None,
                    // It may have been taken all the same: then it is there twice, and the run takes one of them.
                    503 | 429 => was_lost = true,
                    // One that nobody knew of had arrived, and the run has ended since.
                    409 if was_lost => return None,
                    status => {
                        let text = answer.text().await.unwrap_or_default();
                        return Some(format!("{status} for an event of {run}, which waits for it: {text}"));
                    }
                },
                Err(_) => was_lost = true,
            }
            tokio::time::sleep(random.within(Duration::from_millis(50)..Duration::from_millis(600))).await;
        }
    }
}

fn body(delivery: &Delivery, random: &mut Random) -> String {
    // Some waits are sat out in memory, for others the run is released.
    let pause = if random.percent(70) { random.below(400) } else { 2_100 + random.below(2_000) };
    let ballast = if random.percent(5) { 8_000 } else { random.below(200) };
    let items: Vec<usize> = (0..random.below(4)).collect();
    json!({
        "delivery": delivery.id, "waits": delivery.waits, "pause": format!("{pause}ms"), "items": items,
        "ballast": "x".repeat(ballast),
    })
    .to_string()
}

fn sign(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
