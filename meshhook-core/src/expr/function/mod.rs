//! The functions that expressions can call, one file per family.
//!
//! A function gets its arguments unevaluated through [`Invocation`] and evaluates them in order, so that
//! `default(a, b)` need not look at `b`. All functions are deterministic: they read nothing but their arguments and,
//! for `now()` and `uuid()`, the [`Env`](super::Env).

mod array;
mod encoding;
mod entry;
mod hash;
mod number;
mod object;
mod pattern;
mod project;
mod string;
mod time;
mod types;
mod uuid;

pub(super) use encoding::RESERVED;

use super::ast::{Call, Node};
use super::error::{ExprError, ExprErrorKind, Fault};
use super::eval::{Evaluator, with_article};
use super::number::Num;
use super::value::{Array, Kind, Object, Text, Val};

/// A function: its name, what it takes and what it does.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) min_args: usize,
    /// `None`: as many as one likes.
    pub(super) max_args: Option<usize>,
    /// Index of the argument that is an `&expression`.
    pub(super) expression_arg: Option<usize>,
    /// Index of the argument that is a regular expression, compiled while parsing when it is literal.
    pub(super) pattern_arg: Option<usize>,
    /// Says what is wrong with an argument, by its index, whose text is known while parsing.
    pub(super) check_text: Option<CheckText>,
    pub(super) run: Run,
}

type Outcome<'a> = Result<Val<'a>, Fault>;
type CheckText = fn(usize, &str) -> Result<(), String>;
type Run = for<'e, 'a> fn(&mut Invocation<'e, 'a>) -> Outcome<'a>;

impl Function {
    const fn new(name: &'static str, args: usize, run: Run) -> Self {
        Self {
            name,
            min_args: args,
            max_args: Some(args),
            expression_arg: None,
            pattern_arg: None,
            check_text: None,
            run,
        }
    }

    /// Takes further arguments: up to `max`, or any number.
    const fn up_to(mut self, max: Option<usize>) -> Self {
        self.max_args = max;
        self
    }

    const fn expression(mut self, index: usize) -> Self {
        self.expression_arg = Some(index);
        self
    }

    const fn pattern(mut self, index: usize) -> Self {
        self.pattern_arg = Some(index);
        self
    }

    const fn checked(mut self, check: CheckText) -> Self {
        self.check_text = Some(check);
        self
    }

    pub(super) fn arity(&self) -> String {
        let plural = |count: usize| if count == 1 { "argument" } else { "arguments" };
        match self.max_args {
            Some(max) if max == self.min_args => format!("{max} {}", plural(max)),
            Some(max) => format!("{} to {max} arguments", self.min_args),
            None => format!("at least {} {}", self.min_args, plural(self.min_args)),
        }
    }
}

/// Finds a function by its name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().map(|index| &FUNCTIONS[index])
}

/// The names of all functions, sorted.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|function| function.name)
}

/// Sorted by name.
static FUNCTIONS: &[Function] = &[
    Function::new("abs", 1, number::abs),
    Function::new("add_duration", 2, time::add_duration).checked(time::check_add_duration),
    Function::new("avg", 1, number::avg),
    Function::new("base64_decode", 1, encoding::base64_decode),
    Function::new("base64_encode", 1, encoding::base64_encode),
    Function::new("ceil", 1, number::ceil),
    Function::new("contains", 2, array::contains),
    Function::new("default", 2, types::default),
    Function::new("ends_with", 2, string::ends_with),
    Function::new("flatten_deep", 1, array::flatten_deep),
    Function::new("floor", 1, number::floor),
    Function::new("format_date", 2, time::format_date).up_to(Some(3)).checked(time::check_format_date),
    Function::new("from_entries", 1, entry::from_entries),
    Function::new("from_unix", 1, time::from_unix),
    Function::new("group_by", 2, project::group_by).expression(1),
    Function::new("hmac_sha256", 2, hash::hmac_sha256),
    Function::new("join", 2, string::join),
    Function::new("keys", 1, object::keys),
    Function::new("length", 1, types::length),
    Function::new("lower", 1, string::lower),
    Function::new("map", 2, project::map).expression(0),
    Function::new("max", 1, array::max),
    Function::new("max_by", 2, project::max_by).expression(1),
    Function::new("merge", 0, object::merge).up_to(None),
    Function::new("min", 1, array::min),
    Function::new("min_by", 2, project::min_by).expression(1),
    Function::new("not_null", 1, types::not_null).up_to(None),
    Function::new("now", 0, time::now),
    Function::new("parse_json", 1, encoding::parse_json),
    Function::new("range", 1, array::range).up_to(Some(3)),
    Function::new("regex_match", 2, pattern::regex_match).pattern(1),
    Function::new("regex_replace", 3, pattern::regex_replace).pattern(1),
    Function::new("replace", 3, string::replace),
    Function::new("reverse", 1, array::reverse),
    Function::new("sha256", 1, hash::sha256),
    Function::new("sort", 1, array::sort),
    Function::new("sort_by", 2, project::sort_by).expression(1),
    Function::new("split", 2, string::split),
    Function::new("starts_with", 2, string::starts_with),
    Function::new("substring", 2, string::substring).up_to(Some(3)),
    Function::new("sum", 1, number::sum),
    Function::new("to_array", 1, types::to_array),
    Function::new("to_entries", 1, entry::to_entries),
    Function::new("to_json", 1, encoding::to_json),
    Function::new("to_number", 1, types::to_number),
    Function::new("to_string", 1, types::to_string),
    Function::new("to_unix", 1, time::to_unix).checked(time::check_time),
    Function::new("trim", 1, string::trim),
    Function::new("type", 1, types::type_of),
    Function::new("unique", 1, array::unique),
    Function::new("upper", 1, string::upper),
    Function::new("url_encode", 1, encoding::url_encode),
    Function::new("uuid", 0, uuid::uuid),
    Function::new("values", 1, object::values),
    Function::new("zip", 1, array::zip).up_to(None),
];

