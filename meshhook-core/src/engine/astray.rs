//! Deliveries at paths where no hook is: what their owner may have meant.
//!
//! A sender is told the same of every such path. Whoever looks at the delivery is told what is there now: that no hook can
//! have such a path, which workflow would listen if it were published, or which live path is almost the same. It is looked
//! up when somebody looks, so that strangers who try many paths cost nothing.

use serde_json::Value;

use super::EngineError;
use super::draft::hook_paths;
use super::project::Project;
use crate::json;
use crate::store::{Page, WorkflowRecord};
use crate::webhook::HookPath;

impl Project {
    /// Why no hook is live at a path, in words.
    pub(super) async fn why_astray(&self, path: &str) -> Result<String, EngineError> {
        let page = Page { limit: MAX_WORKFLOWS, after: None };
        Ok(why(path, &self.inner.store.workflows(&self.id, page).await?.items))
    }
}

fn why(path: &str, workflows: &[WorkflowRecord]) -> String {
    let hooks = || {
        let live = workflows.iter().filter_map(|record| Some((&record.slug, record.live.as_ref()?)));
        live.flat_map(|(slug, live)| live.hooks.iter().map(move |hook| (slug, hook.path.as_str())))
    };
    if let Some((slug, _)) = hooks().find(|(_, live)| *live == path) {
        return format!("by now a hook of the workflow `{slug}` is live there");
    }
    let drafted = workflows.iter().find(|record| {
        let draft: Value =
            json::parse(record.draft.as_bytes(), &json::JsonLimits::default()).unwrap_or_default();
        path != HookPath::RANDOM && hook_paths(&draft, &record.slug).iter().any(|drafted| drafted == path)
    });
    if let Some(record) = drafted {
        let slug = &record.slug;
        return match (&record.live, record.latest_version) {
            (Some(live), _) => {
                let version = live.version;
                format!(
                    "the draft of the workflow `{slug}` has a hook there, its live version {version} has not"
                )
            }
            (None, Some(_)) => format!("the workflow `{slug}` has a hook there, and is unpublished"),
            (None, None) => format!("the workflow `{slug}` has a hook there, and was never published"),
        };
    }
    let near = hooks().take(MAX_HOOKS).find(|(_, live)| is_near(path, live));
    let near =
        near.map_or(String::new(), |(slug, live)| format!("; `{live}`, of the workflow `{slug}`, is near"));
    match HookPath::new(path) {
        Ok(_) => format!("no workflow has a hook there{near}"),
        Err(error) => format!("no hook can be there: {error}{near}"),
    }
}

/// Whether one is the other but for case, separators, or one or two characters.
fn is_near(a: &str, b: &str) -> bool {
    let plain = |text: &str| -> Vec<u8> {
        text.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase()).collect()
    };
    let (a, b) = (plain(a), plain(b));
    // Of a short path everything is near.
    let most = if a.len().min(b.len()) < 4 { 0 } else { 2 };
    a.len().abs_diff(b.len()) <= most && distance(&a, &b) <= most
}

/// How many bytes have to be put in, taken out or changed.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The most workflows that are looked at, the newest.
const MAX_WORKFLOWS: usize = 200;
/// The most live hooks that a path is held against.
const MAX_HOOKS: usize = 1_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::id::{Digest, WorkflowSlug};
    use crate::store::{Hook, LiveVersion};
    use crate::time::Timestamp;

    fn workflow(slug: &str, draft: &Value, latest: Option<u32>, live: &[&str]) -> WorkflowRecord {
        let slug = WorkflowSlug::new(slug).unwrap();
        let mut record = WorkflowRecord::new(slug, draft.to_string(), Timestamp::EPOCH);
        record.latest_version = latest;
        let hooks = live.iter().map(|path| Hook { path: (*path).to_owned(), trigger: "hook".to_owned() });
        let digest = Digest::new(&"a".repeat(64)).unwrap();
        record.live = (!live.is_empty()).then(|| LiveVersion::new(latest.unwrap(), digest, hooks.collect()));
        record
    }

    fn listening_at(path: &str) -> Value {
        json!({"triggers": [{"id": "hook", "type": "webhook", "config": {"path": path}}]})
    }

    #[test]
    fn an_owner_is_told_what_keeps_a_path_from_being_live() {
        let by_slug = json!({"triggers": [{"id": "hook", "type": "webhook"}]});
        let workflows = [
            workflow("new", &listening_at("a/new"), None, &[]),
            workflow("down", &by_slug, Some(3), &[]),
            workflow("moved", &listening_at("a/there"), Some(2), &["a/here"]),
            workflow("odd", &json!("no object"), Some(1), &["gh-star"]),
        ];
        let never = "the workflow `new` has a hook there, and was never published";
        let older = "the draft of the workflow `moved` has a hook there, its live version 2 has not";
        let short = "no workflow has a hook there; `gh-star`, of the workflow `odd`, is near";
        for (path, expected) in [
            ("a/new", never),
            ("down", "the workflow `down` has a hook there, and is unpublished"),
            ("a/there", older),
            ("a/here", "by now a hook of the workflow `moved` is live there"),
            ("gh_start", short),
            ("GH-STAR", short),
            ("wp-login", "no workflow has a hook there"),
        ] {
            assert_eq!(why(path, &workflows), expected);
        }
        let slashed = why("gh-star/", &workflows);
        assert!(
            slashed.starts_with("no hook can be there: ") && slashed.ends_with("`odd`, is near"),
            "{slashed}"
        );
    }

    #[test]
    fn paths_are_near_that_differ_by_two_characters() {
        for (a, b, expected) in [
            ("orders", "order", true),
            ("orders", "oredrs", true),
            ("orders", "Or-ders/", true),
            ("orders", "borders-2", true),
            ("orders", "invoices", false),
            ("abc", "abd", false),
            ("", "a", false),
            ("abcd", "abcdefg", false),
        ] {
            assert_eq!(is_near(a, b), expected, "{a} {b}");
        }
    }
}
