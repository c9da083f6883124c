//! Measuring several things in turns, and showing them side by side.
//!
//! Rates on a machine with other work drift by the minute, so what is to be compared is measured in turns (A B A B …),
//! and what is shown is the median of the rounds' ratios. Processor time, transactions and bytes of the log are steadier.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::load::{Place, Tally};
use super::shape::Shape;
use crate::kit::cluster::Cluster;
use crate::kit::cpu_micros;

/// What all sections share.
pub(crate) struct Bench {
    pub(crate) cluster: Cluster,
    /// How long one measurement lasts.
    pub(crate) span: Duration,
    pub(crate) rounds: usize,
    pub(crate) in_flight: usize,
    /// How much of what tables are filled with is filled in.
    pub(crate) scale: f64,
}

/// Something that is measured.
pub(crate) struct Subject<'a> {
    name: String,
    /// The process whose time is counted beside the database's.
    process: u32,
    load: Box<dyn Fn(Duration) -> Loading<'a> + 'a>,
}

type Loading<'a> = Pin<Box<dyn Future<Output = Tally> + 'a>>;

impl<'a> Subject<'a> {
    pub(crate) fn new<F>(name: impl Into<String>, process: u32, load: impl Fn(Duration) -> F + 'a) -> Self
    where
        F: Future<Output = Tally> + 'a,
    {
        Self { name: name.into(), process, load: Box::new(move |span| Box::pin(load(span))) }
    }

    /// Runs of a shape, so many at a time.
    pub(crate) fn closed(name: impl Into<String>, place: &'a Place, shape: Shape, in_flight: usize) -> Self {
        Self::new(name, place.process(), move |span| place.closed(shape, in_flight, span))
    }

    /// Runs of a shape at a rate.
    pub(crate) fn paced(name: impl Into<String>, place: &'a Place, shape: Shape, per_second: f64) -> Self {
        Self::new(name, place.process(), move |span| place.paced(shape, per_second, span))
    }
}

/// What one measurement came to: a rate, latencies in milliseconds, and the rest per run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) runs: f64,
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) database_cpu: f64,
    pub(crate) own_cpu: f64,
    pub(crate) writes: f64,
    pub(crate) calls: f64,
    pub(crate) log: f64,
    pub(crate) refused: f64,
}

impl Bench {
    /// So many of that many rows.
    pub(crate) fn scaled(&self, rows: u32) -> u32 {
        (f64::from(rows) * self.scale) as u32
    }

    /// Measures once.
    pub(crate) async fn sample(&self, subject: &Subject<'_>, span: Duration) -> Sample {
        let (own, before) = (cpu_micros(subject.process), self.cluster.spent());
        let tally = (subject.load)(span).await;
        let (own, after) = (cpu_micros(subject.process) - own, self.cluster.spent());
        let runs = tally.runs().max(1.0);
        let spent = after.per(runs, before);
        let at = |quantile| tally.micros.value_at_quantile(quantile) as f64 / 1_000.0;
        Sample {
            runs,
            rate: tally.runs() / tally.seconds,
            p50: at(0.5),
            p99: at(0.99),
            database_cpu: spent.cpu,
            own_cpu: own / runs,
            writes: spent.writes,
            calls: tally.calls as f64 / runs,
            log: spent.log,
            refused: tally.refused as f64,
        }
    }

    /// Measures subjects in turns and shows them beside the first; answers each one's samples.
    pub(crate) async fn compare(&self, title: &str, subjects: &[Subject<'_>]) -> Vec<Vec<Sample>> {
        for subject in subjects {
            // What happens only once (connections, plans, caches) is nobody's.
            (subject.load)(self.span / 4).await;
        }
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); subjects.len()];
        for _ in 0..self.rounds {
            for (subject, samples) in subjects.iter().zip(&mut samples) {
                samples.push(self.sample(subject, self.span).await);
            }
        }
        heading(title);
        for (subject, its) in subjects.iter().zip(&samples) {
            show(&subject.name, its, &samples[0]);
        }
        samples
    }
}

/// The median of something about samples.
pub(crate) fn median(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    middle(samples.iter().map(of).collect())
}

/// The median of the rates' ratios, round by round.
pub(crate) fn ratio(samples: &[Sample], base: &[Sample]) -> f64 {
    middle(samples.iter().zip(base).map(|(sample, base)| sample.rate / base.rate).collect())
}

/// The median.
pub(crate) fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() % 2 {
        0 if half > 0 => f64::midpoint(values[half - 1], values[half]),
        _ => values.get(half).copied().unwrap_or(f64::NAN),
    }
}

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
pub(crate) fn heading(title: &str) {
    println!(
        "\n{title}\n{:<26} {:>7} {:>15} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "",
        "runs/s",
        "(least-most)",
        "ratio",
        "DB us",
        "own us",
        "tx/run",
        "call/run",
        "WAL B",
        "p50 ms",
        "p99 ms"
    );
}

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
pub(crate) fn show(name: &str, samples: &[Sample], base: &[Sample]) {
    let of = |what: fn(&Sample) -> f64| median(samples, what);
    let least = samples.iter().map(|sample| sample.rate).fold(f64::INFINITY, f64::min);
    let most = samples.iter().map(|sample| sample.rate).fold(0.0, f64::max);
    let refused: f64 = samples.iter().map(|sample| sample.refused).sum();
    println!(
        "{name:<26} {:>7.0} {:>15} {:>6.2} {:>8.1} {:>8.1} {:>8.3} {:>8.3} {:>8.0} {:>8.2} {:>8.2}{}",
        of(|sample| sample.rate),
        format!("({least:.0}-{most:.0})"),
        ratio(samples, base),
        of(|sample| sample.database_cpu),
        of(|sample| sample.own_cpu),
        of(|sample| sample.writes),
        of(|sample| sample.calls),
        of(|sample| sample.log),
        of(|sample| sample.p50),
        of(|sample| sample.p99),
        if refused > 0.0 { format!("  {refused:.0} refused") } else { String::new() },
    );
}
