//! How a config names the places of a request, and the template of what is signed.
//!
//! ```text
//!   place     header:X-Signature    query:sig    body:/meta/signature    label:ts
//!   template  v0:{timestamp}:{body}    {url}{body:/event/id}{query:nonce?}
//! ```
//!
//! A place is text before the first `:` that says what is looked through, and behind it where. In a template it stands in
//! braces, and a `?` at its end lets it be missing. What is inserted is never read again.

use std::borrow::Cow;

use http::HeaderName;

use super::scheme::{Part, Source};

/// Reads a place.
pub(super) fn read_place(text: &str) -> Result<Source, &'static str> {
    let is_name = |name: &str| {
        (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'{' | b'}'))
    };
    let owned = |text: &str| Cow::Owned(text.to_owned());
    match text.split_once(':') {
        Some(("header", name)) => HeaderName::from_bytes(name.as_bytes())
            .map(Source::Header)
            .map_err(|_| "is not the name of a header"),
        Some(("query", name)) if is_name(name) => Ok(Source::Query(owned(name))),
        Some(("label", name)) if is_name(name) => Ok(Source::Label(owned(name))),
        Some(("query" | "label", _)) => Err("must have a name of 1 to 128 visible ASCII characters"),
        Some(("body", pointer)) => read_pointer(pointer).map(|pointer| Source::Body(owned(pointer))),
        _ => Err("must be `header:NAME`, `query:NAME`, `body:/POINTER` or `label:NAME`"),
    }
}

/// Reads an RFC 6901 pointer to something in a body; the whole of it is no place.
pub(super) fn read_pointer(text: &str) -> Result<&str, &'static str> {
    let escapes_are_known = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if text.starts_with('/') && text.len() <= MAX_POINTER && escapes_are_known {
        Ok(text)
    } else {
        Err("must be a JSON pointer such as `/event/id`, of at most 256 bytes")
    }
}

/// Cuts a template at its variables. Braces stand for nothing else.
pub(super) fn read_template(template: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        if at > 0 {
            parts.push(Part::Literal(Cow::Owned(rest[..at].to_owned())));
        }
        let variable = rest[at..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let (name, behind) = variable.ok_or(UNKNOWN_VARIABLE)?;
        parts.push(read_variable(name)?);
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(Cow::Owned(rest.to_owned())));
    }
    Ok(parts)
}

fn read_variable(name: &str) -> Result<Part, String> {
    if let Some((_, part)) = VARIABLES.iter().find(|(variable, _)| *variable == name) {
        return Ok(part.clone());
    }
    let (place, part): (_, fn(Source) -> Part) = match name.strip_suffix('?') {
        Some(place) => (place, Part::IfAny),
        None => (name, Part::From),
    };
    if !place.contains(':') {
        return Err(UNKNOWN_VARIABLE.to_owned());
    }
    read_place(place).map(part).map_err(|message| format!("has `{{{name}}}`, which {message}"))
}

/// Writes a template as it is read. What only presets sign has no notation, and stands there by a name.
pub(super) fn write_template(parts: &[Part]) -> String {
    let place = |source: &Source| match source {
        Source::Header(name) => format!("header:{name}"),
        Source::Query(name) => format!("query:{name}"),
        Source::Label(label) => format!("label:{label}"),
        Source::Body(pointer) => format!("body:{pointer}"),
    };
    let written = parts.iter().map(|part| match part {
        Part::Literal(text) => text.to_string(),
        Part::FormPairs => "{form pairs}".to_owned(),
        Part::From(source) => format!("{{{}}}", place(source)),
        Part::IfAny(source) => format!("{{{}?}}", place(source)),
        part => {
            VARIABLES.iter().filter(|(_, it)| it == part).map(|(name, _)| format!("{{{name}}}")).collect()
        }
    });
    written.collect()
}

/// The longest name, in bytes.
const MAX_NAME: usize = 128;
/// The longest pointer, in bytes.
const MAX_POINTER: usize = 256;

const UNKNOWN_VARIABLE: &str = "may contain {body}, {timestamp}, {id}, {url}, {decoded_url}, {method} and places such \
                                as {query:NAME}, and no other braces";

const VARIABLES: [(&str, Part); 6] = [
    ("body", Part::Body),
    ("timestamp", Part::Timestamp),
    ("id", Part::Id),
    ("url", Part::Url),
    ("decoded_url", Part::DecodedUrl),
    ("method", Part::Method),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_say_what_is_looked_through_and_where() {
        let header = |name| Source::Header(HeaderName::from_static(name));
        assert_eq!(read_place("header:X-Sig"), Ok(header("x-sig")));
        assert_eq!(read_place("query:a:b"), Ok(Source::Query("a:b".into())));
        assert_eq!(read_place("label:ts"), Ok(Source::Label("ts".into())));
        assert_eq!(read_place("body:/a~1b/0"), Ok(Source::Body("/a~1b/0".into())));
        for bad in [
            "",
            "x-sig",
            "Header:x",
            "header:",
            "header:a b",
            "query:",
            "query:a b",
            "query:{a}",
            "label:é",
            "body:",
            "body:a",
            "body:/a~",
            "body:/a~2",
            "url:",
            "header: x",
        ] {
            assert!(read_place(bad).is_err(), "{bad}");
        }
        assert!(read_place(&format!("query:{}", "a".repeat(128))).is_ok());
        assert!(read_place(&format!("query:{}", "a".repeat(129))).is_err());
        assert!(read_place(&format!("body:/{}", "a".repeat(255))).is_ok());
        assert!(read_place(&format!("body:/{}", "a".repeat(256))).is_err());
    }

    #[test]
    fn a_template_is_written_as_it_was_read() {
        for template in [
            "v1.{body}{query:n}:{header:x-a?}",
            "{url}{decoded_url}{method}{timestamp}.{id}{body:/a/0}{label:t}",
        ] {
            assert_eq!(write_template(&read_template(template).unwrap()), template);
        }
        assert_eq!(write_template(&[Part::Url, Part::FormPairs]), "{url}{form pairs}");
    }

    #[test]
    fn templates_are_cut_at_their_variables_and_nowhere_else() {
        let nonce = || Source::Query("n".into());
        let expected = vec![
            Part::Literal("v1.".into()),
            Part::Body,
            Part::From(nonce()),
            Part::Literal(":".into()),
            Part::IfAny(nonce()),
        ];
        assert_eq!(read_template("v1.{body}{query:n}:{query:n?}"), Ok(expected));
        assert_eq!(read_template(""), Ok(vec![]));
        for bad in [
            "{", "}", "{}", "{body", "body}", "{{body}}", "{ body }", "{Body}", "{body?}", "{x:y}",
            "{query:}",
        ] {
            assert!(read_template(bad).is_err(), "{bad}");
        }
    }
}
