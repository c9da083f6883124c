//! The `verify` member of a webhook trigger's config.
//!
//! The members that all schemes have are read here, those of a signature and of a token in the modules below. All problems
//! are collected; a member that nobody asked for is one.

mod jwt;
mod signature;

use std::borrow::Cow;
use std::time::Duration;

use http::HeaderName;
use serde_json::{Map, Value};

use super::handshake::{HandshakeRule, preset_handshakes};
use super::preset::{PRESETS, preset};
use super::scheme::{Part, Scheme, TokenScheme};
use crate::definition::ProblemCode::{
    self, InvalidDuration, InvalidType, InvalidValue, MissingField, UnknownField,
};
use crate::definition::{Problem, index_path, member_path};
use crate::secret::SecretName;
use crate::time::parse_duration;

/// How a hook verifies its requests: a scheme, and the names of the secrets that it is keyed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyConfig {
    pub(super) scheme: Scheme,
    pub(super) tolerance: Duration,
    pub(super) url: Option<String>,
    handshakes: Vec<HandshakeRule>,
    secrets: Vec<SecretName>,
    /// Where each name stands in the document.
    places: Vec<String>,
}

impl VerifyConfig {
    /// The scheme `none`: anybody may send.
    #[must_use]
    pub fn none() -> Self {
        Self {
            scheme: Scheme::None,
            tolerance: DEFAULT_TOLERANCE,
            url: None,
            handshakes: Vec::new(),
            secrets: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Reads the config that stands at `path` in its document.
    ///
    /// # Errors
    ///
    /// Every problem in it, with paths from the document's root.
    pub fn parse(value: &Value, path: &str) -> Result<Self, Vec<Problem>> {
        let Value::Object(members) = value else {
            return Err(vec![Problem::new(InvalidType, path, "must be an object")]);
        };
        let mut reader = Reader { path, members, known: Vec::new(), problems: Vec::new() };
        let config = match reader.required_text("scheme") {
            Some("none") => Some(Self::none()),
            Some(name) if is_scheme(name) => reader.verify_config(name),
            Some(_) => {
                let known = [GENERIC, PRESETS].concat().join(", ");
                reader.problem(
                    "scheme",
                    InvalidValue,
                    format!("is not the name of a scheme; there are {known}"),
                );
                return Err(reader.problems);
            }
            // Which other members belong there depends on the scheme.
            None => return Err(reader.problems),
        };
        reader.refuse_unknown();
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            _ => Err(reader.problems),
        }
    }

    /// The names in the vault that this config uses, in the order in which they are tried.
    #[must_use]
    pub fn secret_names(&self) -> &[SecretName] {
        &self.secrets
    }

    /// Whether no signature is made of more than the body. That of a token (RFC 7519) is no signature of a request.
    #[must_use]
    pub fn signs_the_body_alone(&self) -> bool {
        match &self.scheme {
            Scheme::Signature(forms) => forms.iter().all(|form| *form.signed == [Part::Body]),
            _ => true,
        }
    }

    /// The same names, each with its path in the document that the config was read from.
    pub fn secret_places(&self) -> impl Iterator<Item = (&str, &SecretName)> {
        self.places.iter().map(String::as_str).zip(&self.secrets)
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The handshakes that belong to the scheme, answered only where it accepts the request.
    #[must_use]
    pub fn handshakes(&self) -> &[HandshakeRule] {
        &self.handshakes
    }

    /// The public URL, where the config gives it.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Headers whose value is itself the credential: to be redacted wherever headers are stored.
    #[must_use]
    pub fn credential_headers(&self) -> Vec<&str> {
        self.scheme.credential_header().into_iter().collect()
    }
}

/// Reads members and collects problems. A member that was asked for is known; the others are unknown.
struct Reader<'a> {
    path: &'a str,
    members: &'a Map<String, Value>,
    known: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn verify_config(&mut self, name: &str) -> Option<VerifyConfig> {
        let scheme = match name {
            "hmac" | "ed25519" | "ecdsa" => {
                self.signature(name).map(|scheme| Scheme::Signature(vec![scheme]))
            }
            "api_key" => {
                let header = self.required_text("header").and_then(|name| self.header_name("header", name));
                let prefix = Cow::Owned(self.optional_text("prefix").unwrap_or_default().to_owned());
                let delivery_id = self.delivery_id_outside_lists().map(Cow::Owned);
                let varying = self.pointers("varying").map(Cow::Owned);
                header.zip(delivery_id).zip(varying).map(|((header, delivery_id), varying)| {
                    Scheme::Token(TokenScheme { header, prefix, delivery_id, varying })
                })
            }
            "jwt" => self.jwt().map(|scheme| Scheme::Jwt(Box::new(scheme))),
            "basic" => self.username().map(|username| Scheme::Basic { username }),
            _ => preset(name),
        };
        let secrets = match (name, &scheme) {
            // A set of keys in the config; or whatever is wrong there was said.
            ("jwt", _) if matches!(self.members.get("key"), Some(Value::Object(_))) => Some(Vec::new()),
            ("jwt", _) => self.secrets("key"),
            ("basic", _) => self.secrets("password"),
            _ => self.secrets("secret"),
        };
        let tolerance = self.tolerance();
        let url = self.url();
        let (places, secrets) = secrets?.into_iter().unzip();
        Some(VerifyConfig {
            scheme: scheme?,
            tolerance: tolerance?,
            url,
            handshakes: preset_handshakes(name),
            secrets,
            places,
        })
    }

    fn secrets(&mut self, member: &'static str) -> Option<Vec<(String, SecretName)>> {
        let entries = self.entries(member, MAX_SECRETS, "names")?;
        let count = entries.len();
        let mut names = Vec::with_capacity(count);
        for (path, entry) in entries {
            match entry.as_str().map(SecretName::new) {
                Some(Ok(name)) => names.push((path, name)),
                Some(Err(error)) => self.problem_at(path, InvalidValue, error.to_string()),
                None => self.problem_at(path, InvalidType, "must be the name of a secret"),
            }
        }
        (names.len() == count).then_some(names)
    }

    /// A value or a list of some, each with its path.
    fn entries(&mut self, member: &'static str, most: usize, what: &str) -> Option<Vec<(String, &'a Value)>> {
        let path = member_path(self.path, member);
        match self.required(member)? {
            Value::Array(entries) if entries.is_empty() || entries.len() > most => {
                self.problem_at(path, InvalidValue, format!("must be 1 to {most} {what}"));
                None
            }
            Value::Array(entries) => {
                Some(entries.iter().enumerate().map(|(i, entry)| (index_path(&path, i), entry)).collect())
            }
            entry => Some(vec![(path, entry)]),
        }
    }

    fn tolerance(&mut self) -> Option<Duration> {
        let Some(text) = self.optional_text("tolerance") else { return Some(DEFAULT_TOLERANCE) };
        match parse_duration(text) {
            Ok(duration) if duration.is_zero() => {
                self.problem("tolerance", InvalidValue, "must be more than zero");
                None
            }
            Ok(duration) => Some(duration),
            Err(error) => {
                self.problem("tolerance", InvalidDuration, error.to_string());
                None
            }
        }
    }

    fn url(&mut self) -> Option<String> {
        let url = self.optional_text("url")?;
        let is_http = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if url.len() > MAX_URL_BYTES
            || is_http.is_none_or(|rest| rest.is_empty() || rest.starts_with('/'))
            || !url.bytes().all(|b| b.is_ascii_graphic())
        {
            let message = "must be the absolute http or https URL that the sender was given, percent-encoded";
            self.problem("url", InvalidValue, message);
        }
        Some(url.to_owned())
    }

    fn username(&mut self) -> Option<String> {
        let username = self.required_text("username")?;
        if username.contains(':') {
            self.problem("username", InvalidValue, "must not contain `:`");
            return None;
        }
        Some(username.to_owned())
    }

    fn header_name(&mut self, member: &'static str, name: &str) -> Option<HeaderName> {
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok();
        if parsed.is_none() {
            self.problem(member, InvalidValue, "is not the name of a header");
        }
        parsed
    }

    fn choice<T: Copy>(&mut self, member: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.required_text(member)?;
        let chosen = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if chosen.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.problem(member, InvalidValue, format!("must be one of {}", names.join(", ")));
        }
        chosen
    }

