//! A Postgres server of the bench's own, and what it spends.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use throwaway_postgres::{Server, Settings};

use super::argument;

/// A server that goes away with this process.
pub(crate) struct Cluster {
    server: Server,
    postmaster: String,
    databases: AtomicU32,
}

/// A database of the server.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) name: String,
    /// As the role that owns it and works in it, which no right lets pass the wall between projects.
    pub(crate) url: String,
    /// As the administrator.
    pub(crate) admin: String,
}

/// What a server has spent since it was started, or since then for each of some.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// Processor time of all its processes, in microseconds.
    pub(crate) cpu: f64,
    /// Transactions that wrote.
    pub(crate) writes: f64,
    /// Bytes of the write-ahead log.
    pub(crate) log: f64,
}

impl Spent {
    /// What was spent since then, for each of so many.
    pub(crate) fn per(self, count: f64, since: Self) -> Self {
        Self {
            cpu: (self.cpu - since.cpu) / count,
            writes: (self.writes - since.writes) / count,
            log: (self.log - since.log) / count,
        }
    }
}

/// As three columns.
impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:11.1} {:11.4} {:10.0}", self.cpu, self.writes, self.log)
    }
}

impl Cluster {
    /// A server that keeps what it acknowledges: `fsync` and `synchronous_commit` are on. `--folder` says on which disk,
    /// `MESHHOOK_BENCH_SETTINGS` how else it is set.
    pub(crate) fn durable() -> Self {
        let settings = std::env::var("MESHHOOK_BENCH_SETTINGS")
            .unwrap_or_else(|_| "shared_buffers=1GB max_wal_size=8GB checkpoint_timeout=30min".into());
        Self::start(&Settings {
            durable: true,
            folder: argument("--folder").map(Into::into),
            settings: settings.split_whitespace().map(String::from).collect(),
            ..Settings::default()
        })
    }

    /// A server that does the same but may forget it, and does nothing on its own: for counting.
    pub(crate) fn calm() -> Self {
        Self::start(&Settings { settings: vec!["autovacuum=off".into()], ..Settings::default() })
    }

    fn start(settings: &Settings) -> Self {
        let server = Server::start(settings).expect("Postgres starts");
        server.sql("postgres", "CREATE ROLE bench LOGIN").expect("a role");
        let file = server.folder().expect("it was started here").join("data/postmaster.pid");
        let file = std::fs::read_to_string(file).expect("it notes its process");
        let postmaster = file.lines().next().unwrap_or_default().to_owned();
        Self { server, postmaster, databases: AtomicU32::new(0) }
    }

    /// A new database.
    pub(crate) fn database(&self) -> Database {
        let name = format!("bench{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER bench"));
        Database { url: self.server.url_as(Some("bench"), &name), admin: self.server.url(&name), name }
    }

    /// Gives a database's space back.
    pub(crate) fn drop(&self, database: &Database) {
        self.sql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", database.name));
    }

    /// Runs statements as the administrator.
    pub(crate) fn sql(&self, database: &str, statements: &str) -> String {
        self.server.sql(database, statements).unwrap_or_else(|error| panic!("{error}, in: {statements}"))
    }

    pub(crate) fn spent(&self) -> Spent {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ticks = entries.map(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let fields: Vec<&str> =
                stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
            if fields.len() < 15 || (fields[1] != self.postmaster && *entry.file_name() != *self.postmaster) {
                return 0.0;
            }
            // Its own and, once they have ended, its children's.
            fields[11..15].iter().filter_map(|field| field.parse::<f64>().ok()).sum()
        });
        let cpu = ticks.sum::<f64>() * 10_000.0;
        let counts = self.sql(
            "postgres",
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text || ' ' || (pg_current_wal_insert_lsn() - '0/0')",
        );
        let mut counts = counts.split(' ').filter_map(|count| count.parse().ok());
        Spent { cpu, writes: counts.next().unwrap_or(0.0), log: counts.next().unwrap_or(0.0) }
    }
}
