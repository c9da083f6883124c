//! What senders of batches were told, held against the runs there are and what these did.
//!
//! An item is its label, whichever requests it came in. So a label has one run at most, in all answers and in the
//! database; once an answer has named one, it is there; and what was only refused, or never answered, may have one or none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::history::ItemOfRun;
use super::{Story, Violation};
use crate::batch::{Answer, Batch, Item, Request, Told};
use crate::effect::Entry;
use crate::workflow::{FIRST, LAST};

/// What was counted of batches.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BatchFigures {
    /// Those that were sent, and of these those that were accepted, given up, forged, or sent more than once.
    pub(crate) sent: usize,
    pub(crate) accepted: usize,
    pub(crate) given_up: usize,
    pub(crate) forged: usize,
    pub(crate) repeated: usize,
    pub(crate) requests: usize,
    /// Requests that were not answered with `202` and have left runs.
    pub(crate) torn: usize,
    /// Of these, those that have not left all that they should have.
    pub(crate) halfway: usize,
    /// Items that have a run.
    pub(crate) runs: usize,
    /// What answers said of places, how often that it was a duplicate, and how often of what a torn request had left.
    pub(crate) told: usize,
    pub(crate) duplicates: usize,
    pub(crate) found_again: usize,
}

/// What is known of an item from all requests that it came in.
struct Sent<'a> {
    item: &'a Item,
    places: Vec<Place<'a>>,
}

/// One place of one request.
struct Place<'a> {
    request: &'a Request,
    place: usize,
    told: Option<&'a Told>,
}

impl Place<'_> {
    /// Whether it may be what started a run.
    fn may_have_made(&self, story: &Story, item: &ItemOfRun) -> bool {
        story.delivery.as_ref() == Some(&self.request.delivery) && item.place == self.place
    }
}

type Runs<'a> = BTreeMap<&'a str, Vec<(&'a Story, &'a ItemOfRun)>>;

/// Checks that every item that was accepted has its run, that none has two, and that nothing else has one.
pub(super) fn check(
    stories: &BTreeMap<String, Story>,
    batches: &[Batch],
    effects: &[Entry],
) -> (BatchFigures, Vec<Violation>) {
    let mut violations = Vec::new();
    for batch in batches {
        let first = batch.requests.first().map_or("", |request| &request.delivery);
        let about = |what: &str| Violation::new(1, format!("batch {first}: {what}"));
        violations.extend(batch.unexpected.iter().map(|what| about(what)));
        if batch.is_forged && batch.is_accepted() {
            violations.push(about("was accepted with a wrong signature"));
        }
    }
    let sent = sent(batches);
    let mut runs = Runs::new();
    for story in stories.values() {
        if let Some(item) = &story.item {
            runs.entry(&item.label).or_default().push((story, item));
        }
    }
    for (label, sent) in &sent {
        violations.extend(of_item(label, sent, runs.get(label).map(Vec::as_slice).unwrap_or_default()));
    }
    for (label, found) in runs.iter().filter(|(label, _)| !sent.contains_key(*label)) {
        let never = |(story, _): &(&Story, _)| {
            Violation::of(1, &story.run, format!("item {label:?} was never sent, or never accepted"))
        };
        violations.extend(found.iter().map(never));
    }
    violations.extend(of_effects(stories, effects));
    (count(batches, &runs), violations)
}

/// How far the servers' time may be from the senders': they take it from the database, over slow connections.
const SLACK: Duration = Duration::from_secs(1);

/// Everything that may have been taken, by its label.
fn sent(batches: &[Batch]) -> BTreeMap<&str, Sent<'_>> {
    let mut sent: BTreeMap<&str, Sent<'_>> = BTreeMap::new();
    for batch in batches.iter().filter(|batch| !batch.is_forged) {
        for request in &batch.requests {
            for (place, item) in request.order.iter().map(|item| &batch.items[*item]).enumerate() {
                let known = sent.entry(&item.label).or_insert_with(|| Sent { item, places: Vec::new() });
                known.places.push(Place { request, place, told: told(request).get(place) });
            }
        }
    }
    sent
}

