//! Points in time and durations as definitions, events and the API write them.
//!
//! A [`Timestamp`] is what the engine records and compares: microseconds since the Unix epoch, printed as
//! RFC 3339 in UTC. Durations are [`std::time::Duration`]; their text form is [`parse_duration`]'s.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time with microsecond precision, between the years -9999 and 9999.
///
/// ```
/// use meshhook_core::time::Timestamp;
///
/// let at: Timestamp = "2026-01-02T03:04:05.678901Z".parse().unwrap();
/// assert_eq!(at.to_string(), "2026-01-02T03:04:05.678901Z");
/// assert_eq!(at.as_micros(), 1_767_323_045_678_901);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(0);
    /// The latest representable time, 9999-12-30T22:00:00Z: also what sums beyond it become.
    pub const MAX: Timestamp = Timestamp(253_402_207_200_000_000);
    /// The earliest representable time, -009999-01-02T01:59:59Z.
    pub const MIN: Timestamp = Timestamp(-377_705_023_201_000_000);

    /// Makes a timestamp from microseconds since the Unix epoch, clamped to [`MIN`](Self::MIN) and [`MAX`](Self::MAX).
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        Timestamp(micros.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The time `duration` later, at most [`MAX`](Self::MAX).
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// The time `duration` earlier, at least [`MIN`](Self::MIN).
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_sub(micros))
    }

    /// How long it is from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).expect("clamped to jiff's range on construction")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.to_jiff())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not an RFC 3339 time with an offset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time: {text:?}")]
pub struct TimestampError {
    text: String,
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Reads RFC 3339; digits beyond microseconds are cut off.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || TimestampError { text: text.chars().take(64).collect() };
        let parsed: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
        Ok(Self::from_micros(parsed.as_nanosecond().div_euclid(1_000).try_into().map_err(|_| invalid())?))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// Neither `1h30m` nor ISO 8601 without years and months.
    #[error("not a duration such as 10s, 1h30m or PT10S: {0:?}")]
    Malformed(String),
    /// More than [`MAX_DURATION`].
    #[error("duration is longer than 100 years: {0:?}")]
    TooLong(String),
}

/// The longest duration that text can name: 36,500 days.
pub const MAX_DURATION: Duration = Duration::from_secs(36_500 * 86_400);

/// Reads a duration: `250ms`, `10s`, `5m`, `1h30m`, `2d` (descending units, integers, no spaces), or ISO 8601
/// without years and months (`PT10S`, `P1DT2H`, `P2W`; decimals are allowed in the seconds).
///
/// # Errors
///
/// [`DurationError::Malformed`] for any other text, [`DurationError::TooLong`] past [`MAX_DURATION`].
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let parsed = if text.starts_with('P') { parse_iso(text) } else { parse_units(text) };
    let excerpt = || text.chars().take(64).collect();
    let duration = parsed.ok_or_else(|| DurationError::Malformed(excerpt()))?;
    if duration > MAX_DURATION { Err(DurationError::TooLong(excerpt())) } else { Ok(duration) }
}

/// Prints a duration in the form that [`parse_duration`] reads, as `1h30m` or `250ms`; below a millisecond is cut off.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut text = String::new();
    for (unit, millis) in UNITS {
        let count = rest / millis;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Units of the short form in the only order in which they may follow each other, with their milliseconds.
const UNITS: [(&str, u128); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

fn parse_units(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut next_unit = 0;
    let mut millis: u128 = 0;
    while !rest.is_empty() {
        let (count, tail) = take_number(rest)?;
        let unit_len = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let unit = UNITS.iter().position(|(name, _)| *name == &tail[..unit_len])?;
        if unit < next_unit {
            return None;
        }
        next_unit = unit + 1;
        millis = millis.checked_add(u128::from(count).checked_mul(UNITS[unit].1)?)?;
        rest = &tail[unit_len..];
    }
    if text.is_empty() { None } else { Some(from_millis(millis)) }
}

fn parse_iso(text: &str) -> Option<Duration> {
    let body = &text[1..];
    let (date, time) = match body.split_once('T') {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None if body.is_empty() => return None,
        None => (body, ""),
    };
    let mut millis: u128 = 0;
    for (part, units) in [
        (date, &[('W', 604_800_000), ('D', 86_400_000)][..]),
        (time, &[('H', 3_600_000), ('M', 60_000), ('S', 1_000)][..]),
    ] {
        let mut rest = part;
        let mut next_unit = 0;
        while !rest.is_empty() {
            let (count, mut tail) = take_number(rest)?;
            let mut fraction = 0;
            if let Some(decimals) = tail.strip_prefix(['.', ',']) {
                let digits = decimals.find(|c: char| !c.is_ascii_digit())?;
                if digits == 0 || digits > 9 || !decimals[digits..].starts_with('S') {
                    return None;
                }
                let padded = format!("{:0<3}", &decimals[..digits.min(3)]);
                fraction = padded.parse::<u128>().ok()?;
                tail = &decimals[digits..];
            }
            let designator = tail.chars().next()?;
            let unit = units.iter().position(|(name, _)| *name == designator)?;
            if unit < next_unit {
                return None;
            }
            next_unit = unit + 1;
            millis =
                millis.checked_add(u128::from(count).checked_mul(units[unit].1)?)?.checked_add(fraction)?;
            rest = &tail[1..];
        }
    }
    Some(from_millis(millis))
}

fn take_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

fn from_millis(millis: u128) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_both_forms() {
        for (text, millis) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("0s", 0),
            ("1d2h3m4s5ms", 93_784_005),
            ("PT10S", 10_000),
            ("PT0.5S", 500),
            ("PT1.2345S", 1_234),
            ("P1DT2H", 93_600_000),
            ("P2W", 1_209_600_000),
            ("PT1H30M", 5_400_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_duration_is_refused() {
        for text in [
            "", "10", "s", "-1s", "1.5s", "1 h", "30m1h", "1m1m", "tomorrow", "P", "PT", "P1Y", "P1M",
            "P1DT", "PT1.S", "PT1M1H", "1µs", "+1s", "PT.5S", "P1H", "1H", "１s", "PT1.1M",
        ] {
            assert!(matches!(parse_duration(text), Err(DurationError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn durations_past_a_century_are_refused() {
        assert_eq!(parse_duration("36500d"), Ok(MAX_DURATION));
        assert!(matches!(parse_duration("36501d"), Err(DurationError::TooLong(_))));
        assert!(parse_duration("99999999999999999999d").is_err());
    }

    #[test]
    fn printed_durations_read_back() {
        for millis in [0, 1, 999, 1_000, 61_001, 5_400_000, 86_400_000, 93_784_005] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }

    #[test]
    fn times_print_six_digits_in_utc() {
        let at: Timestamp = "2026-01-02T04:04:05+01:00".parse().unwrap();
        assert_eq!(at.to_string(), "2026-01-02T03:04:05.000000Z");
        assert_eq!(
            "2026-01-02T03:04:05.1234569Z".parse::<Timestamp>().unwrap().to_string(),
            "2026-01-02T03:04:05.123456Z"
        );
    }

    #[test]
    fn sums_stop_at_the_ends_of_time() {
        assert_eq!(Timestamp::MAX.after(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.before(Duration::MAX), Timestamp::MIN);
        for end in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(end.to_string().parse::<Timestamp>().unwrap(), end);
        }
        assert_eq!(Timestamp::EPOCH.since(Timestamp::MAX), Duration::ZERO);
    }
}
