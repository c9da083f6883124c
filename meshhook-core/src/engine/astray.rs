//! Deliveries at paths where no hook is: what their owner may have meant.
//!
//! A sender is told the same of every such path. Whoever looks at the delivery is told what is there now: that no hook can
//! have such a path, which workflow would listen if it were published, or which live path is almost the same. It is looked
//! up when somebody looks, so that strangers who try many paths cost nothing.
//!
//! Whether a hook is live there by now is asked of the routes. For the rest the project's newest workflows are looked at,
//! as many as one part of a list holds; and of their drafts those are parsed in which the path stands at all, up to
//! [`MAX_PARSED_BYTES`]. Where there are more, the words say how many were looked at.

use serde_json::Value;

use super::EngineError;
use super::draft::hook_paths;
use super::project::Project;
use crate::id::WorkflowSlug;
use crate::json;
use crate::store::{Listing, Page, WorkflowRecord};
use crate::webhook::HookPath;

impl Project {
    /// Why no hook is live at a path, in words.
    pub(super) async fn why_astray(&self, path: &str) -> Result<String, EngineError> {
        // What is kept of a path that is longer says nothing of the rest.
        if path.ends_with('…') {
            return Ok("no hook was there; the path is longer than what is kept of it".to_owned());
        }
        let without = without_spare_slashes(path);
        let meant = without.as_deref().unwrap_or(path);
        let why = match self.live_at(meant).await? {
            Some(slug) => format!("a hook of the workflow `{slug}` is live there"),
            None => {
                let page = Page { limit: MAX_WORKFLOWS, after: None };
                why(meant, &self.inner.store.workflows(&self.id, page).await?)
            }
        };
        Ok(match without {
            Some(meant) => {
                format!("no hook's path has a slash at an end, or two in a row; as for `{meant}`: {why}")
            }
            None => why,
        })
    }

    /// The workflow that has a live hook at a path.
    async fn live_at(&self, path: &str) -> Result<Option<WorkflowSlug>, EngineError> {
        if HookPath::new(path).is_err() {
            return Ok(None);
        }
        Ok(self.inner.store.hook_owners(&self.id, &[path.to_owned()]).await?.remove(path))
    }
}

/// A path without the slashes that no hook's path has, where there are any besides other characters.
fn without_spare_slashes(path: &str) -> Option<String> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let without = segments.join("/");
    (!without.is_empty() && without != path).then_some(without)
}

/// Why no hook is live at a path at which none is, in words, by the newest workflows.
fn why(path: &str, newest: &Listing<WorkflowRecord>) -> String {
    let workflows = &newest.items;
    let hooks = || {
        let live = workflows.iter().filter_map(|record| Some((&record.slug, record.live.as_ref()?)));
        live.flat_map(|(slug, live)| live.hooks.iter().map(move |hook| (slug, hook.path.as_str())))
    };
    let Looked { found, looked_at } = drafted(path, workflows);
    if let Some(record) = found {
        let slug = &record.slug;
        return match (&record.live, record.latest_version) {
            (Some(live), _) => {
                let version = live.version;
                format!(
                    "the saved draft of the workflow `{slug}` has a hook there, and is not published: version {version} is \
                     live, and has none there"
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
        Ok(_) if newest.more || looked_at < workflows.len() => {
            format!("none of the newest {looked_at} workflows has a hook there{near}")
        }
        Ok(_) => format!("no workflow has a hook there{near}"),
        Err(error) => format!("no hook can be there: {error}{near}"),
    }
}

/// The first workflow whose draft has a hook at a path.
fn drafted<'a>(path: &str, workflows: &'a [WorkflowRecord]) -> Looked<'a> {
    let (quoted, mut parsed) = (format!("\"{path}\""), 0_usize);
    for (looked_at, record) in workflows.iter().enumerate() {
        // Drafts are stored in their canonical form, in which no character of a hook's path is escaped.
        let may_have =
            path != HookPath::RANDOM && (record.slug.as_str() == path || record.draft.contains(&quoted));
        if !may_have {
            continue;
        }
        parsed = parsed.saturating_add(record.draft.len());
        if parsed > MAX_PARSED_BYTES && parsed > record.draft.len() {
            return Looked { found: None, looked_at };
        }
        let draft: Value =
            json::parse(record.draft.as_bytes(), &json::JsonLimits::default()).unwrap_or_default();
        if hook_paths(&draft, &record.slug).iter().any(|drafted| drafted == path) {
            return Looked { found: Some(record), looked_at };
        }
    }
    Looked { found: None, looked_at: workflows.len() }
}

/// What came of looking at drafts.
struct Looked<'a> {
    found: Option<&'a WorkflowRecord>,
    /// How many have no hook at the path.
    looked_at: usize,
}

/// Whether one is the other but for case, separators, or one or two characters.
fn is_near(a: &str, b: &str) -> bool {
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|char| char.to_ascii_lowercase()).collect()
    };
    let (a, b) = (plain(a), plain(b));
    // Of a short path everything is near.
    let most = if a.len().min(b.len()) < 4 { 0 } else { 2 };
    a.len().abs_diff(b.len()) <= most && strsim::levenshtein(&a, &b) <= most
}

/// The most workflows that are looked at, the newest.
const MAX_WORKFLOWS: usize = 200;
/// The most bytes of drafts that are parsed; one draft may be larger.
const MAX_PARSED_BYTES: usize = 1 << 20;
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
        let older = "the saved draft of the workflow `moved` has a hook there, and is not published: version 2 is live, and \
                     has none there";
        let short = "no workflow has a hook there; `gh-star`, of the workflow `odd`, is near";
        let newest = Listing::new(workflows.to_vec(), false);
        for (path, expected) in [
            ("a/new", never),
            ("down", "the workflow `down` has a hook there, and is unpublished"),
            ("a/there", older),
            ("gh_start", short),
            ("GH-STAR", short),
            ("wp-login", "no workflow has a hook there"),
        ] {
            assert_eq!(why(path, &newest), expected);
        }
        let escaped = why("gh%2Dstar", &newest);
        assert!(
            escaped.starts_with("no hook can be there: ") && escaped.ends_with("`odd`, is near"),
            "{escaped}"
        );
        let more = Listing::new(workflows.to_vec(), true);
        assert_eq!(why("wp-login", &more), "none of the newest 4 workflows has a hook there");
    }

    #[test]
    fn what_is_parsed_of_many_drafts_has_a_bound_and_the_words_say_so() {
        let mut large = listening_at("elsewhere");
        large["description"] = "x".repeat(MAX_PARSED_BYTES / 2).into();
        large["name"] = "in".into();
        let mut workflows: Vec<_> = ["a", "b", "c"].map(|slug| workflow(slug, &large, None, &[])).into();
        workflows.push(workflow("d", &listening_at("in"), None, &[]));
        let told = why("in", &Listing::new(workflows.clone(), false));
        assert_eq!(told, "none of the newest 1 workflows has a hook there");
        // Where the path does not stand, nothing is parsed.
        let told = why("not-there", &Listing::new(workflows.clone(), false));
        assert_eq!(told, "no workflow has a hook there");
        workflows.drain(1..3);
        let told = why("in", &Listing::new(workflows, false));
        assert_eq!(told, "the workflow `d` has a hook there, and was never published");
    }

    #[test]
    fn slashes_that_no_path_has_are_taken_out() {
        for (path, expected) in
            [("gh-star/", Some("gh-star")), ("/a//b", Some("a/b")), ("a/b", None), ("", None), ("//", None)]
        {
            assert_eq!(without_spare_slashes(path).as_deref(), expected, "{path}");
        }
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
