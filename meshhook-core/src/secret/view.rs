//! Views: a text with one encoding taken off, and where each of its bytes came from.
//!
//! An encoder has choices: which characters it escapes, in which case, in how many ways. Rather than guess
//! every spelling of a secret, the masker undoes the encoding and looks for the one spelling that is left.
//! A view therefore remembers, for each decoded byte, the place in the original text.

/// A decoded text. `origin[i]` is where byte `i` starts in the original; the last entry is the original's end.
pub(super) struct View {
    pub(super) bytes: Vec<u8>,
    pub(super) origin: Vec<usize>,
}

/// One encoding that can be taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// `%41`.
    Percent,
    /// `%41`, and `+` for a space.
    Form,
    /// `\n`, `\"`, `\/`, `\u0041` and pairs of surrogates.
    Json,
    /// `&amp;`, `&#65;`, `&#x41;`.
    Html,
    /// Line ends, as they wrap long base64.
    Lines,
}

impl View {
    /// The text as it is.
    pub(super) fn of(text: &[u8]) -> Self {
        Self { bytes: text.to_vec(), origin: (0..=text.len()).collect() }
    }

    /// Takes one encoding off; `None` when there was nothing of it.
    pub(super) fn decode(&self, encoding: Encoding) -> Option<Self> {
        let from = &self.bytes;
        if !from.iter().any(|b| encoding.marks(*b)) {
            return None;
        }
        let mut out =
            Self { bytes: Vec::with_capacity(from.len()), origin: Vec::with_capacity(self.origin.len()) };
        let (mut at, mut changed) = (0, false);
        while at < from.len() {
            let rest = &from[at..];
            let plain = rest.iter().position(|b| encoding.marks(*b)).unwrap_or(rest.len());
            if plain > 0 {
                out.bytes.extend_from_slice(&rest[..plain]);
                out.origin.extend_from_slice(&self.origin[at..at + plain]);
                at += plain;
                continue;
            }
            let unit = encoding.unit(rest);
            let (decoded, taken) = match &unit {
                Some(unit) => (&unit.bytes[..unit.len], unit.taken),
                None => (&rest[..1], 1),
            };
            changed |= unit.is_some();
            out.bytes.extend_from_slice(decoded);
            out.origin.extend(std::iter::repeat_n(self.origin[at], decoded.len()));
            at += taken;
        }
        out.origin.push(self.origin[from.len()]);
        changed.then_some(out)
    }
}

/// What one escape stands for (at most 4 bytes of UTF-8), and how many bytes it took.
struct Unit {
    bytes: [u8; 4],
    len: usize,
    taken: usize,
}

impl Unit {
    fn byte(byte: u8, taken: usize) -> Self {
        Self { bytes: [byte, 0, 0, 0], len: 1, taken }
    }

    fn char(char: char, taken: usize) -> Self {
        let mut bytes = [0; 4];
        let len = char.encode_utf8(&mut bytes).len();
        Self { bytes, len, taken }
    }
}

impl Encoding {
    fn marks(self, byte: u8) -> bool {
        match self {
            Self::Percent => byte == b'%',
            Self::Form => byte == b'%' || byte == b'+',
            Self::Json => byte == b'\\',
            Self::Html => byte == b'&',
            Self::Lines => byte == b'\n' || byte == b'\r',
        }
    }

    /// Reads one escape at the start of `rest`, which starts with a byte that [`Encoding::marks`].
    fn unit(self, rest: &[u8]) -> Option<Unit> {
        match self {
            Self::Percent => percent(rest),
            Self::Form if rest[0] == b'+' => Some(Unit::byte(b' ', 1)),
            Self::Form => percent(rest),
            Self::Json => json(rest),
            Self::Html => html(rest),
            Self::Lines => Some(Unit { bytes: [0; 4], len: 0, taken: 1 }),
        }
    }
}

fn percent(rest: &[u8]) -> Option<Unit> {
    let byte = hex_number(rest.get(1..3)?)?;
    Some(Unit::byte(u8::try_from(byte).ok()?, 3))
}

fn json(rest: &[u8]) -> Option<Unit> {
    let plain = match rest.get(1)? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        b'u' => return json_unicode(rest),
        other @ (b'"' | b'\\' | b'/' | b'\'') => *other,
        _ => return None,
    };
    Some(Unit::byte(plain, 2))
}

fn json_unicode(rest: &[u8]) -> Option<Unit> {
    let high = hex_number(rest.get(2..6)?)?;
    if let Some(char) = char::from_u32(high) {
        return Some(Unit::char(char, 6));
    }
    let low = rest.get(6..12).filter(|low| low.starts_with(b"\\u")).and_then(|low| hex_number(&low[2..]))?;
    if !(0xD800..0xDC00).contains(&high) || !(0xDC00..0xE000).contains(&low) {
        return None;
    }
    let char = char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))?;
    Some(Unit::char(char, 12))
}

fn html(rest: &[u8]) -> Option<Unit> {
    let end = rest.iter().take(10).position(|b| *b == b';')?;
    let char = match &rest[1..end] {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(hex_number(digits)?)?,
        [b'#', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => {
            char::from_u32(std::str::from_utf8(digits).ok()?.parse().ok()?)?
        }
        _ => return None,
    };
    Some(Unit::char(char, end + 1))
}

fn hex_number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(encoding: Encoding, text: &str, expected: &str) {
        let view = View::of(text.as_bytes()).decode(encoding).expect("something to decode");
        assert_eq!(String::from_utf8_lossy(&view.bytes), expected);
        assert_eq!(view.origin.len(), view.bytes.len() + 1);
        assert_eq!(view.origin.last(), Some(&text.len()));
        assert!(view.origin.is_sorted());
    }

    #[test]
    fn each_encoding_comes_off() {
        check(Encoding::Percent, "a%20b%c3%A9%zz%4", "a bé%zz%4");
        check(Encoding::Form, "a+b%2B", "a b+");
        check(Encoding::Json, r#"a\n\"\/\\\u00e9\uD83D\uDE00\x\u12"#, "a\n\"/\\é😀\\x\\u12");
        check(Encoding::Json, r"\ud800\n", "\\ud800\n");
        check(Encoding::Html, "a&amp;b&#39;&#x27;&lt;&nope;&", "a&b''<&nope;&");
        check(Encoding::Lines, "ab\r\ncd\n", "abcd");
    }

    #[test]
    fn text_without_the_encoding_makes_no_view() {
        for encoding in [Encoding::Percent, Encoding::Form, Encoding::Json, Encoding::Html, Encoding::Lines] {
            assert!(View::of(b"plain text").decode(encoding).is_none());
        }
        assert!(View::of(b"100% sure").decode(Encoding::Percent).is_none());
    }

    #[test]
    fn origins_point_at_the_start_of_each_escape() {
        let view = View::of(b"a%41b").decode(Encoding::Percent).unwrap();
        assert_eq!((view.bytes.as_slice(), view.origin.as_slice()), (&b"aAb"[..], &[0, 1, 4, 5][..]));
    }
}
