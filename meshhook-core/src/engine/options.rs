//! What a host can set about an engine.

use std::time::Duration;

/// Sizes and times of an engine. The defaults suit one process of a small service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Whether this process runs what it accepts and claims what is due. Off, it only takes things in.
    pub works: bool,
    /// How long this process may be silent before others take over what it holds. 15 s.
    pub lease: Duration,
    /// How often this process looks for what is due, orphaned or posted by others. 1 s.
    pub poll: Duration,
    /// A run that has nothing to do for longer than this is released; a shorter wait stays in memory. 2 s.
    pub hold: Duration,
    /// The most runs held in memory at once; further ones wait in the store. 2,000.
    pub max_held_runs: usize,
    /// The most attempts under way at once. 256.
    pub max_attempts: usize,
    /// The most runs and advances that wait to be committed; past it, intake is refused. 4,096.
    pub max_queue: usize,
    /// The most text in them, in bytes; past it, intake is refused. 64 MiB.
    pub max_queue_bytes: usize,
    /// The most commits in one transaction; the runs of one delivery's items are not divided by it. 256.
    pub max_batch: usize,
    /// The most text in one transaction, in bytes; a larger commit goes alone. The runs of one delivery's items are divided
    /// when they have more. 8 MiB.
    pub max_batch_bytes: usize,
    /// After how many workers that died holding it without advancing it a run is ended as `quarantined`. 3.
    pub quarantine_after: u32,
    /// How long a worker must have lived before it takes a run that two workers died with. A process that is killed again
    /// and again for other reasons blames no run, and a run that kills its worker gives the others this long. 10 s.
    pub suspect_after: Duration,
    /// The most bytes that a run's history may have. 64 MiB.
    pub max_history_bytes: u64,
    /// How long deliveries are kept; zero records none. 72 h.
    pub delivery_retention: Duration,
    /// How much is kept of a body that started no run, in bytes. 256 KiB.
    pub max_kept_body_bytes: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            works: true,
            lease: Duration::from_secs(15),
            poll: Duration::from_secs(1),
            hold: Duration::from_secs(2),
            max_held_runs: 2_000,
            max_attempts: 256,
            max_queue: 4_096,
            max_queue_bytes: 64 << 20,
            max_batch: 256,
            max_batch_bytes: 8 << 20,
            quarantine_after: 3,
            suspect_after: Duration::from_secs(10),
            max_history_bytes: 64 << 20,
            delivery_retention: Duration::from_secs(72 * 3_600),
            max_kept_body_bytes: 256 << 10,
        }
    }
}
