//! The memory for bodies of webhooks, and how hooks share it.
//!
//! A body is received before anything is known of its sender: the signature covers all of it. Whoever knows one URL
//! can begin bodies there and end none, and each holds what has come until its time is over. So the room for bodies is
//! bounded, and what is known by then, the project and the path of a hook that exists, decides how much of it somebody
//! may take:
//!
//! ```text
//!   a hook      as much as it leaves free              alone: half of the room
//!   a project   three times what it leaves free        alone: three quarters
//! ```
//!
//! A limit that falls with what is left (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking,
//! 1998) needs no reserve beside it. With fixed halves two hooks would take everything, and a reserve for small
//! bodies would be taken by small bodies. Here somebody who fills one hook after the other leaves half of what
//! was left, so that there is room for small bodies elsewhere long after there is none for large ones; and whoever has a
//! project of his own, with as many hooks as he likes, leaves a quarter to the others. Where many are busy, many hooks
//! together hold nearly everything.
//!
//! A host may allow bodies that are larger than half of the room. Such a hook may hold one of them whatever its
//! limit says, as long as there is so much room at all, since it could be sent again and again and never fit. Where
//! strangers know several such URLs, the room should be a multiple of these bodies.
//!
//! What is kept about who holds how much goes when the last of it is given back: there is an entry for each hook that
//! is receiving something, and none for a path that is none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshhook_core::id::ProjectId;

/// The memory for bodies of webhooks, in bytes.
#[derive(Debug)]
pub(crate) struct Room {
    size: usize,
    taken: Mutex<Taken>,
}

/// How much is held, altogether and by whom.
#[derive(Debug, Default)]
struct Taken {
    bytes: usize,
    projects: HashMap<ProjectId, ProjectTaken>,
}

#[derive(Debug, Default)]
struct ProjectTaken {
    bytes: usize,
    hooks: HashMap<Arc<str>, usize>,
}

/// What a body holds of a room, for as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Whose it is; `None` for a body that takes no room.
    holder: Option<Holder>,
    bytes: usize,
}

#[derive(Debug)]
struct Holder {
    room: Arc<Room>,
    project: ProjectId,
    hook: Arc<str>,
    /// What the largest body takes.
    largest: usize,
}

impl Room {
    pub(crate) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self { size, taken: Mutex::default() })
    }

    /// For a body of a hook, of which the largest takes so much. It holds nothing yet.
    pub(crate) fn hold(self: &Arc<Self>, project: &ProjectId, hook: &str, largest: usize) -> Held {
        let (room, project, hook) = (self.clone(), project.clone(), hook.into());
        Held { holder: Some(Holder { room, project, hook, largest }), bytes: 0 }
    }

    /// How much nobody holds.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.size - self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Takes more, unless there is not so much, or others need it more.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let Some(Holder { room, project, hook, largest }) = &self.holder else { return true };
        if bytes == 0 {
            return true;
        }
        let mut taken = room.lock();
        let total = taken.bytes.saturating_add(bytes);
        let Some(free) = room.size.checked_sub(total) else { return false };
        let known = taken.projects.get(project);
        let of_project = bytes + known.map_or(0, |project| project.bytes);
        let of_hook = bytes + known.and_then(|project| project.hooks.get(hook)).map_or(0, |bytes| *bytes);
        let is_fair = of_hook <= free && of_project <= free.saturating_mul(PROJECTS_TIMES);
        let is_large = *largest > room.size / 2;
        let is_whole = is_large && of_hook <= *largest;
        if !(is_fair || is_whole) {
            return false;
        }
        taken.bytes = total;
        let entry = taken.projects.entry(project.clone()).or_default();
        entry.bytes = of_project;
        entry.hooks.insert(hook.clone(), of_hook);
        self.bytes += bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(Holder { room, project, hook, .. }) = self.holder.as_ref().filter(|_| self.bytes > 0) else {
            return;
        };
        let mut taken = room.lock();
        taken.bytes -= self.bytes;
        let Some(entry) = taken.projects.get_mut(project) else { return };
        entry.bytes -= self.bytes;
        let is_idle = entry.bytes == 0;
        if let Some(of_hook) = entry.hooks.get_mut(hook) {
            *of_hook -= self.bytes;
            if *of_hook == 0 {
                entry.hooks.remove(hook);
            }
        }
        if is_idle {
            taken.projects.remove(project);
        }
    }
}

