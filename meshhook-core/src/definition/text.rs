//! Expressions and templates within a document: parsed where they stand, with their secrets and nodes accounted for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::problem::{Problem, ProblemCode, index_path, member_path};
use super::reader::Field;
use crate::expr::{
    ExprErrorKind, Expression, Placeholder, Template, TemplateError, TemplateErrorKind, TemplateOptions,
    UrlTemplate,
};
use crate::secret::SecretName;

/// What the text at a place may refer to.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    /// Ids of the graph and, through `outer`, of the graphs around it; `None` where there are no nodes to see.
    nodes: Option<&'a BTreeSet<&'a str>>,
    /// Ids within the bodies of the graph's nodes, each with the node's.
    inner: Option<&'a BTreeMap<&'a str, &'a str>>,
    outer: Option<&'a Names<'a>>,
    /// The members of the root object, where they are few.
    roots: Option<&'a [&'a str]>,
    secrets: bool,
}

impl<'a> Names<'a> {
    /// Text of a trigger, before there is a run: these members of the root object, and no secrets.
    pub(crate) const fn roots(roots: &'a [&'a str]) -> Self {
        Self { nodes: None, inner: None, outer: None, roots: Some(roots), secrets: false }
    }

    /// Text of a node of a graph.
    pub(crate) fn graph(
        nodes: &'a BTreeSet<&'a str>,
        inner: &'a BTreeMap<&'a str, &'a str>,
        outer: Option<&'a Names<'a>>,
    ) -> Self {
        Self { nodes: Some(nodes), inner: Some(inner), outer, roots: None, secrets: false }
    }

    /// The same, where `secrets.<name>` may stand.
    pub(crate) fn with_secrets(self) -> Self {
        Self { secrets: true, ..self }
    }

    /// The node in whose body, out of sight, a node is.
    fn body_of(&self, id: &str) -> Option<&'a str> {
        let mut names = Some(self);
        while let Some(current) = names {
            if let Some(body) = current.inner.and_then(|inner| inner.get(id)) {
                return Some(body);
            }
            names = current.outer;
        }
        None
    }

    fn knows_node(&self, id: &str) -> bool {
        let mut names = Some(self);
        while let Some(current) = names {
            match current.nodes {
                Some(ids) if !ids.contains(id) => names = current.outer,
                _ => return true,
            }
        }
        false
    }
}

impl<'a> Field<'a> {
    /// The value as an expression.
    pub(crate) fn expression(&self, names: &Names<'_>) -> Option<Expression> {
        let text = self.text()?;
        self.count_patterns(regex_uses(text))?;
        match Expression::parse(text, &self.checker.context.limits.expr) {
            Ok(expression) => self.accept(&expression, names).then_some(expression),
            Err(error) => {
                let code = code_of(error.kind, ProblemCode::InvalidExpression);
                let is_template = text.trim_start().starts_with("{{") && text.trim_end().ends_with("}}");
                let hint =
                    if is_template { "; this is an expression already: write it without {{ }}" } else { "" };
                self.report(code, format!("{error}{hint}"));
                None
            }
        }
    }

    /// The value, of any type, as a template.
    pub(crate) fn template(&self, names: &Names<'_>) -> Option<Template> {
        self.count_patterns(regex_uses_within(self.value))?;
        let parsed = Template::parse(self.value, &self.template_options());
        let template = parsed.map_err(|errors| self.refuse(&errors)).ok()?;
        self.accept_all(template.placeholders(), names).then_some(template)
    }

    /// The value as a template that is a string.
    pub(crate) fn text_template(&self, names: &Names<'_>) -> Option<Template> {
        self.text()?;
        self.template(names)
    }

    /// The value as a URL with placeholders.
    pub(crate) fn url_template(&self, names: &Names<'_>) -> Option<UrlTemplate> {
        self.count_patterns(regex_uses_within(self.value))?;
        let parsed = UrlTemplate::parse(self.text()?, &self.template_options());
        let url = parsed.map_err(|errors| self.refuse(&errors)).ok()?;
        self.accept_all(url.placeholders(), names).then_some(url)
    }

