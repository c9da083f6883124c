//! Trace context: which request of the world an attempt belongs to.
//!
//! A webhook may come as part of a trace (`traceparent`, W3C Trace Context level 1, <https://www.w3.org/TR/trace-context/>).
//! The header is part of the run's recorded trigger, so what follows from it is the same on every worker and after every
//! crash, and nothing is recorded for it. A run that came without one starts no trace: whether to is not ours to decide.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::event::RunTrigger;

/// A trace, and the place in it that a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: [u8; 16],
    parent: [u8; 8],
    sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent` header; `None` when it is not valid.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let text = header.trim_matches([' ', '\t']);
        let mut parts = text.split('-');
        let version = bytes::<1>(parts.next()?)?;
        let (trace, parent) = (bytes::<16>(parts.next()?)?, bytes::<8>(parts.next()?)?);
        let [flags] = bytes::<1>(parts.next()?)?;
        // Later versions may have more parts; this one has not, and 255 is none.
        let is_whole = parts.next().is_none();
        let is_valid = version != [255] && (is_whole || version != [0]) && text.len() <= MAX_BYTES;
        (is_valid && trace != [0; 16] && parent != [0; 8]).then_some(Self {
            trace,
            parent,
            sampled: flags & 1 == 1,
        })
    }

    /// The trace that a run's trigger belongs to.
    #[must_use]
    pub fn of_trigger(trigger: &RunTrigger) -> Option<Self> {
        trigger.get("headers")?.get("traceparent")?.as_str().and_then(Self::parse)
    }

    /// The same trace, with another place in it: the one that `name` stands for, always the same.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let digest = Sha256::new().chain_update(self.trace).chain_update(self.parent).chain_update(name);
        let mut parent = [0; 8];
        parent.copy_from_slice(&digest.finalize()[..8]);
        // Zero is no place.
        parent[7] |= u8::from(parent == [0; 8]);
        Self { parent, ..*self }
    }
}

/// The value of a `traceparent` header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, parent) = (hex::encode(self.trace), hex::encode(self.parent));
        write!(f, "00-{trace}-{parent}-{:02x}", u8::from(self.sampled))
    }
}

/// The longest header that is looked at.
const MAX_BYTES: usize = 512;

/// Lower hex of exactly so many bytes.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; N];
    (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn valid_headers_are_read_and_written_alike() {
        for text in [GOOD, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"] {
            assert_eq!(TraceContext::parse(text).unwrap().to_string(), text);
        }
        // What a later version adds is not understood, so not passed on.
        let later = GOOD.replacen("00", "cc", 1) + "-more";
        assert_eq!(TraceContext::parse(&later).unwrap().to_string(), GOOD);
        let flags = GOOD.replace("-01", "-ff");
        assert_eq!(TraceContext::parse(&flags).unwrap().to_string(), GOOD);
    }

    #[test]
    fn anything_else_is_no_trace() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01, 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
        assert_eq!(TraceContext::parse(&format!("cc{}-{}", &GOOD[2..], "x".repeat(600))), None);
    }

    #[test]
    fn a_child_keeps_the_trace_and_has_a_place_of_its_own() {
        let of = |trigger: serde_json::Value| {
            TraceContext::of_trigger(&trigger.as_object().unwrap().clone().into())
        };
        let parent = of(json!({ "type": "webhook", "headers": { "traceparent": GOOD } })).unwrap();
        let child = parent.child("key/1");
        assert_eq!(child.to_string()[..36], GOOD[..36]);
        assert!(child != parent && child != parent.child("key/2"));
        assert_eq!(child, parent.child("key/1"));
        assert_eq!(of(json!({ "type": "manual" })), None);
        assert_eq!(of(json!({ "headers": { "traceparent": 7 } })), None);
    }
}
