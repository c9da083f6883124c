//! What can be set, by flag or environment.

use std::net::SocketAddr;
use std::time::Duration;

use meshhook::time::parse_duration;

use crate::Error;

/// Durable workflows for webhooks, in one process.
#[derive(clap::Parser)]
#[command(version, name = "server")]
pub(crate) struct Flags {
    /// Address to listen on [default: 127.0.0.1:8080]
    ///
    /// Port 0 takes a free one. Without an admin key only loopback addresses are served.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,

    /// Port to listen on where --listen is not given: on all addresses with an admin key, else on 127.0.0.1
    #[arg(long, env = "PORT")]
    pub(crate) port: Option<u16>,

    /// Where everything is kept: sqlite:PATH, sqlite::memory: or postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(
        long,
        env = "MESHHOOK_DATABASE_URL",
        default_value = "sqlite:./meshhook.db",
        hide_env_values = true
    )]
    pub(crate) database: String,

    /// Key that seals secrets: 32 bytes in base64
    ///
    /// Without one it is kept beside the SQLite file, in PATH.key, and made at the first start. The first line of that
    /// file is the key that seals; keys on lines below it only open. With Postgres a key is needed, the same for every
    /// process.
    #[arg(long, env = "MESHHOOK_MASTER_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,

    /// Older keys, separated by commas, that only open secrets until these are rotated
    #[arg(long, value_name = "KEYS", env = "MESHHOOK_MASTER_KEY_PREVIOUS", hide_env_values = true)]
    pub(crate) previous_keys: Option<String>,

    /// Starts also where the keys open none of the secrets in the database: these are lost, and can be set anew
    #[arg(long)]
    pub(crate) accept_lost_secrets: bool,

    /// Key that may do everything, sent as `Authorization: Bearer …`
    #[arg(long, env = "MESHHOOK_ADMIN_KEY", hide_env_values = true, value_parser = admin_key)]
    pub(crate) admin_key: Option<String>,

    /// URL under which the world reaches this server
    #[arg(long, value_name = "URL", value_parser = public_url)]
    pub(crate) public_url: Option<String>,

    /// Address or network of a proxy whose forwarded headers are believed; may be repeated
    #[arg(long = "trusted-proxy", value_name = "NETWORK")]
    pub(crate) trusted_proxies: Vec<String>,

    /// How many attempts may be under way at once [default: 256]
    #[arg(long, value_parser = workers)]
    pub(crate) workers: Option<usize>,

    /// How long this process may be silent before others take over what it holds [default: 15s]
    #[arg(long, value_parser = lease)]
    pub(crate) lease: Option<Duration>,

    /// How many bytes of histories go into one transaction [default: 8 MiB]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) max_batch_bytes: Option<usize>,

    /// Lets workflows call private and loopback addresses
    #[arg(long)]
    pub(crate) allow_private_network: bool,

    /// Only takes in: runs are left to other processes
    #[arg(long, conflicts_with = "worker_only")]
    pub(crate) no_worker: bool,

    /// Only works: takes nothing in, and serves health and metrics alone
    #[arg(long)]
    pub(crate) worker_only: bool,

    /// Brings the schema of a Postgres database up to date, as the role of --database, says so and exits
    #[arg(long)]
    pub(crate) migrate_only: bool,

    /// With --migrate-only: lets this role work with the schema; servers then connect as that role
    #[arg(long, value_name = "ROLE", requires = "migrate_only")]
    pub(crate) grant: Option<String>,

    /// How long stopping may take
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) grace: Duration,
}

impl Flags {
    /// The address to listen on, which nobody else can reach unless there is a key.
    pub(crate) async fn address(&self) -> Result<SocketAddr, Error> {
        let text = match (&self.listen, self.port) {
            (Some(listen), _) => listen.clone(),
            (None, Some(port)) if self.admin_key.is_some() => format!("0.0.0.0:{port}"),
            (None, Some(port)) => format!("127.0.0.1:{port}"),
            (None, None) => "127.0.0.1:8080".to_owned(),
        };
        let mut found = tokio::net::lookup_host(&text)
            .await
            .map_err(|error| format!("cannot listen on {text}: {error}"))?;
        let address = found.next().ok_or_else(|| format!("cannot listen on {text}: no such address"))?;
        if self.admin_key.is_none() && !address.ip().is_loopback() {
            return Err(format!(
                "{address} can be reached by others: set --admin-key, or listen on 127.0.0.1"
            )
            .into());
        }
        Ok(address)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn lease(text: &str) -> Result<Duration, String> {
    let lease = duration(text)?;
    if lease >= Duration::from_secs(1) { Ok(lease) } else { Err("must be at least 1s".to_owned()) }
}

fn bytes(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|bytes| *bytes > 0).ok_or_else(|| "must be a positive integer".to_owned())
}

fn workers(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|workers| *workers > 0).ok_or_else(|| "must be a positive integer".to_owned())
}

fn admin_key(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.trim().to_owned()) }
}

fn public_url(text: &str) -> Result<String, String> {
    let good = text.parse::<http::Uri>().is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.authority().is_some()
            && url.query().is_none()
    });
    if good { Ok(text.to_owned()) } else { Err("must be an http or https URL without a query".to_owned()) }
}
