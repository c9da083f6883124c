//! Columns as values, and values as columns.

use std::error::Error as StdError;
use std::str::FromStr;

use meshhook_core::event::{Chunk, ChunkHash, RunStatus};
use meshhook_core::failure::Failure;
use meshhook_core::id::{ProjectId, RunId};
use meshhook_core::json::{self, JsonLimits};
use meshhook_core::run::RunMeta;
use meshhook_core::store::{Listing, RunRecord};
use meshhook_core::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension as _, Params, Row};

/// Runs a statement that changes rows; answers how many.
pub(crate) fn execute(connection: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(params)
}

/// The first row, or `None`.
pub(crate) fn first<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    connection.prepare_cached(sql)?.query_row(params, read).optional()
}

/// All rows.
pub(crate) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(params, read)?.collect()
}

/// Rows for as long as there is [room](Listing::gather) for them; those behind are not read.
pub(crate) fn listing<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    limit: usize,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    bytes: impl Fn(&T) -> usize,
) -> rusqlite::Result<Listing<T>> {
    Listing::gather(connection.prepare_cached(sql)?.query_map(params, read)?, limit, bytes)
}

/// Text that is an identity.
pub(crate) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: StdError + Send + Sync + 'static,
{
    let text = row.get_ref(column)?.as_str().map_err(|error| unreadable(column, Type::Text, error))?;
    text.parse().map_err(|error| unreadable(column, Type::Text, error))
}

/// Text that is an identity, or null.
pub(crate) fn parsed_or_null<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>>
where
    T: FromStr,
    T::Err: StdError + Send + Sync + 'static,
{
    if row.get_ref(column)? == rusqlite::types::ValueRef::Null {
        Ok(None)
    } else {
        parsed(row, column).map(Some)
    }
}

pub(crate) fn run_id(row: &Row<'_>, column: usize) -> rusqlite::Result<RunId> {
    row.get::<_, [u8; 16]>(column).map(RunId::from_bytes)
}

/// A number that is never negative.
pub(crate) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number = row.get::<_, i64>(column)?;
    number.try_into().map_err(|_| Error::IntegralValueOutOfRange(column, number))
}

pub(crate) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get::<_, i64>(column).map(Timestamp::from_micros)
}

pub(crate) fn status(row: &Row<'_>, column: usize) -> rusqlite::Result<RunStatus> {
    let name = row.get_ref(column)?.as_str().map_err(|error| unreadable(column, Type::Text, error))?;
    RunStatus::from_name(name).ok_or_else(|| unreadable(column, Type::Text, "an unknown status"))
}

/// A run's record from the columns `run_id, workflow, version, digest, created_at, test, status, finished_at, failure`.
pub(crate) fn record(row: &Row<'_>, project: &ProjectId) -> rusqlite::Result<RunRecord> {
    let mut meta =
        RunMeta::new(run_id(row, 0)?, project.clone(), parsed(row, 1)?, parsed(row, 3)?, time(row, 4)?);
    meta.version = row.get(2)?;
    meta.test = row.get(5)?;
    let mut record = RunRecord::new(meta, status(row, 6)?);
    record.finished_at = row.get::<_, Option<i64>>(7)?.map(Timestamp::from_micros);
    record.failure = match row.get::<_, Option<String>>(8)? {
        None => None,
        Some(text) => Some(failure_of(&text).ok_or_else(|| unreadable(8, Type::Text, "not a failure"))?),
    };
    Ok(record)
}

/// A chunk from the columns `first_seq, last_seq, text, hash`.
pub(crate) fn chunk(row: &Row<'_>) -> rusqlite::Result<Chunk> {
    Ok(Chunk::from_parts(count(row, 0)?, count(row, 1)?, row.get(2)?, ChunkHash(row.get(3)?)))
}

pub(crate) fn failure_text(failure: &Failure) -> String {
    json::to_canonical_string(&failure.to_value())
}

fn failure_of(text: &str) -> Option<Failure> {
    let limits = JsonLimits::default().with_max_depth(JsonLimits::DEPTH_CEILING);
    Failure::from_value(&json::parse(text.as_bytes(), &limits).ok()?)
}

/// A column that does not hold what it should.
pub(crate) fn unreadable(
    column: usize,
    kind: Type,
    error: impl Into<Box<dyn StdError + Send + Sync>>,
) -> Error {
    Error::FromSqlConversionFailure(column, kind, error.into())
}

/// Why a transaction cannot go on, in words: of SQLite's own errors none but this one has room for them.
pub(crate) fn failed(why: &'static str) -> Error {
    Error::ToSqlConversionFailure(why.into())
}

/// A number as SQLite counts: what is past its largest means that one.
pub(crate) fn int(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
