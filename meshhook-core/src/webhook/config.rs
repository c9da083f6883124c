//! The `verify` member of a webhook trigger's config.

use std::borrow::Cow;
use std::time::Duration;

use http::HeaderName;
use serde_json::{Map, Value};

use super::handshake::{HandshakeRule, preset_handshakes};
use super::jwt::{Jwk, JwtAlgorithm, JwtScheme};
use super::preset::{PRESETS, preset};
use super::scheme::{
    Algorithm, Extraction, HexCase, KeyPreparation, Padding, Part, Scheme, SignatureEncoding,
    SignatureScheme, Source, TimestampRule, TimestampUnit, TokenScheme,
};
use crate::definition::ProblemCode::{
    self, InvalidDuration, InvalidTemplate, InvalidTrigger, InvalidType, InvalidValue, MissingField,
    UnknownField,
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
        match &self.scheme {
            Scheme::Token(scheme) => vec![scheme.header.as_str()],
            Scheme::Basic { .. } | Scheme::Jwt(_) => vec!["authorization"],
            Scheme::None | Scheme::Signature(_) => Vec::new(),
        }
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
                header.map(|header| {
                    Scheme::Token(TokenScheme { header, prefix, delivery_id: Cow::Borrowed(&[]) })
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

    fn signature(&mut self, name: &str) -> Option<SignatureScheme> {
        let header = self.required_text("header").and_then(|name| self.header_name("header", name));
        let algorithm = match name {
            "ed25519" => Some(Algorithm::Ed25519),
            "ecdsa" => Some(Algorithm::EcdsaP256),
            _ => self.choice("algorithm", &ALGORITHMS),
        };
        let encoding = self.choice("encoding", &ENCODINGS);
        let (default_key, keys) = match name {
            "hmac" => (KeyPreparation::Utf8, &KEY_ENCODINGS),
            _ => (KeyPreparation::Spki, &PUBLIC_KEY_ENCODINGS),
        };
        let key = match self.optional_text("key_encoding") {
            Some(_) => self.choice("key_encoding", keys),
            None => Some(default_key),
        };
        let signed = self.required_text("signed").and_then(|template| self.signed(template));
        let label = self.optional_text("label");
        let prefix = self.optional_text("prefix");
        if let Some(label) = label
            && (label.is_empty() || label.contains([',', '=', ' ']) || label == "t")
        {
            self.problem("label", InvalidValue, "must not be empty, `t`, or contain `,`, `=` or a space");
        }
        if prefix.is_some() && label.is_some() {
            self.problem("label", InvalidTrigger, "cannot be combined with `prefix`");
        }
        let time_header =
            self.optional_text("timestamp_header").and_then(|n| self.header_name("timestamp_header", n));
        let id_header = self.optional_text("id_header").and_then(|n| self.header_name("id_header", n));
        if let Some(signed) = &signed {
            let has = |name: &str| !matches!(self.members.get(name), None | Some(Value::Null));
            if signed.contains(&Part::Timestamp) && !has("timestamp_header") && !has("label") {
                let message = "`{timestamp}` needs `timestamp_header`, or `label` for a list with `t=`";
                self.problem("signed", InvalidTrigger, message);
            }
            if signed.contains(&Part::Id) && !has("id_header") {
                self.problem("signed", InvalidTrigger, "`{id}` needs `id_header`");
            }
        }
        let extraction = match (label, prefix) {
            (Some(label), _) => {
                Extraction::List { separator: ',', assign: '=', label: Cow::Owned(label.to_owned()) }
            }
            (None, Some(prefix)) if !prefix.is_empty() => Extraction::Prefix(Cow::Owned(prefix.to_owned())),
            (None, _) => Extraction::Bare,
        };
        let signed = signed?;
        let time_source = match (time_header, label) {
            (Some(header), _) => Some(Source::Header(header)),
            (None, Some(_)) if signed.contains(&Part::Timestamp) => Some(Source::Label(Cow::Borrowed("t"))),
            (None, _) => None,
        };
        let id = id_header.map(Source::Header);
        Some(SignatureScheme {
            extraction,
            algorithm: algorithm?,
            key: key?,
            signed: Cow::Owned(signed),
            timestamp: time_source.map(|source| TimestampRule::new(source, TimestampUnit::Any)),
            delivery_id: Cow::Owned(id.clone().into_iter().collect()),
            id,
            ..SignatureScheme::over_body(header?, encoding?)
        })
    }

    fn jwt(&mut self) -> Option<JwtScheme> {
        let algorithms = self.algorithms();
        let issuer = self.optional_text("issuer");
        let audience = self.optional_text("audience");
        self.known.push("key");
        let keys = match (self.members.get("key"), &algorithms) {
            (Some(Value::Object(key)), Some(algorithms)) => self.jwks(key, algorithms).map(Some),
            (Some(Value::Object(_)), None) => None,
            _ => Some(None),
        };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Some(JwtScheme {
            algorithms: algorithms?,
            keys: keys?,
            issuer: owned(issuer),
            audience: owned(audience),
        })
    }

    fn algorithms(&mut self) -> Option<Vec<JwtAlgorithm>> {
        let Value::Array(names) = self.required("algorithms")? else {
            self.problem("algorithms", InvalidType, "must be an array");
            return None;
        };
        let path = member_path(self.path, "algorithms");
        let mut algorithms = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let known = JwtAlgorithm::NAMES.iter().find(|(known, _)| name == known);
            match known {
                Some((_, algorithm)) => algorithms.push(*algorithm),
                None => {
                    let message = "must be one of ES256, EdDSA, HS256, HS384, HS512";
                    self.problem_at(index_path(&path, i), InvalidValue, message);
                }
            }
        }
        if names.is_empty() || names.len() > JwtAlgorithm::NAMES.len() {
            self.problem("algorithms", InvalidValue, "must be 1 to 5 algorithms");
        } else if algorithms.iter().any(|it| it.is_shared()) && !algorithms.iter().all(|it| it.is_shared()) {
            let message =
                "must be all with shared keys (HS…) or all with public ones: a public key is no secret";
            self.problem("algorithms", InvalidTrigger, message);
        } else if algorithms.len() == names.len() {
            return Some(algorithms);
        }
        None
    }

    /// The set of keys in `key`, itself a part of the definition.
    fn jwks(&mut self, key: &'a Map<String, Value>, algorithms: &[JwtAlgorithm]) -> Option<Vec<Jwk>> {
        let path = member_path(self.path, "key");
        let place = member_path(&path, "jwks");
        let mut unknown: Vec<_> = key.keys().filter(|name| *name != "jwks").collect();
        unknown.sort();
        let (code, message) = match key.get("jwks") {
            None => (MissingField, "is required: a set of keys"),
            Some(_) if !unknown.is_empty() => (UnknownField, "is not a member of key"),
            Some(Value::String(_)) => (InvalidTrigger, "must be the set itself: this release fetches none"),
            Some(_) if algorithms.iter().any(|it| it.is_shared()) => {
                (InvalidTrigger, "has public keys, and these algorithms need shared ones")
            }
            Some(set) => match Jwk::read_set(set, algorithms) {
                Ok(keys) => return Some(keys),
                Err(message) => (InvalidValue, message),
            },
        };
        let place = match unknown.first() {
            Some(name) if code == UnknownField => member_path(&path, name),
            _ => place,
        };
        self.problem_at(place, code, message);
        None
    }

    /// Cuts a template at its variables. Braces stand for nothing else.
    fn signed(&mut self, template: &str) -> Option<Vec<Part>> {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            if at > 0 {
                parts.push(Part::Literal(Cow::Owned(rest[..at].to_owned())));
            }
            rest = &rest[at..];
            let Some((variable, part)) = VARIABLES.iter().find(|(variable, _)| rest.starts_with(variable))
            else {
                let message =
                    "may contain {body}, {timestamp}, {id}, {url} and {method}, and no other braces";
                self.problem("signed", InvalidTemplate, message);
                return None;
            };
            parts.push(part.clone());
            rest = &rest[variable.len()..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(Cow::Owned(rest.to_owned())));
        }
        if parts.iter().all(|part| matches!(part, Part::Literal(_))) {
            self.problem("signed", InvalidValue, "must contain something of the request");
            return None;
        }
        if template.len() > MAX_TEMPLATE_BYTES {
            self.problem("signed", InvalidValue, format!("must be at most {MAX_TEMPLATE_BYTES} bytes"));
            return None;
        }
        Some(parts)
    }

    fn secrets(&mut self, member: &'static str) -> Option<Vec<(String, SecretName)>> {
        let entries: Vec<(String, &Value)> = match self.required(member)? {
            Value::Array(entries) => {
                if entries.is_empty() || entries.len() > MAX_SECRETS {
                    self.problem(member, InvalidValue, format!("must be 1 to {MAX_SECRETS} names"));
                    return None;
                }
                let path = member_path(self.path, member);
                entries.iter().enumerate().map(|(i, entry)| (index_path(&path, i), entry)).collect()
            }
            entry => vec![(member_path(self.path, member), entry)],
        };
        let mut names = Vec::with_capacity(entries.len());
        let count = entries.len();
        for (path, entry) in entries {
            match entry.as_str().map(SecretName::new) {
                Some(Ok(name)) => names.push((path, name)),
                Some(Err(error)) => self.problem_at(path, InvalidValue, error.to_string()),
                None => self.problem_at(path, InvalidType, "must be the name of a secret"),
            }
        }
        (names.len() == count).then_some(names)
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
        self.members.get(name).filter(|value| !value.is_null())
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
const MAX_TEMPLATE_BYTES: usize = 1024;
const MAX_URL_BYTES: usize = 2048;

const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("sha1", Algorithm::HmacSha1),
    ("sha256", Algorithm::HmacSha256),
    ("sha384", Algorithm::HmacSha384),
    ("sha512", Algorithm::HmacSha512),
];

const ENCODINGS: [(&str, SignatureEncoding); 3] = [
    ("hex", SignatureEncoding::Hex(HexCase::Any)),
    ("base64", SignatureEncoding::Base64(Padding::Required)),
    ("base64url", SignatureEncoding::Base64Url(Padding::Optional)),
];

const KEY_ENCODINGS: [(&str, KeyPreparation); 3] =
    [("utf8", KeyPreparation::Utf8), ("hex", KeyPreparation::Hex), ("base64", KeyPreparation::Base64)];

const PUBLIC_KEY_ENCODINGS: [(&str, KeyPreparation); 3] =
    [("pem", KeyPreparation::Spki), ("hex", KeyPreparation::Hex), ("base64", KeyPreparation::Base64)];

const VARIABLES: [(&str, Part); 5] = [
    ("{body}", Part::Body),
    ("{timestamp}", Part::Timestamp),
    ("{id}", Part::Id),
    ("{url}", Part::Url),
    ("{method}", Part::Method),
];

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
