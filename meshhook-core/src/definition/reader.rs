//! Reading a document by its members while collecting every problem on the way.
//!
//! Each function that reads something answers `None` after it has reported why, so that callers go on with the rest
//! of the document and put a value together only from parts that are all there.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use super::check::CheckContext;
use super::problem::{Problem, ProblemCode, Severity, index_path, member_path};
use crate::json::{self, compare_keys};
use crate::time::{DurationError, parse_duration};

/// One check of one document: what it may refer to, and what was found so far.
pub(crate) struct Checker<'a> {
    pub(crate) context: &'a CheckContext<'a>,
    /// Nodes of all graphs so far.
    pub(crate) nodes: Cell<usize>,
    /// Regular expressions so far.
    patterns: Cell<usize>,
    problems: RefCell<Vec<Problem>>,
    seen: RefCell<BTreeSet<(ProblemCode, String)>>,
    errors: Cell<usize>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(context: &'a CheckContext<'a>) -> Self {
        Self {
            context,
            nodes: Cell::new(0),
            patterns: Cell::new(0),
            problems: RefCell::default(),
            seen: RefCell::default(),
            errors: Cell::new(0),
        }
    }

    /// Adds a problem, unless the same code was reported at the same place.
    pub(crate) fn report(&self, problem: Problem) {
        let is_error = problem.severity() == Severity::Error;
        let mut problems = self.problems.borrow_mut();
        let full = problems.len() >= self.context.limits.max_problems;
        if !full && !self.seen.borrow_mut().insert((problem.code, problem.path.clone())) {
            return;
        }
        if is_error {
            self.errors.set(self.errors.get() + 1);
        }
        if !full {
            problems.push(problem);
        } else if is_error && self.errors.get() == 1 {
            // Warnings filled the list: the error that makes the document invalid takes the last one's place.
            problems.pop();
            problems.push(problem);
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors.get() > 0
    }

    /// The problems, in the order in which they were found.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// A value of the document and its place.
#[derive(Clone)]
pub(crate) struct Field<'a> {
    pub(crate) value: &'a Value,
    pub(crate) path: String,
    pub(crate) checker: &'a Checker<'a>,
}

impl<'a> Field<'a> {
    pub(crate) fn report(&self, code: ProblemCode, message: impl Into<String>) {
        self.checker.report(Problem::new(code, self.path.clone(), message));
    }

    /// Counts regular expressions before they are compiled; reports and answers `None` when they are too many.
    pub(super) fn count_patterns(&self, more: usize) -> Option<()> {
        let max = self.checker.context.limits.max_patterns;
        let count = self.checker.patterns.get().saturating_add(more);
        self.checker.patterns.set(count);
        if more > 0 && count > max {
            let message = format!("at most {max} regular expressions in a workflow");
            self.report(ProblemCode::LimitExceeded, message);
            return None;
        }
        Some(())
    }

    fn wrong_type(&self, expected: &str) {
        self.report(
            ProblemCode::InvalidType,
            format!("expected {expected}, found {}", json::type_name(self.value)),
        );
    }

