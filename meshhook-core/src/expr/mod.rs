//! Expressions: JMESPath with arithmetic, `c ? a : b`, `let` and `$`, parsed once and evaluated over borrowed data.
//!
//! ```
//! use meshhook_core::expr::{Env, ExprLimits, Expression, View};
//! use meshhook_core::time::Timestamp;
//! use serde_json::json;
//!
//! let expression = Expression::parse("{who: input.name, double: input.n * `2`}", &ExprLimits::default())?;
//! let input = json!({"name": "Ada", "n": 21});
//! let root = View::object([("input", View::from(&input))]);
//! let env = Env::new(Timestamp::EPOCH, b"run and step");
//! assert_eq!(expression.evaluate(&root, &env)?, json!({"who": "Ada", "double": 42}));
//! # Ok::<(), meshhook_core::expr::ExprError>(())
//! ```
//!
//! The language is described in `docs/reference/expressions.md`. What holds here:
//!
//! - **Deterministic.** The result depends on the expression, the root and the [`Env`] alone; object members are
//!   visited in the order of their keys.
//! - **Bounded.** Text and nesting are limited while parsing, steps and bytes while evaluating; see [`ExprLimits`].
//!   Neither parsing nor evaluating recurses deeper than the nesting limit, so a 2 MiB stack suffices.
//! - **Found early.** Unknown functions, wrong numbers of arguments, undefined variables, malformed literal patterns,
//!   times and durations, and misused secrets are errors of [`Expression::parse`].
//! - **Silent.** No error carries a value, so none can leak a secret.

mod ast;
mod budget;
mod compare;
mod error;
mod eval;
mod function;
mod lexer;
mod number;
mod output;
mod parser;
mod reference;
mod regex;
mod template;
mod url;
mod value;
mod view;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use budget::Budget;
use error::Fault;
pub use error::{ExprError, ExprErrorKind};
use eval::Evaluator;
pub use reference::{NodeRef, SecretRef};
pub use template::{Placeholder, Template, TemplateError, TemplateErrorKind, TemplateOptions};
pub use url::UrlTemplate;
use value::Val;
pub use view::{Env, SecretResolver, View};

/// How large an expression may be, and how much its evaluation may do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExprLimits {
    /// Bytes of text.
    pub max_text_bytes: usize,
    /// How deep brackets, calls and prefix operators may nest, at most [`ExprLimits::NESTING_CEILING`]. Projections
    /// and the operands of operators within each other are limited to three times as many.
    pub max_nesting: usize,
    /// Steps of one evaluation: nodes evaluated, elements visited, and work in functions by size.
    pub max_steps: u64,
    /// Bytes of the result's canonical text, and of any string made on the way.
    pub max_result_bytes: usize,
    /// How deep arrays and objects may nest in literals, in values made on the way and in the result, at most
    /// [`ExprLimits::DEPTH_CEILING`].
    pub max_depth: usize,
}

impl ExprLimits {
    /// The deepest nesting that can be allowed: so much fits a 2 MiB stack.
    pub const NESTING_CEILING: usize = 64;
    /// The deepest values that can be allowed.
    pub const DEPTH_CEILING: usize = 512;
}

impl Default for ExprLimits {
    fn default() -> Self {
        Self {
            max_text_bytes: 8 * 1024,
            max_nesting: 64,
            max_steps: 1_000_000,
            max_result_bytes: 1024 * 1024,
            max_depth: 128,
        }
    }
}

/// A parsed expression. Cheap to clone, and to share between threads.
#[derive(Clone)]
pub struct Expression {
    compiled: Arc<Compiled>,
}

struct Compiled {
    text: Box<str>,
    parsed: parser::Parsed,
    limits: ExprLimits,
}

impl Expression {
    /// Parses an expression; evaluations keep to the same limits.
    ///
    /// # Errors
    ///
    /// For everything that can be known to be wrong without data; [`ExprError::is_limit`] tells text or nesting over
    /// the limit from what is plainly wrong.
    pub fn parse(text: &str, limits: &ExprLimits) -> Result<Self, ExprError> {
        let parsed = parser::parse(text, limits)?;
        Ok(Self { compiled: Arc::new(Compiled { text: text.into(), parsed, limits: limits.clone() }) })
    }

