//! Taking runs that are due or orphaned.
//!
//! Candidates are looked for project by project, so that what is found does not grow with how many runs wait, and
//! not at all with how many wake up later.

use meshhook_core::id::{ProjectId, RunId, WorkerId};
use meshhook_core::store::{Claim, ClaimCandidate, Claimed, ClaimedRun};
use meshhook_core::time::Timestamp;
use rusqlite::{Connection, params};

use crate::deliveries::drop_expired;
use crate::reader::history;
use crate::row::{all, count, execute, first, int, parsed, parsed_or_null, record, run_id, time};
use crate::{schedules, sql};

pub(super) fn claim(connection: &Connection, claim: &Claim, now: Timestamp) -> rusqlite::Result<Claimed> {
    let params = params![claim.worker.as_str(), now.after(claim.lease).as_micros()];
    execute(connection, sql!("worker_renew"), params)?;
    let messages = match claim.messages {
        0 => Vec::new(),
        limit => {
            let params = params![claim.worker.as_str(), int(limit)];
            all(connection, sql!("held_with_messages"), params, |row| Ok((parsed(row, 0)?, run_id(row, 1)?)))?
        }
    };
    let mut candidates = Vec::new();
    if claim.limit > 0 {
        due(connection, claim, now, &mut candidates)?;
        orphaned(connection, claim, now, &mut candidates)?;
    }
    let (mut claimed, mut bytes) = (Vec::new(), 0);
    for candidate in ClaimCandidate::choose(candidates, claim) {
        if bytes >= claim.bytes && !claimed.is_empty() {
            break;
        }
        let run = take(connection, &candidate.project, candidate.run, &claim.worker)?;
        bytes += run.as_ref().map_or(0, ClaimedRun::bytes);
        claimed.extend(run);
    }
    execute(connection, sql!("workers_drop_spent"), params![now.as_micros()])?;
    drop_expired(connection, now, DELIVERIES_AT_ONCE)?;
    let found = Claimed::new(claimed, messages, next_wake_up(connection)?, now);
    Ok(found.next_schedule(schedules::next(connection)?))
}

/// The most deliveries that a look forgets, whose time is over.
const DELIVERIES_AT_ONCE: usize = 100;

/// The earliest time at which a run wakes up.
fn next_wake_up(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let mut earliest: Option<Timestamp> = None;
    each_due_project(connection, |_, wake_at| {
        earliest = Some(earliest.map_or(wake_at, |earliest| earliest.min(wake_at)));
        Ok(())
    })?;
    Ok(earliest)
}

/// Visits each project that has runs which wake up by themselves, with the earliest time.
fn each_due_project(
    connection: &Connection,
    mut visit: impl FnMut(&ProjectId, Timestamp) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut next = due_project(connection, "")?;
    while let Some((project, wake_at)) = next {
        visit(&project, wake_at)?;
        next = due_project(connection, project.as_str())?;
    }
    Ok(())
}

/// The first project behind another one that has runs which wake up by themselves, with the earliest time.
fn due_project(connection: &Connection, after: &str) -> rusqlite::Result<Option<(ProjectId, Timestamp)>> {
    first(connection, sql!("due_next_project"), params![after], |row| Ok((parsed(row, 0)?, time(row, 1)?)))
}

fn due(
    connection: &Connection,
    claim: &Claim,
    now: Timestamp,
    found: &mut Vec<ClaimCandidate>,
) -> rusqlite::Result<()> {
    each_due_project(connection, |project, wake_at| {
        if wake_at <= now {
            let params = params![project.as_str(), now.as_micros(), int(claim.limit)];
            found.extend(all(connection, sql!("due_runs"), params, |row| {
                Ok(ClaimCandidate {
                    since: time(row, 1)?,
                    run: run_id(row, 0)?,
                    project: project.clone(),
                    suspect: false,
                })
            })?);
        }
        Ok(())
    })
}

fn orphaned(
    connection: &Connection,
    claim: &Claim,
    now: Timestamp,
    found: &mut Vec<ClaimCandidate>,
) -> rusqlite::Result<()> {
    let params = params![now.as_micros(), claim.worker.as_str()];
    let dead = all(connection, sql!("workers_dead"), params, |row| {
        Ok((row.get::<_, String>(0)?, time(row, 1)?, row.get::<_, bool>(2)?))
    })?;
    for (worker, since, retired) in dead {
        let next_project = |after: &str| {
            let params = params![worker, after];
            first(connection, sql!("held_next_project"), params, |row| parsed::<ProjectId>(row, 0))
        };
        let mut next = next_project("")?;
        while let Some(project) = next {
            let mut candidates = |statement: &str, params: &[&dyn rusqlite::ToSql], suspect: bool| {
                let project = &project;
                let read = |row: &rusqlite::Row<'_>| {
                    Ok(ClaimCandidate { since, run: run_id(row, 0)?, project: project.clone(), suspect })
                };
                all(connection, statement, params, read).map(|runs| found.extend(runs))
            };
            candidates(sql!("orphans"), params![worker, project.as_str(), retired, int(claim.limit)], false)?;
            if !retired {
                let params = params![worker, project.as_str(), int(claim.suspects)];
                candidates(sql!("suspects"), params, true)?;
            }
            next = next_project(project.as_str())?;
        }
    }
    Ok(())
}

fn take(
    connection: &Connection,
    project: &ProjectId,
    run: RunId,
    worker: &WorkerId,
) -> rusqlite::Result<Option<ClaimedRun>> {
    let key = params![project.as_str(), run.as_bytes()];
    let found = first(connection, sql!("run_claimable"), key, |row| {
        let state = State {
            owner: parsed_or_null(row, 9)?,
            epoch: count(row, 10)?,
            claim: count(row, 11)?,
            last_holder: parsed(row, 12)?,
            strikes: row.get(13)?,
            strike_seq: count(row, 14)?,
            last_seq: count(row, 15)?,
        };
        Ok((record(row, project)?, state))
    })?;
    let Some((record, mut state)) = found else { return Ok(None) };
    if let Some(owner) = &state.owner {
        let retired =
            first(connection, sql!("worker_retired"), params![owner.as_str()], |row| row.get::<_, bool>(0))?;
        if retired != Some(true) {
            let advanced = state.last_seq > state.strike_seq + 1;
            state.strikes = if advanced { 1 } else { state.strikes.saturating_add(1) };
            state.strike_seq = state.last_seq;
        }
    }
    if state.last_holder != *worker {
        state.epoch += 1;
    }
    state.claim += 1;
    let strike_seq = int(state.strike_seq);
    let params = params![
        project.as_str(),
        run.as_bytes(),
        worker.as_str(),
        int(state.epoch),
        int(state.claim),
        state.strikes,
        strike_seq
    ];
    execute(connection, sql!("run_take"), params)?;
    let chunks = history(connection, project, run)?;
    let State { epoch, claim, strikes, .. } = state;
    Ok(Some(ClaimedRun { record, epoch, claim, strikes, chunks }))
}

struct State {
    owner: Option<WorkerId>,
    epoch: u64,
    claim: u64,
    last_holder: WorkerId,
    strikes: u32,
    strike_seq: u64,
    last_seq: u64,
}
