//! What the outside world was asked, held against the histories.

use std::collections::{BTreeMap, BTreeSet};

use super::{Figures, Story, Violation};
use crate::effect::Entry;

/// The attempts that the workflows' policy allows.
const POLICY: usize = 100;

/// Checks effects, and counts them.
pub(super) fn check(
    stories: &BTreeMap<String, Story>,
    effects: &[Entry],
    kills: u64,
    figures: &mut Figures,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut steps: BTreeMap<(&str, &str), Vec<&Entry>> = BTreeMap::new();
    let mut keys: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for entry in effects {
        let place = (&*entry.run, &*entry.step);
        steps.entry(place).or_default().push(entry);
        if *keys.entry(&entry.key).or_insert(place) != place {
            violations.push(Violation::of(
                5,
                &entry.run,
                format!("{} has the key of another step", entry.step),
            ));
        }
    }
    for ((run, step), entries) in &steps {
        let mut object = |what: String| violations.push(Violation::of(5, run, format!("{step}: {what}")));
        let Some(story) = stories.get(*run) else {
            object("an effect of a run that is not there".to_owned());
            continue;
        };
        let Some(intent) = story.intents.get(*step) else {
            object("an effect without an intent".to_owned());
            continue;
        };
        if let Some(other) = entries.iter().find(|entry| entry.key != intent.key) {
            object(format!("an effect with key {:?} instead of {:?}", other.key, intent.key));
        }
        let bodies: BTreeSet<&str> = entries.iter().map(|entry| &*entry.body).collect();
        if bodies.len() > 1 {
            object(format!("{} bodies", bodies.len()));
        }
        figures.most_of_a_step = figures.most_of_a_step.max(entries.len());
        let bound = POLICY + usize::try_from(kills).unwrap_or(usize::MAX);
        if entries.len() > bound {
            object(format!("{} effects, and no more than {bound} could be needed", entries.len()));
        }
        let Some(end) = story.ends.get(*step) else { continue };
        figures.repeated += entries.len().saturating_sub(end.attempts.max(1));
        for entry in entries.iter().filter(|entry| entry.at() > end.at) {
            // Whoever was stopped between its intent and the effect cannot know that somebody else has finished the step.
            if story.takeovers.iter().any(|taken| (intent.at..=end.at).contains(taken)) {
                figures.late_after_takeover += 1;
            } else {
                object(format!("an effect {:?} after the step's end", entry.at().since(end.at)));
            }
        }
    }
    for story in stories.values() {
        for step in story.intents.keys() {
            let is_done = story.ends.get(step).is_some_and(|end| end.succeeded);
            if is_done && !steps.contains_key(&(&*story.run, &**step)) {
                violations.push(Violation::of(5, &story.run, format!("{step} succeeded without an effect")));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use meshhook_core::time::Timestamp;

    use super::super::history::{End, Intent};
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn story(takeovers: &[i64]) -> BTreeMap<String, Story> {
        let intents = [("s".to_owned(), Intent { key: "k".into(), at: at(1) })].into();
        let ends = [("s".to_owned(), End { at: at(9), succeeded: true, attempts: 1 })].into();
        let takeovers = takeovers.iter().map(|seconds| at(*seconds)).collect();
        [("r".to_owned(), Story { run: "r".into(), intents, ends, takeovers, ..Story::default() })].into()
    }

    fn entry(seconds: i64, key: &str, run: &str, step: &str, body: &str) -> Entry {
        Entry::new(at(seconds), [key, run, step, body])
    }

    fn count(takeovers: &[i64], entries: &[Entry]) -> (usize, Figures) {
        let mut figures = Figures::default();
        (check(&story(takeovers), entries, 0, &mut figures).len(), figures)
    }

    #[test]
    fn one_key_and_one_body_per_step_give_no_offence() {
        let twice = [entry(2, "k", "r", "s", "b"), entry(3, "k", "r", "s", "b")];
        let (violations, figures) = count(&[], &twice);
        assert_eq!((violations, figures.repeated, figures.most_of_a_step), (0, 1, 2));
    }

    #[test]
    fn every_kind_of_offence_is_found() {
        let good = || entry(2, "k", "r", "s", "b");
        for entries in [
            vec![],
            vec![entry(2, "other", "r", "s", "b")],
            vec![good(), entry(2, "k", "r", "s", "other")],
            vec![good(), entry(2, "k2", "nobody", "s", "b")],
            vec![good(), entry(2, "k2", "r", "unknown", "b")],
            vec![good(), entry(10, "k", "r", "s", "b")],
            (0..101).map(|_| good()).collect(),
        ] {
            assert_eq!(count(&[], &entries).0, 1, "{entries:?}");
        }
    }

    #[test]
    fn an_effect_after_a_takeover_is_counted_and_forgiven() {
        let late = [entry(2, "k", "r", "s", "b"), entry(10, "k", "r", "s", "b")];
        let (violations, figures) = count(&[5], &late);
        assert_eq!((violations, figures.late_after_takeover), (0, 1));
        assert_eq!(count(&[0], &late).0, 1);
    }
}
