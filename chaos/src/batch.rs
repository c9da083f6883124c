//! Batches: requests that carry several items, of which each is a run.
//!
//! A sender means by an item what its label says: two items with one label are the same one, whichever requests they come
//! in. Most have an id of their own, which is the label; the others are known by their request and their place there, so
//! they come in one order and under one delivery only. What has ids may be collected anew: in another order, under
//! another delivery, and together with what an earlier batch had.
//!
//! All of it follows from the seed and a number. Who repeats an item of an earlier batch makes it again.

use meshhook_core::json;
use meshhook_core::time::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::random::Random;
use crate::server::MAX_BATCH_BYTES;

/// An item as its sender knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) label: String,
    /// Whether its label is also its id.
    pub(crate) is_named: bool,
    /// Whether its run has a second effect.
    pub(crate) goes_on: bool,
    /// SHA-256 of its canonical text.
    pub(crate) digest: [u8; 32],
}

/// What a client knows about one batch.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) items: Vec<Item>,
    /// Every time that it was sent, in order.
    pub(crate) requests: Vec<Request>,
    /// Answers that there should not be.
    pub(crate) unexpected: Vec<String>,
    /// Whether its signature was wrong.
    pub(crate) is_forged: bool,
    /// Whether it was refused, and not sent again.
    pub(crate) is_given_up: bool,
}

/// A batch sent once.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) delivery: String,
    /// Which items stand at its places.
    pub(crate) order: Vec<usize>,
    pub(crate) sent: Timestamp,
    pub(crate) answer: Answer,
}

/// What a request was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What was said of each place.
    Accepted(Vec<Told>),
    /// With which status. Some of the items may be runs all the same.
    Refused(u16),
    /// Nobody knows.
    Unknown,
}

/// What was said of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) run: String,
    pub(crate) is_duplicate: bool,
}

impl Batch {
    /// Whether all of it was accepted, at some time.
    pub(crate) fn is_accepted(&self) -> bool {
        self.requests.iter().any(Request::is_accepted)
    }

    /// Whether it is known what became of it, or nobody asks any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_accepted() || self.is_given_up || !self.unexpected.is_empty()
    }

    /// Whether its items may stand in another order, under another delivery.
    pub(crate) fn can_be_regrouped(&self) -> bool {
        self.items.iter().all(|item| item.is_named)
    }
}

impl Request {
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self.answer, Answer::Accepted(_))
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.answer, Answer::Refused(_))
    }
}

/// A batch before it is sent, and its items' values.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) batch: Batch,
    pub(crate) values: Vec<Value>,
}

/// The share of webhooks that are batches, in percent.
const SHARE: u64 = 20;
/// The most items of a batch.
const MOST: usize = 20;
/// How far back a batch looks for one whose items it repeats: some of these are still under way.
const BACK: u64 = 30;

/// Which items of a batch have ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    All,
    Some,
    None,
}

/// What is decided about a batch as a whole.
#[derive(Debug, Clone, Copy)]
struct Shape {
    count: usize,
    names: Names,
    /// Whether what its runs make of it is more than one transaction takes.
    is_heavy: bool,
}

/// The batch with this number, if the webhook with this number is one.
pub(crate) fn plan(seed: u64, number: u64) -> Option<Plan> {
    let shape = Shape::of(seed, number)?;
    let mut random = Random::of(seed, &format!("repeats of {number}"));
    let earlier = earlier_batch(seed, number, &mut random);
    let mut plan = Plan {
        batch: Batch {
            items: Vec::new(),
            requests: Vec::new(),
            unexpected: Vec::new(),
            is_forged: random.percent(2),
            is_given_up: false,
        },
        values: Vec::new(),
    };
    for place in 0..shape.count {
        let repeated = match earlier {
            _ if shape.names == Names::None => None,
            Some((of, there)) if random.percent(25) => Some(item(seed, of, there, random.below(there.count))),
            // Twice in one request.
            _ if random.percent(4) => Some(item(seed, number, shape, random.below(place))),
            _ => None,
        };
        // Without an id it would be another item, at another place.
        let repeated = repeated.filter(|(item, _)| item.is_named);
        let (item, value) = repeated.unwrap_or_else(|| item(seed, number, shape, place));
        plan.batch.items.push(item);
        plan.values.push(value);
    }
    Some(plan)
}

