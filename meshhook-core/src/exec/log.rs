//! What an attempt says while it runs.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// How much a log entry matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever develops the workflow.
    Debug,
    /// Worth knowing.
    Info,
    /// Something was coped with.
    Warn,
    /// Somebody should look.
    Error,
}

impl Level {
    /// The level's name in events: `debug`, `info`, `warn` or `error`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }

    /// Reads a level's name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Level::Debug, Level::Info, Level::Warn, Level::Error]
            .into_iter()
            .find(|level| level.as_str() == name)
    }
}

/// One entry of a [`StepLog`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LogEntry {
    /// How much it matters.
    pub level: Level,
    /// For people.
    pub message: String,
    /// Structured fields, an object.
    pub fields: Option<Value>,
}

/// The most entries that one attempt may write; later ones are dropped and counted.
pub const MAX_ENTRIES: usize = 100;

/// Collects what an attempt logs; its entries become `step_logged` events together with the attempt's result.
#[derive(Debug, Clone, Default)]
pub struct StepLog {
    entries: Arc<Mutex<(Vec<LogEntry>, u64)>>,
}

impl StepLog {
    /// Adds an entry. After [`MAX_ENTRIES`] entries further ones are only counted.
    pub fn write(&self, level: Level, message: impl Into<String>, fields: Option<Value>) {
        let mut guard = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.0.len() < MAX_ENTRIES {
            guard.0.push(LogEntry { level, message: message.into(), fields });
        } else {
            guard.1 += 1;
        }
    }

    /// Takes the entries written so far; where some were dropped, the last entry says how many.
    #[must_use]
    pub fn take(&self) -> Vec<LogEntry> {
        let mut guard = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut entries, dropped) = std::mem::take(&mut *guard);
        if dropped > 0 {
            entries.push(LogEntry {
                level: Level::Warn,
                message: format!("{dropped} further log entries were dropped"),
                fields: None,
            });
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_past_the_cap_are_counted() {
        let log = StepLog::default();
        for n in 0..MAX_ENTRIES + 3 {
            log.write(Level::Info, n.to_string(), None);
        }
        let entries = log.take();
        assert_eq!(entries.len(), MAX_ENTRIES + 1);
        assert_eq!(entries[MAX_ENTRIES].message, "3 further log entries were dropped");
        assert!(log.take().is_empty());
    }
}
