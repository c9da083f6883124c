//! Templates for URLs: what is inserted stays in its place.
//!
//! A URL that is one single placeholder is used as it is. Otherwise each value is treated by where it lands:
//!
//! | place | what happens to the value |
//! | --- | --- |
//! | start of the URL (`{{ base }}/users`) | goes in as it is, without white space, control characters and `\` |
//! | scheme, user, host or port | goes in as it is, but nothing that could end that part: `/ ? # @ \`, white space and control characters |
//! | path, query or fragment | is percent-encoded, unreserved characters of RFC 3986 aside |
//!
//! An inserted value cannot make a path segment `.` or `..`, which would climb out of the path.

use std::ops::Range;
use std::sync::Arc;

use percent_encoding::{percent_decode_str, utf8_percent_encode};

use super::budget::Budget;
use super::function::RESERVED;
use super::template::{
    Parser, Piece, Placeholder, TemplateError, TemplateErrorKind, TemplateOptions, secrets_of,
};
use super::{Env, ExprLimits, SecretRef, View};

/// A parsed template of a URL. Cheap to clone, and to share between threads.
#[derive(Debug, Clone, PartialEq)]
pub struct UrlTemplate {
    compiled: Arc<Compiled>,
}

#[derive(Debug, PartialEq)]
struct Compiled {
    pieces: Vec<Piece>,
    placeholders: Vec<Placeholder>,
    limits: ExprLimits,
}

impl UrlTemplate {
    /// Parses the template of a URL.
    ///
    /// # Errors
    ///
    /// With everything that is wrong in it; paths are empty.
    pub fn parse(text: &str, options: &TemplateOptions) -> Result<Self, Vec<TemplateError>> {
        let mut parser = Parser::new(options);
        let pieces = parser.pieces(text, "");
        let placeholders = parser.finish()?;
        Ok(Self { compiled: Arc::new(Compiled { pieces, placeholders, limits: options.limits.clone() }) })
    }

    /// Renders the URL. It is safe against what was inserted, not necessarily a valid URL.
    ///
    /// # Errors
    ///
    /// The first error of an expression, or [`TemplateErrorKind::UnsafeUrl`] for a value that would change what the
    /// URL means.
    pub fn render(&self, root: &View<'_>, env: &Env<'_>) -> Result<String, TemplateError> {
        let mut budget = Budget::new(&self.compiled.limits);
        let mut url = String::new();
        let mut inserted: Vec<(Range<usize>, usize)> = Vec::new();
        let single = self.compiled.pieces.len() == 1;
        for piece in &self.compiled.pieces {
            let index = match piece {
                Piece::Text(text) => {
                    url.push_str(text);
                    continue;
                }
                Piece::Placeholder(index) => *index,
            };
            let place = &self.compiled.placeholders[index];
            let mut value = String::new();
            place
                .expression
                .evaluate_into(root, env, &mut budget, &mut value)
                .map_err(|error| place.error(error))?;
            if single {
                return Ok(value);
            }
            let start = url.len();
            match Part::at_end_of(&url) {
                Part::Start => {
                    check(place, &value, |c| c == '\\')?;
                    url.push_str(&value);
                }
                Part::Authority => {
                    check(place, &value, |c| matches!(c, '/' | '?' | '#' | '@' | '\\'))?;
                    url.push_str(&value);
                }
                Part::Rest => url.extend(utf8_percent_encode(&value, RESERVED)),
            }
            inserted.push((start..url.len(), index));
        }
        self.check_segments(&url, &inserted)?;
        Ok(url)
    }