/// What was said of each place; nothing where the request was not accepted.
fn told(request: &Request) -> &[Told] {
    match &request.answer {
        Answer::Accepted(told) => told,
        Answer::Refused(_) | Answer::Unknown => &[],
    }
}

fn of_item(label: &str, sent: &Sent<'_>, found: &[(&Story, &ItemOfRun)]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let there: Vec<&str> = found.iter().map(|(story, _)| &*story.run).collect();
    let told = || sent.places.iter().filter_map(|place| Some((place, place.told?)));
    let named: BTreeSet<&str> = told().map(|(_, told)| &*told.run).collect();
    if there.len() > 1 || named.len() > 1 {
        let what = format!("item {label} has runs {there:?}, and senders were told {named:?}");
        violations.push(Violation::of(1, there.first().unwrap_or(&""), what));
    }
    for run in named.iter().filter(|run| !there.contains(run)) {
        let was = match told().any(|(_, told)| told.run == **run && !told.is_duplicate) {
            true => "was accepted as",
            false => "was said to be a duplicate of",
        };
        violations.push(Violation::new(1, format!("item {label} {was} run {run}, which it does not have")));
    }
    for (story, item) in found {
        let mut object = |invariant, what| violations.push(Violation::of(invariant, &story.run, what));
        if item.digest != sent.item.digest {
            object(1, format!("item {label} has another text than was sent"));
        }
        if !sent.places.iter().any(|place| place.may_have_made(story, item)) {
            object(1, format!("item {label} was not at place {} of what started it", item.place));
        }
        let mut as_new = told().filter(|(_, told)| told.run == story.run && !told.is_duplicate);
        if as_new.clone().any(|(place, _)| !place.may_have_made(story, item)) {
            object(1, format!("item {label} was said to be new by a request that did not start it"));
        }
        let made = story.decided.first();
        if as_new.clone().any(|(place, _)| made.is_some_and(|made| place.request.sent.since(*made) > SLACK)) {
            object(1, format!("item {label} was said to be new by a request that was sent after its start"));
        }
        if as_new.nth(1).is_some() {
            object(1, format!("item {label} was said to be new more than once"));
        }
        let steps: BTreeSet<&str> = story.intents.keys().map(|step| &**step).collect();
        let wanted = if sent.item.goes_on { [FIRST, LAST].into() } else { BTreeSet::from([FIRST]) };
        if story.has_ended && story.failed_with.is_none() && steps != wanted {
            object(5, format!("item {label} has ended with effects {steps:?} instead of {wanted:?}"));
        }
    }
    violations
}

/// What the outside world knows by itself: for one item, one run acted.
fn of_effects(stories: &BTreeMap<String, Story>, effects: &[Entry]) -> Vec<Violation> {
    let mut runs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for entry in effects.iter().filter(|entry| !entry.item.is_empty()) {
        runs.entry(&entry.item).or_default().insert(&entry.run);
    }
    let mut violations = Vec::new();
    for (label, runs) in runs {
        if runs.len() > 1 {
            violations.push(Violation::new(5, format!("item {label} has effects of the runs {runs:?}")));
        }
        let items = runs.iter().filter_map(|run| stories.get(*run)).map(|story| (story, story.item.as_ref()));
        for (story, _) in items.filter(|(_, item)| item.is_none_or(|item| item.label != label)) {
            violations.push(Violation::of(5, &story.run, format!("has an effect for item {label}")));
        }
    }
    violations
}

