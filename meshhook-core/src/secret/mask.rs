//! The masker: replaces a project's secrets, however encoded, by `***`.
//!
//! It stands at every exit: events, failures, logs, streams, answers. A secret of at least
//! [`MIN_MASKED_BYTES`] is found
//!
//! - as it is, and with line ends `\n` written as `\r\n` or the other way round;
//! - in hexadecimal, lower or upper case;
//! - in base64 and base64url, padded or not, also inside a longer encoded text: a secret starts at one of three
//!   offsets within its base64 groups, and each has its own pattern;
//! - all of these percent-encoded, form-encoded, JSON-escaped (twice over as well), HTML-escaped or wrapped
//!   into lines: those encodings are taken off first (`view.rs`), whichever characters the encoder chose to
//!   escape.
//!
//! Matches may overlap; their union is replaced, so a secret that starts inside another one leaves no tail.
//! Of a long secret the automaton knows the first [`PREFIX_BYTES`]; a match then runs on for as long as the
//! text agrees with the secret, so one that was cut short is hidden as far as it goes. Still: **mask first, cut
//! afterwards**. Where a text comes cut already, [`Masker::mask_cut_str`] also hides a short head at its end; that
//! would hide too much (`https://`, say) in texts that end by themselves.
//!
//! What it cannot see: a secret that was hashed, encrypted, reversed or split. When it cannot do its work (the
//! patterns do not fit an automaton, or hostile text makes matching too costly) it hides the whole text.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use aho_corasick::{AhoCorasick, MatchKind, packed};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::value::SecretValue;
use super::view::{Encoding, View};
use crate::failure::{Failure, MAX_MESSAGE_BYTES};

/// What stands in a secret's place.
pub const MASK: &str = "***";

/// The shortest secret that is masked, in bytes. Masking shorter ones would eat ordinary words.
pub const MIN_MASKED_BYTES: usize = 8;

/// Finds and replaces the secrets of one project.
///
/// It is built from the values and keeps their encodings in memory for as long as it lives; it prints none.
pub struct Masker {
    patterns: Vec<Pattern>,
    finder: Finder,
    /// Nothing shorter, in bytes, holds a secret.
    shortest: usize,
    /// Tells fast that there is nothing to find; `None` for more secrets than it takes.
    gate: Option<Box<packed::Searcher>>,
    has_numeric: bool,
    has_space: bool,
}