/// How many times what it leaves free a project may hold.
const PROJECTS_TIMES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 128 << 20;
    const BODY: usize = 1 << 20;

    fn project(name: &str) -> ProjectId {
        ProjectId::new(name).unwrap()
    }

    fn body(room: &Arc<Room>, name: &str, hook: &str) -> Held {
        room.hold(&project(name), hook, BODY)
    }

    /// Begins bodies, piece by piece, until a hook may have no more; and how much that is.
    fn fill(room: &Arc<Room>, name: &str, hook: &str) -> (Held, usize) {
        let mut held = body(room, name, hook);
        for piece in [1 << 16, 1 << 8, 1] {
            while held.take(piece) {}
        }
        let bytes = held.bytes;
        (held, bytes)
    }

    #[test]
    fn a_hook_alone_holds_half_and_a_project_three_quarters() {
        let room = Room::new(SIZE);
        let (first, bytes) = fill(&room, "default", "a");
        assert_eq!(bytes, SIZE / 2);
        assert!(!body(&room, "default", "a").take(1));
        assert!(body(&room, "default", "b").take(BODY));
        drop(first);
        let all: Vec<_> = (0..100).map(|n| fill(&room, "default", &n.to_string())).collect();
        assert_eq!(all.iter().map(|(_, bytes)| bytes).sum::<usize>(), SIZE * 3 / 4);
        assert!(!body(&room, "default", "another").take(1));
        // What one project leaves is for the others, and of that a part for each.
        assert!(body(&room, "other", "a").take(BODY));
        assert_eq!(fill(&room, "other", "a").1, SIZE / 8);
    }

    #[test]
    fn small_bodies_find_room_after_large_ones_find_none() {
        let room = Room::new(SIZE);
        let mut full = Vec::new();
        let held_by = |count: usize, full: &mut Vec<Held>| {
            while full.len() < count {
                let name = full.len().to_string();
                full.push(fill(&room, &name, "a").0);
            }
        };
        held_by(6, &mut full);
        assert!(body(&room, "last", "a").take(BODY));
        held_by(9, &mut full);
        assert!(!body(&room, "last", "a").take(BODY));
        assert!(body(&room, "last", "a").take(64 << 10));
        held_by(12, &mut full);
        assert!(body(&room, "last", "a").take(16 << 10));
    }

    #[test]
    fn many_hooks_of_many_projects_hold_nearly_everything() {
        let room = Room::new(SIZE);
        let all: Vec<_> = (0..60).map(|n| fill(&room, &n.to_string(), "a").0).collect();
        assert!(room.free() < SIZE / 1_000, "{}", room.free());
        assert_eq!(room.lock().projects.len(), all.iter().filter(|held| held.bytes > 0).count());
    }

    #[test]
    fn a_body_that_is_larger_than_the_limit_fits_once_while_there_is_room() {
        let room = Room::new(1_000);
        let large = |hook: &str| room.hold(&project("default"), hook, 600);
        let mut first = large("a");
        assert!(first.take(500) && first.take(100) && !first.take(1));
        assert!(!large("a").take(1));
        let mut second = large("b");
        assert!(second.take(400));
        assert!(!large("c").take(1));
        drop(first);
        assert!(large("a").take(600));
        let whole = Room::new(1_000);
        assert!(whole.hold(&project("default"), "a", usize::MAX).take(1_000));
        assert!(!whole.hold(&project("default"), "a", usize::MAX).take(1_001));
    }

    #[test]
    fn what_is_given_back_leaves_nothing_behind() {
        let room = Room::new(SIZE);
        let mut first = body(&room, "default", "a");
        let mut second = body(&room, "default", "a");
        let mut third = body(&room, "default", "b");
        let unused = body(&room, "other", "a");
        assert!(first.take(10) && first.take(5) && second.take(7) && third.take(1) && third.take(0));
        drop((first, unused));
        assert_eq!(room.free(), SIZE - 8);
        drop(second);
        assert_eq!(room.lock().projects[&project("default")].hooks.len(), 1);
        drop(third);
        assert!(room.lock().projects.is_empty());
        assert_eq!(room.free(), SIZE);
        // What was refused holds nothing.
        assert!(!body(&room, "default", "a").take(SIZE));
        assert!(room.lock().projects.is_empty());
        assert!(Held::default().take(usize::MAX));
    }
}
