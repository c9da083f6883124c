//! When a cron expression comes true in a time zone.
//!
//! Time in a zone is a row of stretches, each with one offset from UTC; at their seams clocks are put forward or back.
//!
//! ```text
//!   instants  ────────────┬──────────────────┬────────────►
//!   local     00:00 01:59 │03:00  …     01:59│01:00  02:00
//!                      forward              back
//! ```
//!
//! Within a stretch local time runs as instants do, so the slots of a schedule are looked for stretch by stretch, and
//! come in order. What is special happens at the seams only:
//!
//! - **Forward**: local times in the gap do not exist. If the expression names any of them, it comes true once, at the
//!   first instant after the gap.
//! - **Back**: local times are gone through twice. They count the first time; the second time only where the hour field
//!   starts with `*`, since who names every hour means every hour that passes.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::{Cron, Zone};
use crate::time::Timestamp;

/// A cron expression in a time zone: the times at which it comes true, its slots.
///
/// ```
/// use meshhook_core::schedule::{Cron, Schedule, Zone};
///
/// let daily = Schedule::new(Cron::parse("30 2 * * *").unwrap(), Zone::named("Europe/Berlin").unwrap());
/// // Clocks are put forward at two: half past two does not exist that night.
/// let slot = daily.next_after("2026-03-28T12:00:00Z".parse().unwrap()).unwrap();
/// assert_eq!(slot.to_string(), "2026-03-29T01:00:00.000000Z");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    cron: Cron,
    zone: Zone,
}

impl Schedule {
    /// A cron expression in a time zone.
    #[must_use]
    pub fn new(cron: Cron, zone: Zone) -> Self {
        Self { cron, zone }
    }

    /// The first slot after a time; `None` when there is none before the end of time.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.after(after).next()
    }

    /// The slots after a time, in order.
    pub fn after(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        let second = after.as_micros().div_euclid(1_000_000) + 1;
        let (mut from, mut stretch) = (jiff::Timestamp::from_second(second).ok(), None);
        std::iter::from_fn(move || {
            let slot = self.first_from(from?, &mut stretch);
            from = slot.and_then(|slot| slot.checked_add(SECOND).ok());
            slot.map(|slot| Timestamp::from_micros(slot.as_microsecond()))
        })
    }

    /// The slots after a time and up to another one, in order.
    pub fn between(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
        self.after(after).take_while(move |slot| *slot <= until)
    }

    /// The last `count` slots after a time and up to another one, in order; fewer where there are fewer. However many
    /// there are, little more than `count` of them are looked at.
    #[must_use]
    pub fn last_between(&self, after: Timestamp, until: Timestamp, count: usize) -> Vec<Timestamp> {
        let has_enough = |from: i64| {
            let from = Timestamp::from_micros(from);
            count > 0 && self.between(from, until).nth(count - 1).is_some()
        };
        let (least, end) = (after.as_micros(), until.as_micros());
        // Back in steps that double, until there are enough; then forth again, until there are no more than that.
        let mut step = 1_000_000;
        let (mut low, mut high) = (end, end);
        while low > least && !has_enough(low) {
            high = low;
            low = end.saturating_sub(step).max(least);
            step = step.saturating_mul(2);
        }
        if has_enough(low) {
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                if has_enough(middle) {
                    low = middle;
                } else {
                    high = middle;
                }
            }
        }
        self.between(Timestamp::from_micros(low), until).take(count).collect()
    }

    /// The first slot at an instant of whole seconds or later. The stretch is the one that was looked at last.
    fn first_from(&self, mut at: jiff::Timestamp, stretch: &mut Option<Stretch>) -> Option<jiff::Timestamp> {
        loop {
            let stretch = match stretch {
                Some(stretch) if stretch.end.is_none_or(|end| at < end) => stretch,
                _ => stretch.insert(Stretch::at(self.zone.rules(), at)),
            };
            let mut from = stretch.offset.to_datetime(at);
            if let Some(Seam { at: seam, due, found }) = stretch.seam {
                if at == seam && due < found && self.first_local(due, Some(found)).is_some() {
                    return Some(seam);
                }
                if found < due && !self.cron.is_hour_wildcard() {
                    from = from.max(due);
                }
            }
            let end = stretch.end.map(|end| stretch.offset.to_datetime(end));
            if let Some(local) = self.first_local(from, end) {
                return stretch.offset.to_timestamp(local).ok();
            }
            at = stretch.end?;
        }
    }

    /// The first local time that the expression names, from one on and before another.
    fn first_local(&self, from: DateTime, end: Option<DateTime>) -> Option<DateTime> {
        let is_early = |local: &DateTime| end.is_none_or(|end| *local < end);
        let mut from = from;
        while is_early(&from) {
            let date = from.date();
            let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
            if !self.cron.matches_month(month) {
                from = date.last_of_month().tomorrow().ok()?.at(0, 0, 0, 0);
                continue;
            }
            let weekday = date.weekday().to_sunday_zero_offset().unsigned_abs();
            let time = [from.hour(), from.minute(), from.second()].map(i8::unsigned_abs);
            if self.cron.matches_date(month, day, weekday)
                && let Some(time) = self.cron.time_from(time)
            {
                let [hour, minute, second] = time.map(u8::cast_signed);
                return Some(date.at(hour, minute, second, 0)).filter(is_early);
            }
            from = date.tomorrow().ok()?.at(0, 0, 0, 0);
        }
        None
    }
}

