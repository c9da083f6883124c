//! Node types that the host application brings: their configs are checked by their JSON Schema.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;

use super::effect::{Effect, Rendering, demand_config};
use super::registry::Registered;
use super::{Evaluate, Evaluated, NodeKind, Scope, Shape};
use crate::definition::{Field, Names, Problem, ProblemCode, Schema, Violation, index_path, member_path};
use crate::expr::Template;
use crate::failure::{Failure, code};
use crate::json;

/// A node of a pure type that the host application brings.
#[derive(Clone)]
pub struct Custom {
    type_name: Arc<str>,
    ports: Arc<[Arc<str>]>,
    config: Template,
    schema: Schema,
    evaluate: Arc<dyn Evaluate>,
}

pub(super) fn read(config: &Field<'_>, names: &Names<'_>, registered: &Registered) -> Shape {
    let info = &registered.info;
    let ports: Vec<Arc<str>> = info.ports.iter().map(|port| port.as_str().into()).collect();
    let type_name: Arc<str> = info.name.as_str().into();
    let is_object = config.members().is_some();
    let matches_schema = is_object && check_against_schema(config, registered);
    let kind = match &info.evaluate {
        None => effect_fields(config, names, registered).map(|fields| {
            let effect = Effect::new(type_name, ports.clone(), fields);
            NodeKind::Effect(effect.with_schema(registered.schema.clone()))
        }),
        Some(evaluate) => config.template(names).map(|template| {
            NodeKind::Custom(Custom {
                type_name,
                ports: ports.clone().into(),
                config: template,
                schema: registered.schema.clone(),
                evaluate: evaluate.clone(),
            })
        }),
    };
    Shape {
        ports: Some(ports),
        kind: kind.filter(|_| matches_schema),
        is_effect: info.evaluate.is_none(),
        default_timeout: info.default_timeout,
    }
}

/// The members of a side effect's config, of which some may name secrets.
fn effect_fields(
    config: &Field<'_>,
    names: &Names<'_>,
    registered: &Registered,
) -> Option<Vec<(Arc<str>, Rendering)>> {
    let secret_names = names.with_secrets();
    let mut fields = Vec::new();
    let mut good = true;
    for (name, field) in config.members()?.all() {
        let capable = registered.info.secret_fields.iter().any(|secret| secret == name);
        match field.template(if capable { &secret_names } else { names }) {
            Some(template) => fields.push((Arc::from(name), Rendering::Template(template))),
            None => good = false,
        }
    }
    good.then_some(fields)
}

/// Checks the constant parts of a config against the type's schema; what templates render is checked when they have.
fn check_against_schema(config: &Field<'_>, registered: &Registered) -> bool {
    // Many may be about templates, which are passed over here: a constant that is wrong must not hide behind them.
    let Err(violations) = registered.schema.validate_up_to(config.value, usize::MAX) else { return true };
    let templated: BTreeSet<String> = config
        .strings()
        .into_iter()
        .filter(|leaf| leaf.constant_text().is_none())
        .map(|leaf| leaf.path)
        .collect();
    let mut good = true;
    for violation in violations {
        let path = path_of(config, &violation.path);
        // A template may render to anything, and a rule over a whole container cannot be judged while a part of it
        // is not known.
        let within = |leaf: &String| {
            leaf.strip_prefix(path.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let judged = match violation.keyword.as_str() {
            "required"
            | "additionalProperties"
            | "unevaluatedProperties"
            | "type"
            | "minProperties"
            | "maxProperties"
            | "minItems"
            | "maxItems" => !templated.contains(&path),
            _ => !templated.iter().any(within),
        };
        if judged {
            good = false;
            report(config, &path, &violation);
        }
    }
    good
}

fn report(config: &Field<'_>, path: &str, violation: &Violation) {
    let code = match violation.keyword.as_str() {
        "required" => ProblemCode::MissingField,
        "additionalProperties" | "unevaluatedProperties" => ProblemCode::UnknownField,
        "type" => ProblemCode::InvalidType,
        _ => ProblemCode::InvalidValue,
    };
    if violation.members.is_empty() {
        config.checker.report(Problem::new(code, path, violation.message.as_str()));
    }
    for member in &violation.members {
        let message = violation.message.as_str();
        config.checker.report(Problem::new(code, member_path(path, member), message));
    }
}

/// Turns a JSON pointer into the config into a path of the document.
fn path_of(config: &Field<'_>, pointer: &str) -> String {
    let mut path = config.path.clone();
    let mut value = Some(config.value);
    for segment in pointer.split('/').skip(1) {
        let segment = json::pointer_token(segment);
        match value {
            Some(Value::Array(items)) => {
                let index = segment.parse().unwrap_or(usize::MAX);
                path = index_path(&path, index);
                value = items.get(index);
            }
            _ => {
                path = member_path(&path, &segment);
                value = value.and_then(|value| value.get(&segment));
            }
        }
    }
    path
}

impl Custom {
    /// The node type.
    #[must_use]
    pub fn type_name(&self) -> &Arc<str> {
        &self.type_name
    }

    /// The ports by which a step can be left.
    #[must_use]
    pub fn ports(&self) -> &[Arc<str>] {
        &self.ports
    }

    /// Evaluates the node.
    ///
    /// # Errors
    ///
    /// What the config's templates or the node itself fail with, [bounded](Failure::bounded); `invalid_config` when the
    /// rendered config does not match the type's schema, or the node leaves by a port that it has not declared;
    /// `executor_panicked` when it panics.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Evaluated, Failure> {
        let config = scope.render(&self.config)?;
        demand_config(&self.schema, &config)?;
        let evaluate = AssertUnwindSafe(|| self.evaluate.evaluate(&config, scope.input));
        let evaluated = catch_unwind(evaluate)
            .unwrap_or_else(|_| Err(Failure::permanent(code::EXECUTOR_PANICKED, "the node panicked")));
        let Evaluated { port, output } = evaluated.map_err(Failure::bounded)?;
        if !self.ports.contains(&port) {
            let message = format!("the node has no port {port:?}");
            return Err(Failure::permanent(code::INVALID_CONFIG, message).bounded());
        }
        let output = if Arc::ptr_eq(&output, scope.input) { output } else { normal(output)? };
        Ok(Evaluated { port, output })
    }
}

/// The output in the form in which it is read back from a history, so that replays find it equal.
fn normal(output: Arc<Value>) -> Result<Arc<Value>, Failure> {
    let mut output = Arc::unwrap_or_clone(output);
    json::normalize(&mut output)
        .map_err(|_| Failure::permanent(code::RESPONSE_INVALID, "the output holds a number out of range"))?;
    Ok(Arc::new(output))
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom").field("type_name", &self.type_name).finish_non_exhaustive()
    }
}
