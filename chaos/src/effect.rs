//! The outside world that workflows act on: a process of its own that writes down what it is asked before it answers.
//!
//! It answers as the outside world does: mostly well, sometimes with an error, late, after the caller has given up, or
//! not at all although it has acted. How is decided by a seed and the number of the request. A line is handed to the
//! operating system before the answer leaves; this machine does not lose power here, so nothing is synced.

use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use meshhook_core::clock::{Clock as _, SystemClock};
use meshhook_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Outcome;
use crate::random::Random;

/// One request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Microseconds.
    at: i64,
    pub(crate) key: String,
    pub(crate) run: String,
    pub(crate) step: String,
    /// The label of the item that it is for, if it is for one.
    pub(crate) item: String,
    /// SHA-256 of the body.
    pub(crate) body: String,
}

impl Entry {
    /// An entry with its key, run, step and body.
    #[cfg(test)]
    pub(crate) fn new(at: Timestamp, [key, run, step, body]: [&str; 4]) -> Self {
        let [key, run, step, body] = [key, run, step, body].map(str::to_owned);
        Self { at: at.as_micros(), key, run, step, item: String::new(), body }
    }

    pub(crate) fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.at)
    }
}

/// What the caller gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Fine,
    /// Fine, after as long as an ordinary service takes.
    Soon,
    /// 500, although it acted.
    Error,
    /// Fine, after a while.
    Late,
    /// Fine, long after the caller has given up.
    TooLate,
    /// It acted; the connection breaks.
    Cut,
}

struct Sink {
    seed: u64,
    file: Mutex<(std::fs::File, u64)>,
}

/// The longest body that is taken.
const MAX_BODY: usize = 64 << 10;

/// Serves until standard input ends, which it does with the process that started this one.
pub(crate) async fn serve(file: &Path, seed: u64) -> Outcome<()> {
    let file = std::fs::File::options().create(true).append(true).open(file)?;
    let sink: &'static Sink = Box::leak(Box::new(Sink { seed, file: Mutex::new((file, 0)) }));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", listener.local_addr()?.port())?;
    out.flush()?;
    let ended = CancellationToken::new();
    let has_ended = ended.clone();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        has_ended.cancel();
    });
    loop {
        let accepted = tokio::select! {
            biased;
            () = ended.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let service = service_fn(move |request| sink.take(request));
            // A caller who goes away is part of the game.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Sink {
    /// An error ends the connection without an answer.
    async fn take(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, String> {
        let at = SystemClock.now();
        let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok());
        let key = key.unwrap_or_default().to_owned();
        let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let entry = Entry {
            at: at.as_micros(),
            key,
            run: text("run"),
            step: text("step"),
            item: text("item"),
            body: hex::encode(Sha256::digest(&body)),
        };
        let answer = self.write(&entry).map_err(|error| error.to_string())?;
        let (status, pause) = match answer {
            Answer::Fine => (200, Duration::ZERO),
            Answer::Soon => (200, SOON),
            Answer::Error => (500, Duration::ZERO),
            Answer::Late => (200, LATE),
            Answer::TooLate => (200, TOO_LATE),
            Answer::Cut => return Err("cut".to_owned()),
        };
        tokio::time::sleep(pause).await;
        let response = Response::builder().status(status).header("content-type", "application/json");
        response.body(Full::from("{\"done\":true}")).map_err(|error| error.to_string())
    }

    fn write(&self, entry: &Entry) -> Result<Answer, std::io::Error> {
        let mut line = serde_json::to_vec(entry).map_err(std::io::Error::other)?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.0.write_all(&line)?;
        file.1 += 1;
        Ok(answer(self.seed, file.1))
    }
}

const SOON: Duration = Duration::from_millis(80);
/// Longer than a commit, shorter than the patience of the workflows.
const LATE: Duration = Duration::from_millis(400);
/// Longer than the patience of the workflows.
const TOO_LATE: Duration = Duration::from_millis(2_500);

fn answer(seed: u64, number: u64) -> Answer {
    match Random::of(seed, &format!("answer {number}")).below(100) {
        0..=5 => Answer::Error,
        6..=13 => Answer::Late,
        14 => Answer::TooLate,
        15..=19 => Answer::Cut,
        20..=59 => Answer::Soon,
        _ => Answer::Fine,
    }
}

/// Reads what was written.
pub(crate) fn read(file: &Path) -> Outcome<Vec<Entry>> {
    let text = std::fs::read_to_string(file)?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outside_world_misbehaves_in_every_way_and_mostly_does_not() {
        let answers: Vec<Answer> = (0..2_000).map(|number| answer(1, number)).collect();
        let count = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
        assert!(count(Answer::Fine) + count(Answer::Soon) > 1_400);
        for bad in [Answer::Error, Answer::Late, Answer::TooLate, Answer::Cut] {
            assert!(count(bad) > 0, "{bad:?}");
        }
    }
}
