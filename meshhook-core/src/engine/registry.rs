//! Compiled definitions, by digest.

use std::sync::Arc;

use super::error::EngineError;
use crate::definition::{CheckContext, Checked, DefinitionLimits, Problem, ValidDefinition, check};
use crate::id::{Digest, ProjectId};
use crate::json::{self, JsonLimits};
use crate::node::NodeTypes;
use crate::store::{Store, StoreError};

/// The most bytes of problems that are remembered.
const MAX_PROBLEM_BYTES: u64 = 16 << 20;
/// The most definitions kept compiled.
const MAX_COMPILED: u64 = 10_000;

/// Compiles definitions and keeps them.
#[derive(Debug)]
pub(super) struct Registry {
    compiled: moka::sync::Cache<(ProjectId, Digest), ValidDefinition>,
    /// What is wrong with drafts, by a hash of all that it depends on.
    problems: moka::sync::Cache<[u8; 32], Arc<[Problem]>>,
    node_types: NodeTypes,
    limits: DefinitionLimits,
}

impl Registry {
    pub(super) fn new(node_types: NodeTypes, limits: DefinitionLimits) -> Self {
        let problems = moka::sync::Cache::builder()
            .max_capacity(MAX_PROBLEM_BYTES)
            .weigher(|_, problems: &Arc<[Problem]>| {
                let text = problems.iter().map(|problem| problem.path.len() + problem.message.len());
                u32::try_from(text.sum::<usize>() + 128 * (problems.len() + 1)).unwrap_or(u32::MAX)
            })
            .build();
        Self { compiled: moka::sync::Cache::new(MAX_COMPILED), problems, node_types, limits }
    }

    pub(super) fn node_types(&self) -> &NodeTypes {
        &self.node_types
    }

    pub(super) fn limits(&self) -> &DefinitionLimits {
        &self.limits
    }

    /// Keeps a definition that was just checked.
    pub(super) fn insert(&self, project: &ProjectId, definition: ValidDefinition) {
        self.compiled.insert((project.clone(), definition.digest().clone()), definition);
    }

    /// What is wrong with a draft, checked if that is not known.
    pub(super) fn problems(&self, key: [u8; 32], check: impl FnOnce() -> Vec<Problem>) -> Vec<Problem> {
        self.problems.get_with(key, || check().into()).to_vec()
    }

    /// The definition of a version or run.
    pub(super) async fn definition(
        &self,
        store: &Arc<dyn Store>,
        project: &ProjectId,
        digest: &Digest,
    ) -> Result<ValidDefinition, EngineError> {
        let key = (project.clone(), digest.clone());
        if let Some(definition) = self.compiled.get(&key) {
            return Ok(definition);
        }
        let Some(text) = store.definition(project, digest).await? else {
            return Err(StoreError::Corrupt { what: format!("no definition {digest}") }.into());
        };
        let corrupt = |what: String| StoreError::Corrupt { what: format!("definition {digest}: {what}") };
        let limits = JsonLimits::default();
        let document = json::parse(text.as_bytes(), &limits).map_err(|error| corrupt(error.to_string()))?;
        let context = CheckContext::new(&self.node_types).limits(self.limits.clone()).published();
        let Checked { definition, problems, .. } = check(&document, &context);
        let definition = definition.ok_or_else(|| corrupt(format!("{problems:?}")))?;
        self.compiled.insert(key, definition.clone());
        Ok(definition)
    }
}
