//! Databases for tests: one per test, cloned from a migrated template.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use meshhook_postgres::{PgOptions, PgStore};
use throwaway_postgres::{Pooler, Server, WITHOUT_POOLER_VARIABLE};

/// The role that owns the schema.
pub(crate) const OWNER: &str = "meshhook_test_owner";
/// The role that the store works as: it owns nothing and is held to the wall between projects.
pub(crate) const APP: &str = "meshhook_test_app";

/// Has the schema's functions plan for the values at hand, without any index and without nested loops, where that can be done.
pub(crate) const OTHER_PLANS: &str = "DO $$
    DECLARE
        f regprocedure;
        s text;
    BEGIN
        FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'meshhook'::regnamespace AND prokind = 'f' LOOP
            FOREACH s IN ARRAY ARRAY['plan_cache_mode = force_custom_plan', 'enable_seqscan = on', 'enable_indexscan = off',
                'enable_indexonlyscan = off', 'enable_bitmapscan = off', 'enable_nestloop = off', 'enable_hashjoin = on',
                'enable_mergejoin = on', 'enable_sort = on', 'enable_material = on'] LOOP
                EXECUTE format('ALTER FUNCTION %s SET %s', f, s);
            END LOOP;
        END LOOP;
    END
$$";

/// A database of its own, dropped with the value.
pub(crate) struct Database {
    server: &'static Server,
    name: String,
}

impl Database {
    /// A migrated, empty database.
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = Server::shared();
        let template = template(server);
        let name = format!("{template}_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        create(server, &name, template);
        Self { server, name }
    }

    /// Its URL for the application's role.
    pub(crate) fn url(&self) -> String {
        self.server.url_as(Some(APP), &self.name)
    }

    /// Its URL for the application's role through a pooler that hands each transaction to another of a few sessions;
    /// `None` where one is to be done without.
    pub(crate) fn pooled_url(&self) -> Option<String> {
        static POOLER: OnceLock<Option<Pooler>> = OnceLock::new();
        let pooler =
            POOLER.get_or_init(|| {
                if std::env::var_os(WITHOUT_POOLER_VARIABLE).is_some() {
                    return None;
                }
                let started = Pooler::start(self.server, &[OWNER, APP], 3);
                Some(started.unwrap_or_else(|error| {
                    panic!("{error}; or set {WITHOUT_POOLER_VARIABLE} to do without")
                }))
            });
        pooler.as_ref().map(|pooler| pooler.url_as(APP, &self.name))
    }

    /// Its URL for the role that owns the schema.
    pub(crate) fn owner_url(&self) -> String {
        self.server.url_as(Some(OWNER), &self.name)
    }

    /// Runs statements as the administrator.
    pub(crate) fn sql(&self, statements: &str) -> String {
        self.server.sql(&self.name, statements).unwrap()
    }

    /// Waits until somebody waits for a lock in it.
    pub(crate) async fn somebody_waits(&self) {
        // Who waits for a row waits for a transaction, which belongs to no database.
        let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
             WHERE NOT l.granted AND a.datname = current_database()";
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
        while self.sql(waiting) == "0" {
            assert!(tokio::time::Instant::now() < until, "nobody waits for a lock");
            tokio::task::yield_now().await;
        }
    }

    /// A store on it.
    pub(crate) async fn store(&self, options: PgOptions) -> PgStore {
        PgStore::connect(&self.url(), options).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let _ = self.server.sql("postgres", &drop);
    }
}

/// `CREATE DATABASE` needs its template to itself.
fn create(server: &Server, name: &str, template: &str) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    server.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER}")).unwrap();
}

/// The name of the migrated template, made once per process.
fn template(server: &Server) -> &'static str {
    static TEMPLATE: OnceLock<String> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let name = format!("meshhook_test_{}", std::process::id());
        for role in [OWNER, APP] {
            let make = format!(
                "DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
            );
            server.sql("postgres", &make).unwrap();
        }
        let _ = server.sql("postgres", &format!("DROP DATABASE IF EXISTS {name}"));
        create(server, &name, "template0");
        let url = server.url_as(Some(OWNER), &name);
        let migrated = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(meshhook_postgres::migrate(&url))
        });
        migrated.join().unwrap().unwrap();
        server.sql(&name, &meshhook_postgres::grant_sql(APP)).unwrap();
        name
    })
}
