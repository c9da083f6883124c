//! What clients were told, held against the runs there are.

use std::collections::{BTreeMap, BTreeSet};

use super::{Story, Violation};
use crate::client::{Delivery, Ledger};

/// Checks that every accepted delivery has its run, and every run its delivery. Those of items are for
/// [others](super::items) to check.
pub(super) fn check(stories: &BTreeMap<String, Story>, ledger: &Ledger) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut runs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for story in stories.values().filter(|story| story.item.is_none()) {
        match &story.delivery {
            Some(delivery) => runs.entry(delivery).or_default().push(&story.run),
            None => violations.push(Violation::of(1, &story.run, "started by nobody")),
        }
    }
    for delivery in &ledger.deliveries {
        let found = runs.remove(&*delivery.id).unwrap_or_default();
        violations.extend(of_delivery(delivery, &found));
    }
    violations.extend(
        runs.into_iter()
            .map(|(id, runs)| Violation::of(1, runs[0], format!("delivery {id:?} was never sent"))),
    );
    violations
}

fn of_delivery(delivery: &Delivery, found: &[&str]) -> Vec<Violation> {
    let id = &delivery.id;
    let mut violations: Vec<Violation> =
        delivery.unexpected.iter().map(|what| Violation::new(1, format!("delivery {id}: {what}"))).collect();
    let told: BTreeSet<&str> = delivery.runs.iter().map(|run| &**run).collect();
    if told.len() > 1 || found.len() > 1 {
        violations.push(Violation::of(
            1,
            found.first().unwrap_or(&""),
            format!("delivery {id} has runs {found:?}, and clients were told {told:?}"),
        ));
    }
    for run in told {
        if !found.contains(&run) {
            violations
                .push(Violation::new(1, format!("delivery {id} was accepted as run {run}, which is lost")));
        }
        if delivery.is_forged {
            violations.push(Violation::of(
                1,
                run,
                format!("delivery {id} was accepted with a wrong signature"),
            ));
        }
    }
    if let (Some(status), Some(run)) = (delivery.refusal(), found.first()) {
        violations.push(Violation::of(1, run, format!("delivery {id} was refused with {status}")));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(id: &str, runs: &[&str], refused: Option<u16>, lost: u32) -> Delivery {
        Delivery {
            id: id.into(),
            waits: false,
            runs: runs.iter().map(|run| (*run).to_owned()).collect(),
            refused,
            lost,
            unexpected: Vec::new(),
            is_forged: false,
            is_persistent: false,
        }
    }

    fn stories(of: &[(&str, &str)]) -> BTreeMap<String, Story> {
        let story = |(run, delivery): &(&str, &str)| {
            let story = Story { run: (*run).into(), delivery: Some((*delivery).into()), ..Story::default() };
            (story.run.clone(), story)
        };
        of.iter().map(story).collect()
    }

    fn count(of: &[(&str, &str)], deliveries: Vec<Delivery>) -> usize {
        check(&stories(of), &Ledger { deliveries, ..Ledger::default() }).len()
    }

    #[test]
    fn what_clients_know_and_what_there_is_agree() {
        let deliveries = vec![
            delivery("accepted", &["r1", "r1"], None, 3),
            delivery("unknown", &[], None, 1),
            delivery("unknown too", &[], Some(503), 1),
            delivery("refused", &[], Some(503), 0),
            Delivery { is_persistent: true, ..delivery("refused first", &["r3"], Some(503), 0) },
        ];
        assert_eq!(count(&[("r1", "accepted"), ("r2", "unknown"), ("r3", "refused first")], deliveries), 0);
    }

    #[test]
    fn every_kind_of_offence_is_found() {
        for (of, deliveries) in [
            (&[][..], vec![delivery("d", &["lost"], None, 0)]),
            (&[("r1", "d"), ("r2", "d")], vec![delivery("d", &["r1"], None, 0)]),
            (&[("r1", "d")], vec![delivery("d", &[], Some(503), 0)]),
            (&[("r1", "d")], vec![]),
        ] {
            assert_eq!(count(of, deliveries.clone()), 1, "{of:?} {deliveries:?}");
        }
        let forged = Delivery { is_forged: true, ..delivery("d", &["r1"], None, 0) };
        assert_eq!(count(&[("r1", "d")], vec![forged]), 1);
    }
}
