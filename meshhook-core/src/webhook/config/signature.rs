//! Signature schemes that a config describes: one member, or two, for each axis of a [`SignatureScheme`].
//!
//! What most senders do is said with headers (`header`, `timestamp_header`, `id_header`); what the others do, with places
//! (`signature`, `timestamp`, `id`: see `notation.rs`). Either way the same scheme comes out, so that there is nothing that
//! a preset can say and a config cannot, Twilio's pairs of a form and HubSpot's hash of the secret apart.

use std::borrow::Cow;

use super::Reader;
use crate::definition::ProblemCode::{InvalidTemplate, InvalidTrigger, InvalidType, InvalidValue};
use crate::definition::member_path;
use crate::webhook::notation::{read_place, read_pointer, read_template};
use crate::webhook::scheme::{
    Algorithm, Extraction, HexCase, KeyPreparation, Padding, Part, SignatureEncoding, SignatureScheme,
    Source, Text, TimestampRule, TimestampUnit,
};

impl<'a> Reader<'a> {
    pub(super) fn signature(&mut self, name: &str) -> Option<SignatureScheme> {
        let carriers = self.carriers();
        let algorithm = match name {
            "ed25519" => Some(Algorithm::Ed25519),
            "ecdsa" => Some(Algorithm::EcdsaP256),
            _ => self.choice("algorithm", &ALGORITHMS),
        };
        let encoding = self.choice("encoding", &ENCODINGS);
        let key = match name {
            "hmac" => self.choice_or("key_encoding", &KEY_ENCODINGS, KeyPreparation::Utf8),
            _ => self.choice_or("key_encoding", &PUBLIC_KEY_ENCODINGS, KeyPreparation::Spki),
        };
        let signed = self.signed();
        let extraction = self.extraction();
        let timestamp = self.timestamp(signed.as_deref().unwrap_or_default());
        let delivery_id = self.delivery_id();
        let absent = self.pointers("absent");
        let varying = self.pointers("varying");
        let (carriers, signed, extraction) = (carriers?, signed?, extraction?);
        let (timestamp, delivery_id) = (timestamp?, delivery_id?);
        let id = delivery_id.first().filter(|_| signed.contains(&Part::Id)).cloned();
        let scheme = SignatureScheme {
            carriers: Cow::Owned(carriers),
            extraction,
            algorithm: algorithm?,
            encoding: encoding?,
            key: key?,
            signed: Cow::Owned(signed),
            body_digest: None,
            absent: Cow::Owned(absent?),
            timestamp,
            id,
            delivery_id: Cow::Owned(delivery_id),
            varying: Cow::Owned(varying?),
        };
        self.check(&scheme).then_some(scheme)
    }

    /// What no member is wrong about by itself.
    fn check(&mut self, scheme: &SignatureScheme) -> bool {
        let before = self.problems.len();
        if scheme.signs(&Part::Timestamp) && scheme.timestamp.is_none() {
            let message =
                "`{timestamp}` needs `timestamp_header` or `timestamp`, or `label` for a list with `t=`";
            self.problem("signed", InvalidTrigger, message);
        }
        if scheme.signs(&Part::Id) && scheme.delivery_id.len() != 1 {
            self.problem("signed", InvalidTrigger, "`{id}` needs `id_header`, or `id` with one place");
        }
        let is_in_body = |source: &Source| matches!(source, Source::Body(_));
        if scheme.signs(&Part::Body) && scheme.carriers.iter().any(is_in_body) {
            let message = "has `{body}`, which cannot hold the signature of itself: name what is signed, as \
                           `{body:/POINTER}`";
            self.problem("signed", InvalidTrigger, message);
        }
        let list = match &scheme.extraction {
            Extraction::List { label, .. } => Some(label),
            _ => None,
        };
        let time = scheme.timestamp.iter().map(|rule| ("timestamp", &rule.source));
        let ids = scheme.delivery_id.iter().map(|source| ("id", source));
        let parts = scheme.signed.iter().filter_map(|part| match part {
            Part::From(source) | Part::IfAny(source) => Some(("signed", source)),
            _ => None,
        });
        for (member, source) in time.chain(ids).chain(parts) {
            match (source, list) {
                (Source::Label(_), None) => {
                    self.problem(
                        member,
                        InvalidTrigger,
                        "is in a list only where `label` says that there is one",
                    );
                }
                (Source::Label(other), Some(label)) if other == label => {
                    let message = format!("is also where `{member}` finds something else");
                    self.problem("label", InvalidTrigger, message);
                }
                _ => {}
            }
        }
        if scheme.carriers.iter().any(|source| matches!(source, Source::Label(_))) {
            self.problem("signature", InvalidTrigger, "must be the place of the list, not a label in it");
        }
        self.problems.len() == before
    }

