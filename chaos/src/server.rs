//! The servers: processes of the example server that are started again whenever they end.
//!
//! A server ends when it is killed, or because it does not reach its database while it starts. Any other end of it is
//! something to report: it must not end by itself.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshhook_core::clock::{Clock as _, SystemClock};
use meshhook_core::time::Timestamp;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::Outcome;
use crate::guard::Guard;
use crate::proxy::Lane;

/// What all servers have in common.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) binary: PathBuf,
    pub(crate) key: String,
    pub(crate) lease: Duration,
    /// Where logs go.
    pub(crate) folder: PathBuf,
}

/// One server, through all its lives.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) number: u16,
    pub(crate) lane: Arc<Lane>,
    pub(crate) takes_in: bool,
    port: u16,
    life: watch::Sender<Life>,
    kills: mpsc::Sender<oneshot::Sender<Killed>>,
    ended: Mutex<Vec<String>>,
}

/// Where a server stands.
#[derive(Debug, Clone, Default)]
struct Life {
    pid: Option<u32>,
    is_listening: bool,
    log: PathBuf,
}

/// A server that was killed.
#[derive(Debug)]
pub(crate) struct Killed {
    pub(crate) at: Timestamp,
    /// What it called itself, if it got that far.
    pub(crate) worker: Option<String>,
}

impl Server {
    /// Starts a server on a free port, again and again until the token is cancelled.
    pub(crate) fn start(
        number: u16,
        takes_in: bool,
        lane: Arc<Lane>,
        program: Program,
        guard: Arc<Guard>,
        closing: CancellationToken,
    ) -> Outcome<(Arc<Self>, tokio::task::JoinHandle<()>)> {
        let (kills, orders) = mpsc::channel(1);
        let life = watch::Sender::new(Life::default());
        let server = Arc::new(Self {
            number,
            lane,
            takes_in,
            port: free_port()?,
            life,
            kills,
            ended: Mutex::default(),
        });
        let supervisor = tokio::spawn(server.clone().supervise(program, guard, orders, closing));
        Ok((server, supervisor))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Kills it; it is started again at once. `None` if there was nothing to kill.
    pub(crate) async fn kill(&self) -> Option<Killed> {
        let (reply, killed) = oneshot::channel();
        self.kills.send(reply).await.ok()?;
        killed.await.ok()
    }

    /// Stops its process, to be [woken](Self::wake) again; answers what it calls itself.
    pub(crate) async fn stop(&self) -> Option<(u32, String)> {
        let life = self.life.borrow().clone();
        let (pid, worker) = (life.pid?, worker_in(&life.log)?);
        signal("-STOP", pid).await.then_some((pid, worker))
    }

    /// Lets a process that was stopped go on, if it is still there.
    pub(crate) async fn wake(&self, pid: u32) {
        if self.life.borrow().pid == Some(pid) {
            signal("-CONT", pid).await;
        }
    }

    /// Waits until it listens.
    pub(crate) async fn listens(&self) {
        // The sender is this server's own.
        let _ = self.life.subscribe().wait_for(|life| life.is_listening).await;
    }

    /// How it ended without being told to.
    pub(crate) fn ended_by_itself(&self) -> Vec<String> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn supervise(
        self: Arc<Self>,
        program: Program,
        guard: Arc<Guard>,
        mut orders: mpsc::Receiver<oneshot::Sender<Killed>>,
        closing: CancellationToken,
    ) {
        for life in 0.. {
            let log = program.folder.join(format!("server-{}-{life}.log", self.number));
            let (mut child, pid) = match self.spawn(&program, &log) {
                Ok(spawned) => spawned,
                Err(error) => {
                    self.note_end(&format!("could not start: {error}"));
                    return;
                }
            };
            guard.add(pid);
            self.life.send_replace(Life { pid: Some(pid), is_listening: false, log: log.clone() });
            let reading = tokio::spawn(self.clone().read(child.stdout.take(), pid));
            let mut asked = None;
            let ended = tokio::select! {
                biased;
                () = closing.cancelled() => None,
                reply = orders.recv() => {
                    asked = reply;
                    None
                }
                ended = child.wait() => Some(ended),
            };
            let was_listening = self.life.borrow().is_listening;
            self.life.send_replace(Life { log: log.clone(), ..Life::default() });
            guard.strike(pid);
            match ended {
                None => {
                    let at = SystemClock.now();
                    // SIGKILL; waits for the end, too.
                    let _ = child.kill().await;
                    if let Some(reply) = asked {
                        let _ = reply.send(Killed { at, worker: worker_in(&log) });
                    }
                }
                Some(status) => match suspicious(was_listening, status.as_ref().ok()) {
                    Some(what) => self.note_end(&format!("{what}; its log is {}", log.display())),
                    // It said that it cannot reach its database, and there are many of these.
                    None => drop(std::fs::remove_file(&log)),
                },
            }
            let _ = reading.await;
            if closing.is_cancelled() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn spawn(&self, program: &Program, log: &Path) -> Outcome<(Child, u32)> {
        let mut command = Command::new(&program.binary);
        let database = format!(
            "postgres://{}@127.0.0.1:{}/{}?sslmode=disable",
            crate::place::ROLE,
            self.lane.port(),
            crate::place::DATABASE
        );
        command
            .args(["--listen", &format!("127.0.0.1:{}", self.port), "--database", &database])
            .args(["--key", &program.key, "--lease", &format!("{}ms", program.lease.as_millis())])
            .args(["--max-batch-bytes", &MAX_BATCH_BYTES.to_string()])
            .arg("--allow-private-network");
        if !self.takes_in {
            command.arg("--worker-only");
        }
        command
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log)?)
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().map_err(|error| format!("{}: {error}", program.binary.display()))?;
        let pid = child.id().ok_or("a server ended at once")?;
        Ok((child, pid))
    }

    /// Reads what the server says: that it listens.
    async fn read(self: Arc<Self>, out: Option<tokio::process::ChildStdout>, pid: u32) {
        let Some(out) = out else { return };
        let mut lines = BufReader::new(out).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.starts_with("listening") {
                self.life.send_if_modified(|life| {
                    life.is_listening = life.pid == Some(pid);
                    life.is_listening
                });
            }
        }
    }

    fn note_end(&self, what: &str) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.push(format!("server {}: {what}", self.number));
    }
}

/// How many bytes go into one transaction: so few that the runs of some batches are made part by part, and no machine is
/// kept busy with what they write.
pub(crate) const MAX_BATCH_BYTES: usize = 128 << 10;

/// How long after its end a server is started again.
const PAUSE: Duration = Duration::from_millis(100);

/// What is wrong with an end that nobody asked for. A server that does not reach its database while it starts ends with
/// an error, as it should.
fn suspicious(was_listening: bool, status: Option<&ExitStatus>) -> Option<String> {
    let Some(status) = status else { return Some("its end was not seen".to_owned()) };
    match status.code() {
        Some(1) if !was_listening => None,
        _ => Some(format!("ended by itself ({status})")),
    }
}

/// What a server calls itself, as its log says.
fn worker_in(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let line = text.lines().find(|line| line.contains(": works worker="))?;
    line.split_once("worker=").map(|(_, worker)| worker.split_whitespace().next().unwrap_or("").to_owned())
}

async fn signal(which: &str, pid: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args([which, &pid.to_string()]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    kill.status().await.is_ok_and(|status| status.success())
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> Outcome<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
