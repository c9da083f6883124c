//! Cron expressions: five fields, or six with seconds first.
//!
//! ```text
//!   (second 0-59)  minute 0-59  hour 0-23  day of month 1-31  month 1-12 or JAN-DEC  day of week 0-7 or SUN-SAT
//! ```
//!
//! A field is a list of `*`, `n`, `n-m`, each with an optional step `/s`; `n/s` means from `n` to the end. In the two
//! day fields `?` is another word for `*`. Where both day fields are restricted, a day counts when either names it;
//! a field that starts with `*` does not restrict (crontab(5), "the day of a command's execution").

use std::fmt;

/// The times that a cron expression names: a day, and times of that day.
#[derive(Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    seconds: Field,
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
}

/// Why a text is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CronError {
    /// Neither five nor six fields.
    #[error(
        "a cron expression has five fields (minute, hour, day of month, month, day of week), or six with seconds first; \
         for @daily write 0 0 * * *"
    )]
    FieldCount,
    /// A field does not follow the grammar, or names something out of its range.
    #[error(
        "the {field} of the cron expression must be *, numbers from {least} to {most}{}, ranges from the smaller to the \
         greater, or steps",
        names(field)
    )]
    Field {
        /// Which field.
        field: &'static str,
        /// The least value it takes.
        least: u8,
        /// The greatest value it takes.
        most: u8,
    },
    /// No calendar has the days that it names, such as February 30.
    #[error("there is no day that the cron expression names")]
    NoSuchDay,
}

/// What else the values of a field can be written as.
fn names(field: &str) -> &'static str {
    match field {
        "month" => ", names from JAN to DEC",
        "day of week" => ", names from SUN to SAT",
        _ => "",
    }
}

/// The values that a field names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    bits: u64,
    /// Starts with `*` or `?`.
    is_wildcard: bool,
}

/// The form of one field.
struct Form {
    name: &'static str,
    least: u8,
    most: u8,
    names: &'static [&'static str],
}

const SECOND: Form = Form { name: "second", least: 0, most: 59, names: &[] };
const MINUTE: Form = Form { name: "minute", least: 0, most: 59, names: &[] };
const HOUR: Form = Form { name: "hour", least: 0, most: 23, names: &[] };
const DAY: Form = Form { name: "day of month", least: 1, most: 31, names: &[] };
const MONTH: Form = Form {
    name: "month",
    least: 1,
    most: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
const WEEKDAY: Form = Form {
    name: "day of week",
    least: 0,
    most: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

/// The longest text that is looked at.
const MAX_BYTES: usize = 1_024;

impl Cron {
    /// Reads a cron expression.
    ///
    /// # Errors
    ///
    /// [`CronError`] when it does not follow the grammar or can never come true.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        if text.len() > MAX_BYTES {
            return Err(CronError::FieldCount);
        }
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let (second, rest) = match fields.as_slice() {
            [second, rest @ ..] if rest.len() == 5 => (*second, rest),
            rest if rest.len() == 5 => ("0", rest),
            _ => return Err(CronError::FieldCount),
        };
        let mut weekdays = WEEKDAY.read(rest[4])?;
        // 7 is Sunday, as 0 is.
        weekdays.bits = (weekdays.bits | (weekdays.bits >> 7)) & 0b111_1111;
        let cron = Self {
            text: fields.join(" "),
            seconds: SECOND.read(second)?,
            minutes: MINUTE.read(rest[0])?,
            hours: HOUR.read(rest[1])?,
            days: DAY.read(rest[2])?,
            months: MONTH.read(rest[3])?,
            weekdays,
        };
        if cron.has_days() { Ok(cron) } else { Err(CronError::NoSuchDay) }
    }

    /// Whether some month has one of the days, in some year.
    fn has_days(&self) -> bool {
        const LENGTHS: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let either = !self.days.is_wildcard && !self.weekdays.is_wildcard;
        either
            || (1..=12)
                .zip(LENGTHS)
                .any(|(month, length)| self.months.has(month) && (1..=length).any(|day| self.days.has(day)))
    }

    /// The expression, with single spaces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a date counts; `month` and `day` from 1, `weekday` from 0 for Sunday.
    #[must_use]
    pub fn matches_date(&self, month: u8, day: u8, weekday: u8) -> bool {
        let (by_day, by_weekday) = (self.days.has(day), self.weekdays.has(weekday));
        self.months.has(month)
            && if self.days.is_wildcard || self.weekdays.is_wildcard {
                by_day && by_weekday
            } else {
                by_day || by_weekday
            }
    }

    /// Whether days of a month, from 1, can count.
    #[must_use]
    pub fn matches_month(&self, month: u8) -> bool {
        self.months.has(month)
    }

    /// The first time of day that counts, from one on: `[hour, minute, second]`.
    #[must_use]
    pub fn time_from(&self, [hour, minute, second]: [u8; 3]) -> Option<[u8; 3]> {
        if self.hours.has(hour) {
            if self.minutes.has(minute)
                && let Some(second) = self.seconds.first_from(second)
            {
                return Some([hour, minute, second]);
            }
            if let Some(minute) = self.minutes.first_from(minute + 1) {
                return Some([hour, minute, self.seconds.first_from(0)?]);
            }
        }
        let hour = self.hours.first_from(hour + 1)?;
        Some([hour, self.minutes.first_from(0)?, self.seconds.first_from(0)?])
    }

    /// Whether the hour is not restricted to certain times of the day: it starts with `*`.
    #[must_use]
    pub fn is_hour_wildcard(&self) -> bool {
        self.hours.is_wildcard
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cron").field(&self.text).finish()
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Field {
    fn has(&self, value: u8) -> bool {
        self.bits & (1 << value) != 0
    }

    fn first_from(self, value: u8) -> Option<u8> {
        let later = self.bits.checked_shr(value.into()).filter(|bits| *bits != 0)?;
        u8::try_from(later.trailing_zeros()).ok().map(|more| value + more)
    }
}

impl Form {
    fn read(&self, text: &str) -> Result<Field, CronError> {
        let is_day = self.name.starts_with("day");
        let mut bits = 0;
        for part in text.split(',') {
            let part = if is_day && part == "?" { "*" } else { part };
            bits |= self.read_part(part).ok_or(CronError::Field {
                field: self.name,
                least: self.least,
                most: self.most,
            })?;
        }
        Ok(Field { bits, is_wildcard: text.starts_with('*') || (is_day && text == "?") })
    }

    fn read_part(&self, part: &str) -> Option<u64> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(number(step).filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.least, if self.name == WEEKDAY.name { 6 } else { self.most }),
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            None => {
                let first = self.value(range)?;
                (first, if step.is_some() { self.most } else { first })
            }
        };
        if first > last {
            return None;
        }
        let step = usize::from(step.unwrap_or(1));
        Some((first..=last).step_by(step).fold(0, |bits, value| bits | (1 << value)))
    }

    fn value(&self, text: &str) -> Option<u8> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = match named {
            Some(place) => u8::try_from(place).ok()? + self.least,
            None => number(text)?,
        };
        (self.least..=self.most).contains(&value).then_some(value)
    }
}

