//! Starting a server, and what it is asked directly.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::programs::{Programs, User, find};
use crate::{Result, URL_VARIABLE};

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether commits reach the disk: for benches and chaos. Without it the server is faster and forgets with the
    /// machine.
    pub durable: bool,
    /// Where its folder is made; in memory where that is possible, if not given.
    pub folder: Option<PathBuf>,
    /// A TCP port of 127.0.0.1 to listen on beside the socket.
    pub port: Option<u16>,
    /// Further settings as `name=value`.
    pub settings: Vec<String>,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    psql: PathBuf,
    /// A connection string of the administrator: everything but the database.
    place: Place,
    started: Option<Started>,
}

#[derive(Debug)]
enum Place {
    /// The folder with the socket.
    Socket(PathBuf),
    /// A given URL.
    Url(String),
}

#[derive(Debug)]
struct Started {
    watch: Child,
    answers: BufReader<ChildStdout>,
    programs: Programs,
    folder: PathBuf,
    port: Option<u16>,
}

/// The administrator of servers that are started here.
const ADMIN: &str = "postgres";

impl Server {
    /// The server that all tests of this process share.
    ///
    /// # Panics
    ///
    /// With the reason, when there is none to be had: a suite that needs a database does not pass without one.
    #[must_use]
    pub fn shared() -> &'static Server {
        static SERVER: OnceLock<Result<Server>> = OnceLock::new();
        let server = SERVER.get_or_init(|| match std::env::var(URL_VARIABLE) {
            Ok(url) => Ok(Server { psql: "psql".into(), place: Place::Url(url), started: None }),
            Err(_) => Server::start(&Settings::default()),
        });
        match server {
            Ok(server) => server,
            Err(reason) => panic!("{reason}"),
        }
    }

    /// Starts a server in a new folder.
    ///
    /// # Errors
    ///
    /// Why it did not start, with what it said.
    pub fn start(settings: &Settings) -> Result<Server> {
        Self::start_on(settings, initialize)
    }

    /// Starts another server as a hot standby of this one, which must have been started here.
    ///
    /// # Errors
    ///
    /// Why it did not start, with what it said.
    pub fn follow(&self) -> Result<Server> {
        let behind =
            self.socket().ok_or_else(|| format!("the server of {URL_VARIABLE} is not ours to copy"))?;
        Self::start_on(&Settings::default(), |programs, user, folder| copy(programs, user, behind, folder))
    }

    /// Starts a server in a new folder, which is filled with data first.
    fn start_on(
        settings: &Settings,
        fill: impl FnOnce(&Programs, User, &Path) -> Result<()>,
    ) -> Result<Server> {
        let programs = find()?;
        let user = User::for_servers()?;
        let folder =
            new_folder(settings, user).map_err(|error| format!("no folder for a server: {error}"))?;
        let started = fill(&programs, user, &folder).and_then(|()| serve(&programs, user, &folder, settings));
        match started {
            Ok(started) => {
                let psql = programs.folder().join("psql");
                Ok(Server { psql, place: Place::Socket(folder), started: Some(started) })
            }
            Err(reason) => {
                let _ = std::fs::remove_dir_all(&folder);
                Err(reason)
            }
        }
    }

    /// The URL of a database as the administrator.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_as(None, database)
    }

    /// The URL of a database as a role, which needs no password on servers that are started here.
    #[must_use]
    pub fn url_as(&self, role: Option<&str>, database: &str) -> String {
        match (&self.place, role) {
            (Place::Socket(folder), role) => {
                let (role, folder) = (role.unwrap_or(ADMIN), folder.display());
                let port = self.started.as_ref().and_then(|started| started.port);
                let port = port.map(|port| format!("&port={port}")).unwrap_or_default();
                format!("postgres://{role}@localhost/{database}?host={folder}{port}")
            }
            (Place::Url(url), role) => replace(url, role, database),
        }
    }

    /// The URL of a database over TCP as a role, where the server listens there.
    #[must_use]
    pub fn tcp_url(&self, role: &str, database: &str) -> Option<String> {
        let port = self.started.as_ref()?.port?;
        Some(format!("postgres://{role}@127.0.0.1:{port}/{database}"))
    }

    /// The server's data folder and log, where it was started here.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.started.as_ref().map(|started| &*started.folder)
    }

    /// Stops the server as `pg_ctl stop -m immediate` does: it writes nothing more, as if it had crashed.
    ///
    /// # Errors
    ///
    /// Where it was not started here, or nobody answers.
    pub fn crash(&mut self) -> Result<()> {
        self.started_here()?.order("stop")
    }

    /// Starts the server again after a [`crash`](Self::crash), and waits until it has recovered.
    ///
    /// # Errors
    ///
    /// Where it was not started here, or does not start.
    pub fn recover(&mut self) -> Result<()> {
        let started = self.started_here()?;
        started.order("start")?;
        started.wait_until_ready()
    }

    fn started_here(&mut self) -> Result<&mut Started> {
        self.started.as_mut().ok_or_else(|| format!("the server of {URL_VARIABLE} is not ours to stop"))
    }

    /// The folder with the socket, where it was started here.
    pub(crate) fn socket(&self) -> Option<&Path> {
        match &self.place {
            Place::Socket(folder) => Some(folder),
            Place::Url(_) => None,
        }
    }

    /// Runs statements through `psql` as the administrator and answers what it prints, unaligned and without headers.
    ///
    /// # Errors
    ///
    /// What `psql` says.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String> {
        let output = Command::new(&self.psql)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"])
            .arg(self.url(database))
            .args(["-c", statements])
            .output()
            .map_err(|error| format!("could not start {}: {error}", self.psql.display()))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
        }
    }
}

