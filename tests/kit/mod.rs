//! The example server as a process.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// A running server, killed when it goes out of scope.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) url: String,
}

impl Server {
    /// Starts it and waits until it listens.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("it said {line:?}"));
        Self { url: url.to_owned(), process }
    }

    /// Asks it to stop and waits until it did.
    pub(crate) fn stop(mut self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let asked = Instant::now();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}");
        assert!(asked.elapsed() < Duration::from_secs(25), "{:?}", asked.elapsed());
    }

    pub(crate) fn api(&self, path: &str) -> String {
        format!("{}/api/projects/default{path}", self.url)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server, not yet started, with nothing of the environment that sets it up otherwise.
pub(crate) fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.current_dir(directory).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in [
        "PORT",
        "MESHHOOK_DATABASE_URL",
        "MESHHOOK_MASTER_KEY",
        "MESHHOOK_MASTER_KEY_PREVIOUS",
        "MESHHOOK_ADMIN_KEY",
    ] {
        command.env_remove(name);
    }
    command.env("RUST_LOG", "warn");
    command
}

/// The server's program: Cargo builds examples before it runs all tests, but not when it runs these alone.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/server");
    if !program.exists() {
        let status =
            Command::new(env!("CARGO")).args(["build", "--quiet", "--example", "server"]).status().unwrap();
        assert!(status.success(), "the example server does not build");
    }
    program
}
