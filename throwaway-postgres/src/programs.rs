//! Where Postgres is installed, and as whom it may run.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// The folder with `initdb`, `postgres` and `psql`.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
}

/// Looks for `initdb` beside its server: in `PATH`, then where Debian and Homebrew put them, newest first.
///
/// # Errors
///
/// How to install Postgres.
pub fn find() -> Result<Programs> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for parent in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(parent)
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let folder = entry.ok()?.path();
                let name = folder.file_name()?.to_str()?;
                let version = name.strip_prefix("postgresql@").unwrap_or(name).parse().ok()?;
                Some((version, folder.join("bin")))
            })
            .collect();
        versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        folders.extend(versions.into_iter().map(|(_, folder)| folder));
    }
    let complete = |folder: &PathBuf| {
        let real = std::fs::canonicalize(folder.join("initdb")).ok()?;
        let folder = real.parent()?.to_owned();
        ["initdb", "postgres", "psql", "pg_isready"]
            .iter()
            .all(|program| folder.join(program).is_file())
            .then_some(folder)
    };
    match folders.iter().find_map(complete) {
        Some(folder) => Ok(Programs { folder }),
        None => Err(format!(
            "Postgres is not installed. Install it (Debian: apt-get install postgresql; macOS: brew install \
             postgresql@18), or set {} to a server on which databases and roles can be created",
            crate::URL_VARIABLE
        )),
    }
}

impl Programs {
    /// The folder that they are in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command for one of them.
    pub(crate) fn command(&self, name: &str) -> Command {
        Command::new(self.folder.join(name))
    }
}

/// The user to run a server as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    ids: Option<(u32, u32)>,
}

impl User {
    /// This process's own user, unless that is root.
    pub(crate) fn for_servers() -> Result<Self> {
        if number(&["-u"]) != Some(0) {
            return Ok(Self { ids: None });
        }
        let ids = ["postgres", "nobody"]
            .iter()
            .find_map(|name| Some((number(&["-u", name])?, number(&["-g", name])?)));
        match ids {
            Some(_) => Ok(Self { ids }),
            None => Err("Postgres cannot run as root, and there is no user postgres or nobody".into()),
        }
    }

    pub(crate) fn become_in(self, command: &mut Command) {
        if let Some((user, group)) = self.ids {
            command.uid(user).gid(group);
        }
    }

    pub(crate) fn own(self, path: &Path) -> std::io::Result<()> {
        match self.ids {
            Some((user, group)) => std::os::unix::fs::chown(path, Some(user), Some(group)),
            None => Ok(()),
        }
    }
}

fn number(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
