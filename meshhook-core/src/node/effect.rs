//! Side-effect nodes: what an executor is given.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Scope, template_failure};
use crate::expr::{Template, UrlTemplate};
use crate::failure::Failure;
use crate::secret::SecretName;

/// A side-effect node: `http_call`, or one that the host application brings.
#[derive(Clone)]
pub struct Effect {
    type_name: Arc<str>,
    ports: Arc<[Arc<str>]>,
    secrets: BTreeSet<SecretName>,
    fields: Vec<(Arc<str>, Rendering)>,
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
        Self { type_name, ports: ports.into(), secrets, fields }
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
    /// What a template fails with; `secret_not_found` when the environment lacks a secret.
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
        Ok(Value::Object(config))
    }
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effect").field("type_name", &self.type_name).finish_non_exhaustive()
    }
}
