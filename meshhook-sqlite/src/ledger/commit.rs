//! Starting, advancing, releasing and ending runs.
//!
//! Everything that can refuse a commit is read before it writes anything.

use meshhook_core::event::{Chunk, RunStatus};
use meshhook_core::id::{ProjectId, RunId, WorkerId};
use meshhook_core::store::{AdvanceRun, Commit, CommitOutcome, Dedupe, Hold, KeyHolder, StartRun};
use meshhook_core::time::Timestamp;
use rusqlite::{Connection, params};

use crate::row::{count, execute, failed, failure_text, first, int, parsed_or_null, run_id, status};
use crate::sql;

pub(super) fn commit(
    connection: &Connection,
    batch: &[Commit],
    now: Timestamp,
) -> rusqlite::Result<Vec<CommitOutcome>> {
    let outcome = |commit: &Commit| match commit {
        Commit::Start(run) => start(connection, run, now),
        Commit::Advance(run) => advance(connection, run, now),
        _ => Err(failed("a commit of an unknown kind")),
    };
    batch.iter().map(outcome).collect()
}

/// Commits a start.
pub(crate) fn start(
    connection: &Connection,
    start: &StartRun,
    now: Timestamp,
) -> rusqlite::Result<CommitOutcome> {
    let meta = &start.meta;
    let (project, run) = (meta.project.as_str(), meta.run.as_bytes());
    if first(connection, sql!("run_exists"), params![project, run], |_| Ok(()))?.is_some() {
        return Ok(CommitOutcome::Exists);
    }
    if let Some(dedupe) = &start.dedupe {
        if let Some(holder) = key_holder(connection, &meta.project, &dedupe.scope, &dedupe.key, now)? {
            return Ok(holder.refuse(dedupe));
        }
        remember(connection, &meta.project, dedupe, meta.run, now)?;
    }
    let (mut owner, mut wake_at, mut finished_at, mut failure) = (None, None, None, None);
    let status = match &start.hold {
        Hold::Keep { status } => {
            owner = Some(start.worker.as_str());
            let params = params![start.worker.as_str(), now.as_micros()];
            execute(connection, sql!("worker_ensure"), params)?;
            *status
        }
        Hold::Release { wake_up, status } => {
            wake_at = wake_up.at(now).map(Timestamp::as_micros);
            *status
        }
        Hold::End { status, at, failure: why } => {
            finished_at = Some(at.as_micros());
            failure = why.as_ref().map(failure_text);
            *status
        }
    };
    execute(
        connection,
        sql!("run_insert"),
        params![
            project,
            run,
            meta.workflow.as_str(),
            meta.version,
            meta.digest.as_str(),
            meta.created_at.as_micros(),
            meta.test,
            status.as_str(),
            finished_at,
            failure,
            owner,
            wake_at,
            matches!(start.hold, Hold::End { .. }),
            start.worker.as_str(),
        ],
    )?;
    append(connection, &meta.project, meta.run, &start.chunk)?;
    Ok(CommitOutcome::Committed)
}

pub(super) fn key_holder(
    connection: &Connection,
    project: &ProjectId,
    scope: &str,
    key: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<KeyHolder>> {
    let params = params![project.as_str(), scope, key, now.as_micros()];
    first(connection, sql!("dedupe_find"), params, |row| {
        Ok(KeyHolder { run: run_id(row, 0)?, fingerprint: row.get(1)? })
    })
}

fn remember(
    connection: &Connection,
    project: &ProjectId,
    dedupe: &Dedupe,
    run: RunId,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let Dedupe { scope, key, fingerprint, window } = dedupe;
    let expires_at = now.after(*window).as_micros();
    let params = params![project.as_str(), scope, key, run.as_bytes(), fingerprint, expires_at];
    execute(connection, sql!("dedupe_put"), params)?;
    // Two go for each that comes, so that expired ones do not pile up and no commit pays for many.
    execute(connection, sql!("dedupe_drop_expired"), params![now.as_micros(), 2]).map(|_| ())
}

fn advance(connection: &Connection, advance: &AdvanceRun, now: Timestamp) -> rusqlite::Result<CommitOutcome> {
    let (project, run) = (advance.project.as_str(), advance.run.as_bytes());
    let fence = first(connection, sql!("run_fence"), params![project, run], |row| {
        let owner = parsed_or_null::<WorkerId>(row, 0)?;
        Ok((owner, count(row, 1)?, count(row, 2)?, status(row, 3)?))
    })?;
    let Some((Some(owner), claim, last_seq, stood)) = fence else {
        return Ok(CommitOutcome::Stale);
    };
    if owner != advance.worker || claim != advance.claim || last_seq != advance.after {
        return Ok(CommitOutcome::Stale);
    }
    if let Some(chunk) = &advance.chunk {
        append(connection, &advance.project, advance.run, chunk)?;
    }
    for id in &advance.consumed {
        execute(connection, sql!("inbox_consume"), params![project, run, id.0])?;
    }
    hold(connection, advance, stood, now)?;
    Ok(CommitOutcome::Committed)
}

fn append(connection: &Connection, project: &ProjectId, run: RunId, chunk: &Chunk) -> rusqlite::Result<()> {
    let (first_seq, last_seq) = (int(chunk.first_seq), int(chunk.last_seq));
    let params = params![project.as_str(), run.as_bytes(), first_seq, last_seq, chunk.text, chunk.hash.0];
    execute(connection, sql!("chunk_insert"), params).map(|_| ())
}

/// Gives the run to whom it belongs now; `stood` is what its record says so far.
fn hold(
    connection: &Connection,
    advance: &AdvanceRun,
    stood: RunStatus,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let (project, run) = (advance.project.as_str(), advance.run.as_bytes());
    // None when nothing waits, else whether a retry does.
    let waiting = || {
        first(connection, sql!("inbox_waiting"), params![project, run], |row| row.get::<_, Option<bool>>(0))
            .map(Option::flatten)
    };
    match &advance.hold {
        Hold::Keep { status } if *status == stood => {}
        Hold::Keep { status } => {
            execute(connection, sql!("run_status"), params![project, run, status.as_str()])?;
        }
        Hold::Release { wake_up, status } => {
            let wake_at = wake_up.at(now);
            let wake_at = match waiting()? {
                Some(_) => Some(wake_at.map_or(now, |at| at.min(now))),
                None => wake_at,
            };
            let params = params![project, run, wake_at.map(Timestamp::as_micros), status.as_str()];
            execute(connection, sql!("run_release"), params)?;
        }
        Hold::End { status, at, failure } => {
            let mut wake_at = None;
            if *status != RunStatus::Failed {
                execute(connection, sql!("inbox_clear"), params![project, run])?;
            } else if waiting()? == Some(true) {
                wake_at = Some(now.as_micros());
            }
            let failure = failure.as_ref().map(failure_text);
            let params = params![project, run, status.as_str(), at.as_micros(), failure, wake_at];
            execute(connection, sql!("run_end"), params)?;
        }
    }
    Ok(())
}
