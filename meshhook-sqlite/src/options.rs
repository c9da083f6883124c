//! How a file is opened.

use std::sync::Arc;

use meshhook_core::clock::{Clock, SystemClock};

/// How a file is opened.
#[derive(Debug, Clone)]
#[must_use]
pub struct SqliteOptions {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) readers: usize,
    pub(crate) queue: usize,
    pub(crate) max_bytes: Option<u64>,
}

impl SqliteOptions {
    /// The machine's clock, two reader threads, 1,024 waiting calls, no limit on the file's size.
    pub fn new() -> Self {
        Self { clock: Arc::new(SystemClock), readers: 2, queue: 1_024, max_bytes: None }
    }

    /// Judges due times and leases by this clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How many threads read; at least one.
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// How many calls wait in a queue before further callers wait outside; at least one.
    pub fn queue(mut self, calls: usize) -> Self {
        self.queue = calls.max(1);
        self
    }

    /// Lets the database file grow no larger than this, in whole pages; what does not fit is refused as full. The
    /// write-ahead log beside it is not counted.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}
