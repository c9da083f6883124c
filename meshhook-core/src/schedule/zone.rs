//! Time zones, from the database that is built in: two machines never disagree about them.

use std::fmt;
use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// A time zone of the IANA database.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// Text that names no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time zone of the IANA database, such as Europe/Berlin")]
pub struct ZoneError;

static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

impl Zone {
    /// UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Finds a zone by its name.
    ///
    /// # Errors
    ///
    /// [`ZoneError`] when there is none of that name.
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        if name == "UTC" {
            return Ok(Self::utc());
        }
        if name.len() > 64 {
            return Err(ZoneError);
        }
        BUNDLED.get(name).map(Self).map_err(|_| ZoneError)
    }

    /// Its offsets from UTC, and when they change.
    pub(super) fn rules(&self) -> &TimeZone {
        &self.0
    }

    /// The zone's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_by_their_iana_name() {
        for name in ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Etc/GMT+3"] {
            assert_eq!(Zone::named(name).unwrap().name(), name);
        }
        for name in ["", "Mars/Olympus", "../etc/passwd", "+02:00", "CET-1CEST", &"x".repeat(65)] {
            assert_eq!(Zone::named(name), Err(ZoneError), "{name}");
        }
    }
}
