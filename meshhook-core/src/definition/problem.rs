//! What is wrong with a definition, where, and how badly.

use serde_json::{Map, Value};

macro_rules! problem_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What is wrong, as a stable name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ProblemCode {
            $($(#[$doc])* $name,)*
        }

        impl ProblemCode {
            /// Every code, in the order of the reference.
            pub const ALL: &'static [ProblemCode] = &[$(ProblemCode::$name,)*];

            /// The code as the API writes it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(ProblemCode::$name => $text,)* }
            }
        }
    };
}

problem_codes! {
    /// A member that the format does not have.
    UnknownField = "unknown_field",
    /// A required member is absent.
    MissingField = "missing_field",
    /// A value of another JSON type than the format asks for.
    InvalidType = "invalid_type",
    /// A value outside of what the format allows.
    InvalidValue = "invalid_value",
    /// An id that does not follow its grammar.
    InvalidId = "invalid_id",
    /// An id that another node of the graph, or another trigger, has.
    DuplicateId = "duplicate_id",
    /// A node or trigger type that is not registered.
    UnknownType = "unknown_type",
    /// Members of a node that do not go together.
    InvalidConfig = "invalid_config",
    /// An edge or expression names a node that is not there.
    UnknownNode = "unknown_node",
    /// An edge leaves by a port that the node does not have.
    UnknownPort = "unknown_port",
    /// An edge must name a port, because the node has no `out`.
    MissingPort = "missing_port",
    /// An edge closes a cycle.
    Cycle = "cycle",
    /// An expression does not parse.
    InvalidExpression = "invalid_expression",
    /// A template does not parse.
    InvalidTemplate = "invalid_template",
    /// Text that is no duration.
    InvalidDuration = "invalid_duration",
    /// A JSON Schema that does not compile.
    InvalidSchema = "invalid_schema",
    /// Members of a trigger that do not go together.
    InvalidTrigger = "invalid_trigger",
    /// A webhook path that another trigger of the project has.
    PathTaken = "path_taken",
    /// `secrets` where no secret may go, or with a computed name.
    SecretNotAllowed = "secret_not_allowed",
    /// A secret that the vault lacks. A warning.
    UnknownSecret = "unknown_secret",
    /// Text that looks like a secret. A warning.
    SecretLiteral = "secret_literal",
    /// More than a limit of the engine allows.
    LimitExceeded = "limit_exceeded",
}

impl ProblemCode {
    /// How bad it is: two codes are warnings, all others errors.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            ProblemCode::UnknownSecret | ProblemCode::SecretLiteral => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

/// Whether a problem stops publishing. Exhaustive: it does or it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The definition cannot be published.
    Error,
    /// Worth a look; the definition can be published.
    Warning,
}

impl Severity {
    /// The severity as the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One thing that is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// What is wrong.
    pub code: ProblemCode,
    /// Where, from the document's root: `nodes[0].config.url`, with odd keys as `["x-y"]`; empty for the root.
    pub path: String,
    /// For people. Never repeats text that may be a secret.
    pub message: String,
}

impl Problem {
    /// Describes a problem.
    #[must_use]
    pub fn new(code: ProblemCode, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, path: path.into(), message: message.into() }
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// The problem as the API answers it: `{code, message, path, severity}`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut object = Map::new();
        object.insert("code".into(), self.code.as_str().into());
        object.insert("message".into(), self.message.as_str().into());
        object.insert("path".into(), self.path.as_str().into());
        object.insert("severity".into(), self.severity().as_str().into());
        Value::Object(object)
    }
}

/// Appends a member to a path: `a` and `b` make `a.b`, `a` and `x-y` make `a["x-y"]`.
#[must_use]
pub fn member_path(parent: &str, name: &str) -> String {
    let plain = !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !plain {
        format!("{parent}[{}]", crate::json::to_canonical_string(&Value::from(name)))
    } else if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}.{name}")
    }
}

/// Appends an index to a path: `a` and 0 make `a[0]`.
#[must_use]
pub fn index_path(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}
