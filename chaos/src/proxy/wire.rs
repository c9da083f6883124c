//! Messages of the Postgres protocol, as far as one must read them to break off at the right place.
//!
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>

use std::collections::HashMap;

use bytes::{Buf as _, Bytes, BytesMut};

/// The longest message that is let through: far beyond anything the store says.
const MAX_MESSAGE: usize = 512 << 20;

/// A whole message, with its type; the first one of a client has none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    /// All of it, as it goes on.
    pub(super) bytes: Bytes,
    /// Where the text after the length begins.
    start: usize,
}

impl Message {
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Takes the next whole message off a buffer, if there is one.
pub(super) fn next(buffer: &mut BytesMut, is_first: bool) -> Result<Option<Message>, &'static str> {
    let start = if is_first { 4 } else { 5 };
    if buffer.len() < start {
        return Ok(None);
    }
    let kind = if is_first { 0 } else { buffer[0] };
    let length = (&buffer[start - 4..start]).get_u32() as usize;
    if !(4..=MAX_MESSAGE).contains(&length) {
        return Err("a message of an impossible length");
    }
    let whole = start - 4 + length;
    if buffer.len() < whole {
        return Ok(None);
    }
    Ok(Some(Message { kind, bytes: buffer.split_to(whole).freeze(), start }))
}

/// What a client is about to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    /// A statement that ends with a commit.
    Commits(Work),
    Other,
}

/// Whether a commit is one of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// It changes a run.
    Sure,
    /// A claim: it does if its answer says that it took something, and is an idle worker's look otherwise.
    IfAnswered,
    /// The end of a transaction that may just have read.
    Unknown,
}

/// Knows which prepared statements commit.
#[derive(Debug, Default)]
pub(super) struct Statements {
    commits: HashMap<Vec<u8>, Option<Work>>,
}

impl Statements {
    pub(super) fn read(&mut self, message: &Message) -> Intent {
        let body = message.body();
        match message.kind {
            b'P' => {
                let (name, rest) = text(body);
                let (query, _) = text(rest);
                self.commits.insert(name.to_vec(), commits(query));
                Intent::Other
            }
            b'B' => {
                let (_, rest) = text(body);
                let (statement, _) = text(rest);
                self.commits.get(statement).copied().flatten().map_or(Intent::Other, Intent::Commits)
            }
            b'Q' => commits(text(body).0).map_or(Intent::Other, Intent::Commits),
            _ => Intent::Other,
        }
    }
}

/// Text up to its end mark, and what follows.
fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// Whether a statement makes a change to runs last: an end of a transaction, or a function that is one.
fn commits(query: &[u8]) -> Option<Work> {
    const FUNCTIONS: [(&[u8], Work); 6] = [
        (b"meshhook.start_v", Work::Sure),
        (b"meshhook.start_in_v", Work::Sure),
        (b"meshhook.advance_v", Work::Sure),
        (b"meshhook.post_v", Work::Sure),
        (b"meshhook.forget_v", Work::Sure),
        (b"meshhook.claim_v", Work::IfAnswered),
    ];
    let query = query.trim_ascii();
    if query.eq_ignore_ascii_case(b"COMMIT") {
        return Some(Work::Unknown);
    }
    let calls =
        |function: &[u8]| query.windows(function.len()).any(|window| window.eq_ignore_ascii_case(function));
    FUNCTIONS.iter().find(|(function, _)| calls(function)).map(|(_, work)| *work)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body: Vec<u8> = parts.iter().flat_map(|part| [*part, &[0]].concat()).collect();
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], &length.to_be_bytes()[..], &body].concat()
    }

    fn read(statements: &mut Statements, bytes: &[u8]) -> Intent {
        statements.read(&next(&mut BytesMut::from(bytes), false).unwrap().unwrap())
    }

    #[test]
    fn messages_are_taken_off_when_they_are_whole() {
        let whole = message(b'Q', &[b"SELECT 1"]);
        let mut buffer = BytesMut::from(&whole[..7]);
        assert_eq!(next(&mut buffer, false), Ok(None));
        buffer.extend_from_slice(&whole[7..]);
        buffer.extend_from_slice(b"S");
        let taken = next(&mut buffer, false).unwrap().unwrap();
        assert_eq!((taken.kind, taken.body()), (b'Q', &b"SELECT 1\0"[..]));
        assert_eq!(&buffer[..], b"S");
        assert!(next(&mut BytesMut::from(&b"Q\0\0\0\x01"[..]), false).is_err());
        let mut first = BytesMut::from(&b"\0\0\0\x08\0\x03\0\0"[..]);
        assert_eq!(next(&mut first, true).unwrap().unwrap().body(), b"\0\x03\0\0");
    }

    #[test]
    fn a_prepared_commit_is_known_again_when_it_is_bound() {
        let mut statements = Statements::default();
        let prepare = message(b'P', &[b"s1", b"SELECT * FROM meshhook.start_v1($1)"]);
        assert_eq!(read(&mut statements, &prepare), Intent::Other);
        assert_eq!(read(&mut statements, &message(b'P', &[b"s2", b"SELECT 1"])), Intent::Other);
        assert_eq!(read(&mut statements, &message(b'B', &[b"", b"s1"])), Intent::Commits(Work::Sure));
        assert_eq!(read(&mut statements, &message(b'B', &[b"", b"s2"])), Intent::Other);
        assert_eq!(read(&mut statements, &message(b'S', &[])), Intent::Other);
        assert_eq!(read(&mut statements, &message(b'Q', &[b"commit"])), Intent::Commits(Work::Unknown));
        let claim = message(b'Q', &[b"SELECT * FROM meshhook.claim_v1($1)"]);
        assert_eq!(read(&mut statements, &claim), Intent::Commits(Work::IfAnswered));
        assert_eq!(read(&mut statements, &message(b'Q', &[b"BEGIN"])), Intent::Other);
    }
}
