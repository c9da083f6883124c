//! The nemesis: brings faults about, each kind in a stream of its own, so that they also come at the same time.
//!
//! A fault that lasts is ended by the stream that began it, also when the phase is over. What could not be brought about
//! (the database was just down, the server was not there) is not counted.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshhook_core::clock::{Clock as _, SystemClock};
use meshhook_core::time::Timestamp;
use sqlx::Row as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Outcome;
use crate::fault::{Fault, Hits};
use crate::place::{DATABASE, Place, ROLE};
use crate::proxy::{Lane, Loss};
use crate::random::Random;
use crate::server::Server;

/// A blow after which somebody has to go on.
#[derive(Debug, Clone)]
pub(crate) struct Strike {
    pub(crate) fault: Fault,
    /// When a server was killed or stopped, or the database was back.
    pub(crate) at: Timestamp,
    /// What that server held.
    pub(crate) runs: BTreeSet<String>,
}

/// Brings faults about.
#[derive(Debug)]
pub(crate) struct Nemesis {
    pub(crate) seed: u64,
    pub(crate) lease: Duration,
    pub(crate) servers: Vec<Arc<Server>>,
    pub(crate) place: Place,
    pub(crate) hits: Hits,
    pub(crate) strikes: Mutex<Vec<Strike>>,
}

