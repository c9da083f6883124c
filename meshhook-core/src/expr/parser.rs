//! Turns tokens into the compiled form: operator precedence by binding powers (Pratt).
//!
//! ```text
//! loosest   |   ? :   ||   &&   == != < <= > >=   + -   * / %   ! -   []   [? ]   .   [ ]   tightest
//! ```
//!
//! `*` is the wildcard where a value may start and multiplication after one, so `foo.*` and `[*]` never meet
//! `a * b`. `!` and the unary minus reach over everything to their right that binds tighter: `!a.b` is `!(a.b)`.
//!
//! A projection (`[*]`, `.*`, `[]`, `[?…]`, a slice) takes what follows it, up to something that binds looser than
//! `[]`, as the expression to apply to each element.
//!
//! Recursion is bounded twice: by the nesting that the limits allow, which counts brackets, calls and prefix operators
//! within each other, and by [`RECURSION_PER_NESTING`] for the operands and projections between such levels.

mod bracket;
mod name;

use serde_json::Value;

use super::ast::{Arithmetic, Call, Comparison, Node, Projection, Step, Ternary};
use super::error::{ExprError, ExprErrorKind};
use super::function::{self, Function};
use super::lexer::{Token, lex};
use super::reference::References;
use super::{ExprLimits, regex};

/// How many levels of operands and projections one level of nesting may hold on average. The official suite has an
/// expression of 104 projections within each other; nothing readable comes near.
const RECURSION_PER_NESTING: usize = 3;

const TERNARY: u8 = 2;
const UNARY: u8 = 8;
const FLATTEN: u8 = 9;
const PROJECTION: u8 = 20;
const FILTER: u8 = 21;

pub(super) struct Parsed {
    pub(super) node: Node,
    pub(super) references: References,
}

