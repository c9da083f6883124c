//! Between the servers and their database: a proxy that is slow, deaf, or breaks off.
//!
//! ```text
//!   server 0 ──► lane 0 ──┐
//!   server 1 ──► lane 1 ──┼──► Postgres
//!   server 2 ──► lane 2 ──┘
//! ```
//!
//! Every server has a lane of its own, so that one can lose the database while the others keep it. Messages go on whole,
//! except where a connection is to break inside one. A broken connection is closed on both sides; in a partition nothing
//! goes on and nothing is closed, so that neither side learns of the other's end.
//!
//! A lost commit is made by waiting for one: the next message that commits something is either not handed on at all, or
//! handed on, and its reply is taken from the database and thrown away. Both look the same to the server.
//!
//! What is in flight is what changes a run: a start, an advance, a message, a release; a claim only if its answer has more
//! than the one row that an idle worker's look has, too. Who only looks is hit, but meets nothing.

mod wire;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::wire::{Intent, Statements, Work};
use crate::random::Random;

/// The way of one server to its database.
#[derive(Debug)]
pub(crate) struct Lane {
    port: u16,
    upstream: u16,
    /// The longest time that a message takes, in microseconds.
    delay: AtomicU64,
    is_deaf: watch::Sender<bool>,
    /// What happens to the next commit.
    commit: AtomicU8,
    /// How many of the next commits are slow, and how slow.
    slow: AtomicU64,
    slowness: AtomicU64,
    dropped: AtomicU64,
    /// How many commits of something were lost or slow.
    met: AtomicU64,
    connections: Mutex<BTreeMap<u64, Arc<Connection>>>,
    /// How many messages have met a delay.
    delayed: AtomicU64,
    /// Told of every commit of something that is on its way.
    begun: Notify,
}

/// How a commit is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It does not arrive.
    Request,
    /// It happens, and its reply does not arrive.
    Reply,
}

const KEEP: u8 = 0;
const LOSE_REQUEST: u8 = 1;
const LOSE_REPLY: u8 = 2;

/// One connection of a server.
#[derive(Debug)]
struct Connection {
    broken: CancellationToken,
    /// Whether it waits for the answer to a commit of something.
    commits: AtomicBool,
    /// Whether the claim that it waits for was hit, and how many rows the answer has so far.
    hits_claim: AtomicBool,
    rows: AtomicU64,
    /// After how many more bytes it breaks; below zero is never.
    breaks_after: AtomicI64,
    /// Whether the next answer is thrown away.
    swallows: AtomicBool,
    /// How late the next answer is, in microseconds.
    stalls: AtomicU64,
}

impl Lane {
    /// Opens a lane to a port of this machine. It closes with the token.
    pub(crate) async fn open(upstream: u16, seed: u64, closing: CancellationToken) -> io::Result<Arc<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let lane = Arc::new(Self {
            port: listener.local_addr()?.port(),
            upstream,
            delay: AtomicU64::new(0),
            is_deaf: watch::Sender::new(false),
            commit: AtomicU8::new(KEEP),
            slow: AtomicU64::new(0),
            slowness: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            met: AtomicU64::new(0),
            connections: Mutex::default(),
            delayed: AtomicU64::new(0),
            begun: Notify::new(),
        });
        tokio::spawn(lane.clone().serve(listener, seed, closing));
        Ok(lane)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Lets messages take up to this long; zero ends it. Answers how many messages were late since the last call.
    pub(crate) fn delay(&self, longest: Duration) -> u64 {
        self.delay.store(micros(longest), Ordering::Relaxed);
        self.delayed.swap(0, Ordering::Relaxed)
    }

    /// Lets nothing through any more, or again. Answers whether a commit is under way.
    pub(crate) fn deafen(&self, is_deaf: bool) -> bool {
        self.is_deaf.send_replace(is_deaf);
        self.is_busy()
    }

    /// Breaks one connection after so many more bytes, one in the middle of something if it `aims` and there is one.
    /// Answers whether its commit is under way, or `None` if there is no connection.
    pub(crate) fn cut(&self, random: &mut Random, aims: bool, bytes: i64) -> Option<bool> {
        let live = self.live();
        let busy: Vec<_> = live.iter().filter(|connection| aims && connection.is_busy()).collect();
        let chosen = match busy.len() {
            0 => live.get(random.below(live.len()))?,
            count => busy[random.below(count)],
        };
        let is_busy = chosen.is_busy();
        chosen.breaks_after.store(bytes, Ordering::Release);
        if bytes == 0 {
            chosen.broken.cancel();
        }
        Some(is_busy)
    }