    /// The value, if it is a string without placeholders.
    pub(crate) fn constant_text(&self) -> Option<&'a str> {
        self.value.as_str().filter(|text| !text.contains("{{"))
    }

    /// Every string within the value, with its place; keys are left out.
    pub(crate) fn strings(&self) -> Vec<Field<'a>> {
        let mut found = Vec::new();
        let mut pending = vec![self.clone()];
        while let Some(field) = pending.pop() {
            let place = |value, path| Field { value, path, checker: self.checker };
            match field.value {
                Value::String(_) => found.push(field),
                Value::Array(items) => pending.extend(
                    items.iter().enumerate().map(|(at, item)| place(item, index_path(&field.path, at))),
                ),
                Value::Object(members) => pending
                    .extend(members.iter().map(|(name, item)| place(item, member_path(&field.path, name)))),
                _ => {}
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    /// Secrets are let through here, and judged by [`Names`] together with everything else.
    fn template_options(&self) -> TemplateOptions {
        TemplateOptions::default().with_limits(self.checker.context.limits.expr.clone()).with_secrets()
    }

    fn accept_all(&self, placeholders: &[Placeholder], names: &Names<'_>) -> bool {
        let mut good = true;
        for placeholder in placeholders {
            let place = Field { path: join(&self.path, &placeholder.path), ..self.clone() };
            good &= place.accept(&placeholder.expression, names);
        }
        good
    }

    /// Whether an expression refers only to what it may; reports what else it refers to.
    fn accept(&self, expression: &Expression, names: &Names<'_>) -> bool {
        let mut good = true;
        for secret in expression.secrets() {
            if names.secrets {
                self.use_secret(&secret.name);
            } else {
                let message = "no secret can be used here; http_call takes them in headers, auth, query and body, other \
                    types in the members that they name for secrets";
                self.report(ProblemCode::SecretNotAllowed, message);
                good = false;
            }
        }
        if let Some(known) = names.roots.filter(|_| !self.checker.context.is_published) {
            let unknown: Vec<String> =
                expression.roots().filter(|root| !known.contains(root)).map(excerpt).collect();
            if !unknown.is_empty() {
                let (unknown, known) = (unknown.join(", "), known.join(", "));
                let message =
                    format!("{unknown} cannot be seen here, where there is no run yet; only {known} can");
                self.report(ProblemCode::InvalidExpression, message);
                good = false;
            }
        }
        for node in expression.node_refs() {
            if !names.knows_node(&node.id) {
                let message = match names.body_of(&node.id) {
                    Some(body) => {
                        let (id, body) = (excerpt(&node.id), excerpt(body));
                        format!(
                            "{id} is inside the body of {body}; from here only the output of {body} can be seen"
                        )
                    }
                    None => format!("no node {} can be seen from here", excerpt(&node.id)),
                };
                self.report(ProblemCode::UnknownNode, message);
                good = false;
            }
        }
        good
    }

    /// Warns when the vault lacks a secret.
    pub(crate) fn use_secret(&self, name: &str) {
        if let Some(known) = self.checker.context.known_secrets
            && !SecretName::new(name).is_ok_and(|name| known.contains(&name))
        {
            self.report(ProblemCode::UnknownSecret, format!("there is no secret {name} in the vault"));
        }
    }

    fn refuse(&self, errors: &[TemplateError]) {
        for error in errors {
            let code = match &error.kind {
                TemplateErrorKind::Expression(inner) => code_of(inner.kind, ProblemCode::InvalidTemplate),
                _ if error.is_limit() => ProblemCode::LimitExceeded,
                _ => ProblemCode::InvalidTemplate,
            };
            let path = join(&self.path, &error.path);
            self.checker.report(Problem::new(code, path, error.to_string()));
        }
    }
}

fn code_of(kind: ExprErrorKind, otherwise: ProblemCode) -> ProblemCode {
    match kind {
        ExprErrorKind::BudgetExceeded => ProblemCode::LimitExceeded,
        ExprErrorKind::SecretNotAllowed => ProblemCode::SecretNotAllowed,
        _ => otherwise,
    }
}

/// How often a text names a function that takes a regular expression: at least as many as it has literal ones.
fn regex_uses(text: &str) -> usize {
    text.matches("regex_match").count() + text.matches("regex_replace").count()
}

/// How often the placeholders of a template may name a function that takes a regular expression.
pub(crate) fn regex_uses_within(template: &Value) -> usize {
    let mut uses = 0;
    let mut pending = vec![template];
    while let Some(value) = pending.pop() {
        match value {
            Value::String(text) if text.contains("{{") => uses += regex_uses(text),
            Value::Array(items) => pending.extend(items),
            Value::Object(members) => pending.extend(members.values()),
            _ => {}
        }
    }
    uses
}

/// Puts a path that starts within a value behind the value's own path.
fn join(path: &str, within: &str) -> String {
    if within.is_empty() || within.starts_with('[') || path.is_empty() {
        format!("{path}{within}")
    } else {
        format!("{path}.{within}")
    }
}

/// The start of a text, for messages.
pub(crate) fn excerpt(text: &str) -> String {
    let mut start: String = text.chars().take(64).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}