    /// Evaluates to a value in normal form.
    ///
    /// # Errors
    ///
    /// When an operator or a function cannot take what it gets, or the evaluation exceeds a limit.
    pub fn evaluate(&self, root: &View<'_>, env: &Env<'_>) -> Result<Value, ExprError> {
        self.run(root, env, Budget::new(&self.compiled.limits), output::materialize)
    }

    /// Evaluates over several roots within one budget: together they take no more steps and bytes than one evaluation may.
    ///
    /// # Errors
    ///
    /// As [`Expression::evaluate`], with the place of the root.
    pub fn evaluate_all<'a>(
        &self,
        roots: impl IntoIterator<Item = View<'a>>,
        env: &Env<'_>,
    ) -> Result<Vec<Value>, (usize, ExprError)> {
        let mut budget = Budget::new(&self.compiled.limits);
        let one = |(place, root): (usize, View<'a>)| {
            self.evaluate_within(&root, env, &mut budget).map_err(|error| (place, error))
        };
        roots.into_iter().enumerate().map(one).collect()
    }

    /// Evaluates to a truth value as JMESPath has it: null, false, `""`, `[]` and `{}` are false.
    ///
    /// # Errors
    ///
    /// As [`Expression::evaluate`].
    pub fn evaluate_truthy(&self, root: &View<'_>, env: &Env<'_>) -> Result<bool, ExprError> {
        self.run(root, env, Budget::new(&self.compiled.limits), |value, _| Ok(value.is_truthy()))
    }

    /// Evaluates within a budget that is shared with others.
    fn evaluate_within(
        &self,
        root: &View<'_>,
        env: &Env<'_>,
        budget: &mut Budget,
    ) -> Result<Value, ExprError> {
        self.run(root, env, budget.clone(), |value, spent| {
            let made = output::materialize(value, spent);
            *budget = spent.clone();
            made
        })
    }

    /// Evaluates and appends the value as text: strings as they are, null as nothing, others as canonical JSON.
    fn evaluate_into(
        &self,
        root: &View<'_>,
        env: &Env<'_>,
        budget: &mut Budget,
        text: &mut String,
    ) -> Result<(), ExprError> {
        self.run(root, env, budget.clone(), |value, spent| {
            let inserted = output::insert(value, spent, text);
            *budget = spent.clone();
            inserted
        })
    }

    #[inline(always)]
    fn run<T>(
        &self,
        root: &View<'_>,
        env: &Env<'_>,
        budget: Budget,
        finish: impl FnOnce(Val<'_>, &mut Budget) -> Result<T, Fault>,
    ) -> Result<T, ExprError> {
        let mut evaluator = Evaluator::new(root, env, budget);
        match evaluator.eval(&self.compiled.parsed.node, &Val::from_view(root)) {
            Ok(value) => finish(value, &mut evaluator.budget).map_err(|error| *error),
            Err(error) => Err(*error),
        }
    }

    /// The text that was parsed.
    pub fn text(&self) -> &str {
        &self.compiled.text
    }

    /// The secrets it reads, in the order of the text; one that is read twice is there twice.
    pub fn secrets(&self) -> &[SecretRef] {
        &self.compiled.parsed.references.secrets
    }

    /// The nodes whose output it reads by a literal id, in the order of the text.
    pub fn node_refs(&self) -> &[NodeRef] {
        &self.compiled.parsed.references.nodes
    }

    /// Whether it may read nodes other than [`Expression::node_refs`]: it uses `nodes`, or the root, as a whole.
    pub fn uses_nodes_dynamically(&self) -> bool {
        let references = &self.compiled.parsed.references;
        references.dynamic_nodes || references.whole_root
    }

    /// Whether it may read this member of the root.
    pub fn uses_root(&self, name: &str) -> bool {
        let references = &self.compiled.parsed.references;
        references.whole_root || references.roots.contains(name)
    }

    /// How many literal regular expressions it holds compiled, each up to a mebibyte: what is kept for long should be
    /// limited in this, too.
    pub fn literal_patterns(&self) -> usize {
        self.compiled.parsed.references.literal_patterns
    }

    /// The members of the root that it reads by name, sorted.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.compiled.parsed.references.roots.iter().map(AsRef::as_ref)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text()).finish()
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text() && self.compiled.limits == other.compiled.limits
    }
}

/// The names of all functions, sorted.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    function::names()
}
