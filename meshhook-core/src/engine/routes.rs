//! Which hook listens where, and which refusals were told of: what is remembered between requests.

use std::time::Duration;

use super::fresh::Fresh;
use super::{EngineError, Inner};
use crate::id::ProjectId;
use crate::store::HookRoute;
use crate::webhook::Verdict;

/// Live hooks that were looked up, by project and path.
///
/// What this process publishes is live at once; what another one publishes, or takes down, after [`FRESH`] at the latest.
#[derive(Debug)]
pub(super) struct Routes(Fresh<(ProjectId, String), HookRoute>);

/// How long a route is believed.
const FRESH: Duration = Duration::from_secs(1);
/// The most routes kept.
const MAX_KNOWN: usize = 100_000;

impl Default for Routes {
    fn default() -> Self {
        Self(Fresh::new(FRESH, MAX_KNOWN))
    }
}

impl Routes {
    /// Forgets a project's routes: they were changed.
    pub(super) fn forget(&self, project: &ProjectId) {
        self.0.forget(|(known, _)| known == project);
    }
}

/// Refusals that the log tells of, by project, path and verdict: each once in [`TOLD`].
#[derive(Debug)]
pub(super) struct Refusals(Fresh<(ProjectId, String, Verdict), ()>);

/// For how long a refusal is not told again.
const TOLD: Duration = Duration::from_secs(60);

impl Default for Refusals {
    fn default() -> Self {
        Self(Fresh::new(TOLD, MAX_KNOWN))
    }
}

impl Refusals {
    pub(super) fn is_first(&self, refusal: (ProjectId, String, Verdict)) -> bool {
        let is_first = self.0.get(&refusal).is_none();
        if is_first {
            self.0.keep(self.0.begin(), refusal, ());
        }
        is_first
    }
}

impl Inner {
    /// The live hook at a path.
    pub(super) async fn route(
        &self,
        project: &ProjectId,
        path: &str,
    ) -> Result<Option<HookRoute>, EngineError> {
        let key = (project.clone(), path.to_owned());
        let routes = &self.routes.0;
        if let Some(route) = routes.get(&key) {
            return Ok(Some(route));
        }
        // Unknown paths are not remembered: whoever tries many of them must not fill the memory.
        let reading = routes.begin();
        let found = self.store.hook(project, path).await?;
        if let Some(route) = &found {
            routes.keep(reading, key, route.clone());
        }
        Ok(found)
    }
}