enum Finder {
    /// No secret to hide.
    Nothing,
    /// Finds the first bytes of each pattern.
    Prefixes(Box<AhoCorasick>),
    /// The automaton could not be built: everything is hidden.
    Everything,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pattern {
    bytes: Vec<u8>,
    /// Part of a base64 text: the neighbours that hold some of the secret's bits go as well.
    base64: Option<Base64Edges>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Base64Edges {
    left: bool,
    right: bool,
}

impl Masker {
    /// Builds a masker for these values; shorter ones than [`MIN_MASKED_BYTES`] are left out.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a SecretValue>) -> Self {
        let mut patterns = BTreeSet::new();
        for value in values.into_iter().filter(|value| value.is_masked()) {
            let text = value.expose();
            // A pasted secret often ends in a line end that is trimmed before it is sent.
            let trimmed = text.trim();
            add_patterns(&mut patterns, if trimmed.len() >= MIN_MASKED_BYTES { trimmed } else { text });
        }
        let patterns: Vec<Pattern> = patterns.into_iter().collect();
        let prefixes = patterns.iter().map(|p| &p.bytes[..p.bytes.len().min(PREFIX_BYTES)]);
        let shortest = prefixes.clone().map(<[u8]>::len).min().unwrap_or(0);
        let gate = packed::Builder::new().extend(prefixes.clone()).build().map(Box::new);
        let finder = if patterns.is_empty() {
            Finder::Nothing
        } else {
            match AhoCorasick::builder().match_kind(MatchKind::Standard).build(prefixes) {
                Ok(automaton) => Finder::Prefixes(Box::new(automaton)),
                Err(_) => Finder::Everything,
            }
        };
        Self {
            has_numeric: patterns.iter().any(|p| p.bytes.iter().all(|b| NUMERIC.contains(b))),
            has_space: patterns.iter().any(|p| p.bytes.contains(&b' ')),
            patterns,
            finder,
            shortest,
            gate,
        }
    }

    /// A masker that hides nothing.
    pub fn none() -> Self {
        Self::new([])
    }

    /// Masks text.
    pub fn mask_str<'t>(&self, text: &'t str) -> Cow<'t, str> {
        Self::text(text, self.mask_as(text.as_bytes(), End::Whole))
    }

    /// Masks text that was cut off at its end, where the head of a secret can be left over that is too short to
    /// be recognized anywhere else. Four bytes of it are enough here.
    pub fn mask_cut_str<'t>(&self, text: &'t str) -> Cow<'t, str> {
        Self::text(text, self.mask_as(text.as_bytes(), End::Cut))
    }

    /// Masks a failure: its message, which may have been cut to its limit, and its details.
    pub fn mask_failure(&self, failure: &mut Failure) {
        let may_be_cut = failure.message.len() + char::MAX_LEN_UTF8 > MAX_MESSAGE_BYTES;
        let end = if may_be_cut { End::Cut } else { End::Whole };
        let masked = Self::text(&failure.message, self.mask_as(failure.message.as_bytes(), end));
        if let Cow::Owned(masked) = masked {
            failure.message = masked;
        }
        if let Some(details) = &mut failure.details {
            self.mask_value(details);
        }
    }

    /// Masks text in place.
    pub fn mask_string(&self, text: &mut String) {
        if let Cow::Owned(masked) = self.mask_str(text) {
            *text = masked;
        }
    }

    /// Masks bytes of any kind.
    pub fn mask_bytes<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        self.mask_as(bytes, End::Whole)
    }

    /// Masks bytes that were cut off at their end, as [`mask_cut_str`](Self::mask_cut_str) does text.
    pub(crate) fn mask_cut_bytes<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        self.mask_as(bytes, End::Cut)
    }

    /// Masks every string, object key and (for secrets that look like one) number of a value, at any depth.
    ///
    /// Keys that become equal are told apart by a counter: `***`, `***#2`.
    pub fn mask_value(&self, value: &mut Value) {
        if matches!(self.finder, Finder::Nothing) {
            return;
        }
        self.mask_all(vec![value]);
    }

    /// Masks an object as [`Masker::mask_value`] does.
    pub fn mask_members(&self, members: &mut Map<String, Value>) {
        if matches!(self.finder, Finder::Nothing) {
            return;
        }
        self.mask_keys(members);
        self.mask_all(members.values_mut().collect());
    }

    fn mask_all(&self, mut open: Vec<&mut Value>) {
        while let Some(value) = open.pop() {
            match value {
                Value::String(text) => self.mask_string(text),
                Value::Number(number) if self.has_numeric => {
                    if let Cow::Owned(masked) = self.mask_str(&number.to_string()) {
                        *value = Value::String(masked);
                    }
                }
                Value::Array(items) => open.extend(items),
                Value::Object(members) => {
                    self.mask_keys(members);
                    open.extend(members.values_mut());
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
    }

    fn mask_keys(&self, members: &mut Map<String, Value>) {
        if !members.keys().any(|key| matches!(self.mask_str(key), Cow::Owned(_))) {
            return;
        }
        let mut sorted: Vec<(String, Value)> = std::mem::take(members).into_iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        for (key, value) in sorted {
            let masked = self.mask_str(&key).into_owned();
            let mut free = masked.clone();
            let mut count = 2;
            while members.contains_key(&free) {
                free = format!("{masked}#{count}");
                count += 1;
            }
            members.insert(free, value);
        }
    }

    fn mask_as<'t>(&self, bytes: &'t [u8], end: End) -> Cow<'t, [u8]> {
        let found = match &self.finder {
            Finder::Nothing => return Cow::Borrowed(bytes),
            Finder::Everything => return Self::hide_everything(bytes),
            Finder::Prefixes(automaton) => self.find(automaton, bytes, end),
        };
        match found {
            Ok(ranges) if ranges.is_empty() => Cow::Borrowed(bytes),
            Ok(ranges) => Cow::Owned(replace(bytes, ranges)),
            Err(TooCostly) => Self::hide_everything(bytes),
        }
    }

    /// The masked bytes as text. Matches of UTF-8 in UTF-8 start and end at characters, so nothing is lost.
    fn text<'t>(text: &'t str, masked: Cow<'_, [u8]>) -> Cow<'t, str> {
        match masked {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(masked) => Cow::Owned(match String::from_utf8(masked) {
                Ok(masked) => masked,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }),
        }
    }

    fn hide_everything(bytes: &[u8]) -> Cow<'_, [u8]> {
        if bytes.is_empty() { Cow::Borrowed(bytes) } else { Cow::Owned(MASK.into()) }
    }

    /// Where secrets stand in the text and in every view of it.
    fn find(&self, automaton: &AhoCorasick, text: &[u8], end: End) -> Result<Vec<(usize, usize)>, TooCostly> {
        let mut work = Work { left: text.len().saturating_mul(64).saturating_add(1 << 20) };
        let mut ranges = Vec::new();
        self.find_in(automaton, text, &mut work, |from, to| ranges.push((from, to)))?;
        let mut cut_at = if end == End::Cut { self.cut_head(text) } else { None };
        let is_mark =
            |b: &u8| matches!(b, b'%' | b'\\' | b'&' | b'\n' | b'\r') || (*b == b'+' && self.has_space);
        // Without leaving early within a piece, pieces are looked at whole.
        if !text.chunks(64).any(|piece| piece.iter().fold(false, |found, byte| found | is_mark(byte))) {
            ranges.extend(cut_at.map(|from| (from, text.len())));
            return Ok(ranges);
        }
        let plain = View::of(text);
        for (outer, inner) in VIEWS {
            if *outer == Encoding::Form && !self.has_space {
                continue;
            }
            let Some(view) = plain.decode(*outer) else { continue };
            let nested: Vec<View> = inner.iter().filter_map(|encoding| view.decode(*encoding)).collect();
            for View { bytes, origin } in nested.iter().chain([&view]) {
                let report = |from: usize, to: usize| ranges.push((origin[from], origin[to]));
                self.find_in(automaton, bytes, &mut work, report)?;
                if end == End::Cut {
                    let from = self.cut_head(bytes).map(|at| origin[at]);
                    cut_at = [cut_at, from].into_iter().flatten().min();
                }
            }
        }
        ranges.extend(cut_at.map(|from| (from, text.len())));
        Ok(ranges)
    }

    fn find_in(
        &self,
        automaton: &AhoCorasick,
        text: &[u8],
        work: &mut Work,
        mut report: impl FnMut(usize, usize),
    ) -> Result<(), TooCostly> {
        // Most texts hold no secret.
        let is_clean = |gate: &packed::Searcher| gate.find(text).is_none();
        if text.len() < self.shortest || self.gate.as_deref().is_some_and(is_clean) {
            return Ok(());
        }
        for found in automaton.find_overlapping_iter(text) {
            let pattern = &self.patterns[found.pattern().as_usize()];
            let (mut from, mut to) = (found.start(), found.end());
            let rest = text[to..].iter().zip(&pattern.bytes[to - from..]);
            to += rest.take_while(|(a, b)| a == b).count();
            work.spend(1 + to - found.end())?;
            if let Some(edges) = pattern.base64 {
                if edges.left && from > 0 && is_base64(text[from - 1]) {
                    from -= 1;
                }
                if edges.right && text.get(to).copied().is_some_and(is_base64) {
                    to += 1;
                }
                to += text[to..].iter().take(2).take_while(|b| **b == b'=').count();
            }
            report(from, to);
        }
        Ok(())
    }
}