/// A time in which the offset from UTC stays the same.
struct Stretch {
    offset: Offset,
    /// Where it begins, unless that is the beginning of time.
    seam: Option<Seam>,
    /// Where the next one begins.
    end: Option<jiff::Timestamp>,
}

/// The begin of a stretch.
struct Seam {
    at: jiff::Timestamp,
    /// What local time would be, had clocks gone on as before.
    due: DateTime,
    /// What it is.
    found: DateTime,
}

impl Stretch {
    fn at(zone: &TimeZone, at: jiff::Timestamp) -> Self {
        let offset = zone.to_offset(at);
        let next = at.checked_add(SECOND).unwrap_or(jiff::Timestamp::MAX);
        let seam = zone.preceding(next).next().map(|seam| seam.timestamp()).and_then(|seam| {
            let before = zone.to_offset(seam.checked_sub(SECOND).ok()?);
            Some(Seam { at: seam, due: before.to_datetime(seam), found: offset.to_datetime(seam) })
        });
        Self { offset, seam, end: zone.following(at).next().map(|seam| seam.timestamp()) }
    }
}

const SECOND: SignedDuration = SignedDuration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str, zone: &str) -> Schedule {
        Schedule::new(Cron::parse(cron).unwrap(), Zone::named(zone).unwrap())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Checks the slots of a schedule after the first and up to the last of some times, which are all of them.
    fn check(cron: &str, zone: &str, (after, until): (&str, &str), expected: &[&str]) {
        let found: Vec<Timestamp> = schedule(cron, zone).between(at(after), at(until)).collect();
        let expected: Vec<Timestamp> = expected.iter().map(|text| at(text)).collect();
        assert_eq!(found, expected, "{cron} in {zone}");
    }

    #[test]
    fn slots_come_in_order_and_after_the_time() {
        check(
            "*/30 9 * * *",
            "UTC",
            ("2026-01-01T09:00:00Z", "2026-01-02T09:00:00Z"),
            &["2026-01-01T09:30:00Z", "2026-01-02T09:00:00Z"],
        );
        check(
            "*/20 * * * * *",
            "UTC",
            ("2026-01-01T23:59:19.999999Z", "2026-01-02T00:00:00Z"),
            &["2026-01-01T23:59:20Z", "2026-01-01T23:59:40Z", "2026-01-02T00:00:00Z"],
        );
        check(
            "0 12 29 2 *",
            "UTC",
            ("2026-01-01T00:00:00Z", "2033-01-01T00:00:00Z"),
            &["2028-02-29T12:00:00Z", "2032-02-29T12:00:00Z"],
        );
    }

    #[test]
    fn a_slot_is_local_time() {
        let span = ("2026-03-27T00:00:00Z", "2026-03-31T00:00:00Z");
        let expected =
            ["2026-03-27T08:00:00Z", "2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z"];
        check("0 9 * * *", "Europe/Berlin", span, &expected);
        check(
            "0 0 * * *",
            "Asia/Kolkata",
            ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            &["2026-01-01T18:30:00Z"],
        );
    }

    #[test]
    fn a_time_that_does_not_exist_fires_once_at_the_first_valid_instant() {
        // New York, 2026-03-08: after 01:59 EST comes 03:00 EDT, which is 07:00 UTC.
        let night = ("2026-03-08T05:00:00Z", "2026-03-08T12:00:00Z");
        let new_york = "America/New_York";
        check("30 2 * * *", new_york, night, &["2026-03-08T07:00:00Z"]);
        check("30 1 * * *", new_york, night, &["2026-03-08T06:30:00Z"]);
        check("*/10 2 * * *", new_york, night, &["2026-03-08T07:00:00Z"]);
        check("0,30 2,3 * * *", new_york, night, &["2026-03-08T07:00:00Z", "2026-03-08T07:30:00Z"]);
        check("0 2 8 3 *", new_york, night, &["2026-03-08T07:00:00Z"]);
        check("0 3 * * *", new_york, night, &["2026-03-08T07:00:00Z"]);
        // At half past every hour there is one more, because half past two does not exist.
        let early = ("2026-03-08T06:00:00Z", "2026-03-08T08:00:00Z");
        let expected = ["2026-03-08T06:30:00Z", "2026-03-08T07:00:00Z", "2026-03-08T07:30:00Z"];
        check("30 * * * *", new_york, early, &expected);
        check("0 * * * *", new_york, early, &["2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z"]);
    }

    #[test]
    fn a_time_that_exists_twice_fires_once_unless_every_hour_is_meant() {
        // New York, 2026-11-01: after 01:59 EDT comes 01:00 EST, which is 06:00 UTC.
        let night = ("2026-11-01T04:00:00Z", "2026-11-01T08:00:00Z");
        let new_york = "America/New_York";
        check("30 1 * * *", new_york, night, &["2026-11-01T05:30:00Z"]);
        check("30 1,2 * * *", new_york, night, &["2026-11-01T05:30:00Z", "2026-11-01T07:30:00Z"]);
        check("0 2 * * *", new_york, night, &["2026-11-01T07:00:00Z"]);
        check(
            "0 0-23 * * *",
            new_york,
            night,
            &["2026-11-01T05:00:00Z", "2026-11-01T07:00:00Z", "2026-11-01T08:00:00Z"],
        );
        let every =
            ["2026-11-01T04:30:00Z", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-01T07:30:00Z"];
        check("30 * * * *", new_york, night, &every);
        check("30 */1 * * *", new_york, night, &every);
    }

    #[test]
    fn whole_days_that_a_zone_left_out_fire_once() {
        // Samoa went over the date line: after 2011-12-29 came 2011-12-31.
        let span = ("2011-12-29T22:30:00Z", "2011-12-31T00:00:00Z");
        check("0 12 * * *", "Pacific/Apia", span, &["2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"]);
    }

    #[test]
    fn offsets_of_half_hours_are_put_back_by_them() {
        // Lord Howe, 2026-04-05: after 01:59 (+11:00) comes 01:30 (+10:30), which is 15:00 UTC.
        let span = ("2026-04-04T14:00:00Z", "2026-04-04T16:00:00Z");
        check("45 1 * * *", "Australia/Lord_Howe", span, &["2026-04-04T14:45:00Z"]);
        check("45 * * * *", "Australia/Lord_Howe", span, &["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"]);
    }

    #[test]
    fn every_minute_is_every_minute_of_every_zone() {
        for zone in ["UTC", "America/New_York", "Europe/Berlin", "Africa/Casablanca", "Pacific/Chatham"] {
            let (mut last, every) = (at("2026-01-01T00:00:00Z"), schedule("* * * * *", zone));
            for slot in every.between(last, at("2027-01-01T00:00:00Z")) {
                assert_eq!(slot.since(last).as_secs(), 60, "after {last} in {zone}");
                last = slot;
            }
            assert_eq!(last, at("2027-01-01T00:00:00Z"));
        }
    }

    #[test]
    fn days_that_are_rare_are_found_and_the_end_of_time_is_none() {
        // A Sunday that is the 29th of February.
        let rare = schedule("0 0 29 2 */7", "Europe/Berlin");
        assert_eq!(rare.next_after(at("2053-01-01T00:00:00Z")), Some(at("2060-02-28T23:00:00Z")));
        assert_eq!(rare.next_after(at("2089-01-01T00:00:00Z")), Some(at("2128-02-28T23:00:00Z")));
        assert_eq!(schedule("* * * * *", "UTC").next_after(Timestamp::MAX), None);
        assert!(schedule("* * * * *", "Asia/Kolkata").next_after(Timestamp::MIN).is_some());
    }

    #[test]
    fn the_last_slots_of_a_long_time_are_found() {
        let (after, until) = (at("1990-01-01T00:00:00Z"), at("2026-07-01T00:00:00.5Z"));
        let last = |cron: &str, count| {
            let found = schedule(cron, "Europe/Berlin").last_between(after, until, count);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(last("* * * * * *", 0), [""; 0]);
        assert_eq!(last("* * * * * *", 2), ["2026-06-30T23:59:59.000000Z", "2026-07-01T00:00:00.000000Z"]);
        // Every second of one day, months ago.
        assert_eq!(last("* * * 1 1 *", 1), ["2026-01-01T22:59:59.000000Z"]);
        assert_eq!(last("* * * 1 1 *", 1_000).len(), 1_000);
        assert_eq!(last("0 0 29 2 *", 100).len(), 9);
        let hourly = schedule("0 * * * *", "UTC");
        let day = hourly.last_between(at("2026-01-01T00:00:00Z"), at("2026-01-01T05:00:00Z"), 100);
        assert_eq!(
            day,
            hourly.between(at("2026-01-01T00:00:00Z"), at("2026-01-01T05:00:00Z")).collect::<Vec<_>>()
        );
        assert!(hourly.last_between(until, after, 5).is_empty());
    }
}
