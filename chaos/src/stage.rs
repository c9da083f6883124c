//! One run from the start of its database to its report.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use meshhook_core::clock::{Entropy as _, SystemEntropy};
use meshhook_core::secret::MasterKey;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::check::{self, Violation};
use crate::client::Clients;
use crate::fault::{Fault, Hits};
use crate::guard::Guard;
use crate::nemesis::{FULL_DISK, Nemesis, calm};
use crate::place::Place;
use crate::proxy::Lane;
use crate::report::Report;
use crate::server::{Program, Server};
use crate::workflow::{self, ITEMS, SECRET, SECRET_NAME, WORKFLOW};
use crate::{Options, Outcome, effect};

/// How long a server may be silent before others take over what it holds. Shorter than a host would choose, so that
/// there are many takeovers in little time.
const LEASE: Duration = Duration::from_secs(3);
/// How often servers look, which is the engine's default.
const POLL: Duration = Duration::from_secs(1);
/// How long runs may take to end once the faults have stopped: longer is a violation.
const SETTLING: Duration = Duration::from_secs(60);
/// How much longer for each suspect that is left then: a worker takes one at a time, and the next when that has done a
/// step.
const A_SUSPECT: Duration = Duration::from_millis(500);

/// Runs it all; answers whether all is well.
pub(crate) async fn run(options: Options) -> Outcome<bool> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let folder = tempfile::Builder::new().prefix("meshhook-chaos-").tempdir()?;
    let closing = CancellationToken::new();
    let done = tokio::select! {
        biased;
        _ = terminate.recv() => Err("told to end".into()),
        _ = interrupt.recv() => Err("interrupted".into()),
        done = play(&options, folder.path(), &closing) => done,
    };
    closing.cancel();
    let keeps = options.keep || matches!(done, Ok(false));
    if keeps {
        println!("logs and ledgers are in {}", folder.keep().display());
    }
    done
}

async fn play(options: &Options, folder: &Path, closing: &CancellationToken) -> Outcome<bool> {
    let began = Instant::now();
    let seed = match options.seed {
        Some(seed) => seed,
        None => draw()?,
    };
    let faults: BTreeSet<Fault> = match &options.faults[..] {
        [] => Fault::ALL.into(),
        chosen => chosen.iter().copied().collect(),
    };
    println!("seed {seed}");
    let effects_file = folder.join("effects");
    let (_effects, effects_port) = start_effects(&effects_file, seed).await?;
    let place = Place::start().await?;
    let (servers, supervisors) = start_servers(options, seed, folder, &place, closing).await?;
    set_up(&servers[0], effects_port).await?;
    for statement in FULL_DISK {
        place.sql(statement).await?;
    }

    // What comes after the faults must fit in, too.
    let total = Duration::from_secs_f64(options.minutes * 60.0);
    let after = Duration::from_secs(if options.minutes > 2.0 { 45 } else { 20 });
    let phase = total.saturating_sub(began.elapsed() + after).max(Duration::from_secs(5));
    let (stop, end) = (CancellationToken::new(), CancellationToken::new());
    let clients = Clients::new(&servers, seed)?;
    let clients = tokio::spawn(clients.send(options.rate, stop.clone(), end.clone()));
    let nemesis = Arc::new(Nemesis {
        seed,
        lease: LEASE,
        servers: servers.clone(),
        place: place.clone(),
        hits: Hits::new(&faults),
        strikes: Default::default(),
    });
    let rage = tokio::spawn(nemesis.clone().rage(faults, stop.clone()));
    println!("{} s of faults", phase.as_secs());
    tokio::time::sleep(phase).await;
    stop.cancel();
    rage.await?;

    let settled = settle(&servers, &place, &clients).await?;
    end.cancel();
    let ledger = clients.await?;
    let mut violations = settled.violations;
    violations.extend(
        servers.iter().flat_map(|server| server.ended_by_itself()).map(|what| Violation::new(10, what)),
    );

    let (stories, found) = check::load(&place).await?;
    violations.extend(found);
    let ended = stories.values().filter(|story| story.has_ended).map(|story| story.run.clone()).collect();
    let time = total.saturating_sub(began.elapsed()).max(Duration::from_secs(10));
    let (verified, found) = check::verify(&servers, ended, time).await?;
    violations.extend(found);
    let recorded = check::recorded(&place).await?;
    let effects = effect::read(&effects_file)?;
    let counts = nemesis.hits.counts();
    let kills = counts.get(&Fault::Kill).map_or(0, |count| count.hits);
    let (figures, found) = check::check(&stories, &ledger, &recorded, &effects, kills);
    violations.extend(found);
    violations.extend(panics(folder)?.into_iter().map(|what| Violation::new(10, what)));
    violations.sort();
    violations.dedup();

    let strikes = nemesis.strikes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let strikes_of = |fault| strikes.iter().filter(|strike| strike.fault == fault).collect::<Vec<_>>();
    let report = Report {
        options,
        seed,
        phase,
        lease: LEASE,
        counts,
        ledger: &ledger,
        figures,
        resumes: [Fault::Kill, Fault::Stop]
            .map(|fault| (fault, check::resumes(&stories, &strikes_of(fault)))),
        progress: check::progress(&stories, &strikes_of(Fault::Restart)),
        settled_in: settled.took,
        suspects_left: settled.suspects,
        verified,
        violations,
    };
    print!("\n{report}");
    if let Some(run) = report.smallest(&stories) {
        println!("\nthe shortest history with a violation, {run}:\n{}", check::show(&place, &run).await?);
    }
    closing.cancel();
    for supervisor in supervisors {
        supervisor.await?;
    }
    Ok(report.is_well())
}