impl Masker {
    /// Where the head of a secret begins that runs into the end of the text, but for half an escape.
    fn cut_head(&self, text: &[u8]) -> Option<usize> {
        let half_escape = text.len().saturating_sub(HALF_ESCAPE);
        let mark = text[half_escape..].iter().position(|b| matches!(b, b'%' | b'\\' | b'&'));
        let end = mark.map_or(text.len(), |at| half_escape + at);
        let reaches_end = |from: usize, pattern: &Pattern| {
            let same = text[from..].iter().zip(&pattern.bytes).take_while(|(a, b)| a == b).count();
            same >= MIN_HEAD_BYTES && from + same >= end
        };
        (text.len().saturating_sub(PREFIX_BYTES + HALF_ESCAPE)..text.len())
            .find(|from| self.patterns.iter().any(|pattern| reaches_end(*from, pattern)))
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("patterns", &self.patterns.len()).finish_non_exhaustive()
    }
}

/// Whether a text ends where its author ended it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Cut,
}

/// Matching took more work than the text's length justifies.
struct TooCostly;

struct Work {
    left: usize,
}

impl Work {
    fn spend(&mut self, steps: usize) -> Result<(), TooCostly> {
        self.left = self.left.checked_sub(steps).ok_or(TooCostly)?;
        Ok(())
    }
}

