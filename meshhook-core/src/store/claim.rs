//! In which order runs are claimed.
//!
//! Every store looks for candidates in its own way, but chooses among them by the same rule, so that a project with
//! a million due runs does not keep another one's single run waiting.

use std::collections::BTreeMap;

use super::Claim;
use crate::id::{ProjectId, RunId};
use crate::time::Timestamp;

/// A run that could be claimed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClaimCandidate {
    /// Since when: its wake-up time, or the end of its worker's lease.
    pub since: Timestamp,
    /// The run.
    pub run: RunId,
    /// Its project.
    pub project: ProjectId,
    /// Whether it is an orphan that would reach two or more strikes.
    pub suspect: bool,
}

impl ClaimCandidate {
    /// Chooses at most `claim.limit` runs, of them at most `claim.suspects` suspects.
    ///
    /// Projects take turns: first the oldest candidate of each, then the second oldest of each, and so on; within one
    /// turn the oldest first. Suspects beyond their limit, counted in that order among themselves, stand aside for
    /// others.
    ///
    /// A store in which much more is due than may be taken need not look at all of it, as long as each project comes to its
    /// turn within some looks.
    #[must_use]
    pub fn choose(candidates: Vec<ClaimCandidate>, claim: &Claim) -> Vec<ClaimCandidate> {
        let (suspects, mut chosen): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|run| run.suspect);
        chosen.extend(by_turns(suspects).into_iter().take(claim.suspects));
        let mut chosen = by_turns(chosen);
        chosen.truncate(claim.limit);
        chosen
    }
}

fn by_turns(mut candidates: Vec<ClaimCandidate>) -> Vec<ClaimCandidate> {
    candidates.sort();
    let mut turns: BTreeMap<ProjectId, usize> = BTreeMap::new();
    let mut ordered: Vec<(usize, ClaimCandidate)> = candidates
        .into_iter()
        .map(|candidate| {
            let turn = turns.entry(candidate.project.clone()).or_default();
            *turn += 1;
            (*turn, candidate)
        })
        .collect();
    ordered.sort();
    ordered.into_iter().map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::WorkerId;

    fn candidate(project: &str, since: i64, suspect: bool) -> ClaimCandidate {
        let run = RunId::new(Timestamp::EPOCH, [u8::try_from(since).unwrap(); 8]);
        let project = ProjectId::new(project).unwrap();
        ClaimCandidate { since: Timestamp::from_micros(since), run, project, suspect }
    }

    fn chosen(candidates: &[ClaimCandidate], limit: usize, suspects: usize) -> Vec<(String, i64)> {
        let worker = WorkerId::new("w").unwrap();
        let claim = Claim { worker, limit, suspects, bytes: usize::MAX, messages: 0, lease: Duration::ZERO };
        ClaimCandidate::choose(candidates.to_vec(), &claim)
            .into_iter()
            .map(|run| (run.project.to_string(), run.since.as_micros()))
            .collect()
    }

    #[test]
    fn projects_take_turns_and_the_oldest_goes_first() {
        let due = [
            candidate("a", 1, false),
            candidate("a", 2, false),
            candidate("a", 3, false),
            candidate("b", 9, false),
        ];
        let expected = [("a", 1), ("b", 9), ("a", 2), ("a", 3)].map(|(p, at)| (p.to_owned(), at));
        assert_eq!(chosen(&due, 9, 0), expected);
        assert_eq!(chosen(&due, 2, 0), expected[..2]);
        assert!(chosen(&due, 0, 0).is_empty());
    }

    #[test]
    fn suspects_beyond_their_limit_stand_aside() {
        let due = [candidate("a", 1, true), candidate("a", 2, true), candidate("a", 3, false)];
        let of = |runs: &[i64]| runs.iter().map(|at| ("a".to_owned(), *at)).collect::<Vec<_>>();
        assert_eq!(chosen(&due, 9, 0), of(&[3]));
        assert_eq!(chosen(&due, 9, 1), of(&[1, 3]));
        assert_eq!(chosen(&due, 9, 2), of(&[1, 2, 3]));
    }
}
