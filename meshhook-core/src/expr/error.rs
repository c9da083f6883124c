//! What can be wrong with an expression, and where.

use std::borrow::Cow;

/// The kinds of expression errors; [`ExprErrorKind::code`] is what failures and problems carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExprErrorKind {
    /// The text does not follow the grammar.
    Syntax,
    /// An operator or a function got a value of a type that it does not take.
    InvalidType,
    /// A function got too few or too many arguments.
    InvalidArity,
    /// There is no function of that name.
    UnknownFunction,
    /// A value has the right type but cannot be used: division by zero, an undefined variable, a malformed date.
    InvalidValue,
    /// Text, nesting, steps or result exceed [`ExprLimits`](super::ExprLimits). From
    /// [`Expression::parse`](super::Expression::parse) it always means text or nesting.
    BudgetExceeded,
    /// `secrets` is used other than as `secrets.<name>`, or where no secret is visible.
    SecretNotAllowed,
    /// A secret that the expression names does not exist.
    SecretNotFound,
}

impl ExprErrorKind {
    /// The stable code of this kind.
    pub fn code(self) -> &'static str {
        match self {
            Self::Syntax => "expression_syntax",
            Self::InvalidType => "expression_invalid_type",
            Self::InvalidArity => "expression_invalid_arity",
            Self::UnknownFunction => "expression_unknown_function",
            Self::InvalidValue => "expression_invalid_value",
            Self::BudgetExceeded => "expression_budget_exceeded",
            Self::SecretNotAllowed => "secret_not_allowed",
            Self::SecretNotFound => "secret_not_found",
        }
    }
}

/// Why an expression cannot be parsed or evaluated.
///
/// The message never holds a value, only names and types, so it may be stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at position {position}")]
#[non_exhaustive]
pub struct ExprError {
    /// What kind of error it is.
    pub kind: ExprErrorKind,
    /// Byte offset in the expression's text.
    pub position: usize,
    /// What is wrong, without the position.
    pub message: Cow<'static, str>,
}

/// An error on its way out of an evaluation. Every step of one returns it or a value, and what returns in registers is
/// not larger than two words.
pub(super) type Fault = Box<ExprError>;

impl ExprError {
    pub(crate) fn new(kind: ExprErrorKind, position: usize, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, position, message: message.into() }
    }

    pub(super) fn syntax(position: usize, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ExprErrorKind::Syntax, position, message)
    }

    pub(super) fn budget(position: usize, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ExprErrorKind::BudgetExceeded, position, message)
    }

    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// Whether a limit was exceeded, rather than a rule broken.
    pub fn is_limit(&self) -> bool {
        self.kind == ExprErrorKind::BudgetExceeded
    }

    /// Line and column (in characters) of the error within the expression's text, both counted from 1.
    pub fn line_column(&self, text: &str) -> (usize, usize) {
        let mut end = self.position.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |index| index + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_and_column_count_characters_from_one() {
        let error = ExprError::syntax(6, "x");
        assert_eq!(error.line_column("é\nab%c"), (2, 4));
        assert_eq!(ExprError::syntax(99, "x").line_column("ab"), (1, 3));
        assert_eq!(ExprError::syntax(1, "x").line_column("é"), (1, 1));
    }
}
