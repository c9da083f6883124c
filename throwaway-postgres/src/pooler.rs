//! A PgBouncer in front of a server, which hands each transaction to another of its sessions.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::programs::User;
use crate::server::{Server, WATCH, new_folder};
use crate::{Result, Settings};

/// Names the variable that has tests do without a pooler. Without it, a pooler that cannot be had is an error: a suite that
/// leaves out what it is for shows nothing.
pub const WITHOUT_POOLER_VARIABLE: &str = "MESHHOOK_TEST_WITHOUT_POOLER";

/// Looks for `pgbouncer`: in `PATH`, then where Debian puts it.
///
/// # Errors
///
/// How to install it.
pub fn find_pooler() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let programs = folders.map(|folder| folder.join("pgbouncer"));
    programs.into_iter().find(|program| program.is_file()).ok_or_else(|| {
        "PgBouncer is not installed (Debian: apt-get install pgbouncer; macOS: brew install pgbouncer)".into()
    })
}

/// A running pooler; it goes away with the process that started it.
#[derive(Debug)]
pub struct Pooler {
    watch: Child,
    folder: PathBuf,
}

impl Pooler {
    /// Starts PgBouncer in transaction mode before a server that was started here, for some roles, with at most
    /// `sessions` sessions of the server for each database and role.
    ///
    /// # Errors
    ///
    /// Why it did not start, with what it said.
    pub fn start(server: &Server, roles: &[&str], sessions: u32) -> Result<Pooler> {
        let program = find_pooler()?;
        let behind = server.socket().ok_or("a pooler needs a server that was started here")?;
        let user = User::for_servers()?;
        let folder = new_folder(&Settings::default(), user)
            .map_err(|error| format!("no folder for a pooler: {error}"))?;
        let place = folder.display();
        let settings = format!(
            "[databases]\n* = host={}\n[pgbouncer]\nlisten_port = {PORT}\nunix_socket_dir = {place}\n\
             auth_type = trust\nauth_file = {place}/users\npool_mode = transaction\n\
             default_pool_size = {sessions}\nmax_client_conn = 1000\n",
            behind.display(),
        );
        let users: String = roles.iter().map(|role| format!("\"{role}\" \"\"\n")).collect();
        let write = |name: &str, text: &str| {
            let file = folder.join(name);
            std::fs::write(&file, text).and_then(|()| user.own(&file))
        };
        let written = write("users", &users).and_then(|()| write("settings", &settings));
        written.map_err(|error| format!("could not write the pooler's settings: {error}"))?;
        let mut command = Command::new("sh");
        // It keeps nothing that would have to be put in order.
        command.args(["-c", WATCH, "sh", "KILL"]).arg(&folder).arg(program).arg(folder.join("settings"));
        command.current_dir(&folder).process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
        user.become_in(&mut command);
        let watch = command.spawn().map_err(|error| format!("could not start a shell: {error}"))?;
        let mut pooler = Pooler { watch, folder };
        pooler.wait().map(|()| pooler)
    }

    fn wait(&mut self) -> Result<()> {
        let socket = self.folder.join(format!(".s.PGSQL.{PORT}"));
        for _ in 0..STARTING {
            if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
                return Ok(());
            }
            if self.watch.try_wait().is_ok_and(|ended| ended.is_some()) {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(format!("PgBouncer did not start: {}", log.trim_end()))
    }

    /// The URL of a database as a role.
    #[must_use]
    pub fn url_as(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@localhost:{PORT}/{database}?host={}", self.folder.display())
    }

    /// The folder with its settings and its log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}

/// Names the socket; nothing listens on a port.
const PORT: u16 = 6432;

/// How often, and after which pause, the pooler is looked for: 10 s.
const STARTING: u32 = 500;
const PAUSE: Duration = Duration::from_millis(20);
