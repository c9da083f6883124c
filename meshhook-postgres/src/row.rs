//! Columns as values, and values as columns.

use std::str::FromStr;

use meshhook_core::event::{Chunk, ChunkHash, RunStatus};
use meshhook_core::failure::Failure;
use meshhook_core::id::{Digest, ProjectId, RunId};
use meshhook_core::json::{self, JsonLimits};
use meshhook_core::run::RunMeta;
use meshhook_core::store::{self, RunRecord};
use meshhook_core::time::Timestamp;
use sqlx::Error;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::error::unreadable;
use crate::session::get;

/// Text that is an identity.
pub(crate) fn parsed<T>(row: &PgRow, column: &str) -> Result<T, Error>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    get::<&str>(row, column)?.parse().map_err(|error| unreadable(column, error))
}

/// Text that is an identity, or null.
pub(crate) fn parsed_or_null<T>(row: &PgRow, column: &str) -> Result<Option<T>, Error>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text = get::<Option<&str>>(row, column)?;
    text.map(|text| text.parse().map_err(|error| unreadable(column, error))).transpose()
}

pub(crate) fn run_id(row: &PgRow, column: &str) -> Result<RunId, Error> {
    get::<Uuid>(row, column).map(|id| RunId::from_bytes(id.into_bytes()))
}

pub(crate) fn uuid(run: RunId) -> Uuid {
    Uuid::from_bytes(*run.as_bytes())
}

pub(crate) fn time(row: &PgRow, column: &str) -> Result<Timestamp, Error> {
    get(row, column).map(Timestamp::from_micros)
}

/// A number that is never negative.
pub(crate) fn count<T: TryFrom<i64>>(row: &PgRow, column: &str) -> Result<T, Error> {
    small(get(row, column)?, column)
}

/// A number that is never negative, or null.
pub(crate) fn count_or_null<T: TryFrom<i64>>(row: &PgRow, column: &str) -> Result<Option<T>, Error> {
    get::<Option<i64>>(row, column)?.map(|number| small(number, column)).transpose()
}

pub(crate) fn small<T: TryFrom<i64>>(number: i64, column: &str) -> Result<T, Error> {
    T::try_from(number).map_err(|_| unreadable(column, "a number out of range"))
}

/// Bytes that are UTF-8 text.
pub(crate) fn text(row: &PgRow, column: &str) -> Result<String, Error> {
    text_of(get(row, column)?, column)
}

pub(crate) fn text_of(bytes: Vec<u8>, column: &str) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| unreadable(column, error))
}

/// The bytes of a definition's digest.
pub(crate) fn digest_bytes(digest: &Digest) -> Vec<u8> {
    let nibble = |character: u8| match character {
        b'0'..=b'9' => character - b'0',
        _ => character - b'a' + 10,
    };
    digest.as_str().as_bytes().chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}

pub(crate) fn digest(row: &PgRow, column: &str) -> Result<Digest, Error> {
    let hex: String = get::<&[u8]>(row, column)?.iter().map(|byte| format!("{byte:02x}")).collect();
    Digest::new(&hex).map_err(|error| unreadable(column, error))
}

/// A run's record from the columns `run_id, workflow, version, digest, created_at, test, status, finished_at, failure`.
pub(crate) fn record(row: &PgRow, project: ProjectId) -> Result<RunRecord, Error> {
    let mut meta = RunMeta::new(
        run_id(row, "run_id")?,
        project,
        parsed(row, "workflow")?,
        digest(row, "digest")?,
        time(row, "created_at")?,
    );
    meta.version = count_or_null(row, "version")?;
    meta.test = get(row, "test")?;
    let status =
        RunStatus::from_name(get(row, "status")?).ok_or_else(|| unreadable("status", "an unknown status"))?;
    let mut record = RunRecord::new(meta, status);
    record.finished_at = get::<Option<i64>>(row, "finished_at")?.map(Timestamp::from_micros);
    record.failure = match get::<Option<&str>>(row, "failure")? {
        None => None,
        Some(text) => Some(failure_of(text).ok_or_else(|| unreadable("failure", "not a failure"))?),
    };
    Ok(record)
}

/// A chunk from the columns `first_seq, last_seq, hash, chunk`.
pub(crate) fn chunk(row: &PgRow) -> Result<Chunk, Error> {
    chunk_of(get(row, "first_seq")?, get(row, "last_seq")?, get(row, "hash")?, get(row, "chunk")?)
}

pub(crate) fn chunk_of(first: i64, last: i64, hash: Vec<u8>, text: Vec<u8>) -> Result<Chunk, Error> {
    let hash: [u8; 32] = hash.try_into().map_err(|_| unreadable("hash", "not a hash"))?;
    Ok(Chunk::from_parts(
        small(first, "first_seq")?,
        small(last, "last_seq")?,
        text_of(text, "chunk")?,
        ChunkHash(hash),
    ))
}

pub(crate) fn failure_text(failure: &Failure) -> String {
    json::to_canonical_string(&failure.to_value())
}

fn failure_of(text: &str) -> Option<Failure> {
    let limits = JsonLimits::default().with_max_depth(JsonLimits::DEPTH_CEILING);
    Failure::from_value(&json::parse(text.as_bytes(), &limits).ok()?)
}

/// The least and the greatest id of a span of time, as [`span_of_ids`](store::span_of_ids) says: months beside it are not
/// opened.
pub(crate) fn span_of_ids(
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    after: Option<[u8; 16]>,
) -> Option<(Uuid, Uuid)> {
    let (least, greatest) = store::span_of_ids(from, to, after)?;
    Some((Uuid::from_bytes(least), Uuid::from_bytes(greatest)))
}

/// A number as Postgres counts: what is past its largest means that one.
pub(crate) fn int(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A span in microseconds, small enough to be added to any time.
pub(crate) fn micros(span: std::time::Duration) -> i64 {
    int(span.as_micros()).min(LONGEST)
}

/// More than lies between the two ends of time.
const LONGEST: i64 = 1_000_000_000_000_000_000;