fn add_patterns(patterns: &mut BTreeSet<Pattern>, text: &str) {
    let unix = text.replace("\r\n", "\n");
    let dos = unix.replace('\n', "\r\n");
    for spelling in BTreeSet::from([text, &unix, &dos]) {
        let bytes = spelling.as_bytes();
        let plain = |bytes: Vec<u8>| Pattern { bytes, base64: None };
        patterns.insert(plain(bytes.to_vec()));
        patterns.insert(plain(hex::encode(bytes).into_bytes()));
        patterns.insert(plain(hex::encode_upper(bytes).into_bytes()));
        for offset in 0..3 {
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                let (encoded, edges) = base64_core(engine, bytes, offset);
                patterns.insert(Pattern { bytes: encoded, base64: Some(edges) });
            }
        }
    }
}

/// The base64 characters that hold nothing but bits of `bytes`, when `offset` other bytes come before them.
fn base64_core(
    engine: &base64::engine::GeneralPurpose,
    bytes: &[u8],
    offset: usize,
) -> (Vec<u8>, Base64Edges) {
    let padded = [&[0, 0][..offset], bytes].concat();
    let encoded = engine.encode(&padded);
    let (first, last) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
    let edges = Base64Edges { left: offset > 0, right: !(padded.len() * 8).is_multiple_of(6) };
    (encoded.as_bytes()[first..last].to_vec(), edges)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Replaces the union of the ranges, one mask for each stretch.
fn replace(bytes: &[u8], mut ranges: Vec<(usize, usize)>) -> Vec<u8> {
    ranges.sort_unstable();
    let mut masked = Vec::with_capacity(bytes.len());
    let mut done = 0;
    for (from, to) in ranges {
        if from > done || (done == 0 && masked.is_empty()) {
            masked.extend_from_slice(&bytes[done..from]);
            masked.extend_from_slice(MASK.as_bytes());
        }
        done = done.max(to);
    }
    masked.extend_from_slice(&bytes[done..]);
    masked
}

/// How many bytes of a pattern the automaton knows; the rest is compared where these match.
const PREFIX_BYTES: usize = 64;

/// How much of a secret is recognized at the end of a text that was cut there.
const MIN_HEAD_BYTES: usize = 4;

/// How many bytes of an escape can be left when a text is cut within it, at most.
const HALF_ESCAPE: usize = 11;

/// What numbers are written with in JSON.
const NUMERIC: &[u8] = b"0123456789+-.eE";

/// Which encodings are taken off, and which others below them.
const VIEWS: &[(Encoding, &[Encoding])] = &[
    (Encoding::Percent, &[Encoding::Percent, Encoding::Json]),
    (Encoding::Form, &[Encoding::Json]),
    (Encoding::Json, &[Encoding::Json, Encoding::Percent, Encoding::Form, Encoding::Html, Encoding::Lines]),
    (Encoding::Html, &[]),
    (Encoding::Lines, &[]),
];

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
