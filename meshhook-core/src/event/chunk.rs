//! Chunks: the events of one commit, chained by hash.
//!
//! ```text
//!   genesis(run) ──► chunk 1 ──► chunk 2 ──► …      hash = SHA-256(hash before ‖ text)
//! ```
//!
//! A store keeps a history as one row per commit. The chain makes a changed byte, a removed chunk in the middle
//! and a swapped order visible without replaying anything. It holds no key: it finds accidents and careless
//! hands, not an adversary who can rewrite the whole chain.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::{CodecError, Event, decode_events, encode_events};
use crate::id::RunId;

/// The hash that a chunk ends the chain with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChunkHash(pub [u8; 32]);

impl fmt::Debug for ChunkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What the chain of a run starts from.
#[must_use]
pub fn genesis(run: RunId) -> ChunkHash {
    ChunkHash(
        Sha256::new().chain_update(b"meshhook history\0").chain_update(run.as_bytes()).finalize().into(),
    )
}

/// The events of one commit, as a store keeps them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Chunk {
    /// The position of the first event.
    pub first_seq: u64,
    /// The position of the last event.
    pub last_seq: u64,
    /// The events: a canonical JSON array.
    pub text: String,
    /// The chain up to and including this chunk.
    pub hash: ChunkHash,
}

/// A chunk that does not continue its chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The positions do not follow each other.
    #[error("history continues at {found}, expected {expected}")]
    Gap {
        /// The position that should come next.
        expected: u64,
        /// The position that does.
        found: u64,
    },
    /// The hash does not match the text.
    #[error("history was altered at or before event {seq}")]
    Altered {
        /// The first position of the chunk at fault.
        seq: u64,
    },
    /// The text holds no events.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl Chunk {
    /// Encodes events that follow each other and chains them to what came before.
    ///
    /// # Panics
    ///
    /// When `events` is empty: a commit without events is no chunk.
    #[must_use]
    pub fn encode(before: ChunkHash, events: &[Event]) -> Self {
        let (first, last) = (events.first(), events.last());
        let (first, last) = first.zip(last).expect("a chunk holds at least one event");
        let text = encode_events(events);
        Self { first_seq: first.seq, last_seq: last.seq, hash: chain(before, &text), text }
    }

    /// A chunk as a store kept it; nothing is checked yet.
    #[must_use]
    pub fn from_parts(first_seq: u64, last_seq: u64, text: String, hash: ChunkHash) -> Self {
        Self { first_seq, last_seq, text, hash }
    }

    /// Reads the events without checking what they are chained to.
    ///
    /// # Errors
    ///
    /// [`CodecError`] when the text holds no events.
    pub fn events(&self) -> Result<Vec<Event>, CodecError> {
        decode_events(&self.text)
    }

    /// Checks that the chunk follows position `seq` and hash `before`, and reads its events.
    ///
    /// # Errors
    ///
    /// [`ChainError`] when it does not follow, was altered, or is not readable.
    pub fn decode(&self, before: ChunkHash, seq: u64) -> Result<Vec<Event>, ChainError> {
        if self.first_seq != seq + 1 {
            return Err(ChainError::Gap { expected: seq + 1, found: self.first_seq });
        }
        if chain(before, &self.text) != self.hash {
            return Err(ChainError::Altered { seq: self.first_seq });
        }
        let events = decode_events(&self.text)?;
        for (event, expected) in events.iter().zip(self.first_seq..) {
            if event.seq != expected {
                return Err(ChainError::Gap { expected, found: event.seq });
            }
        }
        match events.last() {
            Some(last) if last.seq == self.last_seq => Ok(events),
            _ => Err(ChainError::Altered { seq: self.first_seq }),
        }
    }
}

pub(crate) fn chain(before: ChunkHash, text: &str) -> ChunkHash {
    ChunkHash(Sha256::new().chain_update(before.0).chain_update(text.as_bytes()).finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventData;
    use crate::time::Timestamp;

    fn chain_of_two() -> (RunId, Chunk, Chunk) {
        let run = RunId::new(Timestamp::EPOCH, [1; 8]);
        let event = |seq| Event::new(seq, Timestamp::EPOCH, None, EventData::RunPaused { by: None });
        let first = Chunk::encode(genesis(run), &[event(1), event(2)]);
        let second = Chunk::encode(first.hash, &[event(3)]);
        (run, first, second)
    }

    #[test]
    fn a_chain_reads_back() {
        let (run, first, second) = chain_of_two();
        assert_eq!(first.decode(genesis(run), 0).unwrap().len(), 2);
        assert_eq!(second.decode(first.hash, 2).unwrap()[0].seq, 3);
    }

    #[test]
    fn every_altered_byte_is_found() {
        let (run, first, _) = chain_of_two();
        for place in 0..first.text.len() {
            let mut bytes = first.text.clone().into_bytes();
            bytes[place] ^= 1;
            let altered = Chunk { text: String::from_utf8(bytes).unwrap(), ..first.clone() };
            assert_eq!(altered.decode(genesis(run), 0), Err(ChainError::Altered { seq: 1 }));
        }
    }

    #[test]
    fn a_missing_chunk_is_found() {
        let (run, first, second) = chain_of_two();
        assert_eq!(second.decode(genesis(run), 0), Err(ChainError::Gap { expected: 1, found: 3 }));
        assert_eq!(second.decode(genesis(run), 2), Err(ChainError::Altered { seq: 3 }));
        let renumbered = Chunk { last_seq: 3, ..first };
        assert_eq!(renumbered.decode(genesis(run), 0), Err(ChainError::Altered { seq: 1 }));
    }
}
