//! Checking a document: all its problems at once, and a definition when there is no error among them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::limits::DefinitionLimits;
use super::problem::{Problem, ProblemCode, Severity};
use super::reader::{Checker, Field};
use super::secret_literal::looks_like_secret;
use super::{Inner, ValidDefinition, body, node, trigger};
use crate::id::{Digest, WorkflowSlug};
use crate::node::NodeTypes;
use crate::secret::SecretName;

/// What a definition is checked against.
#[derive(Clone)]
#[non_exhaustive]
pub struct CheckContext<'a> {
    /// The node types that there are.
    pub node_types: &'a NodeTypes,
    /// The names in the project's vault; `None` when they are not known, and then no name is missed.
    pub known_secrets: Option<&'a BTreeSet<SecretName>>,
    /// The bounds.
    pub limits: DefinitionLimits,
    /// The workflow's slug, which is the path of a webhook that names none.
    pub slug: Option<&'a WorkflowSlug>,
    /// Whether another workflow of the project has a webhook at this path.
    pub path_taken: &'a (dyn Fn(&str) -> bool + 'a),
    /// Whether it was published before. Such a document is not judged by rules that came later and only keep people from
    /// mistakes: what was published goes on working.
    pub is_published: bool,
}

impl<'a> CheckContext<'a> {
    /// A context with these node types, the default limits, and nothing known about the project.
    #[must_use]
    pub fn new(node_types: &'a NodeTypes) -> Self {
        Self {
            node_types,
            known_secrets: None,
            limits: DefinitionLimits::default(),
            slug: None,
            path_taken: &|_| false,
            is_published: false,
        }
    }

    /// For a document that was published before.
    #[must_use]
    pub fn published(mut self) -> Self {
        self.is_published = true;
        self
    }

    /// Sets the names in the vault.
    #[must_use]
    pub fn known_secrets(mut self, names: &'a BTreeSet<SecretName>) -> Self {
        self.known_secrets = Some(names);
        self
    }

    /// Sets the bounds.
    #[must_use]
    pub fn limits(mut self, limits: DefinitionLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the workflow's slug.
    #[must_use]
    pub fn slug(mut self, slug: &'a WorkflowSlug) -> Self {
        self.slug = Some(slug);
        self
    }

    /// Sets how to find out whether another workflow of the project has a webhook path.
    #[must_use]
    pub fn path_taken(mut self, path_taken: &'a (dyn Fn(&str) -> bool + 'a)) -> Self {
        self.path_taken = path_taken;
        self
    }
}

impl fmt::Debug for CheckContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckContext")
            .field("node_types", &self.node_types)
            .field("slug", &self.slug)
            .finish_non_exhaustive()
    }
}

/// What a check found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Checked {
    /// The definition; there exactly when no problem is an error.
    pub definition: Option<ValidDefinition>,
    /// All problems, as far as [`DefinitionLimits::max_problems`] reaches.
    pub problems: Vec<Problem>,
}

impl Checked {
    /// Whether the document can be published.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.definition.is_some()
    }

    /// The problems as the API answers them.
    #[must_use]
    pub fn problems_value(&self) -> Value {
        self.problems.iter().map(Problem::to_value).collect()
    }
}

const MEMBERS: [&str; 9] =
    ["name", "description", "input_schema", "vars", "timeout", "triggers", "nodes", "edges", "layout"];

/// Checks a document completely.
#[must_use]
pub fn check(document: &Value, context: &CheckContext<'_>) -> Checked {
    let checker = Checker::new(context);
    let definition = check_with(document, &checker);
    let has_errors = checker.has_errors();
    let problems = checker.into_problems();
    // Whatever could not be read was reported; should that ever fail, the document still is not valid.
    let silent = definition.is_none() && !has_errors;
    let mut checked = Checked { definition: definition.filter(|_| !has_errors), problems };
    if silent {
        debug_assert!(false, "a document was refused without a problem");
        checked.problems.push(Problem::new(ProblemCode::InvalidConfig, "", "the document cannot be used"));
    }
    debug_assert_eq!(
        checked.is_valid(),
        !checked.problems.iter().any(|problem| problem.severity() == Severity::Error)
    );
    checked
}

fn check_with(document: &Value, checker: &Checker<'_>) -> Option<ValidDefinition> {
    let limits = &checker.context.limits;
    let report = |code, message: String| checker.report(Problem::new(code, "", message));
    if crate::json::depth(document) > limits.max_depth {
        report(
            ProblemCode::LimitExceeded,
            format!("arrays and objects nest at most {} deep", limits.max_depth),
        );
        return None;
    }
    if crate::json::canonical_len_within(document, limits.max_bytes).is_none() {
        report(ProblemCode::LimitExceeded, format!("at most {} bytes", limits.max_bytes));
        return None;
    }
    let mut normal = document.clone();
    if let Err(error) = crate::json::normalize(&mut normal) {
        report(ProblemCode::InvalidValue, error.to_string());
        return None;
    }

    let document = Arc::new(normal);
    let root = Field { value: &document, path: String::new(), checker };
    let members = root.object(&MEMBERS)?;
    let name = members.required("name").and_then(|field| field.short_text(node::MAX_NAME_BYTES));
    let description = members.optional("description").map(|field| field.text());
    let input_schema = members.optional("input_schema").map(|field| field.schema());
    let vars = members.optional("vars").map(|field| field.members().map(|_| Arc::new(field.value.clone())));
    let timeout = members.optional("timeout").map(|field| field.limited_timeout(limits.max_run_timeout));
    let triggers = match members.optional("triggers") {
        None => Some(Vec::new()),
        Some(field) => trigger::read(&field, input_schema.as_ref().and_then(Option::as_ref)),
    };
    let graph = body::read(&members, None, 0);
    warn_of_literals(&root);

    let description = description.map_or(Some(None), |text| text.map(|text| Some(text.to_owned())))?;
    let input_schema = input_schema.map_or(Some(None), |schema| schema.map(Some))?;
    let digest = digest(&document);
    Some(ValidDefinition(Arc::new(Inner {
        digest,
        name: name?.to_owned(),
        description,
        input_schema,
        vars: vars.unwrap_or_else(|| Some(Arc::new(Value::Object(Map::new()))))?,
        timeout: timeout.unwrap_or(Some(limits.max_run_timeout))?,
        triggers: triggers?,
        graph: graph?,
        document: document.clone(),
    })))
}

/// SHA-256 over the canonical form without `layout`.
fn digest(document: &Value) -> Digest {
    let text = match document.as_object() {
        Some(members) if members.contains_key("layout") => {
            let mut members = members.clone();
            members.remove("layout");
            crate::json::digest(&Value::Object(members))
        }
        _ => crate::json::digest(document),
    };
    Digest::new(&text).expect("a hash is 64 lower-case hex digits")
}

/// Warns of every string that looks like a secret, wherever it stands but in the editor's own part.
fn warn_of_literals(root: &Field<'_>) {
    for (name, field) in root.members().into_iter().flat_map(|members| members.all()) {
        if name == "layout" {
            continue;
        }
        for leaf in field.strings() {
            if leaf.value.as_str().is_some_and(looks_like_secret) {
                leaf.report(
                    ProblemCode::SecretLiteral,
                    "looks like a secret; keep it in the vault and write {{ secrets.name }}",
                );
            }
        }
    }
}
