//! The logic of a run: pure functions from a definition and facts to decisions.
//!
//! ```text
//!   begin(definition, created)            -> state, events
//!   state.decide(definition, fact, now)   -> events          refuses what is stale or not allowed
//!   state.outstanding(definition)         -> attempts, timers, deadlines that are owed
//!   replay(definition, stored history)    -> state           demands the same events, byte for byte
//! ```
//!
//! Nothing here reads a clock, draws a random number or does I/O: the time is an argument, and what looks random (jitter,
//! `uuid()`) is computed from the run's id and the step. So a history gives the same decisions on any machine.

mod context;
mod decide;
mod effect;
mod ending;
mod fact;
mod flow;
mod iteration;
mod meta;
mod output;
mod outstanding;
mod plan;
mod replay;
mod retry;
pub mod semantics;
mod state;
mod waiting;

pub use self::decide::{MAX_HISTORY_BYTES, MAX_HISTORY_EVENTS};
pub use self::effect::MAX_RETRY_AFTER;
pub use self::fact::{Fact, Refusal};
pub use self::meta::RunMeta;
pub use self::output::{MAX_OUTPUT_BYTES, MAX_OUTPUT_DEPTH};
pub use self::outstanding::Owed;
pub use self::plan::AttemptPlan;
pub use self::replay::{Divergence, ReplayError, Replayed, replay, verify};
pub(crate) use self::state::shown_failure;
pub use self::state::{RunEnd, RunState, Step, StepStatus};
