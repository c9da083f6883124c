//! The example server, as its users start it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::argument;
use super::client::{Connection, SECRET};

/// The example server in a process and a folder of its own.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: String,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(program: &Path, database: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(program);
        if let Some(url) = database {
            command.args(["--database", url, "--key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="]);
        }
        let mut process = command
            .args(["--listen", "127.0.0.1:0", "--allow-private-network"])
            .current_dir(folder.path())
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("its output is piped");
        BufReader::new(output).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().strip_prefix("listening on http://").expect("it says where it listens");
        Self { address: address.to_owned(), process, _folder: folder }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Stores the secret that deliveries are signed with, and publishes workflows.
    pub(crate) async fn prepare(&self, workflows: &[Value]) {
        const API: &str = "/api/projects/default";
        let mut setup = Connection::open(&self.address).await;
        let secret =
            setup.call("PUT", &format!("{API}/secrets/gh_webhook"), &json!({ "value": SECRET })).await;
        assert_eq!(secret.0, 204, "{}", secret.1);
        for workflow in workflows {
            let created = setup.call("POST", &format!("{API}/workflows"), workflow).await;
            assert_eq!(created.0, 201, "{}", created.1);
            let slug = workflow["slug"].as_str().expect("workflows of benches name their slugs");
            let published = setup.call("POST", &format!("{API}/workflows/{slug}/publish"), &json!({})).await;
            assert_eq!(published.0, 201, "{}", published.1);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Builds the server, optimized, unless `--server` names one.
pub(crate) fn program() -> PathBuf {
    if let Some(program) = argument("--server") {
        return std::fs::canonicalize(program).expect("the named server is there");
    }
    let build = ["build", "--release", "--example", "server"];
    let status = Command::new(env!("CARGO")).args(build).status().expect("cargo starts");
    assert!(status.success(), "the example server does not build");
    let bench = std::env::current_exe().expect("this program has a path");
    // Beside this program's folder, `…/release/deps`.
    bench.ancestors().nth(2).expect("Cargo's folders").join("examples/server")
}
