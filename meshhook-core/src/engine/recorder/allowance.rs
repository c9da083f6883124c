//! The allowance: how much may be recorded of requests that started no run.
//!
//! There is a [bucket](Bucket) of rows and one of bytes for each path, and one for all paths of a project that lead nowhere.
//! Senders whom the hook knows have buckets of their own, which strangers cannot empty.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Keep;
use crate::id::ProjectId;
use crate::policy::Bucket;
use crate::time::Timestamp;

/// What may still be recorded.
#[derive(Debug, Default)]
pub(super) struct Allowance(Mutex<HashMap<Key, Buckets>>);

/// A project's path, or none where it leads nowhere, and whether its senders are known.
type Key = (ProjectId, Option<String>, bool);

/// When the buckets of a path will be full.
#[derive(Debug, Clone, Copy)]
struct Buckets {
    rows: Timestamp,
    bytes: Timestamp,
}

/// Whose allowance is taken from.
pub(super) struct Bearer<'a> {
    pub(super) project: &'a ProjectId,
    /// The path, if a hook is there.
    pub(super) path: Option<&'a str>,
    /// Whether the sender is who may send.
    pub(super) is_known: bool,
}

impl Allowance {
    /// Takes a row, and of these amounts of bytes the first that there is; `None` when there is no row.
    pub(super) fn take(&self, of: &Bearer<'_>, wanted: &[(Keep, usize)], now: Timestamp) -> Option<Keep> {
        let rows = if of.path.is_some() { ROWS } else { ASTRAY };
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS {
            buckets.retain(|_, bucket| bucket.rows > now || bucket.bytes > now);
        }
        let key = (of.project.clone(), of.path.map(str::to_owned), of.is_known);
        let known = buckets.get(&key).copied();
        if known.is_none() && buckets.len() >= MAX_BUCKETS {
            return None;
        }
        let row = rows.take(known.map(|known| known.rows), now, 1).ok()?;
        let full_at = known.map(|known| known.bytes);
        let taken = wanted.iter().find_map(|&(keep, bytes)| {
            let tokens = u32::try_from(bytes).unwrap_or(u32::MAX);
            BYTES.take(full_at, now, tokens).ok().map(|then| (keep, then))
        });
        let (keep, then) = taken.unwrap_or((Keep::Nothing, full_at.unwrap_or(now)));
        buckets.insert(key, Buckets { rows: row, bytes: then });
        Some(keep)
    }
}

/// The most paths whose buckets are not full.
const MAX_BUCKETS: usize = 20_000;

/// Rows of one path that started no run: two a second, and as many as people look at in one go.
const ROWS: Bucket = Bucket { every_micros: 500_000, burst: 500 };
/// The same for all paths of a project that lead nowhere.
const ASTRAY: Bucket = Bucket { every_micros: 5_000_000, burst: 50 };
/// Bytes of rows of one path: 4 KiB a second, of which 1 GiB comes together in three days.
const BYTES: Bucket = Bucket { every_micros: 244, burst: 16 << 20 };
