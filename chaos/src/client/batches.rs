//! How batches are sent.
//!
//! ```text
//!   sent ─┬─ 202 ───────────► accepted: every item has its run
//!         ├─ 503 ───────────► some items may have runs: sent again, or given up
//!         └─ anything else ─► nobody knows: sent again
//! ```
//!
//! A batch that is sent again has the same items in the same order under the same delivery or, where all of them have ids,
//! is collected anew: in another order, under another delivery. Some come twice at the same time, and some again although
//! they were accepted.

use std::time::Duration;

use meshhook_core::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::{Answer as Attempted, Clients, FORGED, Sending};
use crate::batch::{Answer, Batch, Plan, Request, Told};
use crate::random::Random;
use crate::workflow::ITEMS;

impl Clients {
    /// Sends a batch until it is known what became of it.
    pub(super) async fn deliver_batch(&self, number: u64, plan: &mut Plan) {
        let mut random = Random::of(self.seed, &format!("sending {number}"));
        let is_twice = random.percent(10);
        let mut is_repeated = random.percent(10);
        let patience = if random.percent(15) { 1 + random.below(4) } else { usize::MAX };
        let mut longest = Duration::from_millis(300);
        let mut next = (delivery_id(&mut random), (0..plan.values.len()).collect::<Vec<_>>());
        loop {
            let mut these = vec![next.clone()];
            if is_twice {
                next = again(&plan.batch, next, &mut random);
                these.push(next.clone());
            }
            self.send_batch(these, plan, &mut random).await;
            if plan.batch.is_settled() {
                if !(plan.batch.is_accepted() && std::mem::take(&mut is_repeated)) {
                    return;
                }
            } else if plan.batch.requests.iter().filter(|request| request.is_refused()).count() >= patience {
                plan.batch.is_given_up = true;
                return;
            }
            // Later each time, as senders do.
            longest = (longest * 2).min(Duration::from_secs(4));
            tokio::time::sleep(random.within(Duration::from_millis(50)..longest)).await;
            next = again(&plan.batch, next, &mut random);
        }
    }

    /// Sends these requests at the same time. They are written down before they are sent: whoever is cut off does not know.
    async fn send_batch(&self, these: Vec<(String, Vec<usize>)>, plan: &mut Plan, random: &mut Random) {
        let batch = &mut plan.batch;
        let first = batch.requests.len();
        let bodies: Vec<String> = these.iter().map(|(_, order)| body(&plan.values, order)).collect();
        for (delivery, order) in these {
            batch.requests.push(Request {
                delivery,
                order,
                sent: SystemClock.now(),
                answer: Answer::Unknown,
            });
        }
        let is_forged = batch.is_forged;
        let sendings: Vec<Sending<'_>> = batch.requests[first..]
            .iter()
            .zip(&bodies)
            .map(|(request, body)| Sending { hook: ITEMS, id: &request.delivery, body, is_forged })
            .collect();
        let attempts = sendings.iter().map(|sending| self.attempt(self.some_server(random), sending));
        let answers = futures_util::future::join_all(attempts).await;
        for (at, answer) in (first..).zip(answers) {
            let request = &mut batch.requests[at];
            match answer {
                Attempted::Accepted(accepted) => match told(&accepted, request.order.len()) {
                    Some(told) => request.answer = Answer::Accepted(told),
                    None => batch.unexpected.push(format!("202 with {accepted}")),
                },
                Attempted::Refused(status) => {
                    request.answer = Answer::Refused(status);
                    batch.is_given_up |= status == FORGED;
                }
                Attempted::Unknown => {}
                Attempted::Unexpected(what) => batch.unexpected.push(what),
            }
        }
    }
}

/// What a batch comes as when it is sent again.
fn again(
    batch: &Batch,
    (delivery, mut order): (String, Vec<usize>),
    random: &mut Random,
) -> (String, Vec<usize>) {
    if !batch.can_be_regrouped() || random.percent(50) {
        return (delivery, order);
    }
    // Fisher–Yates.
    for place in (1..order.len()).rev() {
        order.swap(place, random.below(place + 1));
    }
    (delivery_id(random), order)
}

fn delivery_id(random: &mut Random) -> String {
    format!("{:016x}{:016x}", random.next(), random.next())
}

fn body(values: &[Value], order: &[usize]) -> String {
    let items: Vec<&Value> = order.iter().map(|item| &values[*item]).collect();
    json!({ "items": items }).to_string()
}

/// What an answer says of each of so many items.
fn told(accepted: &Value, count: usize) -> Option<Vec<Told>> {
    let runs = accepted["runs"].as_array().filter(|runs| runs.len() == count)?;
    let told = |run: &Value| {
        Some(Told { run: run["run_id"].as_str()?.to_owned(), is_duplicate: run["duplicate"] == true })
    };
    runs.iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch;

    #[test]
    fn what_has_ids_is_collected_anew_and_what_has_none_is_not() {
        let mut random = Random::of(1, "again");
        for plan in (1..=300).filter_map(|number| batch::plan(7, number)) {
            let first = ("d".to_owned(), (0..plan.values.len()).collect::<Vec<_>>());
            let mut deliveries: Vec<_> =
                (0..20).map(|_| again(&plan.batch, first.clone(), &mut random)).collect();
            assert_eq!(deliveries.iter().any(|delivery| delivery.0 != "d"), plan.batch.can_be_regrouped());
            assert!(deliveries.iter().all(|other| (other.0 != "d") || other.1 == first.1));
            deliveries.iter_mut().for_each(|delivery| delivery.1.sort_unstable());
            assert!(deliveries.iter().all(|delivery| delivery.1 == first.1));
        }
    }

    #[test]
    fn an_answer_must_name_a_run_for_each_item() {
        let run = |run: &str, is_duplicate| Told { run: run.into(), is_duplicate };
        let answer = json!({ "runs": [{ "run_id": "a" }, { "run_id": "b", "duplicate": true }] });
        assert_eq!(told(&answer, 2), Some(vec![run("a", false), run("b", true)]));
        assert_eq!(told(&answer, 3), None);
        assert_eq!(told(&json!({ "run_id": "a" }), 1), None);
        assert_eq!(told(&json!({ "runs": [{}] }), 1), None);
    }
}