fn count(batches: &[Batch], runs: &Runs<'_>) -> BatchFigures {
    let mut figures = BatchFigures { sent: batches.len(), runs: runs.len(), ..BatchFigures::default() };
    for batch in batches {
        figures.accepted += usize::from(batch.is_accepted());
        figures.forged += usize::from(batch.is_forged);
        figures.given_up += usize::from(batch.is_given_up && !batch.is_forged);
        figures.repeated += usize::from(batch.requests.len() > 1);
        figures.requests += batch.requests.len();
        let mut torn: BTreeSet<usize> = BTreeSet::new();
        for item in batch.items.iter().map(|item| &*item.label) {
            torn.extend(runs.get(item).into_iter().flatten().filter_map(|(story, item)| {
                maker(batch, story, item).filter(|maker| !batch.requests[*maker].is_accepted())
            }));
        }
        figures.torn += torn.len();
        let is_missing = |request: &Request, item: &Item| {
            let made = runs.get(&*item.label).and_then(|made| made[0].0.decided.first());
            made.is_none_or(|made| {
                batch.requests.iter().any(|later| later.sent > request.sent && later.sent <= *made)
            })
        };
        for request in torn.into_iter().map(|request| &batch.requests[request]) {
            let is_halfway = batch.items.iter().any(|item| is_missing(request, item));
            figures.halfway += usize::from(is_halfway);
        }
        for request in &batch.requests {
            figures.told += told(request).len();
            for (told, item) in told(request).iter().zip(&request.order) {
                let made = runs.get(&*batch.items[*item].label).map(|made| made[0]);
                let maker = made.and_then(|(story, item)| maker(batch, story, item));
                figures.duplicates += usize::from(told.is_duplicate);
                let is_found =
                    told.is_duplicate && maker.is_some_and(|maker| !batch.requests[maker].is_accepted());
                figures.found_again += usize::from(is_found);
            }
        }
    }
    figures
}

/// The request of a batch that made a run: of those that may have, the last one that was sent before it.
fn maker(batch: &Batch, story: &Story, item: &ItemOfRun) -> Option<usize> {
    let made = story.decided.first()?;
    let is_it = |request: &&Request| {
        story.delivery.as_ref() == Some(&request.delivery)
            && request.order.get(item.place).is_some_and(|at| batch.items[*at].label == item.label)
    };
    let (at, _) = batch
        .requests
        .iter()
        .enumerate()
        .filter(|(_, request)| is_it(request))
        .filter(|(at, request)| *at == 0 || request.sent <= *made)
        .max_by_key(|(_, request)| request.sent)?;
    Some(at)
}

#[cfg(test)]
mod tests {
    use meshhook_core::time::Timestamp;

    use super::super::history::Intent;
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn item(label: &str) -> Item {
        Item { label: label.into(), is_named: true, goes_on: label == "b", digest: [7; 32] }
    }

    fn told(runs: &[(&str, bool)]) -> Answer {
        let told =
            |(run, is_duplicate): &(&str, bool)| Told { run: (*run).into(), is_duplicate: *is_duplicate };
        Answer::Accepted(runs.iter().map(told).collect())
    }

    fn request(delivery: &str, sent: i64, answer: Answer) -> Request {
        Request { delivery: delivery.into(), order: vec![0, 1], sent: at(sent), answer }
    }

    /// A batch of the items a and b.
    fn batch(requests: &[Request]) -> Batch {
        Batch {
            items: vec![item("a"), item("b")],
            requests: requests.to_vec(),
            unexpected: Vec::new(),
            is_forged: false,
            is_given_up: false,
        }
    }

    /// A run of an item at a place of a delivery.
    fn story(run: &str, (label, place): (&str, usize), delivery: &str, created: i64) -> Story {
        let intent = || Intent { key: format!("{run}-k"), at: at(created) };
        let steps = if label == "b" { &[FIRST, LAST][..] } else { &[FIRST] };
        Story {
            run: run.into(),
            delivery: Some(delivery.into()),
            item: Some(ItemOfRun { label: label.into(), place, digest: [7; 32] }),
            intents: steps.iter().map(|step| ((*step).to_owned(), intent())).collect(),
            decided: [at(created)].into(),
            has_ended: true,
            ..Story::default()
        }
    }

    fn stories(of: &[Story]) -> BTreeMap<String, Story> {
        of.iter().map(|story| (story.run.clone(), story.clone())).collect()
    }

