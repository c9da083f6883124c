//! The key that seals secrets, and older ones that open what was not rotated yet.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use meshhook::clock::{Entropy as _, SystemEntropy};
use meshhook::secret::{MasterKey, StaticKeys};

use crate::Error;
use crate::database::Location;
use crate::flags::Flags;

/// Where the keys come from: the configured ones; else those beside the SQLite file, made at the first start. In memory a
/// new one each time; with a database server there is no place for one.
pub(crate) struct Keys {
    first: First,
    older: Vec<MasterKey>,
}

enum First {
    Given(MasterKey),
    Beside(PathBuf),
}

impl Keys {
    /// Reads what is configured. Nothing else is touched.
    pub(crate) fn of(flags: &Flags) -> Result<Self, Error> {
        let parse = |flag: &str, text: &str| text.parse().map_err(|error| format!("--{flag}: {error}"));
        let first = match (&flags.key, Location::parse(&flags.database)?) {
            (Some(text), _) => First::Given(parse("key", text)?),
            (None, Location::Memory) => First::Given(draw()?),
            (None, Location::File(path)) => First::Beside(path),
            (None, Location::Server(_)) => {
                let what = "with Postgres set --key or MESHHOOK_MASTER_KEY (32 bytes in base64: \
                            `openssl rand -base64 32`): every process needs the same";
                return Err(what.into());
            }
        };
        let older = flags.previous_keys.iter().flat_map(|keys| keys.split(','));
        let older = older.map(|text| parse("previous-keys", text)).collect::<Result<_, _>>()?;
        Ok(Self { first, older })
    }

    /// The keys. Called when the database is open, and so locked: no other process makes a key for it at the same time.
    pub(crate) fn open(self) -> Result<StaticKeys, Error> {
        let mut keys = match self.first {
            First::Given(key) => StaticKeys::new(key),
            First::Beside(path) => beside(&path)?,
        };
        for older in self.older {
            keys = keys.with_older(older);
        }
        Ok(keys)
    }
}

fn beside(database: &Path) -> Result<StaticKeys, Error> {
    let mut path = database.as_os_str().to_owned();
    path.push(".key");
    let path = PathBuf::from(path);
    let failed =
        |what: &str, error: std::io::Error| format!("cannot {what} the key in {}: {error}", path.display());
    match File::open(&path) {
        Ok(mut file) => {
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(|error| failed("read", error))?;
            let mut lines = text.lines().filter(|line| !line.trim().is_empty());
            let parse = |line: &str| line.parse().map_err(|error| format!("{}: {error}", path.display()));
            let mut keys = StaticKeys::new(parse(lines.next().unwrap_or_default())?);
            for line in lines {
                keys = keys.with_older(parse(line)?);
            }
            Ok(keys)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = draw()?;
            // Only a whole key gets the name, and only after it is on disk.
            let fresh = path.with_extension("key.new");
            let write = || {
                let mut file =
                    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
                writeln!(file, "{}", key.to_base64().expose())?;
                file.sync_all()?;
                std::fs::rename(&fresh, &path)?;
                let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
            };
            write().map_err(|error| failed("write", error))?;
            tracing::info!(path = %path.display(), "made a key that seals secrets; back it up apart from the database");
            Ok(StaticKeys::new(key))
        }
        Err(error) => Err(failed("open", error).into()),
    }
}

fn draw() -> Result<MasterKey, Error> {
    let mut bytes = [0; 32];
    SystemEntropy.fill(&mut bytes)?;
    Ok(MasterKey::from_bytes(bytes))
}
