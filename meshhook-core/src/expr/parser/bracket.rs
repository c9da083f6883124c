//! Brackets, and the projections that most of them make.

use super::{FILTER, PROJECTION, Parser};
use crate::expr::ast::{Node, Project, Projection, Slice, Step};
use crate::expr::error::{ExprError, ExprErrorKind};
use crate::expr::lexer::Token;

impl Parser {
    /// `[…]` where a value can start: an index, a slice or `[*]` of the current value, or a list.
    pub(super) fn bracket(&mut self) -> Result<Node, ExprError> {
        let (_, position) = self.advance();
        match self.peek() {
            Token::Number(_) | Token::Minus | Token::Colon if self.starts_index() => {
                self.whole_current();
                self.index_or_slice(Node::Current, position)
            }
            Token::Star if *self.peek_at(1) == Token::RightBracket => {
                self.whole_current();
                self.advance();
                self.advance();
                self.projection(Node::Current, Projection::List, PROJECTION)
            }
            _ => self.list(position),
        }
    }

    fn starts_index(&self) -> bool {
        match self.peek() {
            Token::Minus => matches!(self.peek_at(1), Token::Number(_)),
            _ => true,
        }
    }

    /// `[…]` behind a value.
    pub(super) fn index(&mut self, left: Node, position: usize) -> Result<Node, ExprError> {
        match self.peek() {
            Token::Number(_) | Token::Minus | Token::Colon => self.index_or_slice(left, position),
            Token::Star => {
                self.advance();
                self.expect(&Token::RightBracket)?;
                self.projection(left, Projection::List, PROJECTION)
            }
            _ => Err(self.unexpected(", expected an index, a slice or '*'")),
        }
    }

    pub(super) fn index_or_slice(&mut self, left: Node, position: usize) -> Result<Node, ExprError> {
        let mut parts = [None; 3];
        let mut part = 0;
        loop {
            match self.peek() {
                Token::Number(_) | Token::Minus if parts[part].is_none() => {
                    parts[part] = Some(self.integer()?);
                }
                Token::Colon if part < 2 => {
                    self.advance();
                    part += 1;
                }
                Token::RightBracket => break,
                _ => return Err(self.unexpected(" in an index or slice")),
            }
        }
        self.advance();
        match (part, parts) {
            (0, [Some(index), ..]) => Ok(left.then(Step::Index(index))),
            (_, [_, _, Some(0)]) => {
                Err(ExprError::new(ExprErrorKind::InvalidValue, position, "step of a slice must not be 0"))
            }
            (_, [start, end, step]) => {
                let slice = Slice { start, end, step: step.unwrap_or(1) };
                self.projection(left, Projection::Slice(slice), PROJECTION)
            }
        }
    }

    pub(super) fn integer(&mut self) -> Result<i64, ExprError> {
        let (sign, start) = match self.peek() {
            Token::Minus => (-1_i64, self.advance().1),
            _ => (1, self.position()),
        };
        match self.advance() {
            // A digit run too long for i64 indexes nothing, like any index past the end.
            (Token::Number(digits), at) if sign == 1 || at == start + 1 => {
                Ok(digits.parse::<i64>().unwrap_or(i64::MAX) * sign)
            }
            (_, at) => Err(ExprError::syntax(at, "expected a number")),
        }
    }

    /// The items of a list, behind its `[`.
    pub(super) fn list(&mut self, position: usize) -> Result<Node, ExprError> {
        let mut items = Vec::new();
        loop {
            items.push(self.nested(position, 0, true)?);
            if !self.take(&Token::Comma) {
                break;
            }
        }
        self.expect(&Token::RightBracket)?;
        Ok(Node::List(items))
    }

    pub(super) fn hash(&mut self, at_root: bool) -> Result<Node, ExprError> {
        let (_, position) = self.advance();
        let mut members: Vec<(String, Node)> = Vec::new();
        loop {
            let (key, _) = self.name()?;
            self.expect(&Token::Colon)?;
            let value = self.nested(position, 0, at_root)?;
            // The last of equal keys counts.
            match members.iter_mut().find(|(existing, _)| **existing == *key) {
                Some(member) => member.1 = value,
                None => members.push((key.into(), value)),
            }
            if !self.take(&Token::Comma) {
                break;
            }
        }
        self.expect(&Token::RightBrace)?;
        members.sort_by(|(a, _), (b, _)| crate::json::compare_keys(a, b));
        Ok(Node::Hash(members))
    }

    pub(super) fn filter(&mut self, left: Node, position: usize) -> Result<Node, ExprError> {
        let predicate = self.nested(position, 0, false)?;
        self.expect(&Token::RightBracket)?;
        self.projection(left, Projection::Filter(predicate), FILTER)
    }

    /// Appends a projection with everything behind it that applies to each element.
    pub(super) fn projection(&mut self, left: Node, over: Projection, power: u8) -> Result<Node, ExprError> {
        self.descend()?;
        let outer = std::mem::replace(&mut self.at_root, false);
        let each = match self.peek() {
            Token::Dot => {
                self.advance();
                let list = *self.peek() == Token::LeftBracket;
                let start = self.dot(Node::Current)?;
                // `a[*].[…].b` takes `b` of the whole list, as in every other implementation of JMESPath.
                Some(if list { start } else { self.continue_from(start, power)? })
            }
            Token::LeftBracket | Token::Filter => {
                let start = self.prefix()?;
                Some(self.continue_from(start, power)?)
            }
            _ => None,
        };
        self.at_root = outer;
        self.recursion_left += 1;
        Ok(left.then(Step::Project(Box::new(Project { over, each }))))
    }
}
