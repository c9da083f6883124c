//! A task that a store keeps for itself: begun when it is first wanted, one at a time, and never again once the store is
//! closed. Several who want it at once get one.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use tokio::task::AbortHandle;

/// The task, once there is one.
#[derive(Debug, Default)]
pub(crate) struct Task(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Wanted,
    At(AbortHandle),
    Closed,
}

impl Task {
    /// Begins it, unless it is there or the store is closed.
    pub(crate) fn begin<F>(&self, work: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted = match &*state {
            State::Wanted => true,
            // The runtime that it ran on may have ended.
            State::At(task) => task.is_finished(),
            State::Closed => false,
        };
        if is_wanted {
            *state = State::At(tokio::spawn(work()).abort_handle());
        }
    }

    /// Ends it for good; what it began by then happens or not.
    pub(crate) fn close(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::At(task) = std::mem::replace(&mut *state, State::Closed) {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_task_is_begun_again_when_it_has_ended_and_never_once_it_is_closed() {
        let (begun, mut told) = mpsc::unbounded_channel();
        let task = Arc::new(Task::default());
        let begin = |number: u32| {
            let begun = begun.clone();
            task.begin(|| async move {
                begun.send(number).unwrap();
                if number > 1 {
                    std::future::pending::<()>().await;
                }
            });
        };
        begin(1);
        assert_eq!(told.recv().await, Some(1));
        while !matches!(&*task.0.lock().unwrap(), State::At(task) if task.is_finished()) {
            tokio::task::yield_now().await;
        }
        begin(2);
        assert_eq!(told.recv().await, Some(2));
        begin(3);
        task.close();
        begin(4);
        drop(begun);
        // Nobody is left who could tell of another.
        assert_eq!(told.recv().await, None);
    }
}
