//! What the database and the servers say when it is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use meshhook_core::event::{Chunk, ChunkHash};
use meshhook_core::id::RunId;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Violation;
use super::history::{self, Story};
use super::recorded::Recorded;
use crate::Outcome;
use crate::place::Place;
use crate::server::Server;

/// Reads every history, and holds it against the run's record.
pub(crate) async fn load(place: &Place) -> Outcome<(BTreeMap<String, Story>, Vec<Violation>)> {
    let mut connection = place.connect().await?;
    let records = "SELECT run_id::text, status, true AS live FROM meshhook.live_runs
        UNION ALL SELECT run_id::text, status, false FROM meshhook.ended_runs";
    let mut violations = Vec::new();
    let mut status: BTreeMap<String, (String, bool)> = BTreeMap::new();
    for row in sqlx::query(records).fetch_all(&mut connection).await? {
        let run: String = row.try_get(0)?;
        if status.insert(run.clone(), (row.try_get(1)?, row.try_get(2)?)).is_some() {
            violations.push(Violation::of(2, &run, "is among the live runs and among those that have ended"));
        }
    }
    let histories = "SELECT run_id::text, first_seq, last_seq, hash, chunk FROM meshhook.history
        ORDER BY project, run_id, first_seq";
    let mut stories = BTreeMap::new();
    let mut finish = |run: &str, chunks: &[Chunk]| -> Outcome<()> {
        let id: RunId = run.parse()?;
        let (story, found) = history::read(id, chunks);
        violations.extend(found);
        let is_consistent = match (status.remove(run), story.has_ended) {
            (Some((status, false)), true) => (status == "succeeded") == story.failed_with.is_none(),
            (Some((_, live)), false) => live,
            (Some((_, true)) | None, true) | (None, false) => false,
        };
        if !is_consistent {
            violations.push(Violation::of(2, run, "its record does not say what its history does"));
        }
        stories.insert(run.to_owned(), story);
        Ok(())
    };
    let mut rows = sqlx::query(histories).fetch(&mut connection);
    let mut current: Option<(String, Vec<Chunk>)> = None;
    while let Some(row) = rows.try_next().await? {
        let run: String = row.try_get(0)?;
        let chunk = chunk(&row)?;
        match &mut current {
            Some((of, chunks)) if *of == run => chunks.push(chunk),
            _ => {
                if let Some((of, chunks)) = current.replace((run, vec![chunk])) {
                    finish(&of, &chunks)?;
                }
            }
        }
    }
    if let Some((of, chunks)) = current {
        finish(&of, &chunks)?;
    }
    violations.extend(status.keys().map(|run| Violation::of(3, run, "has no history")));
    Ok((stories, violations))
}

fn chunk(row: &PgRow) -> Outcome<Chunk> {
    let (first, last): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
    let hash: Vec<u8> = row.try_get(3)?;
    let text: Vec<u8> = row.try_get(4)?;
    let hash = ChunkHash(hash.try_into().map_err(|_| "a hash of another length")?);
    Ok(Chunk::from_parts(u64::try_from(first)?, u64::try_from(last)?, String::from_utf8(text)?, hash))
}

/// A history as one reads it, for the report.
pub(crate) async fn show(place: &Place, run: &str) -> Outcome<String> {
    let run: RunId = run.parse()?;
    let rows = place
        .sql(&format!("SELECT convert_from(chunk, 'UTF8') FROM meshhook.history WHERE run_id = '{run}' ORDER BY first_seq"))
        .await?;
    let mut lines = Vec::new();
    for row in rows {
        let events: Vec<Value> = serde_json::from_str(row.try_get(0)?)?;
        lines.extend(events.iter().map(|event| event.to_string().chars().take(400).collect::<String>()));
    }
    Ok(lines.join("\n"))
}

