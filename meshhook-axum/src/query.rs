//! Query strings, read strictly: a parameter that a route does not know, or that stands there twice, is an error.

use std::str::FromStr;

use crate::problem::Problem;

/// The items of a page where the caller does not say.
const DEFAULT_LIMIT: usize = 50;
/// The most items of a page.
const MAX_LIMIT: usize = 200;

/// A request's query, checked against what its route knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn parse(raw: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(raw.unwrap_or("").as_bytes()).into_owned() {
            let shown: String = name.chars().take(64).collect();
            if !known.contains(&name.as_str()) {
                return Err(Problem::invalid(&format!("query.{shown}"), "unknown parameter"));
            }
            if pairs.iter().any(|(earlier, _)| *earlier == name) {
                return Err(Problem::invalid(&format!("query.{shown}"), "given more than once"));
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter's value in its own type.
    pub(crate) fn read<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, Problem> {
        self.read_with(name, what, |text| text.parse().ok())
    }

    pub(crate) fn read_with<T>(
        &self,
        name: &str,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        read(text)
            .map(Some)
            .ok_or_else(|| Problem::invalid(&format!("query.{name}"), format!("must be {what}")))
    }

    /// How many items a page has.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let positive = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            // More digits than fit are still a number above the maximum.
            let limit = if digits { text.parse::<usize>().unwrap_or(usize::MAX) } else { 0 };
            (limit > 0).then_some(limit.min(MAX_LIMIT))
        };
        Ok(self.read_with("limit", "a positive integer", positive)?.unwrap_or(DEFAULT_LIMIT))
    }

    /// The filter as text, for the scope of cursors: what was asked for, without which part.
    pub(crate) fn filter(&self) -> String {
        let mut pairs: Vec<_> = self
            .pairs
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "limit" | "cursor" | "after"))
            .collect();
        pairs.sort();
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs.iter().map(|(n, v)| (n, v)))
            .finish()
    }
}

/// What a parameter must be that takes certain words.
pub(crate) fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    format!("one of {}", words.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_the_contract() {
        let limit = |raw: &str| Query::parse(Some(raw), &["limit"]).and_then(|query| query.limit()).ok();
        for (raw, expected) in [
            ("", Some(50)),
            ("limit=1", Some(1)),
            ("limit=200", Some(200)),
            ("limit=201", Some(200)),
            ("limit=99999999999999999999999999", Some(200)),
            ("limit=0", None),
            ("limit=-1", None),
            ("limit=%2B1", None),
            ("limit=1e9", None),
            ("limit=NaN", None),
            ("limit=", None),
            ("limit=1&limit=1", None),
            ("Limit=1", None),
            ("offset=1", None),
        ] {
            assert_eq!(limit(raw), expected, "{raw}");
        }
    }
}
