//! A request that was heard: what became of it is recorded as a delivery, whoever goes away.

use std::sync::{Arc, OnceLock};

use http::HeaderMap;

use super::hook::LiveHook;
use super::intake::Awaited;
use super::project::Project;
use super::recorder::{HookConfig, Keep, OfItems, Runs, Seen, stands_in_run};
use super::refusal::HookRefusal;
use crate::event::RunStatus;
use crate::id::RunId;
use crate::node::TerminateResponse;
use crate::run::RunEnd;
use crate::webhook::{RawRequest, Verdict, Verified};

/// A run that was committed, whose end its sender waits for. Nothing of the request is needed for that but its method.
///
/// The delivery is recorded when the wait is over, or is given up by dropping this.
#[derive(Debug)]
pub struct Waiting {
    pub(super) awaited: Awaited,
    pub(super) hook: LiveHook,
    pub(super) method: String,
    pub(super) bytes: u64,
    pub(super) found: Found,
    pub(super) is_noted: bool,
}

impl Waiting {
    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.awaited.run
    }

    /// How the run ends, if it does in time.
    pub async fn end(mut self) -> Option<RunEnd> {
        let end = self.hook.inner.end_of_awaited(&mut self.awaited).await;
        let status = end.as_ref().map_or(Verdict::Accepted.status(), answered_with);
        self.note(status, None);
        end
    }

    fn note(&mut self, status: u16, detail: Option<String>) {
        self.is_noted = true;
        let headers = HeaderMap::new();
        let request = RawRequest { method: &self.method, url: "", query: "", headers: &headers, body: &[] };
        let outcome = Outcome {
            verdict: Verdict::Accepted,
            status,
            runs: Runs::one(self.awaited.run),
            detail,
            bytes: Some(self.bytes),
            keep: Keep::Headers,
        };
        self.hook.record(&request, std::mem::take(&mut self.found), outcome);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_noted {
            let detail = "the sender went away before the run's end";
            self.note(Verdict::Accepted.status(), Some(detail.into()));
        }
    }
}

/// The status that a sender who waited for a run's end is answered with.
fn answered_with(end: &RunEnd) -> u16 {
    match end.response.as_deref().and_then(TerminateResponse::from_value) {
        Some(response) => response.status,
        None if end.status == RunStatus::Succeeded => 200,
        None => 500,
    }
}

impl Project {
    /// Takes note of a request to a path at which no hook is live; its body was not received.
    pub fn turn_away(&self, path: &str, request: &RawRequest<'_>) {
        let verdict = Verdict::UnknownPath;
        self.inner.record(Seen {
            project: &self.id,
            workflow: None,
            trigger: None,
            path,
            request,
            bytes: None,
            keep: Keep::Headers,
            is_known: false,
            config: None,
            verdict,
            status: verdict.status(),
            runs: Runs::default(),
            may_be_run: None,
            items_seed: None,
            key: None,
            delivery_id: None,
            signed_at: None,
            detail: None,
        });
    }
}

impl LiveHook {
    /// Takes note of a request that was refused before its body was received, and answered with this status.
    pub fn turn_away(&self, request: &RawRequest<'_>, verdict: Verdict, status: u16) {
        let detail =
            (verdict == Verdict::MethodNotAllowed).then(|| self.detail(&HookRefusal::MethodNotAllowed));
        let outcome =
            Outcome { verdict, status, runs: Runs::default(), detail, bytes: None, keep: Keep::Headers };
        self.record(request, Found::default(), outcome);
        self.tell(verdict);
    }

    fn record(&self, request: &RawRequest<'_>, found: Found, outcome: Outcome) {
        let is_known = found.verified.is_some();
        // Of these nobody knows whether the run was committed.
        let is_unknown = matches!(outcome.verdict, Verdict::Incomplete | Verdict::Overloaded);
        let may_be_run = found.prospect.run.get().copied().filter(|_| is_unknown);
        // Of items there may be runs whatever the refusal.
        let is_refused = !stands_in_run(outcome.verdict);
        let items_seed = found.prospect.seed.get().copied().filter(|_| is_refused);
        let Verified { delivery_id, timestamp: signed_at, .. } = found.verified.unwrap_or_default();
        let Outcome { verdict, status, runs, detail, bytes, keep } = outcome;
        self.inner.record(Seen {
            project: &self.project,
            workflow: Some(&self.route.workflow),
            trigger: Some(self.trigger().0),
            path: &self.path,
            request,
            bytes,
            keep,
            is_known,
            config: Some(HookConfig { definition: self.definition.clone(), trigger: self.trigger }),
            verdict,
            status,
            runs,
            may_be_run,
            items_seed,
            key: found.key,
            delivery_id,
            signed_at,
            detail,
        });
    }

    /// Says why a request was refused: in the log only the first time in a while, since anybody can send anything.
    pub(super) fn tell(&self, verdict: Verdict) {
        metrics::counter!("meshhook_deliveries_refused_total", "reason" => verdict.as_str()).increment(1);
        if self.inner.refusals.is_first((self.project.clone(), self.path.clone(), verdict)) {
            let verdict = verdict.as_str();
            tracing::warn!(project_id = %self.project, path = self.path, workflow = %self.route.workflow, verdict, "hook refused");
        }
    }
}

/// What came out while a request was looked at.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The name of the secret that matched.
    pub(super) key: Option<String>,
    pub(super) verified: Option<Verified>,
    /// Why it is not wanted, in words.
    pub(super) unwanted: Option<String>,
    pub(super) prospect: Arc<Prospect>,
}

/// What a request may have started, told on the way there: whoever waits for the end may not live to see it.
#[derive(Debug, Default)]
pub(super) struct Prospect {
    /// The run that is to be committed, once its id is chosen.
    pub(super) run: OnceLock<RunId>,
    /// What the ids of its items' runs are made from, once they are to be committed.
    pub(super) seed: OnceLock<RunId>,
    /// The runs of its items that there are although it is refused.
    pub(super) runs: OnceLock<OfItems>,
}

/// A request that is being looked at. Should its sender go away before it is answered, that is noted.
pub(super) struct Hearing<'a> {
    pub(super) hook: &'a LiveHook,
    pub(super) request: &'a RawRequest<'a>,
    pub(super) found: Found,
    pub(super) is_noted: bool,
}

impl Hearing<'_> {
    pub(super) fn note(&mut self, outcome: Outcome) {
        self.is_noted = true;
        let bytes = Some(self.request.body.len() as u64);
        self.hook.record(self.request, std::mem::take(&mut self.found), Outcome { bytes, ..outcome });
    }
}

impl Drop for Hearing<'_> {
    fn drop(&mut self) {
        if !self.is_noted {
            let verdict = Verdict::Incomplete;
            let detail = Some("the sender went away before it was answered: there may be a run".into());
            let status = verdict.status();
            self.note(Outcome {
                verdict,
                status,
                runs: Runs::default(),
                detail,
                bytes: None,
                keep: Keep::All,
            });
        }
    }
}

/// How a request ended.
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) status: u16,
    pub(super) runs: Runs,
    pub(super) detail: Option<String>,
    /// How long the body was, if it was received.
    pub(super) bytes: Option<u64>,
    pub(super) keep: Keep,
}
