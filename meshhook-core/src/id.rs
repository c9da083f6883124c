//! Identities: projects, workflows, nodes, steps, runs, deliveries, workers.
//!
//! Each is a type of its own, so that one cannot stand where another is meant, and each is checked once, where
//! it enters.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Timestamp;

/// Text that does not have the form that an identity needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must match {grammar}")]
pub struct IdError {
    what: &'static str,
    grammar: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $grammar:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text.
            ///
            /// # Errors
            ///
            /// [`IdError`] when the text does not have the form of this identity.
            pub fn new(text: &str) -> Result<Self, IdError> {
                if $check(text) { Ok(Self(text.into())) } else { Err(IdError { what: $what, grammar: $grammar }) }
            }

            /// The identity as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id! {
    /// A project (tenant): every row, secret and key belongs to one.
    ProjectId, "project", "[a-z0-9][a-z0-9-]{0,62}", is_slug
}

text_id! {
    /// A workflow's name within its project.
    WorkflowSlug, "workflow", "[a-z0-9][a-z0-9-]{0,62}", is_slug
}

text_id! {
    /// A node's name within its graph.
    NodeId, "node id", "[A-Za-z_][A-Za-z0-9_]{0,63}", is_identifier
}

text_id! {
    /// One process's worker, new at each start: a restarted process is another worker.
    WorkerId, "worker id", "[A-Za-z0-9_.:-]{1,128}", is_worker
}

text_id! {
    /// The definition of a version: SHA-256 of its canonical form, lower hex.
    Digest, "digest", "[0-9a-f]{64}", is_digest
}

impl ProjectId {
    /// The project that exists from the start.
    #[must_use]
    pub fn default_project() -> Self {
        Self("default".into())
    }
}

fn is_slug(text: &str) -> bool {
    let bytes = text.as_bytes();
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    matches!(bytes, [first, rest @ ..] if plain(first) && rest.len() <= 62 && rest.iter().all(|b| plain(b) || *b == b'-'))
}

/// Whether the text is a node id or secret name: `[A-Za-z_][A-Za-z0-9_]{0,63}`.
#[must_use]
pub fn is_identifier(text: &str) -> bool {
    let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    matches!(text.as_bytes(), [first, rest @ ..] if word(first) && !first.is_ascii_digit() && rest.len() <= 63 && rest.iter().all(word))
}

fn is_worker(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b))
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A step's place in a run: the path of node ids from the root graph, with an index for each iteration.
///
/// `notify` is a step of the root graph, `each[3].post` the node `post` in the fourth item of `each`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepKey(Arc<str>);

impl StepKey {
    /// The step of a node of the root graph.
    #[must_use]
    pub fn root(node: &NodeId) -> Self {
        Self(node.0.clone())
    }

    /// The step of `node` in iteration `index` of this step's body.
    #[must_use]
    pub fn child(&self, index: u64, node: &NodeId) -> Self {
        Self(format!("{}[{index}].{node}", self.0).into())
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The node's id: the last segment.
    #[must_use]
    pub fn node(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or(&self.0)
    }

    /// The iteration that this step belongs to: the looping step's key and the index; `None` in the root graph.
    #[must_use]
    pub fn parent(&self) -> Option<(StepKey, u64)> {
        let (path, _) = self.0.rsplit_once('.')?;
        let (owner, index) = path.strip_suffix(']')?.rsplit_once('[')?;
        Some((StepKey(owner.into()), index.parse().ok()?))
    }

    /// The text up to and including the last dot: the same for all steps of one iteration, empty in the root graph.
    #[must_use]
    pub fn scope(&self) -> &str {
        self.0.rfind('.').map_or("", |dot| &self.0[..=dot])
    }

    /// The node ids from the root graph to this step, without indexes.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.0.split('.').map(|segment| segment.split('[').next().unwrap_or(segment))
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl std::borrow::Borrow<str> for StepKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for StepKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let refused = || IdError { what: "step", grammar: "node or node[index].node" };
        let segments: Vec<&str> = text.split('.').collect();
        for (place, segment) in segments.iter().enumerate() {
            let last = place + 1 == segments.len();
            let node = match segment.strip_suffix(']').and_then(|open| open.split_once('[')) {
                Some((node, index)) if !last && is_index(index) => node,
                None if last => segment,
                _ => return Err(refused()),
            };
            if !is_identifier(node) {
                return Err(refused());
            }
        }
        Ok(Self(text.into()))
    }
}

fn is_index(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
        && text.parse::<u64>().is_ok()
}