    fn effect(run: &str, item: &str) -> Entry {
        let mut entry = Entry::new(at(2), [&format!("{run}-k"), run, FIRST, "body"]);
        entry.item = item.into();
        entry
    }

    fn a() -> Story {
        story("r1", ("a", 0), "d", 1)
    }

    fn b() -> Story {
        story("r2", ("b", 1), "d", 1)
    }

    fn objections(of: &[Story], batches: &[Batch], effects: &[Entry]) -> Vec<(u8, String)> {
        let (_, violations) = check(&stories(of), batches, effects);
        violations.into_iter().map(|violation| (violation.invariant, violation.what)).collect()
    }

    #[test]
    fn what_senders_know_and_what_there_is_agree() {
        let accepted = batch(&[request("d", 0, told(&[("r1", false), ("r2", false)]))]);
        // Its items come again, in another batch that repeats one of them.
        let mut other = batch(&[request("e", 3, told(&[("r1", true), ("r3", false), ("r3", true)]))]);
        other.items[1] = item("c");
        other.requests[0].order = vec![0, 1, 1];
        let forged = Batch { is_forged: true, ..batch(&[request("f", 0, Answer::Refused(401))]) };
        let runs = [a(), b(), story("r3", ("c", 1), "e", 3)];
        let effects = [effect("r1", "a"), effect("r1", "a"), effect("r2", "b")];
        let batches = [accepted, other, forged];
        assert_eq!(objections(&runs, &batches, &effects), []);
        let (figures, _) = check(&stories(&runs), &batches, &effects);
        let expected = BatchFigures {
            sent: 3,
            accepted: 2,
            forged: 1,
            requests: 3,
            runs: 3,
            told: 5,
            duplicates: 2,
            ..BatchFigures::default()
        };
        assert_eq!(figures, expected);
    }

    #[test]
    fn what_a_torn_request_has_left_is_counted_and_found_again() {
        let mut torn = batch(&[
            request("d", 0, Answer::Refused(503)),
            request("e", 5, told(&[("r2", false), ("r1", true)])),
        ]);
        torn.requests[1].order = vec![1, 0];
        let runs = [a(), story("r2", ("b", 0), "e", 6)];
        assert_eq!(objections(&runs, std::slice::from_ref(&torn), &[]), []);
        let (figures, _) = check(&stories(&runs), &[torn], &[]);
        assert_eq!((figures.torn, figures.halfway, figures.repeated), (1, 1, 1));
        assert_eq!((figures.duplicates, figures.found_again), (1, 1));

        // A lost answer to all of it is torn, too, but not halfway; and one who gives up leaves what there is.
        let lost =
            batch(&[request("d", 0, Answer::Unknown), request("d", 5, told(&[("r1", true), ("r2", true)]))]);
        let (figures, violations) = check(&stories(&[a(), b()]), &[lost], &[]);
        assert_eq!((figures.torn, figures.halfway, figures.found_again, violations.len()), (1, 0, 2, 0));
        let left = Batch { is_given_up: true, ..batch(&[request("d", 0, Answer::Refused(503))]) };
        let (figures, violations) = check(&stories(&[b()]), &[left], &[]);
        assert_eq!((figures.given_up, figures.torn, figures.halfway, violations.len()), (1, 1, 1, 0));
    }

