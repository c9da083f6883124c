//! Request bodies, read strictly: a member that the route does not know is an error, and each error names its place.

use meshhook_core::definition::member_path;
use serde_json::{Map, Value};

use crate::problem::Problem;

/// The members of a request's body that were not read yet.
#[derive(Debug)]
pub(crate) struct Members {
    members: Map<String, Value>,
    /// The members that were asked for, there or not.
    known: Vec<String>,
}

impl Members {
    /// Takes a body apart. No body at all is an object without members.
    pub(crate) fn of(body: Option<Value>) -> Result<Self, Problem> {
        match body {
            None => Ok(Self { members: Map::new(), known: Vec::new() }),
            Some(Value::Object(members)) => Ok(Self { members, known: Vec::new() }),
            Some(_) => Err(Problem::invalid("body", "must be an object")),
        }
    }

    /// A member's value; `None` only when it is absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.known.push(name.to_owned());
        self.members.remove(name)
    }

    /// A member that must be there.
    pub(crate) fn required(&mut self, name: &str) -> Result<Value, Problem> {
        self.take(name).ok_or_else(|| Problem::invalid(&place(name), format!("{name} is required")))
    }

    /// An optional member of one type; `null` equals absent.
    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        what: &str,
        read: impl Fn(Value) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                read(value).map(Some).ok_or_else(|| Problem::invalid(&place(name), format!("must be {what}")))
            }
        }
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        self.optional(name, "a string", into_text)
    }

    pub(crate) fn required_text(&mut self, name: &str) -> Result<String, Problem> {
        into_text(self.required(name)?).ok_or_else(|| Problem::invalid(&place(name), "must be a string"))
    }

    /// Refuses what is left.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.members.keys().min() {
            None => Ok(()),
            Some(name) => {
                let shown: String = name.chars().take(64).collect();
                let known = match self.known.join(", ") {
                    known if known.is_empty() => "there are none".to_owned(),
                    known => format!("members are {known}"),
                };
                Err(Problem::invalid(&place(&shown), format!("unknown member {shown:?}; {known}")))
            }
        }
    }
}

fn place(name: &str) -> String {
    member_path("body", name)
}

fn into_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}