impl Nemesis {
    /// Brings faults of these kinds about until told to stop, and ends those that last.
    pub(crate) async fn rage(self: Arc<Self>, faults: BTreeSet<Fault>, stop: CancellationToken) {
        // Fewer kinds come more often, each.
        let share = faults.len() as f64 / Fault::ALL.len() as f64;
        let mut streams = JoinSet::new();
        for fault in faults {
            let (nemesis, stop) = (self.clone(), stop.clone());
            streams.spawn(async move {
                let mut random = Random::of(nemesis.seed, fault.name());
                let usual = share.max(fault.haste());
                let mut haste = usual;
                loop {
                    let pause = random.pause(fault.mean().mul_f64(haste));
                    if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                        return;
                    }
                    // What did not come about comes again sooner.
                    haste = match nemesis.bring(fault, &mut random).await {
                        Some(touched) => {
                            nemesis.hits.note(fault, touched);
                            usual
                        }
                        None => AGAIN,
                    };
                }
            });
        }
        while streams.join_next().await.is_some() {}
    }

    /// Brings a fault about, and ends it. Answers whether it met work in flight, or `None` if it did not come about.
    async fn bring(&self, fault: Fault, random: &mut Random) -> Option<bool> {
        let server = self.servers.get(random.below(self.servers.len()))?;
        let lane = &server.lane;
        let lasts = |random: &mut Random, from: f64, to: f64| {
            random.within(self.lease.mul_f64(from)..self.lease.mul_f64(to))
        };
        // Every other time in the middle of something, and always until a fault of this kind has met work: a server waits
        // for its database a small part of the time only. (Connections break when the limit stands, so that is waited for first.)
        let aims = random.percent(50) || !self.hits.has_met(fault);
        if aims && fault != Fault::Connections {
            self.becomes_busy(lane).await;
        }
        match fault {
            Fault::Kill => self.kill(server).await,
            Fault::Stop => {
                let lasts = lasts(random, 1.1, 3.0);
                let at = SystemClock.now();
                let (pid, worker) = server.stop().await?;
                let held = self.strike(fault, at, Some(&worker)).await;
                tokio::time::sleep(lasts).await;
                server.wake(pid).await;
                Some(held > 0)
            }
            Fault::Restart => {
                let touched = self.servers.iter().any(|server| server.lane.is_busy());
                self.place.crash().await.ok()?;
                tokio::time::sleep(random.within(Duration::ZERO..Duration::from_secs(2))).await;
                while self.place.recover().await.is_err() {
                    // It may have failed to start; it is stopped as far as it got, and started again.
                    let _ = self.place.crash().await;
                }
                self.note_strike(Strike { fault, at: SystemClock.now(), runs: BTreeSet::new() });
                Some(touched)
            }
            Fault::Backend => self.terminate_backend(random, aims).await.ok().flatten(),
            Fault::Cut => {
                let bytes = if random.percent(50) { 0 } else { random.below(4_000) };
                lane.cut(random, aims, i64::try_from(bytes).unwrap_or(0))
            }
            Fault::DropCommit => {
                let met = lane.met();
                lane.lose_commit(if random.percent(50) { Loss::Request } else { Loss::Reply });
                let lost = self.soon(|| lane.lost_commits() > 0).await;
                (lane.keep_commits() > 0 || lost).then(|| lane.met() > met)
            }
            Fault::SlowCommit => {
                let slowness = lasts(random, 0.3, 1.5);
                let met = lane.met();
                lane.slow_commits(2, slowness);
                tokio::time::sleep(slowness).await;
                let left = lane.slow_commits(0, Duration::ZERO);
                (left < 2).then(|| lane.met() > met)
            }
            Fault::Delay => {
                let longest = random.within(Duration::from_millis(5)..Duration::from_millis(300));
                lane.delay(longest);
                tokio::time::sleep(random.within(Duration::from_secs(1)..Duration::from_secs(3))).await;
                Some(lane.delay(Duration::ZERO) > 0)
            }
            Fault::Partition => {
                let touched = lane.deafen(true);
                tokio::time::sleep(lasts(random, 0.2, 2.0)).await;
                lane.deafen(false);
                Some(touched)
            }
            Fault::Full => self.fill(random).await,
            Fault::Connections => {
                let left = 1 + random.below(3);
                self.place.sql(&format!("ALTER ROLE {ROLE} CONNECTION LIMIT {left}")).await.ok()?;
                if aims {
                    self.becomes_busy(lane).await;
                }
                let touched = lane.is_busy();
                lane.cut_all();
                tokio::time::sleep(random.within(Duration::from_millis(500)..Duration::from_secs(3))).await;
                self.insist(&format!("ALTER ROLE {ROLE} CONNECTION LIMIT -1")).await;
                Some(touched)
            }
        }
    }

    async fn kill(&self, server: &Server) -> Option<bool> {
        let was_busy = server.lane.is_busy();
        let killed = server.kill().await?;
        let held = self.strike(Fault::Kill, killed.at, killed.worker.as_deref()).await;
        Some(was_busy || held > 0)
    }

    /// Writes down which runs a worker held that will not go on with them; answers how many.
    async fn strike(&self, fault: Fault, at: Timestamp, worker: Option<&str>) -> usize {
        let Some(worker) = worker else { return 0 };
        let held = format!("SELECT run_id::text FROM meshhook.live_runs WHERE owner = '{worker}'");
        let runs: BTreeSet<String> = match self.place.sql(&held).await {
            Ok(rows) => rows.iter().filter_map(|row| row.try_get(0).ok()).collect(),
            Err(_) => BTreeSet::new(),
        };
        let count = runs.len();
        self.note_strike(Strike { fault, at, runs });
        count
    }

    fn note_strike(&self, strike: Strike) {
        self.strikes.lock().unwrap_or_else(PoisonError::into_inner).push(strike);
    }

    /// Waits until a server waits for a commit of something, but not for long.
    async fn becomes_busy(&self, lane: &Lane) {
        let _ = tokio::time::timeout(A_MOMENT, lane.becomes_busy()).await;
    }

    /// Terminates a session that does something, if there is one; if it `aims`, looks a few times until there is.
    async fn terminate_backend(&self, random: &mut Random, aims: bool) -> Outcome<Option<bool>> {
        let salt = random.below(1 << 20);
        let terminate = |least: &str| {
            format!(
                "SELECT busy, pg_terminate_backend(pid) AS done FROM (
                    SELECT pid, state <> 'idle' AS busy FROM pg_stat_activity
                    WHERE datname = '{DATABASE}' AND usename = '{ROLE}' AND {least}
                    ORDER BY state <> 'idle' DESC, hashint4(pid # {salt}) LIMIT 1) AS chosen"
            )
        };
        let looks = if aims { LOOKS } else { 0 };
        for least in std::iter::repeat_n("state <> 'idle'", looks).chain(["TRUE"]) {
            let rows = self.place.sql(&terminate(least)).await?;
            if let Some(row) = rows.first() {
                return Ok(Some(row.try_get::<Option<bool>, _>(0).ok().flatten().unwrap_or(false)));
            }
        }
        Ok(None)
    }

    /// What the database is to keep finds no room, as it says itself.
    async fn fill(&self, random: &mut Random) -> Option<bool> {
        let before = self.refused().await.ok()?;
        self.place.sql("INSERT INTO chaos.is_full DEFAULT VALUES").await.ok()?;
        tokio::time::sleep(random.within(Duration::from_millis(300)..Duration::from_secs(2))).await;
        self.insist("DELETE FROM chaos.is_full").await;
        self.refused().await.ok().map(|after| after != before)
    }

    /// How often the database has said that it is full; it counts on in spite of what is rolled back.
    async fn refused(&self) -> Outcome<i64> {
        let rows = self.place.sql("SELECT last_value + is_called::integer FROM chaos.refusals").await?;
        Ok(rows.first().ok_or("no sequence")?.try_get(0)?)
    }

    /// Waits until something holds, but not long.
    async fn soon(&self, holds: impl Fn() -> bool) -> bool {
        for _ in 0..200 {
            if holds() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    /// Runs a statement that ends a fault, as often as it takes.
    async fn insist(&self, statement: &str) {
        while self.place.sql(statement).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// How long a fault may wait for work to meet.
const A_MOMENT: Duration = Duration::from_secs(1);
/// How often one looks for a session that does something.
const LOOKS: usize = 50;
/// The share of the time between faults of a kind after which one that did not come about comes again.
const AGAIN: f64 = 0.1;

/// What makes the database say that it is full while `chaos.is_full` has a row. A file system that is really full needs
/// rights that not everybody has, and takes the server with it, which is a fault of its own here; what is tried is what
/// servers do when a commit is refused for want of room.
pub(crate) const FULL_DISK: [&str; 6] = [
    "CREATE SCHEMA chaos",
    "CREATE TABLE chaos.is_full (since timestamptz DEFAULT now())",
    "CREATE SEQUENCE chaos.refusals",
    "CREATE FUNCTION chaos.keep() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        IF EXISTS (SELECT FROM chaos.is_full) THEN
            PERFORM nextval('chaos.refusals');
            RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full';
        END IF;
        RETURN NULL;
    END $$",
    "CREATE TRIGGER full_disk BEFORE INSERT ON meshhook.history
        FOR EACH STATEMENT EXECUTE FUNCTION chaos.keep()",
    "CREATE TRIGGER full_disk BEFORE INSERT ON meshhook.inbox
        FOR EACH STATEMENT EXECUTE FUNCTION chaos.keep()",
];

/// Ends what a lane may still do to its server.
pub(crate) fn calm(lane: &Lane) {
    lane.deafen(false);
    lane.delay(Duration::ZERO);
    lane.slow_commits(0, Duration::ZERO);
    lane.keep_commits();
}