pub(super) fn parse(text: &str, limits: &ExprLimits) -> Result<Parsed, ExprError> {
    if text.len() > limits.max_text_bytes {
        return Err(ExprError::budget(
            limits.max_text_bytes,
            format!("expression is longer than {} bytes", limits.max_text_bytes),
        ));
    }
    let max_nesting = limits.max_nesting.min(ExprLimits::NESTING_CEILING);
    let mut parser = Parser {
        tokens: lex(text, limits.max_depth)?,
        at: 0,
        max_nesting,
        nesting: 0,
        recursion_left: max_nesting * RECURSION_PER_NESTING + RECURSION_PER_NESTING,
        at_root: true,
        variables: Vec::new(),
        references: References::default(),
    };
    let node = parser.expression(0)?;
    parser.expect(&Token::End)?;
    Ok(Parsed { node, references: parser.references })
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    max_nesting: usize,
    nesting: usize,
    recursion_left: usize,
    /// Whether `@` is the root here, so that a name is a member of the root object.
    at_root: bool,
    /// The variables in scope, outermost first.
    variables: Vec<Box<str>>,
    references: References,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn peek_at(&self, ahead: usize) -> &Token {
        self.tokens.get(self.at + ahead).map_or(&Token::End, |(token, _)| token)
    }

    fn position(&self) -> usize {
        self.tokens[self.at].1
    }

    /// Takes the next token and its position; the end stays.
    fn advance(&mut self) -> (Token, usize) {
        if self.at + 1 == self.tokens.len() {
            return (Token::End, self.position());
        }
        let taken = std::mem::replace(&mut self.tokens[self.at].0, Token::End);
        self.at += 1;
        (taken, self.tokens[self.at - 1].1)
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, token: &Token) -> Result<(), ExprError> {
        if self.peek() == token {
            self.advance();
            return Ok(());
        }
        Err(self.unexpected(&format!(", expected {}", token.describe())))
    }

    fn unexpected(&self, hint: &str) -> ExprError {
        let meant = if *self.peek() == Token::Assign { "; equality is ==" } else { "" };
        ExprError::syntax(self.position(), format!("unexpected {}{hint}{meant}", self.peek().describe()))
    }

    fn enter(&mut self, position: usize) -> Result<(), ExprError> {
        if self.nesting == self.max_nesting {
            return Err(ExprError::budget(
                position,
                format!("expression nests deeper than {}", self.max_nesting),
            ));
        }
        self.nesting += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.nesting -= 1;
    }

    fn descend(&mut self) -> Result<(), ExprError> {
        if self.recursion_left == 0 {
            return Err(ExprError::budget(self.position(), "expression nests too many operators"));
        }
        self.recursion_left -= 1;
        Ok(())
    }

    /// Parses an expression one level deeper, in which `@` is the root only if `at_root` says so and it is here.
    fn nested(&mut self, position: usize, power: u8, at_root: bool) -> Result<Node, ExprError> {
        self.enter(position)?;
        let outer = self.at_root;
        self.at_root &= at_root;
        let node = self.expression(power)?;
        self.at_root = outer;
        self.leave();
        Ok(node)
    }

    /// Parses an expression of operators that bind tighter than `power`.
    fn expression(&mut self, power: u8) -> Result<Node, ExprError> {
        self.descend()?;
        let start = self.prefix()?;
        let node = self.continue_from(start, power)?;
        self.recursion_left += 1;
        Ok(node)
    }

    fn continue_from(&mut self, mut left: Node, power: u8) -> Result<Node, ExprError> {
        while binding_power(self.peek()) > power {
            left = self.infix(left)?;
        }
        Ok(left)
    }

    /// Parses what a value can start with.
    fn prefix(&mut self) -> Result<Node, ExprError> {
        match self.peek() {
            Token::Identifier(name) if **name == *"let" && matches!(self.peek_at(1), Token::Variable(_)) => {
                self.let_expression()
            }
            Token::Identifier(_) if *self.peek_at(1) == Token::LeftParen => self.call(),
            Token::Identifier(_) => self.root_or_field(),
            Token::Quoted(_) if *self.peek_at(1) == Token::LeftParen => {
                Err(ExprError::syntax(self.position(), "function name must not be quoted"))
            }
            Token::Quoted(_) => self.root_or_field(),
            Token::Literal(_) => match self.advance() {
                (Token::Literal(value), _) => Ok(Node::Literal(value)),
                (_, position) => Err(ExprError::syntax(position, "expected a literal")),
            },
            Token::Variable(_) => self.variable(),
            Token::Root => self.root(),
            Token::Current if self.at_root => self.root(),
            Token::Current => {
                self.advance();
                Ok(Node::Current)
            }
            Token::Star => {
                self.advance();
                self.whole_current();
                self.projection(Node::Current, Projection::Values, PROJECTION)
            }
            Token::Flatten | Token::Filter => {
                self.whole_current();
                self.infix(Node::Current)
            }
            Token::LeftBracket => self.bracket(),
            Token::LeftBrace => self.hash(true),
            Token::LeftParen => {
                let (_, position) = self.advance();
                let node = self.nested(position, 0, true)?;
                self.expect(&Token::RightParen)?;
                // A chain behind the bracket must not extend the one inside: it may end in a projection or pipe.
                Ok(node)
            }
            Token::Not => {
                let (_, position) = self.advance();
                Ok(Node::Not(Box::new(self.nested(position, UNARY, true)?)))
            }
            Token::Minus => {
                let (_, position) = self.advance();
                Ok(Node::Negate { operand: Box::new(self.nested(position, UNARY, true)?), position })
            }
            Token::Number(_) => Err(self.unexpected("; a number is written between backticks, as `1`")),
            Token::Ampersand => {
                Err(self.unexpected("; an expression reference can only be a function's argument"))
            }
            _ => Err(self.unexpected("")),
        }
    }

    /// Parses what can follow a value; only called for tokens with a binding power.
    fn infix(&mut self, left: Node) -> Result<Node, ExprError> {
        let power = binding_power(self.peek());
        let (token, position) = self.advance();
        let step = match token {
            Token::Dot => return self.dot(left),
            Token::LeftBracket => return self.index(left, position),
            Token::Flatten => return self.projection(left, Projection::Flatten, FLATTEN),
            Token::Filter => return self.filter(left, position),
            Token::Question => return self.ternary(left, position),
            Token::Pipe => {
                let outer = std::mem::replace(&mut self.at_root, false);
                let right = self.expression(power)?;
                self.at_root = outer;
                Step::Pipe(right)
            }
            Token::Or => Step::Or(self.expression(power)?),
            Token::And => Step::And(self.expression(power)?),
            Token::Equal => Step::Compare(Comparison::Equal, self.expression(power)?),
            Token::NotEqual => Step::Compare(Comparison::NotEqual, self.expression(power)?),
            Token::Less => Step::Compare(Comparison::Less, self.expression(power)?),
            Token::LessOrEqual => Step::Compare(Comparison::LessOrEqual, self.expression(power)?),
            Token::Greater => Step::Compare(Comparison::Greater, self.expression(power)?),
            Token::GreaterOrEqual => Step::Compare(Comparison::GreaterOrEqual, self.expression(power)?),
            operator => {
                let operator = match operator {
                    Token::Plus => Arithmetic::Add,
                    Token::Minus => Arithmetic::Subtract,
                    Token::Star => Arithmetic::Multiply,
                    Token::Slash => Arithmetic::Divide,
                    Token::Percent => Arithmetic::Remainder,
                    other => {
                        return Err(ExprError::syntax(position, format!("unexpected {}", other.describe())));
                    }
                };
                Step::Arithmetic { operator, operand: self.expression(power)?, position }
            }
        };
        Ok(left.then(step))
    }

    /// `.name`, `.*`, `.[…]`, `.{…}`, `.f(…)`
    fn dot(&mut self, left: Node) -> Result<Node, ExprError> {
        let outer = std::mem::replace(&mut self.at_root, false);
        let node = match self.peek() {
            Token::Identifier(_) if *self.peek_at(1) == Token::LeftParen => {
                left.then(Step::Pipe(self.call()?))
            }
            Token::Identifier(_) | Token::Quoted(_) => {
                let (name, _) = self.name()?;
                left.then(Step::Field(name))
            }
            Token::Star => {
                self.advance();
                self.projection(left, Projection::Values, PROJECTION)?
            }
            Token::LeftBracket => {
                let (_, position) = self.advance();
                left.then(Step::Pipe(self.list(position)?))
            }
            Token::LeftBrace => left.then(Step::Pipe(self.hash(false)?)),
            _ => return Err(self.unexpected(", expected a name, '*', '[' or '{' after '.'")),
        };
        self.at_root = outer;
        Ok(node)
    }

    fn ternary(&mut self, condition: Node, position: usize) -> Result<Node, ExprError> {
        let mut branches = Vec::new();
        let mut condition = condition;
        loop {
            let value = self.nested(position, 0, true)?;
            self.expect(&Token::Colon)?;
            branches.push((condition, value));
            let otherwise = self.expression(TERNARY)?;
            if !self.take(&Token::Question) {
                return Ok(Node::Ternary(Box::new(Ternary { branches, otherwise })));
            }
            condition = otherwise;
        }
    }

    fn call(&mut self) -> Result<Node, ExprError> {
        let (name, position) = self.name()?;
        self.expect(&Token::LeftParen)?;
        let function = function::find(&name);
        let mut args = Vec::new();
        if !self.take(&Token::RightParen) {
            loop {
                args.push(self.argument(&name, function, args.len())?);
                if !self.take(&Token::Comma) {
                    break;
                }
            }
            self.expect(&Token::RightParen)?;
        }
        let Some(function) = function else {
            let message = format!("there is no function {name:?}");
            return Err(ExprError::new(ExprErrorKind::UnknownFunction, position, message));
        };
        if args.len() < function.min_args || function.max_args.is_some_and(|max| args.len() > max) {
            let message = format!("{name} takes {}, not {}", function.arity(), args.len());
            return Err(ExprError::new(ExprErrorKind::InvalidArity, position, message));
        }
        if let Some(check) = function.check_text {
            for (index, arg) in args.iter().enumerate() {
                let Node::Literal(Value::String(text)) = arg else { continue };
                check(index, text).map_err(|message| {
                    ExprError::new(ExprErrorKind::InvalidValue, position, format!("{name}: {message}"))
                })?;
            }
        }
        let pattern = match function.pattern_arg.and_then(|index| args.get(index)) {
            Some(Node::Literal(Value::String(pattern))) => {
                self.references.literal_patterns += 1;
                let compiled = regex::compile_literal(pattern);
                Some(
                    compiled
                        .map_err(|message| ExprError::new(ExprErrorKind::InvalidValue, position, message))?,
                )
            }
            _ => None,
        };
        Ok(Node::Call(Box::new(Call { function, args, position, pattern })))
    }

    fn argument(&mut self, name: &str, function: Option<&Function>, index: usize) -> Result<Node, ExprError> {
        let position = self.position();
        let reference = self.take(&Token::Ampersand);
        let node = self.nested(position, 0, !reference)?;
        if let Some(function) = function
            && (function.expression_arg == Some(index)) != reference
        {
            let message = if reference {
                format!("{name}: argument {} must be a value, not an expression reference", index + 1)
            } else {
                format!("{name}: argument {} must be an expression reference such as &name", index + 1)
            };
            return Err(ExprError::new(ExprErrorKind::InvalidType, position, message));
        }
        Ok(node)
    }
}

fn binding_power(token: &Token) -> u8 {
    match token {
        Token::Pipe => 1,
        Token::Question => TERNARY,
        Token::Or => 3,
        Token::And => 4,
        Token::Equal
        | Token::NotEqual
        | Token::Less
        | Token::LessOrEqual
        | Token::Greater
        | Token::GreaterOrEqual => 5,
        Token::Plus | Token::Minus => 6,
        Token::Star | Token::Slash | Token::Percent => 7,
        Token::Flatten => FLATTEN,
        Token::Filter => FILTER,
        Token::Dot => 40,
        Token::LeftBracket => 55,
        _ => 0,
    }
}