    /// The value as an object that has no members but the `known` ones.
    pub(crate) fn object(&self, known: &[&str]) -> Option<Members<'a>> {
        let members = self.members()?;
        let mut unknown: Vec<&String> =
            members.map.keys().filter(|name| !known.contains(&name.as_str())).collect();
        unknown.sort_by(|a, b| compare_keys(a, b));
        for name in unknown {
            let message = if known.is_empty() {
                "there are no members here".to_owned()
            } else {
                format!("not a member here; the members are {}", known.join(", "))
            };
            self.checker.report(Problem::new(
                ProblemCode::UnknownField,
                member_path(&self.path, name),
                message,
            ));
        }
        Some(members)
    }

    /// The value as an object with any members.
    pub(crate) fn members(&self) -> Option<Members<'a>> {
        match self.value {
            Value::Object(map) => Some(Members { map, path: self.path.clone(), checker: self.checker }),
            _ => {
                self.wrong_type("an object");
                None
            }
        }
    }

    /// The items of the value, which must be an array.
    pub(crate) fn items(&self) -> Option<impl ExactSizeIterator<Item = Field<'a>> + use<'a>> {
        let Value::Array(items) = self.value else {
            self.wrong_type("an array");
            return None;
        };
        let (path, checker) = (self.path.clone(), self.checker);
        Some(items.iter().enumerate().map(move |(place, value)| Field {
            value,
            path: index_path(&path, place),
            checker,
        }))
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_type("a string");
        }
        text
    }

    /// Text that is not empty and at most `max_bytes` long.
    pub(crate) fn short_text(&self, max_bytes: usize) -> Option<&'a str> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.report(ProblemCode::InvalidValue, "must not be empty");
            return None;
        }
        if text.len() > max_bytes {
            self.report(ProblemCode::InvalidValue, format!("at most {max_bytes} bytes"));
            return None;
        }
        Some(text)
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        let boolean = self.value.as_bool();
        if boolean.is_none() {
            self.wrong_type("true or false");
        }
        boolean
    }

    /// An integer of a range whose ends are both fixed.
    pub(crate) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        self.bounded_integer(range, ProblemCode::InvalidValue)
    }

    /// An integer whose upper bound is a limit of the engine.
    pub(crate) fn limited_integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        self.bounded_integer(range, ProblemCode::LimitExceeded)
    }

    fn bounded_integer(&self, range: RangeInclusive<u64>, past: ProblemCode) -> Option<u64> {
        let Value::Number(number) = self.value else {
            self.wrong_type("an integer");
            return None;
        };
        // Integers past u64 are doubles in normal form.
        let number = crate::json::normalize_number(number)?;
        let double = number.as_f64().unwrap_or(f64::NAN);
        match number.as_u64() {
            Some(integer) if range.contains(&integer) => return Some(integer),
            Some(integer) if integer > *range.end() => {
                self.report(past, format!("at most {}", range.end()));
            }
            None if double >= 1.0 && double.fract() == 0.0 => {
                self.report(past, format!("at most {}", range.end()));
            }
            None if double.fract() != 0.0 => self.wrong_type("an integer"),
            _ => self.report(ProblemCode::InvalidValue, format!("at least {}", range.start())),
        }
        None
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.report(ProblemCode::InvalidValue, format!("must be one of {}", words.join(", ")));
        }
        found
    }

    fn duration_text(&self) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_type("a duration such as \"10s\"");
        }
        text
    }

    /// A duration that may be zero.
    pub(crate) fn duration(&self) -> Option<Duration> {
        match parse_duration(self.duration_text()?) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.report(ProblemCode::InvalidDuration, error.to_string());
                None
            }
        }
    }

    /// A duration longer than zero and at most `max`, a bound of the format.
    pub(crate) fn timeout(&self, max: Duration) -> Option<Duration> {
        self.bounded_duration(max, ProblemCode::InvalidValue)
    }

    /// A duration longer than zero and at most `max`, a limit of the engine.
    pub(crate) fn limited_timeout(&self, max: Duration) -> Option<Duration> {
        self.bounded_duration(max, ProblemCode::LimitExceeded)
    }

    fn bounded_duration(&self, max: Duration, past: ProblemCode) -> Option<Duration> {
        let duration = match parse_duration(self.duration_text()?) {
            Err(DurationError::TooLong(_)) => Duration::MAX,
            _ => self.duration()?,
        };
        if duration.is_zero() {
            self.report(ProblemCode::InvalidValue, "must be longer than zero");
        } else if duration > max {
            self.report(past, format!("at most {}", crate::time::format_duration(max)));
        } else {
            return Some(duration);
        }
        None
    }
}

/// The members of an object.
pub(crate) struct Members<'a> {
    map: &'a Map<String, Value>,
    path: String,
    pub(crate) checker: &'a Checker<'a>,
}

impl<'a> Members<'a> {
    /// A member that must be there.
    pub(crate) fn required(&self, name: &str) -> Option<Field<'a>> {
        let field = self.map.get(name).map(|value| self.field(name, value));
        if field.is_none() {
            self.missing(name);
        }
        field
    }

    /// A member that may be absent or null.
    pub(crate) fn optional(&self, name: &str) -> Option<Field<'a>> {
        self.map.get(name).filter(|value| !value.is_null()).map(|value| self.field(name, value))
    }

    /// Whether the member is there and not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.optional(name).is_some()
    }

    pub(crate) fn missing(&self, name: &str) {
        self.missing_because(name, format!("{name} is required"));
    }

    /// Reports that a member is missing which need not be there always, and why it has to be here.
    pub(crate) fn missing_because(&self, name: &str, message: impl Into<String>) {
        let path = member_path(&self.path, name);
        self.checker.report(Problem::new(ProblemCode::MissingField, path, message));
    }

    /// All members, in canonical order.
    pub(crate) fn all(&self) -> Vec<(&'a str, Field<'a>)> {
        let mut all: Vec<_> =
            self.map.iter().map(|(name, value)| (name.as_str(), self.field(name, value))).collect();
        all.sort_by(|(a, _), (b, _)| compare_keys(a, b));
        all
    }

    fn field(&self, name: &str, value: &'a Value) -> Field<'a> {
        Field { value, path: member_path(&self.path, name), checker: self.checker }
    }
}
