//! An application that embeds the engine: in this process, or behind HTTP in one of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshhook::axum::{OpenLoopback, RouterOptions, router};
use meshhook::engine::{Engine, EngineError, EngineOptions, Project};
use meshhook::http::HttpExecutor;
use meshhook::id::{ProjectId, WorkflowSlug};
use meshhook::postgres::{PgOptions, PgStore, migrate};
use meshhook::secret::{MasterKey, SecretName, SecretValue, StaticKeys};
use serde::{Deserialize, Serialize};

use super::shape::{NoOp, Shape};
use super::watched::{Counts, Watched};
use crate::kit::client::SECRET;
use crate::kit::cluster::Database;
use crate::kit::cpu_micros;

/// How a host is set up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) url: String,
    /// Where `http_call` nodes send to.
    pub(crate) stub: String,
    /// Whether it runs what it takes in.
    pub(crate) works: bool,
    /// Whether it looks at the store only when it has a reason to.
    pub(crate) is_calm: bool,
    /// How much later than the store a commit answers.
    pub(crate) commit_delay_ms: u64,
    /// Whether it keeps no inbox of deliveries.
    #[serde(default)]
    pub(crate) without_inbox: bool,
}

impl Setup {
    /// What a host would do who changes nothing.
    pub(crate) fn on(database: &Database) -> Self {
        let (url, stub) = (database.url.clone(), "http://127.0.0.1:9/".into());
        Self { url, stub, works: true, is_calm: false, commit_delay_ms: 0, without_inbox: false }
    }
}

/// An engine in this process, with all shapes published.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) project: Project,
    pub(crate) store: Arc<Watched>,
}

impl Host {
    pub(crate) async fn start(setup: &Setup) -> Self {
        migrate(&setup.url).await.expect("the schema is made");
        let store = PgStore::connect(&setup.url, PgOptions::new()).await.expect("a store");
        let store = Arc::new(Watched::new(Arc::new(store), Duration::from_millis(setup.commit_delay_ms)));
        let mut options = EngineOptions::default();
        options.works = setup.works;
        if setup.without_inbox {
            options.delivery_retention = Duration::ZERO;
        }
        if setup.is_calm {
            (options.poll, options.lease) = (Duration::from_secs(600), Duration::from_secs(3_600));
        }
        let http = HttpExecutor::builder().allow_private_network().build().expect("an executor");
        let engine = Engine::builder(store.clone())
            .options(options)
            .key_provider(Arc::new(StaticKeys::new(MasterKey::from_bytes([7; 32]))))
            .http_call(Arc::new(http))
            .node(NoOp)
            .start()
            .expect("the engine starts");
        let project = engine.project(&ProjectId::default_project());
        let host = Self { engine, project, store };
        host.publish(&setup.stub).await;
        host
    }

    async fn publish(&self, stub: &str) {
        let name = SecretName::new("gh_webhook").expect("a valid name");
        let secret = SecretValue::new(SECRET.to_owned());
        self.project.set_secret(&name, &secret).await.expect("a secret");
        for shape in Shape::ALL {
            let slug = WorkflowSlug::new(shape.slug()).expect("a valid slug");
            match self.project.create_workflow(&slug, shape.definition(stub)).await {
                Ok(_) => drop(self.project.publish(&slug).await.expect("published")),
                // A host was here before.
                Err(EngineError::SlugTaken) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) async fn stop(self) {
        self.engine.shutdown(Duration::from_secs(5)).await;
    }
}

/// A host in a process of its own, behind HTTP.
pub(crate) struct Server {
    process: Child,
    pipes: Mutex<Option<Pipes>>,
    pub(crate) address: String,
}

struct Pipes {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// The first argument of a process that is to be a host; its setup follows.
pub(crate) const SERVE: &str = "serve";

impl Server {
    /// Starts this program again, as a host.
    pub(crate) fn start(setup: &Setup) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let setup = serde_json::to_string(setup).expect("plain data");
        let mut process = Command::new(program)
            .args([SERVE, &setup])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let input = process.stdin.take().expect("it is piped");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut pipes = Pipes { input, output };
        let address = pipes.line();
        Self { process, pipes: Mutex::new(Some(pipes)), address }
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn cpu_micros(&self) -> f64 {
        cpu_micros(self.process())
    }

    /// What its store was asked.
    pub(crate) fn counts(&self) -> Counts {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let pipes = pipes.as_mut().expect("it was not stopped");
        pipes.input.write_all(b"\n").expect("the host listens");
        serde_json::from_str(&pipes.line()).expect("counts")
    }
}

impl Pipes {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the host speaks");
        line.trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A host whose input ends hands back what it holds, and ends.
        drop(self.pipes.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.process.wait();
    }
}

/// Serves until standard input ends; answers each line with what the store was asked so far.
#[expect(clippy::print_stdout, reason = "it speaks to the process that started it")]
pub(crate) async fn serve(setup: &str) {
    let setup: Setup = serde_json::from_str(setup).expect("a setup");
    let host = Host::start(&setup).await;
    let app = router(host.engine.clone(), RouterOptions::new(OpenLoopback));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{}", listener.local_addr().expect("bound"));
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // Answers are small; without this they wait for the client's acknowledgements.
        let _ = stream.set_nodelay(true);
    });
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let store = host.store.clone();
    let answer = move || println!("{}", serde_json::to_string(&store.counts()).expect("plain data"));
    let speaking = move || std::io::stdin().lines().for_each(|_| answer());
    tokio::task::spawn_blocking(speaking).await.expect("nothing panics");
    serving.abort();
    host.stop().await;
}
