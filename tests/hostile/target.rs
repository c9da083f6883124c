//! The server under test, its hooks, and what it must still be after each request.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::kit::{Server, command};
use crate::sign::{SECRET, whsec};
use crate::wire::{Answer, Request, exchange};

const ADMIN_KEY: &str = "the-admin-key-of-the-hostile-test";

/// The server, and what it was asked.
pub(crate) struct Target {
    server: Server,
    pub(crate) address: String,
    log: JoinHandle<Vec<u8>>,
    runs: BTreeSet<String>,
    small: BTreeSet<String>,
    requests: usize,
    wrong: Vec<String>,
    idle_kib: Option<u64>,
    dearest: (Duration, String),
    hungriest: (u64, String),
}

impl Target {
    pub(crate) fn start(directory: &Path) -> Self {
        let mut command = command(directory, &["--listen", "127.0.0.1:0", "--admin-key", ADMIN_KEY]);
        command.env("RUST_LOG", "debug");
        let mut server = Server::start(command);
        let mut stderr = server.process.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut log = Vec::new();
            stderr.read_to_end(&mut log).unwrap();
            log
        });
        let address = server.url.strip_prefix("http://").unwrap().to_owned();
        let nothing = (Duration::ZERO, String::new());
        let mut target = Self {
            server,
            address,
            log,
            runs: BTreeSet::new(),
            small: BTreeSet::new(),
            requests: 0,
            wrong: Vec::new(),
            idle_kib: None,
            dearest: nothing,
            hungriest: (0, String::new()),
        };
        for (name, secret) in [("s", SECRET.to_owned()), ("whsec", whsec())] {
            target.api("PUT", &format!("/secrets/{name}"), &json!({ "value": secret }), 204);
        }
        target.publish("hostile", &hooks());
        target.publish("down", &[hook("down", json!({}))]);
        target.api("POST", "/workflows/down/unpublish", &Value::Null, 204);
        target.idle_kib = target.peak_kib();
        target
    }

    fn publish(&self, slug: &str, triggers: &[Value]) {
        let definition = json!({
            "name": slug,
            "triggers": triggers,
            "nodes": [
                { "id": "echo", "type": "transform", "config": { "expression": "input" } },
                { "id": "rest", "type": "delay", "config": { "for": "10ms" } },
            ],
            "edges": [{ "from": "echo", "to": "rest" }],
        });
        self.api("POST", "/workflows", &json!({ "slug": slug, "definition": definition }), 201);
        self.api("POST", &format!("/workflows/{slug}/publish"), &Value::Null, 201);
    }

    pub(crate) fn api(&self, method: &str, path: &str, body: &Value, status: u16) -> Answer {
        let url = self.server.api(path);
        let mut request = Request::new(method, url.strip_prefix(&self.server.url).unwrap())
            .header("Authorization", format!("Bearer {ADMIN_KEY}"));
        if !body.is_null() {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let answer = exchange(&self.address, &request.bytes()).unwrap();
        assert_eq!(answer.status, status, "{method} {path}: {answer}");
        answer
    }

    /// Sends a request and expects this status, or tells in the end; afterwards the server must be well.
    pub(crate) fn expect(&mut self, what: &str, request: Request, status: u16) -> Answer {
        self.expect_bytes(what, &request.bytes(), status)
    }

    pub(crate) fn expect_bytes(&mut self, what: &str, request: &[u8], status: u16) -> Answer {
        let (cpu, peak) = (self.cpu(), self.peak_kib());
        let answer = exchange(&self.address, request).unwrap_or_else(|| panic!("{what}: no answer"));
        if answer.status != status {
            self.wrong.push(format!("{what}: {status} was expected, not {answer}"));
        }
        self.accepted(&answer);
        if answer.status == 202 && request.len() < 10_000 {
            self.small.insert(answer.json()["run_id"].as_str().unwrap().to_owned());
        }
        self.expect_well(what);
        if let (Some(before), Some(after)) = (cpu, self.cpu())
            && after.saturating_sub(before) > self.dearest.0
        {
            self.dearest = (after.saturating_sub(before), what.to_owned());
        }
        if let (Some(before), Some(after)) = (peak, self.peak_kib())
            && after.saturating_sub(before) > self.hungriest.0
        {
            self.hungriest = (after.saturating_sub(before), what.to_owned());
        }
        answer
    }

    /// Keeps in mind the run that an answer promises.
    pub(crate) fn accepted(&mut self, answer: &Answer) {
        self.requests += 1;
        if answer.status == 202 {
            self.runs.insert(answer.json()["run_id"].as_str().unwrap().to_owned());
        }
    }

    pub(crate) fn expect_well(&self, after: &str) {
        let asked = Instant::now();
        let answer = exchange(&self.address, &Request::new("GET", "/healthz").bytes());
        assert_eq!(answer.map(|answer| answer.status), Some(200), "after {after}");
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?} after {after}", asked.elapsed());
    }

    /// Waits until all has ended that was accepted; stops the server and reads what it wrote.
    pub(crate) fn finish(self) -> Report {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n\n"));
        let until = Instant::now() + Duration::from_secs(60);
        for status in ["running", "waiting", "paused"] {
            while self.has_runs(status) {
                assert!(Instant::now() < until, "there are runs that do not end");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        // Those of small bodies, which are cheap to ask for, are all there.
        for run in &self.small {
            let view = self.api("GET", &format!("/runs/{run}"), &Value::Null, 200);
            assert!(view.body.contains(r#","finished_at":""#), "{view}");
        }
        self.expect_well("everything");
        let report = Report {
            requests: self.requests,
            runs: self.runs.len(),
            idle_kib: self.idle_kib,
            peak_kib: self.peak_kib(),
            dearest: self.dearest,
            hungriest: self.hungriest,
        };
        self.server.stop();
        let log = self.log.join().unwrap();
        let text = String::from_utf8_lossy(&log);
        assert!(!text.contains("panicked"), "{text}");
        for secret in [SECRET, ADMIN_KEY] {
            assert!(!text.contains(secret), "a secret is in the log");
        }
        let control = text.lines().find(|line| line.chars().any(|c| c.is_control() && c != '\t'));
        assert_eq!(control, None, "a control character is in the log");
        report
    }

    /// Whether there are runs of this status, which may be too large and too deep to be read here.
    fn has_runs(&self, status: &str) -> bool {
        let page = self.api("GET", &format!("/runs?status={status}&limit=1"), &Value::Null, 200);
        !page.body.starts_with(r#"{"items":[],"#)
    }

    /// The most memory that the process ever had.
    pub(crate) fn peak_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.process.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    }

    /// The time that the process has computed. Its unit is a hundredth of a second: proc_pid_stat(5), `utime`, `stime`.
    fn cpu(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.server.process.id())).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        Some(Duration::from_millis(10 * (ticks()? + ticks()?)))
    }
}

/// What it cost.
pub(crate) struct Report {
    requests: usize,
    runs: usize,
    idle_kib: Option<u64>,
    pub(crate) peak_kib: Option<u64>,
    dearest: (Duration, String),
    hungriest: (u64, String),
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests, all answered as they should be; {} runs, all ended; ",
            self.requests, self.runs
        )?;
        match (self.idle_kib, self.peak_kib) {
            (Some(idle), Some(peak)) => {
                let ((cpu, dearest), (growth, hungriest)) = (&self.dearest, &self.hungriest);
                write!(f, "peak resident memory {} MiB, before them {} MiB; ", peak / 1024, idle / 1024)?;
                write!(f, "of those sent alone, the most memory for {hungriest} ({growth} KiB more), ")?;
                write!(f, "the most computing for {dearest} ({cpu:?})")
            }
            _ => write!(f, "memory not looked at: there is no /proc/<pid>/status here"),
        }
    }
}

fn hook(path: &str, mut config: Value) -> Value {
    config["path"] = path.into();
    config.as_object_mut().unwrap().entry("verify").or_insert(json!({ "scheme": "none" }));
    json!({ "id": path, "type": "webhook", "config": config })
}

fn hooks() -> Vec<Value> {
    let verified = |scheme: &str| {
        let secret = if scheme == "standard" { "whsec" } else { "s" };
        hook(scheme, json!({ "verify": { "scheme": scheme, "secret": secret } }))
    };
    let mut hooks: Vec<Value> =
        ["github", "stripe", "standard", "shopify", "slack", "square"].into_iter().map(verified).collect();
    let jwt =
        json!({ "scheme": "jwt", "algorithms": ["HS256"], "key": "s", "issuer": "us", "audience": "you" });
    hooks.push(hook("jwt", json!({ "verify": jwt })));
    hooks.push(hook("schema", json!({ "body_schema": { "type": "object", "required": ["n"] } })));
    hooks.push(hook("open", json!({})));
    hooks
}
