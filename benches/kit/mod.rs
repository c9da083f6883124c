//! What benches that load a server share.

#![allow(dead_code, reason = "each bench uses some of it")]

pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod load;
pub(crate) mod server;
pub(crate) mod stub;

/// The processor time that a process has taken, in microseconds; 0 where the system does not tell.
pub(crate) fn cpu_micros(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name may hold spaces; behind its parenthesis come the numbers, in ticks of 10 ms.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10_000.0
}

/// What stands behind a name on the command line.
pub(crate) fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

/// For times in microseconds, up to a minute.
pub(crate) fn histogram() -> hdrhistogram::Histogram<u64> {
    hdrhistogram::Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds up to a minute are allowed")
}

/// The time since then, in microseconds.
pub(crate) fn micros(since: tokio::time::Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
