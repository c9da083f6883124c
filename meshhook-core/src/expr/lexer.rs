//! Splits the text of an expression into tokens.

use serde_json::Value;

use super::error::ExprError;
use crate::json::{self, JsonErrorKind, JsonLimits};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Identifier(Box<str>),
    Quoted(Box<str>),
    /// A run of digits; a sign is a token of its own.
    Number(Box<str>),
    Literal(Value),
    Variable(Box<str>),
    Root,
    Current,
    Dot,
    Comma,
    Colon,
    Question,
    Star,
    Slash,
    Percent,
    Plus,
    Minus,
    Pipe,
    Or,
    And,
    Not,
    Ampersand,
    Assign,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    LeftBrace,
    RightBrace,
    /// `[]`
    Flatten,
    /// `[?`
    Filter,
    End,
}

impl Token {
    /// How error messages name the token.
    pub(super) fn describe(&self) -> String {
        let text = match self {
            Token::Identifier(name) => return format!("name {name:?}"),
            Token::Variable(name) => return format!("variable \"${name}\""),
            Token::Quoted(_) => "quoted name",
            Token::Number(_) => "number",
            Token::Literal(_) => "literal",
            Token::End => "end of the expression",
            Token::Root => "'$'",
            Token::Current => "'@'",
            Token::Dot => "'.'",
            Token::Comma => "','",
            Token::Colon => "':'",
            Token::Question => "'?'",
            Token::Star => "'*'",
            Token::Slash => "'/'",
            Token::Percent => "'%'",
            Token::Plus => "'+'",
            Token::Minus => "'-'",
            Token::Pipe => "'|'",
            Token::Or => "'||'",
            Token::And => "'&&'",
            Token::Not => "'!'",
            Token::Ampersand => "'&'",
            Token::Assign => "'='",
            Token::Equal => "'=='",
            Token::NotEqual => "'!='",
            Token::Less => "'<'",
            Token::LessOrEqual => "'<='",
            Token::Greater => "'>'",
            Token::GreaterOrEqual => "'>='",
            Token::LeftParen => "'('",
            Token::RightParen => "')'",
            Token::LeftBracket => "'['",
            Token::RightBracket => "']'",
            Token::LeftBrace => "'{'",
            Token::RightBrace => "'}'",
            Token::Flatten => "'[]'",
            Token::Filter => "'[?'",
        };
        text.to_owned()
    }
}