/// A call being evaluated: its arguments, each evaluated when the function asks for it.
pub(super) struct Invocation<'e, 'a> {
    pub(super) eval: &'e mut Evaluator<'a>,
    pub(super) call: &'a Call,
    pub(super) current: &'e Val<'a>,
}

impl<'a> Invocation<'_, 'a> {
    /// How many arguments the call has.
    fn len(&self) -> usize {
        self.call.args.len()
    }

    /// Evaluates an argument.
    fn value(&mut self, index: usize) -> Outcome<'a> {
        self.eval.eval(&self.call.args[index], self.current)
    }

    /// Evaluates an argument and sees what it is.
    fn kind(&mut self, index: usize) -> Result<Kind<'a>, Fault> {
        self.value(index).map(Val::open)
    }

    /// The node behind the `&` of an argument.
    fn expression(&self, index: usize) -> &'a Node {
        &self.call.args[index]
    }

    fn number(&mut self, index: usize) -> Result<Num, Fault> {
        match self.kind(index)? {
            Kind::Number(number) => Ok(number),
            other => Err(self.wrong_type(index, "a number", &other)),
        }
    }

    /// Evaluates an argument that must be an integer.
    fn integer(&mut self, index: usize) -> Result<i64, Fault> {
        let number = self.number(index)?;
        number
            .as_i64()
            .ok_or_else(|| self.invalid(format!("argument {} must be an integer within 64 bits", index + 1)))
    }

    /// Evaluates an argument that must be a string, paying for reading it.
    fn string(&mut self, index: usize) -> Result<Text<'a>, Fault> {
        match self.kind(index)? {
            Kind::String(text) => {
                self.eval.budget.read(text.len(), self.call.position)?;
                Ok(text)
            }
            other => Err(self.wrong_type(index, "a string", &other)),
        }
    }

    /// Evaluates an argument that must be an array, paying for visiting its items.
    fn array(&mut self, index: usize) -> Result<Array<'a>, Fault> {
        match self.kind(index)? {
            Kind::Array(array) => {
                self.spend(array.len())?;
                Ok(array)
            }
            other => Err(self.wrong_type(index, "an array", &other)),
        }
    }

    /// Evaluates an argument that must be an object, paying for visiting its members.
    fn object(&mut self, index: usize) -> Result<Object<'a>, Fault> {
        match self.kind(index)? {
            Kind::Object(object) => {
                self.spend(object.len())?;
                Ok(object)
            }
            other => Err(self.wrong_type(index, "an object", &other)),
        }
    }

    fn spend(&mut self, steps: usize) -> Result<(), Fault> {
        self.eval.budget.spend(steps, self.call.position)
    }

    /// Pays for sorting by strings of these lengths, which may share long beginnings.
    fn pay_for_sorting(&mut self, lens: impl Iterator<Item = usize>) -> Result<(), Fault> {
        let (mut count, mut bytes) = (0_usize, 0_usize);
        for len in lens {
            count += 1;
            bytes = bytes.saturating_add(len);
        }
        let rounds = count.checked_ilog2().unwrap_or(0) as usize + 1;
        self.spend((count / 4).saturating_add(bytes / 32).saturating_mul(rounds))
    }

    /// Pays for a string before it is made.
    fn reserve(&mut self, bytes: usize) -> Result<(), Fault> {
        self.eval.budget.make(bytes, self.call.position)
    }

    /// Pays for what was appended to a string that is being made.
    fn grow(&mut self, len: usize, added: usize) -> Result<(), Fault> {
        if len > self.eval.budget.text_bytes {
            return self.reserve(len);
        }
        self.eval.budget.read(added, self.call.position)
    }

    /// Makes a string, paying for it.
    fn made(&mut self, text: String) -> Outcome<'a> {
        self.reserve(text.len())?;
        Ok(Val::string(text))
    }

    fn wrong_type(&self, index: usize, expected: &str, found: &Kind<'_>) -> Fault {
        let message = format!(
            "{}: argument {} must be {expected}, not {}",
            self.call.function.name,
            index + 1,
            with_article(found.type_name())
        );
        ExprError::new(ExprErrorKind::InvalidType, self.call.position, message).into()
    }

    fn wrong_item(&self, expected: &str, found: &Val<'_>) -> Fault {
        let message =
            format!("{}: {expected}, not {}", self.call.function.name, with_article(found.type_name()));
        ExprError::new(ExprErrorKind::InvalidType, self.call.position, message).into()
    }

    fn invalid(&self, message: impl std::fmt::Display) -> Fault {
        let message = format!("{}: {message}", self.call.function.name);
        ExprError::new(ExprErrorKind::InvalidValue, self.call.position, message).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_every_name_is_found() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        for name in names() {
            assert_eq!(find(name).map(|function| function.name), Some(name));
        }
        assert!(find("eval").is_none());
    }
}
