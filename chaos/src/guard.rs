//! Sees to it that no server outlives this process, however that ends.
//!
//! A shell reads which processes there are from a pipe. The pipe ends with this process; what is still there then is
//! killed. A process is struck off before it is waited for, so that its number is still its own.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::Outcome;

/// Processes that end with this one.
#[derive(Debug)]
pub(crate) struct Guard(Mutex<Child>);

impl Guard {
    pub(crate) fn start() -> Outcome<Self> {
        let mut shell = Command::new("sh");
        // Away from the terminal's group: an interrupt there is this process's to answer.
        shell.args(["-c", WATCH]).stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        Ok(Self(Mutex::new(shell.spawn()?)))
    }

    pub(crate) fn add(&self, pid: u32) {
        self.tell("add", pid);
    }

    pub(crate) fn strike(&self, pid: u32) {
        self.tell("strike", pid);
    }

    fn tell(&self, what: &str, pid: u32) {
        let mut shell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = &mut shell.stdin {
            // Without the shell the processes still end with their handles.
            let _ = writeln!(pipe, "{what} {pid}");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let shell = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(shell.stdin.take());
        let _ = shell.wait();
    }
}

const WATCH: &str = r#"
trap '' INT TERM HUP
there=
while read -r what pid; do
    left=
    for one in $there; do
        [ "$one" = "$pid" ] || left="$left $one"
    done
    there=$left
    [ "$what" = strike ] || there="$there $pid"
done
[ -z "$there" ] || kill -KILL $there
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[test]
    fn what_is_still_there_ends_with_the_guard_and_what_was_struck_off_does_not() {
        let (mut there, mut struck) = (sleeper(), sleeper());
        let guard = Guard::start().unwrap();
        guard.add(there.id());
        guard.add(struck.id());
        guard.strike(struck.id());
        drop(guard);
        assert!(!there.wait().unwrap().success());
        assert!(struck.try_wait().unwrap().is_none());
        struck.kill().unwrap();
        struck.wait().unwrap();
    }
}