fn draw() -> Outcome<u64> {
    let mut bytes = [0; 8];
    SystemEntropy.fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes) >> 16)
}

/// Starts the outside world; answers the port that it listens on.
async fn start_effects(file: &Path, seed: u64) -> Outcome<(Child, u16)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("effects").arg(file).arg(seed.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn()?;
    let out = child.stdout.take().ok_or("standard output is piped")?;
    let port = BufReader::new(out).lines().next_line().await?.ok_or("the outside world did not start")?;
    Ok((child, port.parse()?))
}

type Servers = (Vec<Arc<Server>>, Vec<JoinHandle<()>>);

async fn start_servers(
    options: &Options,
    seed: u64,
    folder: &Path,
    place: &Place,
    closing: &CancellationToken,
) -> Outcome<Servers> {
    let guard = Arc::new(Guard::start()?);
    let mut key = [0; 32];
    SystemEntropy.fill(&mut key)?;
    let program = Program {
        binary: binary(folder)?,
        key: MasterKey::from_bytes(key).to_base64().expose().to_owned(),
        lease: LEASE,
        folder: folder.to_owned(),
    };
    let (mut servers, mut supervisors) = (Vec::new(), Vec::new());
    for number in 0..options.workers {
        let lane = Lane::open(place.port(), seed ^ u64::from(number), closing.child_token()).await?;
        let takes_in = number == 0 || number + 1 < options.workers;
        let (server, supervisor) =
            Server::start(number, takes_in, lane, program.clone(), guard.clone(), closing.child_token())?;
        // One after the other: the first one brings the schema up to date.
        tokio::time::timeout(STARTING, server.listens()).await.map_err(|_| "a server did not start")?;
        servers.push(server);
        supervisors.push(supervisor);
    }
    Ok((servers, supervisors))
}

/// How long a server may take to start.
const STARTING: Duration = Duration::from_secs(60);

/// A copy of the example server, which is built beside this program: another build meanwhile changes nothing.
fn binary(folder: &Path) -> Outcome<PathBuf> {
    let own = std::env::current_exe()?;
    let binary = own.parent().ok_or("a program lies in a folder")?.join("examples/server");
    let copy = folder.join("server");
    std::fs::copy(&binary, &copy)
        .map_err(|error| format!("{}: {error}: use `cargo xtask chaos`", binary.display()))?;
    Ok(copy)
}

async fn set_up(server: &Server, effects: u16) -> Outcome<()> {
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
    let project = server.url("/api/projects/default");
    let secret = http.put(format!("{project}/secrets/{SECRET_NAME}")).json(&json!({ "value": SECRET }));
    expect(secret, 204).await?;
    for (slug, definition) in
        [(WORKFLOW, workflow::definition(effects)), (ITEMS, workflow::definition_of_items(effects))]
    {
        let create: Value = json!({ "slug": slug, "definition": definition });
        expect(http.post(format!("{project}/workflows")).json(&create), 201).await?;
        expect(http.post(format!("{project}/workflows/{slug}/publish")), 201).await?;
    }
    Ok(())
}

async fn expect(request: reqwest::RequestBuilder, status: u16) -> Outcome<()> {
    let answer = request.send().await?;
    if answer.status().as_u16() == status {
        return Ok(());
    }
    Err(format!("{} for {}: {}", answer.status(), answer.url().path().to_owned(), answer.text().await?)
        .into())
}

/// What came after the faults.
struct Settled {
    /// How long it took until all runs had ended.
    took: Option<Duration>,
    suspects: usize,
    violations: Vec<Violation>,
}

/// Leaves the servers alone until everything has ended.
async fn settle<T>(servers: &[Arc<Server>], place: &Place, clients: &JoinHandle<T>) -> Outcome<Settled> {
    servers.iter().for_each(|server| calm(&server.lane));
    let calm_since = Instant::now();
    for server in servers {
        tokio::time::timeout(STARTING, server.listens()).await.map_err(|_| "a server does not come back")?;
    }
    tokio::time::sleep_until(calm_since + LEASE + POLL * 2).await;
    let check::Left { suspects, violations } = check::left(place, POLL * 2).await?;
    let mut settled = Settled { took: None, suspects, violations };
    let within = SETTLING + A_SUSPECT * u32::try_from(suspects).unwrap_or(u32::MAX);
    while calm_since.elapsed() < within {
        if clients.is_finished() && check::live_runs(place).await? == 0 {
            settled.took = Some(calm_since.elapsed());
            return Ok(settled);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    settled.violations.push(Violation::new(11, format!("not all runs have ended after {within:?}")));
    Ok(settled)
}

/// Panics of servers, as their logs tell.
fn panics(folder: &Path) -> Outcome<Vec<String>> {
    let mut panics = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            let lines = text.lines().filter(|line| line.contains("panicked at"));
            panics.extend(lines.map(|line| format!("{}: {line}", path.display())));
        }
    }
    Ok(panics)
}