    #[test]
    fn a_broken_history_of_a_batch_is_found() {
        let accepted = || batch(&[request("d", 0, told(&[("r1", false), ("r2", false)]))]);
        let again = |runs: [(&str, bool); 2]| {
            batch(&[request("d", 0, Answer::Refused(503)), request("d", 5, told(&runs))])
        };
        let without_last = || {
            let mut story = b();
            story.intents.remove(LAST);
            story
        };
        let with_text = |digest| {
            let mut story = b();
            story.item = story.item.map(|item| ItemOfRun { digest, ..item });
            story
        };
        for (runs, batch, wanted) in [
            // A run is lost.
            (vec![a()], accepted(), "item b was accepted as run r2, which it does not have"),
            // A duplicate names nothing.
            (
                vec![a(), b()],
                again([("r1", true), ("r9", true)]),
                "item b was said to be a duplicate of run r9, which it does not have",
            ),
            // A duplicate names another item's run.
            (
                vec![a()],
                again([("r1", true), ("r1", true)]),
                "item b was said to be a duplicate of run r1, which it does not have",
            ),
            // One id has two runs: the repetition started it again.
            (
                vec![a(), b(), story("r3", ("b", 1), "d", 6)],
                again([("r1", true), ("r3", false)]),
                r#"item b has runs ["r2", "r3"], and senders were told {"r3"}"#,
            ),
            // One id had two runs, of which one is not there any more.
            (
                vec![a(), b()],
                {
                    let answers = [("r1", false), ("r3", false)];
                    let mut twice = again([("r1", true), ("r2", true)]);
                    twice.requests[0].answer = told(&answers);
                    twice
                },
                r#"item b has runs ["r2"], and senders were told {"r2", "r3"}"#,
            ),
            // It is new twice.
            (
                vec![a(), b()],
                {
                    let mut twice = again([("r1", true), ("r2", false)]);
                    twice.requests[0].answer = told(&[("r1", false), ("r2", false)]);
                    twice
                },
                "item b was said to be new more than once",
            ),
            // It is new although it was there.
            (
                vec![a(), b()],
                again([("r1", true), ("r2", false)]),
                "item b was said to be new by a request that was sent after its start",
            ),
            // It is new where it was not started.
            (
                vec![a(), b()],
                {
                    let mut twice = again([("r1", true), ("r2", false)]);
                    twice.requests[1].delivery = "e".into();
                    twice
                },
                "item b was said to be new by a request that did not start it",
            ),
            (vec![a(), with_text([8; 32])], accepted(), "item b has another text than was sent"),
            (
                vec![a(), story("r2", ("b", 0), "d", 1)],
                again([("r1", true), ("r2", true)]),
                "item b was not at place 0 of what started it",
            ),
            (
                vec![a(), b(), story("r3", ("c", 1), "d", 1)],
                accepted(),
                r#"item "c" was never sent, or never accepted"#,
            ),
            (
                vec![a(), without_last()],
                accepted(),
                r#"item b has ended with effects {"first"} instead of {"first", "last"}"#,
            ),
        ] {
            let found = objections(&runs, std::slice::from_ref(&batch), &[]);
            assert!(found.iter().any(|(_, what)| what == wanted), "{wanted}: {found:?}");
        }
    }

    #[test]
    fn an_item_with_a_wrong_signature_must_not_run() {
        let forged = |answer| Batch { is_forged: true, ..batch(&[request("d", 0, answer)]) };
        let found = objections(&[a()], &[forged(Answer::Refused(401))], &[]);
        assert_eq!(found, [(1, r#"item "a" was never sent, or never accepted"#.to_owned())]);
        let found = objections(&[], &[forged(told(&[("r1", false), ("r2", false)]))], &[]);
        assert_eq!(found, [(1, "batch d: was accepted with a wrong signature".to_owned())]);
        let unexpected = Batch { unexpected: vec!["500".into()], ..batch(&[]) };
        assert_eq!(objections(&[], &[unexpected], &[]).len(), 1);
    }

    #[test]
    fn for_one_item_one_run_may_act() {
        let accepted = [batch(&[request("d", 0, told(&[("r1", false), ("r2", false)]))])];
        let runs = [a(), b()];
        for (effects, wanted) in [
            ([effect("r1", "a"), effect("r9", "a")], r#"item a has effects of the runs {"r1", "r9"}"#),
            ([effect("r1", "a"), effect("r2", "c")], "has an effect for item c"),
        ] {
            assert_eq!(objections(&runs, &accepted, &effects), [(5, wanted.to_owned())]);
        }
    }
}