/// One to three digits, and nothing else.
fn number(text: &str) -> Option<u8> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> [Vec<u8>; 3] {
        let cron = Cron::parse(text).unwrap();
        [cron.seconds, cron.minutes, cron.hours].map(|field| (0..60).filter(|n| field.has(*n)).collect())
    }

    #[test]
    fn the_first_time_of_day_from_one_on_is_found() {
        let from = |text: &str, time| Cron::parse(text).unwrap().time_from(time);
        assert_eq!(from("30 9,17 * * *", [0, 0, 0]), Some([9, 30, 0]));
        assert_eq!(from("30 9,17 * * *", [9, 30, 0]), Some([9, 30, 0]));
        assert_eq!(from("30 9,17 * * *", [9, 30, 1]), Some([17, 30, 0]));
        assert_eq!(from("30 9,17 * * *", [17, 31, 0]), None);
        assert_eq!(from("*/20 * * * * *", [23, 59, 41]), None);
        assert_eq!(from("*/20 * * * * *", [22, 59, 41]), Some([23, 0, 0]));
        assert_eq!(from("59 59 23 * * *", [23, 59, 59]), Some([23, 59, 59]));
    }

    #[test]
    fn fields_are_lists_of_numbers_ranges_and_steps() {
        assert_eq!(values("5 4 * * *"), [vec![0], vec![5], vec![4]]);
        assert_eq!(values("30 */20 1-3,22 * * *"), [vec![30], vec![0, 20, 40], vec![1, 2, 3, 22]]);
        assert_eq!(values("50/5 8-20/4 * * *")[1..], [vec![50, 55], vec![8, 12, 16, 20]]);
        assert_eq!(Cron::parse("  0   0 * *  MON ").unwrap().as_str(), "0 0 * * MON");
    }

    #[test]
    fn days_are_chosen_as_crontab_has_it() {
        let date =
            |text: &str, month, day, weekday| Cron::parse(text).unwrap().matches_date(month, day, weekday);
        assert!(date("0 0 13 * FRI", 1, 13, 2) && date("0 0 13 * FRI", 1, 9, 5), "either day field");
        assert!(!date("0 0 13 * FRI", 1, 9, 4));
        assert!(date("0 0 * * 7", 1, 1, 0) && date("0 0 ? * 0", 1, 1, 0) && !date("0 0 * * 7", 1, 1, 1));
        assert!(date("0 0 */2 * MON", 1, 1, 1) && !date("0 0 */2 * MON", 1, 2, 1), "both, behind a star");
        assert!(date("0 0 1 jan-mar *", 2, 1, 3) && !date("0 0 1 jan-mar *", 4, 1, 3));
        assert!(date("0 0 * * FRI-7", 1, 1, 0) && date("0 0 * * FRI-7", 1, 1, 6));
    }

    #[test]
    fn a_star_makes_the_hour_a_wildcard() {
        for (text, expected) in [("0 * * * *", true), ("0 */2 * * *", true), ("0 0-23 * * *", false)] {
            assert_eq!(Cron::parse(text).unwrap().is_hour_wildcard(), expected, "{text}");
        }
    }

    #[test]
    fn malformed_expressions_are_refused() {
        for text in [
            "",
            "* * * *",
            "* * * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * 0 *",
            "* * * * 8",
            "a * * * *",
            "1- * * * *",
            "-1 * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "*/ * * * *",
            "1,,2 * * * *",
            "+1 * * * *",
            "1.5 * * * *",
            "? * * * *",
            "* * L * *",
            "* * * * 1#2",
            "@daily",
            "*/256 * * * *",
            "60 0 0 * * *",
            "* * * * MO",
            "１ * * * *",
        ] {
            assert!(Cron::parse(text).is_err(), "{text}");
        }
        assert!(Cron::parse(&" ".repeat(2_000)).is_err());
    }

    #[test]
    fn days_that_no_calendar_has_are_refused() {
        for text in ["0 0 31 2 *", "0 0 30 FEB *", "0 0 31 2,4,6,9,11 *", "0 0 30-31 2 ?"] {
            assert_eq!(Cron::parse(text), Err(CronError::NoSuchDay), "{text}");
        }
        for text in ["0 0 29 2 *", "0 0 31 2 MON", "0 0 31 * *", "0 0 31 1,2 *"] {
            assert!(Cron::parse(text).is_ok(), "{text}");
        }
    }
}
