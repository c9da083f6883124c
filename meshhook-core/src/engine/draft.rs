//! Checking drafts against what surrounds them.
//!
//! What is wrong with a draft depends on the draft and on its surroundings: the secrets that the project has, and the
//! hook paths that other workflows hold. The surroundings are looked up for each answer, once for all drafts in it, so
//! that no answer is older than its question. The check itself is remembered by a hash of all that it depends on, so that
//! showing a draft again costs no check.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::registry::Registry;
use super::{EngineError, Project};
use crate::definition::{CheckContext, Checked, Problem, check};
use crate::id::WorkflowSlug;
use crate::secret::SecretName;
use crate::store::WorkflowRecord;

impl Project {
    /// What is wrong with a draft; it is checked again only if the draft or what it is checked against has changed.
    pub(super) fn problems(
        &self,
        surroundings: &Surroundings,
        record: &WorkflowRecord,
        draft: &Value,
    ) -> Vec<Problem> {
        let key = surroundings.key(&record.slug, &record.draft, draft);
        let checked = || surroundings.check(&self.inner.registry, &record.slug, draft).problems;
        self.inner.registry.problems(key, checked)
    }

    /// Looks up what documents are checked against.
    pub(super) async fn surroundings(
        &self,
        documents: impl Iterator<Item = (&WorkflowSlug, &Value)>,
    ) -> Result<Surroundings, EngineError> {
        let paths: BTreeSet<String> =
            documents.flat_map(|(slug, document)| hook_paths(document, slug)).collect();
        let paths: Vec<String> = paths.into_iter().collect();
        let secrets = self.inner.store.secrets(&self.id).await?;
        let secrets = secrets.iter().filter_map(|record| SecretName::new(&record.name).ok()).collect();
        Ok(Surroundings { secrets, owners: self.inner.store.hook_owners(&self.id, &paths).await? })
    }

    /// Checks a document against everything that is known about the project.
    pub(super) async fn check(&self, slug: &WorkflowSlug, document: &Value) -> Result<Checked, EngineError> {
        let surroundings = self.surroundings(std::iter::once((slug, document))).await?;
        Ok(surroundings.check(&self.inner.registry, slug, document))
    }
}

/// What a definition is checked against, beside the node types.
pub(super) struct Surroundings {
    /// The names of the project's secrets.
    secrets: BTreeSet<SecretName>,
    /// Which workflows have live hooks, at the paths that matter.
    owners: BTreeMap<String, WorkflowSlug>,
}

impl Surroundings {
    fn is_taken(&self, slug: &WorkflowSlug, path: &str) -> bool {
        self.owners.get(path).is_some_and(|owner| owner != slug)
    }

    fn check(&self, registry: &Registry, slug: &WorkflowSlug, document: &Value) -> Checked {
        let is_taken = |path: &str| self.is_taken(slug, path);
        let context = CheckContext::new(registry.node_types())
            .limits(registry.limits().clone())
            .known_secrets(&self.secrets)
            .slug(slug)
            .path_taken(&is_taken);
        check(document, &context)
    }

    /// A hash of everything that the check of a document depends on.
    fn key(&self, slug: &WorkflowSlug, text: &str, document: &Value) -> [u8; 32] {
        let taken = hook_paths(document, slug).into_iter().filter(|path| self.is_taken(slug, path));
        let taken: Vec<String> = taken.collect();
        let lists = [
            vec![slug.as_str(), text],
            self.secrets.iter().map(SecretName::as_str).collect(),
            taken.iter().map(String::as_str).collect(),
        ];
        let mut hash = Sha256::new();
        for list in &lists {
            hash.update((list.len() as u64).to_be_bytes());
            for part in list {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        hash.finalize().into()
    }
}

/// The paths that a document's hooks would have, as far as it can be read.
pub(super) fn hook_paths(document: &Value, slug: &WorkflowSlug) -> Vec<String> {
    let triggers = document.get("triggers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let webhooks = triggers.iter().filter(|trigger| trigger["type"] == "webhook");
    webhooks
        .map(|trigger| trigger["config"]["path"].as_str().unwrap_or(slug.as_str()).to_owned())
        .take(100)
        .collect()
}