/// What the database says became of deliveries.
pub(crate) async fn recorded(place: &Place) -> Outcome<Vec<Recorded>> {
    let rows = place.sql("SELECT verdict, facts FROM meshhook.deliveries").await?;
    let read = |row: &PgRow| -> Outcome<Recorded> {
        Ok(Recorded::of(row.try_get(0)?, &serde_json::from_slice(row.try_get(1)?)?))
    };
    rows.iter().map(read).collect()
}

/// How many runs have not ended.
pub(crate) async fn live_runs(place: &Place) -> Outcome<i64> {
    let rows = place.sql("SELECT count(*) FROM meshhook.live_runs").await?;
    Ok(rows.first().ok_or("no count")?.try_get(0)?)
}

/// Runs that nobody goes on with although there is something to do.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// They look like runs that kill their workers, and wait for a worker that may take such.
    pub(crate) suspects: usize,
    pub(crate) violations: Vec<Violation>,
}

/// Looks for runs that should be at home by now.
///
/// Only a suspect may wait, and only with a worker that has died: one that got on since its last strike is no suspect any
/// more, and nobody but a suspect's holder is waited for.
pub(crate) async fn left(place: &Place, slack: Duration) -> Outcome<Left> {
    let slack = slack.as_micros();
    let rows = place
        .sql(&format!(
            "WITH now AS (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at)
            SELECT l.run_id::text,
                CASE WHEN l.owner IS NOT NULL AND w.worker IS NULL THEN 'its worker has no lease'
                    WHEN w.lease_until <= now.at THEN 'its worker''s lease has ended'
                    WHEN l.owner IS NULL AND l.wake_at <= now.at - {slack} THEN 'it is due, and nobody takes it'
                    WHEN l.owner IS NULL AND l.wake_at IS NULL AND EXISTS (
                        SELECT FROM meshhook.inbox x WHERE x.project = l.project AND x.run_id = l.run_id)
                        THEN 'it has messages, and is not due'
                END AS why,
                l.strikes > 0 AND NOT w.retired AND w.lease_until <= now.at AND l.strike_seq + 1 >= (
                    SELECT h.last_seq FROM meshhook.history h
                    WHERE h.project = l.project AND h.run_id = l.run_id ORDER BY h.first_seq DESC LIMIT 1) AS is_suspect
            FROM now, meshhook.live_runs l LEFT JOIN meshhook.workers w ON w.worker = l.owner"
        ))
        .await?;
    let mut left = Left::default();
    for row in rows {
        let (run, why): (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
        match why {
            Some(_) if row.try_get::<Option<bool>, _>(2)? == Some(true) => left.suspects += 1,
            Some(why) => left.violations.push(Violation::of(11, &run, why)),
            None => {}
        }
    }
    Ok(left)
}

/// Has the servers decide histories again, as many as there is time for; answers how many.
pub(crate) async fn verify(
    servers: &[Arc<Server>],
    runs: Vec<String>,
    time: Duration,
) -> Outcome<(usize, Vec<Violation>)> {
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let until = tokio::time::Instant::now() + time;
    let servers: Vec<&Arc<Server>> = servers.iter().filter(|server| server.takes_in).collect();
    let asked = runs.into_iter().enumerate().map(|(number, run)| {
        let url = servers[number % servers.len()].url(&format!("/api/projects/default/runs/{run}/verify"));
        let http = http.clone();
        async move {
            if tokio::time::Instant::now() >= until {
                return Ok(None);
            }
            let answer: Value = http.post(url).send().await?.json().await?;
            let is_fine = answer["ok"] == true;
            Ok(Some((!is_fine).then(|| Violation::of(4, &run, format!("verify says {answer}")))))
        }
    });
    let answers: Vec<Option<Option<Violation>>> = futures_util::stream::iter(asked)
        .buffer_unordered(4)
        .try_collect()
        .await
        .map_err(|error: reqwest::Error| error)?;
    let verified = answers.iter().flatten().count();
    Ok((verified, answers.into_iter().flatten().flatten().collect()))
}