impl Shape {
    fn of(seed: u64, number: u64) -> Option<Self> {
        let mut random = Random::of(seed, &format!("batch {number}"));
        if !random.percent(SHARE) {
            return None;
        }
        let names = match random.below(10) {
            0..=5 => Names::All,
            6..=7 => Names::Some,
            _ => Names::None,
        };
        let is_heavy = random.percent(10);
        // Small ones are more frequent.
        let count = (0..3).map(|_| 2 + random.below(MOST - 1)).min().unwrap_or(2);
        Some(Self { count: if is_heavy { MOST } else { count }, names, is_heavy })
    }
}

fn earlier_batch(seed: u64, number: u64, random: &mut Random) -> Option<(u64, Shape)> {
    let back = 1 + random.below(usize::try_from(BACK).unwrap_or(1)) as u64;
    let latest = number.checked_sub(back)?;
    let earliest = latest.saturating_sub(BACK);
    (earliest..=latest).rev().find_map(|of| Some((of, Shape::of(seed, of)?)))
}

/// An item of a batch's own.
fn item(seed: u64, number: u64, shape: Shape, place: usize) -> (Item, Value) {
    let mut random = Random::of(seed, &format!("item {number} {place}"));
    let is_named = match shape.names {
        Names::All => true,
        Names::Some => random.percent(50),
        Names::None => false,
    };
    let label = format!("{number}.{place}.{:08x}", random.next() >> 32);
    let goes_on = random.percent(30);
    // Some pauses are sat out in memory, for others the run is released.
    let pause = if random.percent(70) { random.below(400) } else { 2_100 + random.below(2_000) };
    let ballast = if shape.is_heavy { HEAVY } else { random.below(200) };
    let mut value = json!({
        "label": label, "goes_on": goes_on, "pause": format!("{pause}ms"), "is_heavy": shape.is_heavy,
        "ballast": "x".repeat(ballast),
    });
    if is_named {
        value["id"] = label.as_str().into();
    }
    let digest = digest(&value);
    (Item { label, is_named, goes_on, digest }, value)
}

/// How large an item of a heavy batch is. Its workflow makes 25 times as much of each, of which a transaction takes six.
const HEAVY: usize = 1_000;
const _: () = assert!(MOST * HEAVY * 25 > MAX_BATCH_BYTES * 3);

/// What tells one item's text from another's.
pub(crate) fn digest(value: &Value) -> [u8; 32] {
    Sha256::digest(json::to_canonical_string(value)).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn batches() -> Vec<Plan> {
        (1..=2_000).filter_map(|number| plan(7, number)).collect()
    }

    #[test]
    fn a_fifth_of_the_webhooks_are_batches_of_all_kinds() {
        let batches = batches();
        assert!((320..480).contains(&batches.len()), "{}", batches.len());
        let named = |plan: &&Plan| plan.batch.can_be_regrouped();
        let unnamed = |plan: &&Plan| plan.batch.items.iter().all(|item| !item.is_named);
        let (all, none) = (batches.iter().filter(named).count(), batches.iter().filter(unnamed).count());
        assert!(all > 150 && none > 40 && batches.len() - all - none > 20, "{all} {none}");
        let sizes: Vec<usize> = batches.iter().map(|plan| plan.batch.items.len()).collect();
        assert_eq!((sizes.iter().min(), sizes.iter().max()), (Some(&2), Some(&MOST)));
        let heavy = batches.iter().filter(|plan| plan.values[0]["ballast"].as_str().unwrap().len() == HEAVY);
        assert!(heavy.count() > 20);
    }

    #[test]
    fn one_label_is_one_text_and_what_has_no_id_comes_in_one_batch_only() {
        let (mut texts, mut repeated) = (BTreeMap::new(), 0);
        for (number, plan) in batches().iter().enumerate() {
            for (place, (item, value)) in plan.batch.items.iter().zip(&plan.values).enumerate() {
                assert_eq!(value["id"].as_str(), item.is_named.then_some(&*item.label));
                assert_eq!(digest(value), item.digest);
                let known = *texts.entry(item.label.clone()).or_insert((item.digest, number, place));
                assert_eq!(known.0, item.digest);
                assert!(item.is_named || known == (item.digest, number, place));
                repeated += usize::from(known.1 != number);
            }
        }
        assert!(repeated > 200, "{repeated}");
    }
}
