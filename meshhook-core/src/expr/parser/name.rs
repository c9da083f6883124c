//! Names: fields, members of the root object, and variables.

use super::Parser;
use crate::expr::ast::{Let, Node, Step};
use crate::expr::error::{ExprError, ExprErrorKind};
use crate::expr::lexer::Token;
use crate::expr::reference;

impl Parser {
    pub(super) fn name(&mut self) -> Result<(Box<str>, usize), ExprError> {
        match self.peek() {
            Token::Identifier(_) | Token::Quoted(_) => match self.advance() {
                (Token::Identifier(name) | Token::Quoted(name), position) => Ok((name, position)),
                (_, position) => Err(ExprError::syntax(position, "expected a name")),
            },
            _ => Err(self.unexpected(", expected a name")),
        }
    }

    pub(super) fn whole_current(&mut self) {
        if self.at_root {
            self.references.whole_root = true;
        }
    }

    /// `$`, or `@` where it is the root, possibly followed by a member.
    pub(super) fn root(&mut self) -> Result<Node, ExprError> {
        self.advance();
        let member = *self.peek() == Token::Dot
            && matches!(self.peek_at(1), Token::Identifier(_) | Token::Quoted(_))
            && *self.peek_at(2) != Token::LeftParen;
        if !member {
            self.references.whole_root = true;
            return Ok(Node::Root);
        }
        self.advance();
        let (name, position) = self.name()?;
        Ok(self.root_member(name, position)?.unwrap_or_else(|name| Node::Root.then(Step::Field(name))))
    }

    /// A name where a value can start.
    pub(super) fn root_or_field(&mut self) -> Result<Node, ExprError> {
        let (name, position) = self.name()?;
        if !self.at_root {
            return Ok(Node::Field(name));
        }
        Ok(self.root_member(name, position)?.unwrap_or_else(Node::Field))
    }

    /// Records the use of a member of the root; `Ok(Ok(…))` when it is a secret.
    fn root_member(&mut self, name: Box<str>, position: usize) -> Result<Result<Node, Box<str>>, ExprError> {
        let next = match (self.peek(), self.peek_at(1), self.peek_at(2)) {
            (Token::Dot, Token::Identifier(_), Token::LeftParen) => None,
            (Token::Dot, Token::Identifier(name) | Token::Quoted(name), _) => {
                Some((name.clone(), self.tokens[self.at + 1].1))
            }
            _ => None,
        };
        if *name == *"secrets" {
            let Some((secret, _)) = next.filter(|(secret, _)| reference::is_secret_name(secret)) else {
                return Err(ExprError::new(
                    ExprErrorKind::SecretNotAllowed,
                    position,
                    "secrets can only be used as secrets.<name> with a literal name",
                ));
            };
            self.advance();
            self.advance();
            self.references.add_secret(&secret, position);
            return Ok(Ok(Node::Secret { name: secret, position }));
        }
        if *name == *"nodes" {
            match next {
                Some((id, at)) => self.references.add_node(&id, at),
                None => self.references.dynamic_nodes = true,
            }
        }
        self.references.add_root(&name);
        Ok(Err(name))
    }

    pub(super) fn variable(&mut self) -> Result<Node, ExprError> {
        let (token, position) = self.advance();
        let Token::Variable(name) = token else {
            return Err(ExprError::syntax(position, "expected a variable"));
        };
        match self.variables.iter().rposition(|bound| *bound == name) {
            Some(slot) => Ok(Node::Variable(slot)),
            None => {
                let message = format!("variable ${name} is not defined");
                Err(ExprError::new(ExprErrorKind::InvalidValue, position, message))
            }
        }
    }

    /// `let $a = …, $b = … in …`
    pub(super) fn let_expression(&mut self) -> Result<Node, ExprError> {
        let (_, position) = self.advance();
        let outer = self.variables.len();
        let mut names = Vec::new();
        let mut values = Vec::new();
        loop {
            match self.advance() {
                (Token::Variable(name), _) => names.push(name),
                (other, position) => {
                    return Err(ExprError::syntax(
                        position,
                        format!("unexpected {}, expected a variable", other.describe()),
                    ));
                }
            }
            self.expect(&Token::Assign)?;
            values.push(self.nested(position, 0, true)?);
            if !self.take(&Token::Comma) {
                break;
            }
        }
        match self.peek() {
            Token::Identifier(name) if **name == *"in" => self.advance(),
            _ => return Err(self.unexpected(", expected \"in\"")),
        };
        self.variables.extend(names);
        let body = self.nested(position, 0, true)?;
        self.variables.truncate(outer);
        Ok(Node::Let(Box::new(Let { values, body })))
    }
}
