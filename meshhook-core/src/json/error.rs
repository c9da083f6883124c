//! Why, and where, a text is refused.

use std::fmt;

/// Why a text is not the JSON we accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// The text does not follow the grammar.
    Syntax,
    /// The text ends too early (an empty text, too).
    UnexpectedEnd,
    /// There is more text after the value.
    TrailingData,
    /// The text starts with a byte order mark.
    ByteOrderMark,
    /// The bytes are no UTF-8.
    InvalidUtf8,
    /// A string holds a lone surrogate or another malformed escape.
    InvalidEscape,
    /// A number lies outside the range of a double.
    NumberOutOfRange,
    /// An object has two members of the same name.
    DuplicateKey,
    /// An object has a member whose name serde_json reserves for itself.
    ReservedKey,
    /// Arrays and objects nest deeper than the limit.
    TooDeep,
    /// The document holds more values than the limit.
    TooManyNodes,
}

/// Why, and where, a text is not the JSON we accept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Line, counted from 1; 0 when there is no text (see [`normalize`](super::normalize)).
    pub line: usize,
    /// Column in bytes, counted from 1.
    pub column: usize,
    /// Byte offset of that place from the start of the text.
    pub offset: usize,
    /// RFC 6901 pointer to the value that was being read.
    pub pointer: String,
    pub(super) message: String,
}

impl JsonError {
    pub(super) fn without_position(kind: JsonErrorKind) -> Self {
        let message = match kind {
            JsonErrorKind::ReservedKey => "member name is reserved",
            _ => "number out of range",
        };
        Self { kind, line: 0, column: 0, offset: 0, pointer: String::new(), message: message.to_owned() }
    }

    /// An error at a byte of the text.
    pub(super) fn at_offset(kind: JsonErrorKind, bytes: &[u8], offset: usize, message: &str) -> Self {
        let before = &bytes[..offset];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        Self { kind, line, column, offset, pointer: String::new(), message: message.to_owned() }
    }

    /// Whether the text is JSON, but past a limit.
    pub fn is_limit(&self) -> bool {
        matches!(self.kind, JsonErrorKind::TooDeep | JsonErrorKind::TooManyNodes)
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.line > 0 {
            write!(f, " at line {} column {}", self.line, self.column)?;
        }
        if !self.pointer.is_empty() {
            write!(f, " (in {})", self.pointer)?;
        }
        Ok(())
    }
}

impl std::error::Error for JsonError {}
