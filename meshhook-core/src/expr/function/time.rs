//! `add_duration format_date from_unix now to_unix`
//!
//! Time zones come from the database that is compiled in, never from the host, so that every machine formats alike.

use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::{Invocation, Outcome};
use crate::expr::error::Fault;
use crate::expr::number::Num;
use crate::expr::value::Val;
use crate::time::parse_duration;

const BAD_FORMAT: &str = "format is not valid";
/// Bytes of a literal format that is tried out while parsing: one directive can make 255 characters of three bytes.
const MAX_CHECKED_FORMAT: usize = 256;

/// The time of the step's decision.
pub(super) fn now<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    Ok(Val::string(call.eval.env.now().to_string()))
}

/// `format_date(ts, format)` in UTC, `format_date(ts, format, zone)` in a zone of the IANA database.
pub(super) fn format_date<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let (at, format) = (timestamp(call, 0)?, call.string(1)?);
    let zone = if call.len() > 2 {
        let name = call.string(2)?;
        zone(&name).map_err(|message| call.invalid(message))?
    } else {
        TimeZone::UTC
    };
    let zoned = at.to_zoned(zone);
    // A directive can ask for 255 characters of padding, in three bytes.
    call.reserve(format.len().saturating_mul(255 / 3 + 1))?;
    let text = strtime::format(format.as_bytes(), &zoned).map_err(|_| call.invalid(BAD_FORMAT))?;
    call.made(text)
}

pub(super) fn check_format_date(index: usize, text: &str) -> Result<(), String> {
    match index {
        0 => check_time(index, text),
        // What fails for this time fails for every one.
        1 if text.len() > MAX_CHECKED_FORMAT => Ok(()),
        1 => strtime::format(text.as_bytes(), &Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC))
            .map(|_| ())
            .map_err(|_| BAD_FORMAT.to_owned()),
        _ => zone(text).map(|_| ()).map_err(str::to_owned),
    }
}

/// Adds a duration as definitions write it; a leading `-` goes back in time.
pub(super) fn add_duration<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let (at, text) = (timestamp(call, 0)?, call.string(1)?);
    let nanoseconds = signed_nanoseconds(&text).map_err(|message| call.invalid(message))?;
    match Timestamp::from_nanosecond(at.as_nanosecond().saturating_add(nanoseconds)) {
        Ok(sum) => Ok(Val::string(sum.to_string())),
        Err(_) => Err(call.invalid("result is out of range")),
    }
}

pub(super) fn check_add_duration(index: usize, text: &str) -> Result<(), String> {
    match index {
        0 => check_time(index, text),
        _ => signed_nanoseconds(text).map(|_| ()).map_err(str::to_owned),
    }
}

fn signed_nanoseconds(text: &str) -> Result<i128, &'static str> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let duration = parse_duration(text).map_err(|_| "argument 2 is not a duration such as 1h30m")?;
    Ok(sign * i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX))
}

/// Whole seconds since 1970, rounded down.
pub(super) fn to_unix<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let at = timestamp(call, 0)?;
    Ok(Val::number(Num::from_i128(at.as_nanosecond().div_euclid(1_000_000_000))))
}

/// Seconds since 1970, rounded to microseconds.
pub(super) fn from_unix<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let seconds = call.number(0)?;
    let microseconds = match seconds.as_i64() {
        Some(seconds) => seconds.checked_mul(1_000_000),
        // Casting saturates, and the ends of i64 are far out of range.
        None => Some((seconds.to_f64() * 1e6).round() as i64),
    };
    match microseconds.map(Timestamp::from_microsecond) {
        Some(Ok(at)) => Ok(Val::string(at.to_string())),
        _ => Err(call.invalid("argument is out of range")),
    }
}

fn timestamp(call: &mut Invocation<'_, '_>, index: usize) -> Result<Timestamp, Fault> {
    let text = call.string(index)?;
    parse_time(index, &text).map_err(|message| call.invalid(message))
}

pub(super) fn check_time(index: usize, text: &str) -> Result<(), String> {
    parse_time(index, text).map(|_| ())
}

fn parse_time(index: usize, text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| format!("argument {} is not an RFC 3339 time", index + 1))
}

fn zone(name: &str) -> Result<TimeZone, &'static str> {
    zones().get(name).map_err(|_| "there is no such time zone")
}

fn zones() -> &'static TimeZoneDatabase {
    static ZONES: OnceLock<TimeZoneDatabase> = OnceLock::new();
    ZONES.get_or_init(TimeZoneDatabase::bundled)
}