impl Serialize for StepKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StepKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// Makes an id from the time of creation, to the microsecond, and random bytes.
            #[must_use]
            pub fn new(created_at: Timestamp, random: [u8; 8]) -> Self {
                let micros = u64::try_from(created_at.as_micros()).unwrap_or(0);
                // RFC 9562, section 6.2, method 3: a fraction of the millisecond in the 12 bits behind it.
                let fraction = (micros % 1_000 * 4_096 / 1_000) as u16;
                let mut behind = [0; 10];
                behind[..2].copy_from_slice(&fraction.to_be_bytes());
                behind[2..].copy_from_slice(&random);
                Self(uuid::Builder::from_unix_timestamp_millis(micros / 1_000, &behind).into_uuid())
            }

            /// Reads the 16 bytes of an id.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(uuid::Uuid::from_bytes(bytes))
            }

            /// The id's 16 bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Reads the hyphenated lower-case form only, so that an id has one spelling.
            fn from_str(text: &str) -> Result<Self, IdError> {
                let refused = IdError { what: $what, grammar: "a lower-case hyphenated UUID" };
                match uuid::Uuid::try_parse(text) {
                    Ok(id) if id.as_hyphenated().to_string() == text => Ok(Self(id)),
                    _ => Err(refused),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

uuid_id! {
    /// One execution of one version: a UUIDv7 (RFC 9562), so that ids sort by creation, to the microsecond.
    RunId, "run id"
}

impl RunId {
    /// Makes the id of one of several runs that are made at once: they sort by their places, up to the 16,384th.
    #[must_use]
    pub fn made_together(created_at: Timestamp, place: u16, mut random: [u8; 8]) -> Self {
        // Behind the fraction of the millisecond stands the variant, in place of 2 bits.
        random[..2].copy_from_slice(&(place & 0x3FFF).to_be_bytes());
        Self::new(created_at, random)
    }

    /// When it was made, to the microsecond.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        let bytes = self.as_bytes();
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&bytes[..6]);
        let fraction = i64::from(u16::from_be_bytes([bytes[6] & 0x0F, bytes[7]]));
        let micros = (fraction * 1_000 + 4_095) / 4_096;
        Timestamp::from_micros(
            i64::from_be_bytes(millis).saturating_mul(1_000).saturating_add(micros.min(999)),
        )
    }
}

uuid_id! {
    /// One webhook request that was received: a UUIDv7 (RFC 9562), so that ids sort by arrival, to the microsecond.
    DeliveryId, "delivery id"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_lower_case_and_bounded() {
        for good in ["a", "0", "a-b", "a--", &"x".repeat(63)] {
            assert!(WorkflowSlug::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a_b", "a.b", "é", &"x".repeat(64)] {
            assert!(WorkflowSlug::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn step_keys_know_their_place() {
        let each = StepKey::root(&NodeId::new("each").unwrap());
        let post = each.child(3, &NodeId::new("post").unwrap());
        assert_eq!(post.as_str(), "each[3].post");
        assert_eq!(post.node(), "post");
        assert_eq!(post.scope(), "each[3].");
        assert_eq!(post.parent(), Some((each.clone(), 3)));
        assert_eq!(each.parent(), None);
        assert_eq!(post.nodes().collect::<Vec<_>>(), ["each", "post"]);
        let deep = post.child(0, &NodeId::new("x").unwrap());
        assert_eq!(deep.parent(), Some((post, 0)));
        assert_eq!(deep.as_str().parse::<StepKey>().unwrap(), deep);
    }

    #[test]
    fn malformed_step_keys_are_refused() {
        for bad in [
            "",
            ".",
            "a.",
            "a.b",
            "a[1]",
            "a[x].b",
            "a[01].b",
            "a[-1].b",
            "1a",
            "a[1].b[2]",
            "a[].b",
            "a[99999999999999999999].b",
        ] {
            assert!(bad.parse::<StepKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn run_ids_are_uuid_version_7_and_have_one_spelling() {
        let at = Timestamp::from_micros(1_767_323_045_678_901);
        let id = RunId::new(at, [7; 8]);
        let text = id.to_string();
        assert_eq!(&text[14..15], "7");
        assert_eq!(text.parse::<RunId>().unwrap(), id);
        assert!(text.to_uppercase().parse::<RunId>().is_err());
        assert_eq!(id.created_at(), at);
    }

    #[test]
    fn run_ids_sort_by_the_microsecond_that_they_were_made_in() {
        let at = |micros: i64| Timestamp::from_micros(1_767_323_045_678_000 + micros);
        // The random bytes must not matter, whichever of them are larger.
        let ids: Vec<RunId> = (0..3_000)
            .map(|micros| RunId::new(at(micros), [if micros % 2 == 0 { 0xFF } else { 0 }; 8]))
            .collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().zip(0..).all(|(id, micros)| id.created_at() == at(micros)));
        assert_ne!(RunId::new(at(0), [1; 8]), RunId::new(at(0), [2; 8]));
    }

    #[test]
    fn run_ids_that_are_made_together_sort_by_their_places() {
        let at = Timestamp::from_micros(1_767_323_045_678_901);
        // The random bits behind the place must not matter.
        let ids: Vec<RunId> = (0..1 << 14)
            .map(|place| RunId::made_together(at, place, [(place % 251) as u8 ^ 0xFF; 8]))
            .collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(
            ids.iter().all(|id| &id.to_string()[14..15] == "7" && id.created_at() == ids[0].created_at())
        );
    }
}
