//! What the database says became of deliveries, held against the runs there are.
//!
//! A row is written off the path of the answer, so a server that dies leaves some unwritten. What is written is true: the
//! runs that a row names are there, also where the delivery was refused.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Story, Violation};

/// What a row says of a delivery.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorded {
    pub(crate) verdict: String,
    pub(crate) delivery: String,
    /// The runs that it names.
    pub(crate) runs: Vec<String>,
    /// The first run that it started itself, where it has items.
    pub(crate) new: Option<String>,
}

impl Recorded {
    /// Reads a row's verdict and facts.
    pub(crate) fn of(verdict: String, facts: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let of_items = facts["runs"].as_array().into_iter().flatten();
        Self {
            verdict,
            delivery: text(&facts["delivery_id"]).unwrap_or_default(),
            runs: of_items.chain([&facts["run_id"]]).filter_map(text).collect(),
            new: text(&facts["new_run"]),
        }
    }

    /// Whether it was refused, and some of it was done.
    fn is_halfway(&self) -> bool {
        !matches!(&*self.verdict, "accepted" | "duplicate") && !self.runs.is_empty()
    }
}

/// Checks that the runs are there which rows name; answers how many rows tell of a request that was refused halfway.
pub(super) fn check(
    stories: &BTreeMap<String, Story>,
    recorded: &[Recorded],
    violations: &mut Vec<Violation>,
) -> usize {
    for row in recorded {
        let Recorded { verdict, delivery, runs, new } = row;
        let mut object =
            |what: String| violations.push(Violation::new(1, format!("row of delivery {delivery}: {what}")));
        for run in runs.iter().filter(|run| !stories.contains_key(*run)) {
            object(format!("it is {verdict} and names run {run}, which is not there"));
        }
        let started_by = |run: &String| stories.get(run).and_then(|story| story.delivery.as_ref());
        if let Some(run) = new.as_ref().filter(|run| started_by(run) != Some(delivery)) {
            object(format!("it is {verdict} and has not started run {run}, as it says"));
        }
    }
    recorded.iter().filter(|row| row.is_halfway()).count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_row_names_must_be_there() {
        let story = Story { run: "r1".into(), delivery: Some("d".into()), ..Story::default() };
        let stories = BTreeMap::from([("r1".to_owned(), story)]);
        let objections = |verdict: &str, facts: Value| {
            let mut violations = Vec::new();
            let halfway = check(&stories, &[Recorded::of(verdict.into(), &facts)], &mut violations);
            (halfway, violations.len())
        };
        let all = json!({ "delivery_id": "d", "runs": ["r1"], "new_run": "r1" });
        assert_eq!(objections("accepted", all.clone()), (0, 0));
        assert_eq!(objections("overloaded", all), (1, 0));
        assert_eq!(objections("overloaded", json!({ "delivery_id": "d" })), (0, 0));
        assert_eq!(objections("duplicate", json!({ "delivery_id": "e", "run_id": "r1" })), (0, 0));
        assert_eq!(objections("accepted", json!({ "delivery_id": "d", "run_id": "r2" })), (0, 1));
        assert_eq!(objections("overloaded", json!({ "delivery_id": "d", "runs": ["r1", "r2"] })), (1, 1));
        let of_another = json!({ "delivery_id": "e", "runs": ["r1"], "new_run": "r1" });
        assert_eq!(objections("accepted", of_another), (0, 1));
    }
}