    /// Breaks all connections.
    pub(crate) fn cut_all(&self) {
        self.live().iter().for_each(|connection| connection.broken.cancel());
    }

    /// Loses the next commit.
    pub(crate) fn lose_commit(&self, loss: Loss) {
        let how = if loss == Loss::Request { LOSE_REQUEST } else { LOSE_REPLY };
        self.commit.store(how, Ordering::Release);
    }

    /// Loses no further commit, and answers how many were lost since the last call.
    pub(crate) fn keep_commits(&self) -> u64 {
        self.commit.store(KEEP, Ordering::Release);
        self.dropped.swap(0, Ordering::AcqRel)
    }

    /// How many commits were lost since they were last to be kept.
    pub(crate) fn lost_commits(&self) -> u64 {
        self.dropped.load(Ordering::Acquire)
    }

    /// Makes the next commits slow by so much each, on the way there or on the way back. Answers how many of those that
    /// were to be slow before were not.
    pub(crate) fn slow_commits(&self, count: u64, slowness: Duration) -> u64 {
        self.slowness.store(micros(slowness), Ordering::Release);
        self.slow.swap(count, Ordering::AcqRel)
    }

    /// How many commits of something were lost or slow so far. Two faults may come to one lane at a time, so nobody takes
    /// them.
    pub(crate) fn met(&self) -> u64 {
        self.met.load(Ordering::Acquire)
    }

