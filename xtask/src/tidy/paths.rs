//! The paths that code names, with groups spelled out: `use a::{b, c::d}` names `a::b` and `a::c::d`.

/// A path in blanked code and the byte where it starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) segments: Vec<String>,
    pub(crate) position: usize,
}

/// Every path of two segments or more, in the order of the text.
pub(crate) fn paths(blanked: &str) -> Vec<Named> {
    let tokens = tokens(blanked);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = if tokens[at].is_word() { path(&tokens, at, &[], &mut found) } else { at + 1 };
    }
    found.retain(|named| named.segments.len() > 1);
    found
}

/// A path from the root of the crate, for one written with `crate`, `self` or `super` in the given module.
pub(crate) fn in_crate(segments: &[String], module: &[String]) -> Option<Vec<String>> {
    let ups = segments.iter().take_while(|segment| *segment == "super").count();
    let (base, rest) = match segments.first()?.as_str() {
        "crate" => (&[][..], &segments[1..]),
        "self" => (module, &segments[1..]),
        "super" => (&module[..module.len().checked_sub(ups)?], &segments[ups..]),
        _ => return None,
    };
    Some([base, rest].concat())
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str, usize),
    Colons,
    Open,
    Close,
    Comma,
    Other,
}

impl Token<'_> {
    fn is_word(&self) -> bool {
        matches!(self, Token::Word(..))
    }
}

/// Reads the path that starts at a word, adds it (or its group's members) and returns where it ended.
fn path(tokens: &[Token<'_>], start: usize, prefix: &[String], found: &mut Vec<Named>) -> usize {
    let mut segments = prefix.to_vec();
    let mut at = start;
    let mut position = 0;
    while let Some(Token::Word(word, here)) = tokens.get(at) {
        if segments.len() == prefix.len() {
            position = *here;
        }
        segments.push((*word).to_owned());
        at += 1;
        match (tokens.get(at), tokens.get(at + 1)) {
            (Some(Token::Colons), Some(Token::Word(..))) => at += 1,
            (Some(Token::Colons), Some(Token::Open)) => return group(tokens, at + 2, &segments, found),
            _ => break,
        }
    }
    found.push(Named { segments, position });
    // A member's new name (`a as b`) is no member of its own.
    match (prefix.is_empty(), tokens.get(at)) {
        (false, Some(Token::Word("as", _))) => at + 2,
        _ => at,
    }
}

/// Reads the members of a group up to its closing brace.
fn group(tokens: &[Token<'_>], start: usize, prefix: &[String], found: &mut Vec<Named>) -> usize {
    let mut at = start;
    while let Some(token) = tokens.get(at) {
        at = match token {
            Token::Close => return at + 1,
            Token::Word(..) => path(tokens, at, prefix, found),
            _ => at + 1,
        };
    }
    at
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        at += 1;
        match bytes[start] {
            byte if is_word(byte) => {
                while at < bytes.len() && is_word(bytes[at]) {
                    at += 1;
                }
                tokens.push(Token::Word(&text[start..at], start));
            }
            b':' if bytes.get(at) == Some(&b':') => {
                at += 1;
                tokens.push(Token::Colons);
            }
            b'{' => tokens.push(Token::Open),
            b'}' => tokens.push(Token::Close),
            b',' => tokens.push(Token::Comma),
            byte if byte.is_ascii_whitespace() => {}
            _ => tokens.push(Token::Other),
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        paths(text).into_iter().map(|named| named.segments.join("::")).collect()
    }

    #[test]
    fn groups_are_spelled_out() {
        assert_eq!(
            named("use std::{env, time::{Duration, Instant as I}, fmt::*};\nuse a::b;"),
            ["std::env", "std::time::Duration", "std::time::Instant", "std::fmt", "a::b"]
        );
    }

    #[test]
    fn paths_in_expressions_are_found_where_they_stand() {
        let found = paths("fn f() {\n  let x = ::std :: env::var(y);\n}");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].segments, ["std", "env", "var"]);
        assert_eq!(found[0].position, 21);
    }

    #[test]
    fn single_words_are_no_paths() {
        assert_eq!(named("let rand = tokio; match x { a => b, }"), Vec::<String>::new());
    }

    #[test]
    fn relative_paths_are_resolved() {
        let words = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
        let module = words("secret::key");
        assert_eq!(in_crate(&words("super::super::engine::Run"), &module), Some(words("engine::Run")));
        assert_eq!(in_crate(&words("super::store"), &module), Some(words("secret::store")));
        assert_eq!(in_crate(&words("self::store"), &module), Some(words("secret::key::store")));
        assert_eq!(in_crate(&words("crate::store"), &module), Some(words("store")));
        assert_eq!(in_crate(&words("super::super::super::x"), &module), None);
        assert_eq!(in_crate(&words("std::env"), &module), None);
    }
}