    /// The URL, when there is nothing to render.
    pub fn as_constant(&self) -> Option<&str> {
        match self.compiled.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The expressions, in the order of the text.
    pub fn placeholders(&self) -> &[Placeholder] {
        &self.compiled.placeholders
    }

    /// The secrets it reads, each with the placeholder that does.
    pub fn secrets(&self) -> impl Iterator<Item = (&Placeholder, &SecretRef)> {
        secrets_of(&self.compiled.placeholders)
    }

    /// Refuses a path segment that an insertion made into `.` or `..`, written plainly or percent-encoded.
    fn check_segments(&self, url: &str, inserted: &[(Range<usize>, usize)]) -> Result<(), TemplateError> {
        let path_end = url.find(['?', '#']).unwrap_or(url.len());
        for (range, index) in inserted.iter().filter(|(range, _)| range.start <= path_end) {
            // Every segment that the insertion touches, wholly or in part.
            let start = url[..range.start].rfind('/').map_or(0, |slash| slash + 1);
            let range_end = range.end.min(path_end);
            let end = url[range_end..path_end].find('/').map_or(path_end, |slash| range_end + slash);
            for segment in url[start..end.max(start)].split('/') {
                if matches!(&*percent_decode_str(segment).decode_utf8_lossy(), "." | "..") {
                    return Err(unsafe_url(
                        &self.compiled.placeholders[*index],
                        "inserted value makes a path segment \".\" or \"..\"",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The part of a URL that the next character belongs to.
#[derive(Debug, PartialEq)]
enum Part {
    Start,
    Authority,
    Rest,
}

impl Part {
    fn at_end_of(url: &str) -> Self {
        if url.is_empty() {
            return Part::Start;
        }
        match url.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?', '#']) => {
                if rest.contains(['/', '?', '#', '\\']) { Part::Rest } else { Part::Authority }
            }
            _ if url.contains(['/', '?', '#']) => Part::Rest,
            _ => Part::Authority,
        }
    }
}

fn check(place: &Placeholder, value: &str, forbidden: impl Fn(char) -> bool) -> Result<(), TemplateError> {
    if value.chars().any(|c| c.is_control() || c.is_whitespace() || forbidden(c)) {
        return Err(unsafe_url(place, "inserted value holds a character that would change the URL's host"));
    }
    Ok(())
}

fn unsafe_url(place: &Placeholder, message: &'static str) -> TemplateError {
    TemplateError {
        path: place.path.clone(),
        position: place.position,
        kind: TemplateErrorKind::UnsafeUrl(message),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::time::Timestamp;

    fn render(url: &str, root: &Value) -> Result<String, TemplateError> {
        let template = UrlTemplate::parse(url, &TemplateOptions::default()).unwrap();
        template.render(&View::from(root), &Env::new(Timestamp::EPOCH, b""))
    }

    #[test]
    fn values_are_encoded_for_path_query_and_fragment() {
        let root = json!({"v": "a/b ?&=#é%~", "n": 7, "z": null, "o": {"a": 1}});
        for (url, rendered) in [
            ("https://h.example/x/{{ v }}/y", "https://h.example/x/a%2Fb%20%3F%26%3D%23%C3%A9%25~/y"),
            (
                "https://h.example?q={{ v }}&n={{ n }}",
                "https://h.example?q=a%2Fb%20%3F%26%3D%23%C3%A9%25~&n=7",
            ),
            ("https://h.example/{{ z }}#{{ o }}", "https://h.example/#%7B%22a%22%3A1%7D"),
            ("/relative/{{ n }}", "/relative/7"),
            ("https://h.example/literal?a=b c", "https://h.example/literal?a=b c"),
        ] {
            assert_eq!(render(url, &root).unwrap(), rendered);
        }
    }

    #[test]
    fn one_single_placeholder_is_used_as_it_is() {
        let root = json!({"url": "https://h.example/a b?c=d#e"});
        assert_eq!(render("{{ url }}", &root).unwrap(), "https://h.example/a b?c=d#e");
    }

    #[test]
    fn a_base_may_come_first_and_a_host_cannot_be_left() {
        let root = json!({"base": "https://api.example.com/v1", "host": "eu.example.com", "id": "a/b",
            "evil": "x@evil.example/", "crlf": "a\r\nb", "scheme": "https"});
        assert_eq!(
            render("{{ base }}/users/{{ id }}", &root).unwrap(),
            "https://api.example.com/v1/users/a%2Fb"
        );
        assert_eq!(
            render("https://{{ host }}:8443/{{ id }}", &root).unwrap(),
            "https://eu.example.com:8443/a%2Fb"
        );
        assert_eq!(render("{{ scheme }}://{{ host }}/", &root).unwrap(), "https://eu.example.com/");
        for url in [
            "https://{{ evil }}/x",
            "https://{{ crlf }}/x",
            "https://a.{{ id }}.example/",
            "{{ crlf }}/x",
            "{{ scheme }}://{{ evil }}",
        ] {
            assert_eq!(render(url, &root).unwrap_err().code(), "invalid_url", "{url}");
        }
    }

    #[test]
    fn inserted_values_cannot_climb_out_of_the_path() {
        let root = json!({"up": "..", "dot": ".", "ok": "...", "empty": "", "encoded": "%2e%2e"});
        for url in [
            "https://h/a/{{ up }}/b",
            "https://h/a/{{ dot }}{{ dot }}",
            "https://h/a/.{{ dot }}/b",
            "https://h/{{ dot }}?x",
            "https://h/a/.{{ empty }}./b",
            "https://h/a/%2e{{ dot }}/b",
        ] {
            assert_eq!(render(url, &root).unwrap_err().code(), "invalid_url", "{url}");
        }
        assert_eq!(
            render("https://h/{{ ok }}/{{ encoded }}?x={{ up }}/", &root).unwrap(),
            "https://h/.../%252e%252e?x=../"
        );
        assert_eq!(render("https://h/a/../{{ ok }}", &root).unwrap(), "https://h/a/../...");
    }

    #[test]
    fn constants_are_told_apart() {
        let constant = UrlTemplate::parse("https://h/{{{{", &TemplateOptions::default()).unwrap();
        assert_eq!(constant.as_constant(), Some("https://h/{{"));
        assert!(UrlTemplate::parse("{{ a", &TemplateOptions::default()).is_err());
    }
}