    /// `header`, or `signature` for other places and several.
    fn carriers(&mut self) -> Option<Vec<Source>> {
        if self.has("signature") && !self.has("header") {
            self.known.push("header");
            return self.places("signature");
        }
        if self.has("signature") {
            self.problem("signature", InvalidTrigger, "cannot be combined with `header`");
        }
        self.known.push("signature");
        let header = self.required_text("header").and_then(|name| self.header_name("header", name));
        header.map(|name| vec![Source::Header(name)])
    }

    fn signed(&mut self) -> Option<Vec<Part>> {
        let template = self.required_text("signed")?;
        if template.len() > MAX_TEMPLATE_BYTES {
            self.problem("signed", InvalidValue, format!("must be at most {MAX_TEMPLATE_BYTES} bytes"));
            return None;
        }
        match read_template(template) {
            Ok(parts) if parts.iter().all(|part| matches!(part, Part::Literal(_))) => {
                self.problem("signed", InvalidValue, "must contain something of the request");
                None
            }
            Ok(parts) => Some(parts),
            Err(message) => {
                self.problem("signed", InvalidTemplate, message);
                None
            }
        }
    }

    fn extraction(&mut self) -> Option<Extraction> {
        let prefix = self.optional_text("prefix");
        let label = self.optional_text("label");
        let separator = self.choice_or("separator", &SEPARATORS, ',');
        let assign = self.choice_or("assign", &ASSIGNS, '=');
        let Some(label) = label else {
            for member in ["separator", "assign"] {
                if self.has(member) {
                    self.problem(member, InvalidTrigger, "is of a list, which needs `label`");
                }
            }
            let prefix = prefix.filter(|prefix| !prefix.is_empty());
            return Some(prefix.map_or(Extraction::Bare, |it| Extraction::Prefix(Cow::Owned(it.to_owned()))));
        };
        let (separator, assign) = (separator?, assign?);
        if prefix.is_some() {
            self.problem("label", InvalidTrigger, "cannot be combined with `prefix`");
        }
        if separator == assign {
            self.problem("assign", InvalidTrigger, "must not be the `separator`");
        }
        if label.is_empty() || label.contains([separator, assign, ' ']) {
            let message = format!("must not be empty, or contain `{separator}`, `{assign}` or a space");
            self.problem("label", InvalidValue, message);
        }
        Some(Extraction::List { separator, assign, label: Cow::Owned(label.to_owned()) })
    }

    /// `timestamp_header`, or `timestamp` for other places, or a list's `t` where nothing says otherwise.
    fn timestamp(&mut self, signed: &[Part]) -> Option<Option<TimestampRule>> {
        let source = self.one_place("timestamp_header", "timestamp")?;
        let unit = self.choice_or("timestamp_unit", &TIMESTAMP_UNITS, TimestampUnit::Any)?;
        let of_list =
            || (self.has("label") && signed.contains(&Part::Timestamp)).then(|| Source::Label("t".into()));
        let rule = source.or_else(of_list).map(|source| TimestampRule::new(source, unit));
        if rule.is_none() && self.has("timestamp_unit") {
            let message = "is of a time, which needs `timestamp_header` or `timestamp`";
            self.problem("timestamp_unit", InvalidTrigger, message);
        }
        Some(rule)
    }

    /// `id_header`, or `id` for other places and several, of which the first that is there counts.
    fn delivery_id(&mut self) -> Option<Vec<Source>> {
        if self.has("id") && !self.has("id_header") {
            self.known.push("id_header");
            return self.places("id");
        }
        let source = self.one_place("id_header", "id")?;
        Some(source.into_iter().collect())
    }

