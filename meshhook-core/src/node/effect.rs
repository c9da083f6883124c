//! Side-effect nodes: what an executor is given.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Scope, template_failure};
use crate::definition::{Schema, Violation};
use crate::expr::{Template, UrlTemplate};
use crate::failure::{Failure, code};
use crate::secret::SecretName;

/// A side-effect node: `http_call`, or one that the host application brings.
#[derive(Clone)]
pub struct Effect {
    type_name: Arc<str>,
    ports: Arc<[Arc<str>]>,
    secrets: BTreeSet<SecretName>,
    fields: Vec<(Arc<str>, Rendering)>,
    /// What the rendered config must look like, where its executor's own reading is not relied on.
    schema: Option<Schema>,
}

/// How one member of a config becomes its value.
#[derive(Clone)]
pub(super) enum Rendering {
    Constant(Arc<Value>),
    Template(Template),
    Url(UrlTemplate),
}

impl Effect {
    pub(super) fn new(
        type_name: Arc<str>,
        ports: Vec<Arc<str>>,
        mut fields: Vec<(Arc<str>, Rendering)>,
    ) -> Self {
        // Members are rendered in canonical order, whatever order the document has: `uuid()` counts its calls.
        fields.sort_by(|(a, _), (b, _)| crate::json::compare_keys(a, b));
        let refs = fields.iter().flat_map(|(_, rendering)| match rendering {
            Rendering::Constant(_) => Vec::new(),
            Rendering::Template(template) => {
                template.secrets().map(|(_, secret)| secret.name.as_str()).collect()
            }
            Rendering::Url(url) => url.secrets().map(|(_, secret)| secret.name.as_str()).collect::<Vec<_>>(),
        });
        let secrets = refs.filter_map(|name| SecretName::new(name).ok()).collect();
        Self { type_name, ports: ports.into(), secrets, fields, schema: None }
    }

    pub(super) fn with_schema(self, schema: Schema) -> Self {
        Self { schema: Some(schema), ..self }
    }

    /// The node type, by which the executor is found.
    #[must_use]
    pub fn type_name(&self) -> &Arc<str> {
        &self.type_name
    }

    /// The ports by which a step can be left.
    #[must_use]
    pub fn ports(&self) -> &[Arc<str>] {
        &self.ports
    }

    /// The secrets that the config names: what must be read from the vault before it is rendered.
    #[must_use]
    pub fn secrets(&self) -> &BTreeSet<SecretName> {
        &self.secrets
    }

    /// Renders the config, secrets included: for the executor only, at the last moment.
    ///
    /// # Errors
    ///
    /// What a template fails with; `secret_not_found` when the environment lacks a secret; `invalid_config` when the
    /// rendered config of a registered type does not match its schema.
    pub fn render(&self, scope: &Scope<'_>) -> Result<Value, Failure> {
        let mut config = Map::new();
        for (name, rendering) in &self.fields {
            let value = match rendering {
                Rendering::Constant(value) => (**value).clone(),
                Rendering::Template(template) => scope.render(template)?,
                Rendering::Url(url) => Value::String(
                    url.render(scope.root, scope.env).map_err(|error| template_failure(&error))?,
                ),
            };
            config.insert((**name).to_owned(), value);
        }
        let config = Value::Object(config);
        if let Some(schema) = &self.schema {
            schema
                .validate(&config)
                .map_err(|violations| mismatch(violations.first().map(Violation::with_found)))?;
        }
        Ok(config)
    }
}

/// Holds a rendered config against its type's schema. The message names places and rules, and no value.
pub(super) fn demand_config(schema: &Schema, config: &Value) -> Result<(), Failure> {
    schema.validate(config).map_err(|violations| mismatch(violations.first().map(ToString::to_string)))
}

fn mismatch(first: Option<String>) -> Failure {
    let message = format!("the rendered config does not match its schema: {}", first.unwrap_or_default());
    Failure::permanent(code::INVALID_CONFIG, message)
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effect").field("type_name", &self.type_name).finish_non_exhaustive()
    }
}
