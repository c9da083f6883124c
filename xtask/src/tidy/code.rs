//! Rust text without what is not code: comments, literals, test modules.
//!
//! Blanked text keeps every line break, so a line number in it is a line number in the file. This is a lexer
//! for well-formed source (rustc has the last word on that), not a parser.

/// Replaces comments and the contents of string and character literals by spaces.
pub(crate) fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Removes every item under `#[cfg(test)]` from blanked text, by spaces.
pub(crate) fn without_tests(blanked: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = blanked.to_owned();
    while let Some(start) = out.find(MARK) {
        let body = start + MARK.len();
        let end = body + item_length(&out[body..]);
        let gap: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &gap);
    }
    out
}

/// The line, from 1, of a byte position.
pub(crate) fn line_of(text: &str, position: usize) -> usize {
    text[..position].matches('\n').count() + 1
}

/// The length of the item that starts the text: up to its closing brace, or its semicolon.
fn item_length(text: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The end of the comment or literal that starts here, or `at` where none does.
fn skipped(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => find(chars, at, |c| c == '\n'),
        '/' if next == Some('*') => block_comment_end(chars, at),
        '"' => string_end(chars, at),
        '\'' => char_end(chars, at),
        'r' if !inside_word(chars, at) => raw_string_end(chars, at).unwrap_or(at),
        _ => at,
    }
}

fn find(chars: &[char], from: usize, is_end: impl Fn(char) -> bool) -> usize {
    chars[from..].iter().position(|c| is_end(*c)).map_or(chars.len(), |offset| from + offset)
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') if depth == 1 => return at + 2,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    chars.len()
}

fn string_end(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// A character literal ends soon; a lifetime is left as code.
fn char_end(chars: &[char], start: usize) -> usize {
    match (chars.get(start + 1), chars.get(start + 2)) {
        (Some('\\'), _) => (find(chars, start + 3, |c| c == '\'') + 1).min(chars.len()),
        (Some(_), Some('\'')) => start + 3,
        _ => start,
    }
}

/// The `r` of a raw string may follow `b` or `c`; anything else before it makes it part of a word.
fn inside_word(chars: &[char], at: usize) -> bool {
    let word = |index: usize| chars.get(index).is_some_and(|c| c.is_alphanumeric() || *c == '_');
    match at.checked_sub(1) {
        None => false,
        Some(before) if matches!(chars[before], 'b' | 'c') => before.checked_sub(1).is_some_and(word),
        Some(before) => word(before),
    }
}

fn raw_string_end(chars: &[char], start: usize) -> Option<usize> {
    let quote = find(chars, start + 1, |c| c != '#');
    let hashes = quote - start - 1;
    if chars.get(quote) != Some(&'"') {
        return None;
    }
    let closes =
        |at: usize| chars[at] == '"' && chars[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    Some((quote + 1..chars.len()).find(|at| closes(*at)).map_or(chars.len(), |at| at + 1 + hashes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(&blank(text)), words(expected));
        assert_eq!(blank(text).matches('\n').count(), text.matches('\n').count(), "lines moved");
    }

    #[test]
    fn comments_are_no_code() {
        check("a; // todo!()\nb; /* c /* d */ e */ f;", "a; b; f;");
        check("/// docs\n//! docs\ng; /* never closed", "g;");
    }

    #[test]
    fn literals_are_no_code() {
        check(r#"f("tokio::spawn", "a \" b", b"c\\") + g"#, "f( , , b ) + g");
        check("f(r\"a\\\", r#\"b\" c\"#, br##\"d\"# e\"##) + g", "f( , , b ) + g");
        check(r"['a', '\'', '\u{1F600}', '{'] + g", "[ , , , ] + g");
        check("\"a\nb\" + g", "+ g");
    }

    #[test]
    fn lifetimes_and_raw_names_stay_code() {
        check("fn f<'a>(x: &'a str, r: r#type) -> var", "fn f<'a>(x: &'a str, r: r#type) -> var");
    }

    #[test]
    fn test_modules_can_be_left_out() {
        let text = "use a;\n#[cfg(test)]\nmod tests { fn f() { x[0]; } }\n#[cfg(test)]\nuse b;\nfn g() {}\n";
        let rest = without_tests(text);
        assert_eq!(rest.split_whitespace().collect::<Vec<_>>().join(" "), "use a; fn g() {}");
        assert_eq!(line_of(&rest, rest.find("fn g").unwrap()), 6);
    }
}