impl Started {
    /// Tells the shell something and waits until it is done.
    fn order(&mut self, word: &str) -> Result<()> {
        let failed = |error: std::io::Error| format!("the shell that runs Postgres is gone: {error}");
        let orders = self.watch.stdin.as_mut().ok_or("the shell that runs Postgres was told to end")?;
        writeln!(orders, "{word}").map_err(failed)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(failed)?;
        if answer.trim_end() == word { Ok(()) } else { Err("the shell that runs Postgres is gone".into()) }
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        for _ in 0..STARTING {
            let mut ready = self.programs.command("pg_isready");
            ready.args(["-q", "-h"]).arg(&self.folder);
            if let Some(port) = self.port {
                ready.args(["-p", &port.to_string()]);
            }
            if ready.status().is_ok_and(|status| status.success()) {
                return Ok(());
            }
            if self.watch.try_wait().is_ok_and(|ended| ended.is_some()) {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(format!("Postgres did not start: {}", log.trim_end()))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}

/// Another role and database in a URL.
fn replace(url: &str, role: Option<&str>, database: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let (place, query) =
        rest.split_once('?').map_or((rest, String::new()), |(place, query)| (place, format!("?{query}")));
    let authority = place.split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
    let user = role.unwrap_or(user);
    let at = if user.is_empty() { "" } else { "@" };
    format!("{scheme}://{user}{at}{host}/{database}{query}")
}

pub(crate) fn new_folder(settings: &Settings, user: User) -> std::io::Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let memory = Path::new("/dev/shm");
    let parent = match &settings.folder {
        Some(folder) => folder.clone(),
        None if memory.is_dir() && !settings.durable => memory.to_owned(),
        None => std::env::temp_dir(),
    };
    // The number of a process is used again; a folder that is left over is not.
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("throwaway-postgres-{}-{number}", std::process::id()));
        match std::fs::create_dir(&folder) {
            Ok(()) => return user.own(&folder).map(|()| folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

fn initialize(programs: &Programs, user: User, folder: &Path) -> Result<()> {
    let mut command = programs.command("initdb");
    command.args(["-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-U", ADMIN]);
    make_data("initdb", command, user, folder)
}

/// Copies a running server, to be started as its standby.
fn copy(programs: &Programs, user: User, server: &Path, folder: &Path) -> Result<()> {
    let mut command = programs.command("pg_basebackup");
    command.args(["--no-sync", "--checkpoint=fast", "--write-recovery-conf", "-U", ADMIN, "-h"]).arg(server);
    make_data("pg_basebackup", command, user, folder)
}

/// Runs a program that makes the data in a server's folder.
fn make_data(name: &str, mut command: Command, user: User, folder: &Path) -> Result<()> {
    command.arg("-D").arg(folder.join("data")).current_dir(folder).stdin(Stdio::null());
    user.become_in(&mut command);
    let output = command.output().map_err(|error| format!("could not start {name}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim_end()))
    }
}

/// Starts the server under a shell that outlives nobody.
fn serve(programs: &Programs, user: User, folder: &Path, settings: &Settings) -> Result<Started> {
    let mut command = Command::new("sh");
    command.args(["-c", WATCH, "sh", "QUIT"]).arg(folder).arg(programs.folder().join("postgres"));
    command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
    let mut set = |setting: &str| {
        command.args(["-c", setting]);
    };
    match settings.port {
        Some(port) => {
            set("listen_addresses=127.0.0.1");
            set(&format!("port={port}"));
        }
        None => set("listen_addresses="),
    }
    if !settings.durable {
        set("fsync=off");
        set("full_page_writes=off");
    }
    settings.settings.iter().for_each(|setting| set(setting));
    command.current_dir(folder).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
    user.become_in(&mut command);
    let mut watch = command.spawn().map_err(|error| format!("could not start a shell: {error}"))?;
    let answers = BufReader::new(watch.stdout.take().expect("standard output is piped"));
    let (programs, folder) = (programs.clone(), folder.to_owned());
    let mut started = Started { watch, answers, programs, folder, port: settings.port };
    started.wait_until_ready()?;
    Ok(started)
}

/// How often, and after which pause, the server is asked whether it is ready: 30 s.
const STARTING: u32 = 1_500;
const PAUSE: Duration = Duration::from_millis(20);

/// Starts a command with its log in a folder, and stops it by a signal or starts it again when told to. When standard
/// input ends, stops it and cleans up.
pub(crate) const WATCH: &str = r#"
trap '' INT TERM HUP
signal=$1 folder=$2
shift 2
start() {
    "$@" >>"$folder/log" 2>&1 </dev/null &
    server=$!
}
stop() {
    [ -z "$server" ] || { kill -"$signal" "$server"; wait "$server"; }
    server=
}
start "$@"
while read -r order; do
    case $order in
        stop) stop ;;
        start) [ -n "$server" ] || start "$@" ;;
    esac
    echo "$order"
done
stop
rm -rf "$folder"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_answers_and_goes_away_with_its_folder() {
        let server = Server::start(&Settings::default()).unwrap();
        assert_eq!(server.sql("postgres", "SELECT 1 + 1").unwrap(), "2");
        assert!(server.sql("postgres", "SELECT nothing").unwrap_err().contains("nothing"));
        let folder = server.folder().unwrap().to_owned();
        drop(server);
        assert!(!folder.exists());
    }

    #[test]
    fn a_server_that_crashed_recovers() {
        let mut server = Server::start(&Settings::default()).unwrap();
        server.sql("postgres", "CREATE TABLE kept (n integer)").unwrap();
        server.crash().unwrap();
        assert!(server.sql("postgres", "TABLE kept").is_err());
        server.recover().unwrap();
        assert_eq!(server.sql("postgres", "TABLE kept").unwrap(), "");
    }

    #[test]
    fn another_database_goes_into_a_url() {
        for (url, expected) in [
            ("postgres://ann:x@db:5433/test?sslmode=disable", "postgres://ann:x@db:5433/new?sslmode=disable"),
            ("postgres://db/test", "postgres://db/new"),
            ("postgresql://ann@/test?host=/tmp", "postgresql://ann@/new?host=/tmp"),
        ] {
            assert_eq!(replace(url, None, "new"), expected);
        }
        assert_eq!(replace("postgres://ann:x@db/test", Some("bob"), "new"), "postgres://bob@db/new");
    }
}
