//! Reading one node: what all nodes have in common.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::graph::{Join, Node};
use super::problem::ProblemCode;
use super::reader::{Field, Members};
use super::text::{Names, excerpt};
use crate::id::NodeId;
use crate::node::{NodeTypes, Shape};
use crate::policy::{EffectPolicy, Jitter, RetryPolicy};

/// What could be read of a node: enough to check edges even where the rest is wrong.
pub(super) struct ReadNode<'a> {
    pub(super) id: Option<&'a str>,
    /// `None` when the type or the ports are not known.
    pub(super) ports: Option<Vec<Arc<str>>>,
    pub(super) type_name: Option<&'a str>,
    pub(super) node: Option<Node>,
}

const MEMBERS: [&str; 8] = ["id", "type", "name", "join", "config", "retry", "timeout", "deadline"];

/// The longest name of a workflow or node.
pub(super) const MAX_NAME_BYTES: usize = 1_024;

pub(super) static NO_CONFIG: std::sync::LazyLock<Value> =
    std::sync::LazyLock::new(|| Value::Object(Default::default()));

/// Reads a node. `nesting` counts the bodies around it.
pub(super) fn read<'a>(field: &Field<'a>, names: &Names<'_>, nesting: usize) -> ReadNode<'a> {
    let nothing = ReadNode { id: None, ports: None, type_name: None, node: None };
    let Some(members) = field.object(&MEMBERS) else { return nothing };
    let id_field = members.required("id");
    let id = id_field.as_ref().and_then(|field| field.text());
    let valid_id = id.and_then(|id| NodeId::new(id).ok());
    if let (Some(field), Some(_), None) = (&id_field, id, &valid_id) {
        field.report(ProblemCode::InvalidId, "must match [A-Za-z_][A-Za-z0-9_]{0,63}");
    }
    let name = members.optional("name").map(|field| field.short_text(MAX_NAME_BYTES).map(str::to_owned));
    let join = members.optional("join").map(|field| field.choice(&[("all", Join::All), ("any", Join::Any)]));
    let type_field = members.required("type");
    let type_name = type_field.as_ref().and_then(Field::text);
    let config = members.optional("config").unwrap_or_else(|| Field {
        value: &NO_CONFIG,
        path: super::member_path(&field.path, "config"),
        checker: field.checker,
    });
    let shape = type_name.and_then(|name| {
        let shape = crate::node::read(name, &config, names, nesting);
        if let (None, Some(field)) = (&shape, &type_field) {
            field.report(ProblemCode::UnknownType, no_such_type(name, field.checker.context.node_types));
        }
        shape
    });
    let Some(Shape { ports, kind, is_effect, default_timeout }) = shape else {
        return ReadNode { id, type_name, ..nothing };
    };
    let policy = if is_effect {
        read_policy(&members, default_timeout).map(Some)
    } else {
        refuse_policy(&members).then_some(None)
    };
    let node = (|| {
        Some(Node {
            id: valid_id?,
            name: match name {
                None => None,
                Some(read) => Some(read?),
            },
            join: match join {
                None => Join::All,
                Some(read) => read?,
            },
            kind: kind?,
            policy: policy?,
        })
    })();
    ReadNode { id, ports, type_name, node }
}

/// Says that a node type is not there, and what may have been meant.
fn no_such_type(name: &str, types: &NodeTypes) -> String {
    // An engine without its executor has no such type, though everybody knows it.
    if name == "http_call" {
        return "http_call is not enabled: give EngineBuilder::http_call an executor".into();
    }
    let plain = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let known = types.names();
    let meant = known.iter().find(|known| plain(known) == plain(name));
    let meant = meant.map_or_else(
        || format!("the types are {}", known.join(", ")),
        |meant| format!("did you mean {meant}?"),
    );
    format!("there is no node type {}; {meant}", excerpt(name))
}

/// Whether a node without side effects has none of the members that only side effects have; reports those it has.
fn refuse_policy(members: &Members<'_>) -> bool {
    let mut good = true;
    for name in ["retry", "timeout", "deadline"] {
        if let Some(field) = members.optional(name) {
            field.report(ProblemCode::InvalidConfig, format!("only nodes with side effects have {name}"));
            good = false;
        }
    }
    good
}

fn read_policy(members: &Members<'_>, default_timeout: Option<Duration>) -> Option<EffectPolicy> {
    let longest = members.checker.context.limits.max_run_timeout;
    let time = |name| members.optional(name).map(|field| field.limited_timeout(longest));
    let (timeout, deadline) = (time("timeout"), time("deadline"));
    let retry = members.optional("retry").map(|field| read_retry(&field));
    Some(EffectPolicy {
        retry: retry.unwrap_or_else(|| Some(RetryPolicy::default()))?,
        timeout: match timeout {
            None => default_timeout,
            Some(read) => Some(read?),
        },
        deadline: match deadline {
            None => None,
            Some(read) => Some(read?),
        },
    })
}

fn read_retry(field: &Field<'_>) -> Option<RetryPolicy> {
    let members = field.object(&["max_attempts", "initial", "factor", "max", "jitter"])?;
    let most = u64::from(field.checker.context.limits.max_attempts);
    let absent = RetryPolicy::default();
    let max_attempts = members.optional("max_attempts").map(|field| field.limited_integer(1..=most));
    let initial = members.optional("initial").map(|field| field.duration());
    let factor = members.optional("factor").map(|field| read_factor(&field));
    let max = members.optional("max").map(|field| field.duration());
    let jitter = members
        .optional("jitter")
        .map(|field| field.choice(&[("full", Jitter::Full), ("none", Jitter::None)]));
    Some(RetryPolicy {
        max_attempts: match max_attempts {
            None => absent.max_attempts,
            Some(read) => u32::try_from(read?).unwrap_or(u32::MAX),
        },
        initial: initial.unwrap_or(Some(absent.initial))?,
        factor_millionths: factor.unwrap_or(Some(absent.factor_millionths))?,
        max: max.unwrap_or(Some(absent.max))?,
        jitter: jitter.unwrap_or(Some(absent.jitter))?,
    })
}

/// A number from 1 to 10, kept in millionths.
fn read_factor(field: &Field<'_>) -> Option<u32> {
    let Some(factor) = field.value.as_f64() else {
        field.report(ProblemCode::InvalidType, "expected a number");
        return None;
    };
    if !(1.0..=10.0).contains(&factor) {
        field.report(ProblemCode::InvalidValue, "must be from 1 to 10");
        return None;
    }
    // One correctly rounded product and an exact rounding: the same on every machine.
    Some((factor * 1e6).round() as u32)
}