/// Splits the text; the last token is [`Token::End`].
pub(super) fn lex(text: &str, max_depth: usize) -> Result<Vec<(Token, usize)>, ExprError> {
    let mut lexer = Lexer { text, at: 0, max_depth };
    let mut tokens = Vec::new();
    loop {
        let (token, position) = lexer.next()?;
        let done = token == Token::End;
        tokens.push((token, position));
        if done {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    max_depth: usize,
}

impl<'t> Lexer<'t> {
    fn next(&mut self) -> Result<(Token, usize), ExprError> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        let position = self.at;
        let Some(first) = bytes.get(position) else { return Ok((Token::End, position)) };
        let second = bytes.get(position + 1).copied();
        let (token, len) = match (first, second) {
            (b'A'..=b'Z' | b'a'..=b'z' | b'_', _) => {
                return Ok((Token::Identifier(self.name().into()), position));
            }
            (b'0'..=b'9', _) => {
                let digits = self.take_while(|byte| byte.is_ascii_digit());
                return Ok((Token::Number(digits.into()), position));
            }
            (b'"', _) => return Ok((self.quoted()?, position)),
            (b'\'', _) => return Ok((self.raw_string()?, position)),
            (b'`', _) => return Ok((self.literal()?, position)),
            (b'$', Some(b'A'..=b'Z' | b'a'..=b'z' | b'_')) => {
                self.at += 1;
                return Ok((Token::Variable(self.name().into()), position));
            }
            (b'$', _) => (Token::Root, 1),
            (b'|', Some(b'|')) => (Token::Or, 2),
            (b'|', _) => (Token::Pipe, 1),
            (b'&', Some(b'&')) => (Token::And, 2),
            (b'&', _) => (Token::Ampersand, 1),
            (b'=', Some(b'=')) => (Token::Equal, 2),
            (b'=', _) => (Token::Assign, 1),
            (b'!', Some(b'=')) => (Token::NotEqual, 2),
            (b'!', _) => (Token::Not, 1),
            (b'<', Some(b'=')) => (Token::LessOrEqual, 2),
            (b'<', _) => (Token::Less, 1),
            (b'>', Some(b'=')) => (Token::GreaterOrEqual, 2),
            (b'>', _) => (Token::Greater, 1),
            (b'[', Some(b']')) => (Token::Flatten, 2),
            (b'[', Some(b'?')) => (Token::Filter, 2),
            (b'[', _) => (Token::LeftBracket, 1),
            (b']', _) => (Token::RightBracket, 1),
            (b'(', _) => (Token::LeftParen, 1),
            (b')', _) => (Token::RightParen, 1),
            (b'{', _) => (Token::LeftBrace, 1),
            (b'}', _) => (Token::RightBrace, 1),
            (b'@', _) => (Token::Current, 1),
            (b'.', _) => (Token::Dot, 1),
            (b',', _) => (Token::Comma, 1),
            (b':', _) => (Token::Colon, 1),
            (b'?', _) => (Token::Question, 1),
            (b'*', _) => (Token::Star, 1),
            (b'/', _) => (Token::Slash, 1),
            (b'%', _) => (Token::Percent, 1),
            (b'+', _) => (Token::Plus, 1),
            (b'-', _) => (Token::Minus, 1),
            _ => return Err(ExprError::syntax(position, "unexpected character")),
        };
        self.at += len;
        Ok((token, position))
    }

    fn name(&mut self) -> &'t str {
        self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    }

    fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> &'t str {
        let start = self.at;
        while self.text.as_bytes().get(self.at).is_some_and(|byte| keep(*byte)) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// Takes what stands between the delimiter at the current place and its next occurrence without a backslash.
    fn delimited(&mut self, what: &'static str) -> Result<&'t str, ExprError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let delimiter = bytes[start];
        let mut at = start + 1;
        while let Some(byte) = bytes.get(at) {
            if *byte == delimiter {
                self.at = at + 1;
                return Ok(&self.text[start + 1..at]);
            }
            at += if *byte == b'\\' { 2 } else { 1 };
        }
        Err(ExprError::syntax(start, format!("{what} is not closed")))
    }

    /// `"…"`, a name with the escapes of a JSON string.
    fn quoted(&mut self) -> Result<Token, ExprError> {
        let start = self.at;
        self.delimited("quoted name")?;
        match json::parse(&self.text.as_bytes()[start..self.at], &JsonLimits::default()) {
            Ok(Value::String(name)) => Ok(Token::Quoted(name.into())),
            _ => Err(ExprError::syntax(start, "quoted name is not a valid JSON string")),
        }
    }

    /// `'…'`, where only `\'` is an escape.
    fn raw_string(&mut self) -> Result<Token, ExprError> {
        let raw = self.delimited("string")?;
        Ok(Token::Literal(Value::String(raw.replace("\\'", "'"))))
    }

    /// `` `…` ``, JSON in which a backtick is written with a backslash.
    fn literal(&mut self) -> Result<Token, ExprError> {
        let start = self.at;
        let raw = self.delimited("literal")?.replace("\\`", "`");
        let limits = JsonLimits::default().with_max_depth(self.max_depth);
        match json::parse(raw.as_bytes(), &limits) {
            Ok(value) => Ok(Token::Literal(value)),
            Err(error) if error.kind == JsonErrorKind::TooDeep => {
                Err(ExprError::budget(start, "literal nests too deep"))
            }
            Err(error) => Err(ExprError::syntax(start, format!("literal is not valid JSON: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tokens(text: &str) -> Vec<Token> {
        lex(text, 128).unwrap().into_iter().map(|(token, _)| token).collect()
    }

    #[test]
    fn each_token_is_recognized() {
        use Token::*;
        assert_eq!(
            tokens("a.\"b c\"[0][][?@==`1`] && !$x || $.c<='d'"),
            [
                Identifier("a".into()),
                Dot,
                Quoted("b c".into()),
                LeftBracket,
                Number("0".into()),
                RightBracket,
                Flatten,
                Filter,
                Current,
                Equal,
                Literal(json!(1)),
                RightBracket,
                And,
                Not,
                Variable("x".into()),
                Or,
                Root,
                Dot,
                Identifier("c".into()),
                LessOrEqual,
                Literal(json!("d")),
                End
            ]
        );
        assert_eq!(
            tokens("+-*/%?:=!=<>>=|&,(){}"),
            [
                Plus,
                Minus,
                Star,
                Slash,
                Percent,
                Question,
                Colon,
                Assign,
                NotEqual,
                Less,
                Greater,
                GreaterOrEqual,
                Pipe,
                Ampersand,
                Comma,
                LeftParen,
                RightParen,
                LeftBrace,
                RightBrace,
                End
            ]
        );
    }

    #[test]
    fn strings_keep_backslashes_except_before_their_delimiter() {
        assert_eq!(tokens(r"'a\'b\\c\n'")[0], Token::Literal(json!(r"a'b\\c\n")));
        assert_eq!(tokens(r#"`"a\`b"`"#)[0], Token::Literal(json!("a`b")));
        assert_eq!(tokens(r#""a\"\u00e9""#)[0], Token::Quoted("a\"é".into()));
    }

    #[test]
    fn what_is_not_closed_or_unknown_is_reported_where_it_starts() {
        for (text, position) in
            [("a 'b", 2), ("a \"b", 2), ("a `1", 2), ("a # b", 2), ("é", 0), ("'a\\", 0), ("`{1}`", 0)]
        {
            assert_eq!(lex(text, 128).unwrap_err().position, position, "{text}");
        }
    }
}