    /// The same where the member may be missing.
    fn choice_or<T: Copy>(&mut self, member: &'static str, choices: &[(&str, T)], default: T) -> Option<T> {
        if self.has(member) {
            return self.choice(member, choices);
        }
        self.known.push(member);
        Some(default)
    }

    /// Whether the member is there and not `null`.
    fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    fn required_text(&mut self, member: &'static str) -> Option<&'a str> {
        let value = self.required(member)?;
        self.text(member, value)
    }

    fn optional_text(&mut self, member: &'static str) -> Option<&'a str> {
        let value = self.member(member)?;
        self.text(member, value)
    }

    fn text(&mut self, member: &'static str, value: &'a Value) -> Option<&'a str> {
        match value {
            Value::String(text) => Some(text),
            _ => {
                self.problem(member, InvalidType, "must be a string");
                None
            }
        }
    }

    /// A member that must be there; `null` is a value like others.
    fn required(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        let value = self.members.get(name);
        if value.is_none() {
            self.problem(name, MissingField, "is required by this scheme");
        }
        value
    }

    /// A member that is there and not `null`.
    fn member(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.members.get(name).filter(|_| self.has(name))
    }

    fn problem(&mut self, member: &str, code: ProblemCode, message: impl Into<String>) {
        self.problem_at(member_path(self.path, member), code, message);
    }

    fn problem_at(&mut self, path: String, code: ProblemCode, message: impl Into<String>) {
        self.problems.push(Problem::new(code, path, message));
    }

    fn refuse_unknown(&mut self) {
        let members = self.members;
        let mut unknown: Vec<&String> =
            members.keys().filter(|name| !self.known.contains(&name.as_str())).collect();
        unknown.sort();
        for name in unknown {
            self.problem(name, UnknownField, "is not a member of this scheme");
        }
    }
}

fn is_scheme(name: &str) -> bool {
    GENERIC.contains(&name) || preset(name).is_some()
}

/// The schemes that are no presets.
const GENERIC: &[&str] = &["none", "hmac", "ed25519", "ecdsa", "jwt", "api_key", "basic"];
const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);
/// The most secrets that are valid at once.
const MAX_SECRETS: usize = 4;
const MAX_URL_BYTES: usize = 2048;

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
