//! Schedules: the times that a cron expression names, in a time zone.

mod cron;
mod times;
mod zone;

pub use self::cron::{Cron, CronError};
pub use self::times::Schedule;
pub use self::zone::{Zone, ZoneError};