    /// Whether a commit is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.live().iter().any(|connection| connection.is_busy())
    }

    /// Waits until a commit is under way.
    pub(crate) async fn becomes_busy(&self) {
        let begun = self.begun.notified();
        if !self.is_busy() {
            begun.await;
        }
    }

    fn live(&self) -> Vec<Arc<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    async fn serve(self: Arc<Self>, listener: TcpListener, seed: u64, closing: CancellationToken) {
        for number in 0.. {
            let accepted = tokio::select! {
                biased;
                () = closing.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((server, _)) = accepted else { continue };
            let connection = Arc::new(Connection {
                broken: closing.child_token(),
                commits: AtomicBool::new(false),
                hits_claim: AtomicBool::new(false),
                rows: AtomicU64::new(0),
                breaks_after: AtomicI64::new(-1),
                swallows: AtomicBool::new(false),
                stalls: AtomicU64::new(0),
            });
            let connections = || self.connections.lock().unwrap_or_else(PoisonError::into_inner);
            connections().insert(number, connection.clone());
            let (lane, random) = (self.clone(), Random::of(seed, &format!("connection {number}")));
            tokio::spawn(async move {
                // Why it ended does not matter: both sides are closed.
                let _ = lane.connect(server, &connection, random).await;
                lane.connections.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
            });
        }
    }

    async fn connect(&self, server: TcpStream, connection: &Connection, random: Random) -> io::Result<()> {
        let mut deaf = self.is_deaf.subscribe();
        tokio::select! {
            biased;
            () = connection.broken.cancelled() => return Ok(()),
            _ = deaf.wait_for(|deaf| !deaf) => {}
        }
        let database = TcpStream::connect(("127.0.0.1", self.upstream)).await?;
        server.set_nodelay(true)?;
        database.set_nodelay(true)?;
        let (from_server, to_server) = server.into_split();
        let (from_database, to_database) = database.into_split();
        tokio::select! {
            biased;
            () = connection.broken.cancelled() => Ok(()),
            ended = self.ask(connection, from_server, to_database, random.clone()) => ended,
            ended = self.answer(connection, from_database, to_server, random) => ended,
        }
    }

    /// Hands on what the server says.
    async fn ask(
        &self,
        connection: &Connection,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        mut random: Random,
    ) -> io::Result<()> {
        let (mut buffer, mut statements, mut is_first) = (BytesMut::new(), Statements::default(), true);
        loop {
            while let Some(message) = wire::next(&mut buffer, is_first).map_err(io::Error::other)? {
                is_first = false;
                match statements.read(&message) {
                    Intent::Commits(work) => {
                        if work == Work::Sure {
                            connection.commits.store(true, Ordering::Release);
                            self.begun.notify_waiters();
                        }
                        match self.commit.swap(KEEP, Ordering::AcqRel) {
                            LOSE_REQUEST => {
                                self.meet(connection, work);
                                self.dropped.fetch_add(1, Ordering::AcqRel);
                                return Ok(());
                            }
                            LOSE_REPLY => {
                                self.meet(connection, work);
                                connection.swallows.store(true, Ordering::Release);
                            }
                            _ => self.hold_up(connection, work, &mut random).await,
                        }
                    }
                    Intent::Other => {}
                }
                self.hand_on(connection, &message.bytes, &mut to, &mut random).await?;
            }
            if from.read_buf(&mut buffer).await? == 0 {
                return self.notice_the_end().await;
            }
        }
    }

    /// Notes what a commit was of that is lost or slow; of a claim its answer will tell.
    fn meet(&self, connection: &Connection, work: Work) {
        match work {
            Work::Sure => {
                self.met.fetch_add(1, Ordering::AcqRel);
            }
            Work::IfAnswered => connection.hits_claim.store(true, Ordering::Release),
            Work::Unknown => {}
        }
    }

    /// Makes a commit slow, if it is to be.
    async fn hold_up(&self, connection: &Connection, work: Work, random: &mut Random) {
        let one_less = |left: u64| left.checked_sub(1);
        if self.slow.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_err() {
            return;
        }
        self.meet(connection, work);
        let slowness = self.slowness.load(Ordering::Acquire);
        if random.percent(50) {
            tokio::time::sleep(Duration::from_micros(slowness)).await;
        } else {
            connection.stalls.store(slowness, Ordering::Release);
        }
    }

    /// Hands on what the database says.
    async fn answer(
        &self,
        connection: &Connection,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        mut random: Random,
    ) -> io::Result<()> {
        let mut buffer = BytesMut::new();
        loop {
            while let Some(message) = wire::next(&mut buffer, false).map_err(io::Error::other)? {
                let is_ready = message.kind == b'Z';
                self.count(connection, message.kind);
                // What comes first (a notice of the bind, a row) is held back with the rest of the reply.
                if connection.swallows.load(Ordering::Acquire) {
                    if is_ready {
                        self.dropped.fetch_add(1, Ordering::AcqRel);
                        return Ok(());
                    }
                    continue;
                }
                let stall = connection.stalls.swap(0, Ordering::AcqRel);
                if stall > 0 {
                    tokio::time::sleep(Duration::from_micros(stall)).await;
                }
                self.hand_on(connection, &message.bytes, &mut to, &mut random).await?;
                if is_ready {
                    connection.commits.store(false, Ordering::Release);
                }
            }
            if from.read_buf(&mut buffer).await? == 0 {
                return self.notice_the_end().await;
            }
        }
    }

    /// Counts the rows of an answer, and finds out at its end whether a claim that was hit took anything.
    fn count(&self, connection: &Connection, kind: u8) {
        match kind {
            b'D' => {
                connection.rows.fetch_add(1, Ordering::AcqRel);
            }
            b'Z' => {
                let rows = connection.rows.swap(0, Ordering::AcqRel);
                if connection.hits_claim.swap(false, Ordering::AcqRel) && rows > 1 {
                    self.met.fetch_add(1, Ordering::AcqRel);
                }
            }
            _ => {}
        }
    }

    async fn hand_on(
        &self,
        connection: &Connection,
        bytes: &[u8],
        to: &mut OwnedWriteHalf,
        random: &mut Random,
    ) -> io::Result<()> {
        let longest = Duration::from_micros(self.delay.load(Ordering::Relaxed));
        if !longest.is_zero() {
            self.delayed.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(random.within(Duration::ZERO..longest)).await;
        }
        let mut deaf = self.is_deaf.subscribe();
        // The sender lives as long as this lane.
        let _ = deaf.wait_for(|deaf| !deaf).await;
        let left = connection.breaks_after.load(Ordering::Acquire);
        let whole = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        if left >= 0 {
            if left < whole {
                to.write_all(&bytes[..usize::try_from(left).unwrap_or(0)]).await?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            connection.breaks_after.fetch_sub(whole, Ordering::AcqRel);
        }
        to.write_all(bytes).await
    }

    /// One side has closed; in a partition the other does not hear of it.
    async fn notice_the_end(&self) -> io::Result<()> {
        let mut deaf = self.is_deaf.subscribe();
        let _ = deaf.wait_for(|deaf| !deaf).await;
        Ok(())
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

impl Connection {
    fn is_busy(&self) -> bool {
        self.commits.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &[u8], body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [kind, &length.to_be_bytes()[..], body].concat()
    }

    /// A database that is ready after each message; and the messages that it got, the first one of each session aside.
    async fn database() -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let got: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let seen = got.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    let (mut buffer, mut is_first) = (BytesMut::new(), true);
                    while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
                        while let Ok(Some(message)) = wire::next(&mut buffer, is_first) {
                            if !is_first {
                                seen.lock().unwrap().push(message.body().to_vec());
                            }
                            is_first = false;
                            stream.write_all(b"Z\0\0\0\x05I").await.unwrap();
                        }
                    }
                });
            }
        });
        (port, got)
    }

    struct Session(TcpStream);

    impl Session {
        async fn open(lane: &Lane) -> Self {
            let mut session = Self(TcpStream::connect(("127.0.0.1", lane.port())).await.unwrap());
            assert!(session.ask(&message(b"", b"\0\x03\0\0")).await);
            session
        }

        /// Whether an answer comes before the end.
        async fn ask(&mut self, message: &[u8]) -> bool {
            self.0.write_all(message).await.unwrap();
            let mut answer = [0; 6];
            self.0.read_exact(&mut answer).await.is_ok()
        }
    }

    async fn lane() -> (Arc<Lane>, Arc<Mutex<Vec<Vec<u8>>>>, CancellationToken) {
        let (port, got) = database().await;
        let closing = CancellationToken::new();
        (Lane::open(port, 1, closing.clone()).await.unwrap(), got, closing)
    }

    #[tokio::test]
    async fn messages_pass_until_a_commit_is_to_be_lost() {
        let (lane, got, _closing) = lane().await;
        let mut session = Session::open(&lane).await;
        lane.lose_commit(Loss::Request);
        assert!(session.ask(&message(b"Q", b"SELECT 1\0")).await);
        assert!(!session.ask(&message(b"Q", b"COMMIT\0")).await);
        assert_eq!(*got.lock().unwrap(), [b"SELECT 1\0"]);
        assert_eq!(lane.keep_commits(), 1);
        assert!(Session::open(&lane).await.ask(&message(b"Q", b"COMMIT\0")).await);
    }

    #[tokio::test]
    async fn a_commit_whose_reply_is_lost_has_happened() {
        let (lane, got, _closing) = lane().await;
        let mut session = Session::open(&lane).await;
        lane.lose_commit(Loss::Reply);
        assert!(!session.ask(&message(b"Q", b"COMMIT\0")).await);
        assert_eq!(*got.lock().unwrap(), [b"COMMIT\0"]);
        assert_eq!(lane.keep_commits(), 1);
    }

    #[tokio::test]
    async fn a_lost_look_meets_nothing_and_a_lost_step_does() {
        let (lane, _got, _closing) = lane().await;
        for (asked, met) in [
            (&b"SELECT * FROM meshhook.claim_v1()\0"[..], 0),
            (b"COMMIT\0", 0),
            (b"SELECT * FROM meshhook.advance_v1()\0", 1),
        ] {
            for loss in [Loss::Request, Loss::Reply] {
                let mut session = Session::open(&lane).await;
                let before = lane.met();
                lane.lose_commit(loss);
                assert!(!session.ask(&message(b"Q", asked)).await);
                assert_eq!((lane.keep_commits(), lane.met() - before), (1, met), "{loss:?}");
            }
        }
    }

    #[tokio::test]
    async fn in_a_partition_nothing_passes_and_nothing_breaks() {
        let (lane, got, _closing) = lane().await;
        let mut session = Session::open(&lane).await;
        lane.deafen(true);
        let asked = message(b"Q", b"SELECT meshhook.post_v1()\0");
        let patience = Duration::from_millis(50);
        let asking = session.ask(&asked);
        tokio::pin!(asking);
        assert!(tokio::time::timeout(patience, &mut asking).await.is_err());
        assert!(got.lock().unwrap().is_empty() && lane.is_busy());
        lane.deafen(false);
        assert!(asking.await);
    }

    #[tokio::test]
    async fn a_connection_breaks_inside_a_message() {
        let (lane, got, _closing) = lane().await;
        let mut session = Session::open(&lane).await;
        lane.cut(&mut Random::of(1, "cut"), true, 3);
        assert!(!session.ask(&message(b"Q", b"SELECT 1\0")).await);
        assert!(got.lock().unwrap().is_empty());
    }
}