    /// The same for schemes that have no list.
    pub(super) fn delivery_id_outside_lists(&mut self) -> Option<Vec<Source>> {
        let sources = self.delivery_id()?;
        if sources.iter().any(|source| matches!(source, Source::Label(_))) {
            self.problem("id", InvalidTrigger, "cannot be a label: this scheme has no list");
            return None;
        }
        Some(sources)
    }

    /// A header by one member, or any place by another.
    fn one_place(&mut self, header: &'static str, place: &'static str) -> Option<Option<Source>> {
        let name = self.optional_text(header);
        let text = self.optional_text(place);
        match (name, text) {
            (Some(_), Some(_)) => {
                self.problem(place, InvalidTrigger, format!("cannot be combined with `{header}`"));
                None
            }
            (Some(name), None) => self.header_name(header, name).map(|name| Some(Source::Header(name))),
            (None, Some(text)) => self.place(member_path(self.path, place), text).map(Some),
            (None, None) => (!self.has(header) && !self.has(place)).then_some(None),
        }
    }

    /// A place, or a list of them.
    fn places(&mut self, member: &'static str) -> Option<Vec<Source>> {
        let texts = self.texts(member, MAX_PLACES)?;
        let read: Vec<Source> =
            texts.iter().filter_map(|(path, text)| self.place(path.clone(), text)).collect();
        (read.len() == texts.len()).then_some(read)
    }

    fn place(&mut self, path: String, text: &str) -> Option<Source> {
        read_place(text).map_err(|message| self.problem_at(path, InvalidValue, message)).ok()
    }

    /// Pointers into the body.
    pub(super) fn pointers(&mut self, member: &'static str) -> Option<Vec<Text>> {
        if !self.has(member) {
            self.known.push(member);
            return Some(Vec::new());
        }
        let texts = self.texts(member, MAX_POINTERS)?;
        let mut read = Vec::new();
        for (path, text) in &texts {
            match read_pointer(text) {
                Ok(pointer) => read.push(Cow::Owned(pointer.to_owned())),
                Err(message) => self.problem_at(path.clone(), InvalidValue, message),
            }
        }
        (read.len() == texts.len()).then_some(read)
    }

    /// A text or a list of them, each with its path.
    fn texts(&mut self, member: &'static str, most: usize) -> Option<Vec<(String, &'a str)>> {
        let entries = self.entries(member, most, "texts")?;
        let count = entries.len();
        let mut texts = Vec::with_capacity(count);
        for (path, entry) in entries {
            match entry.as_str() {
                Some(text) => texts.push((path, text)),
                None => self.problem_at(path, InvalidType, "must be a string"),
            }
        }
        (texts.len() == count).then_some(texts)
    }
}

const MAX_TEMPLATE_BYTES: usize = 1024;
/// The most places of one thing.
const MAX_PLACES: usize = 4;
/// The most pointers of one kind.
const MAX_POINTERS: usize = 16;

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

const KEY_ENCODINGS: [(&str, KeyPreparation); 4] = [
    ("utf8", KeyPreparation::Utf8),
    ("hex", KeyPreparation::Hex),
    ("base64", KeyPreparation::Base64),
    ("whsec", KeyPreparation::Whsec),
];

const PUBLIC_KEY_ENCODINGS: [(&str, KeyPreparation); 4] = [
    ("pem", KeyPreparation::Spki),
    ("hex", KeyPreparation::Hex),
    ("base64", KeyPreparation::Base64),
    ("whpk", KeyPreparation::Whpk),
];

/// None of them is a character of a signature.
const SEPARATORS: [(&str, char); 5] = [(",", ','), (";", ';'), ("|", '|'), ("&", '&'), (" ", ' ')];
const ASSIGNS: [(&str, char); 3] = [("=", '='), (":", ':'), (",", ',')];

const TIMESTAMP_UNITS: [(&str, TimestampUnit); 3] = [
    ("seconds", TimestampUnit::Seconds),
    ("milliseconds", TimestampUnit::Millis),
    ("rfc3339", TimestampUnit::Rfc3339),
];
