//! `http_call`: sends one HTTP request. Here is what its config may say; the executor lives elsewhere.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::effect::{Effect, Rendering};
use super::http_header::{is_header_name, is_header_value, is_reserved_header};
use super::{NodeKind, Shape, port};
use crate::definition::{Field, Names, ProblemCode};
use crate::expr::{Template, TemplateOptions};
use crate::secret::SecretName;
use crate::webhook::StandardSigner;

/// The name of the node type.
pub const TYPE_NAME: &str = "http_call";

/// How long an attempt may take where the definition does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

const MEMBERS: [&str; 13] = [
    "method",
    "url",
    "query",
    "headers",
    "auth",
    "body",
    "body_text",
    "form",
    "response",
    "follow_redirects",
    "idempotency_header",
    "success",
    "sign",
];

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const MAX_HEADERS: usize = 64;
const MAX_SUCCESS: usize = 500;

pub(super) fn read(config: &Field<'_>, names: &Names<'_>) -> Shape {
    Shape {
        is_effect: true,
        default_timeout: Some(DEFAULT_TIMEOUT),
        ..Shape::pure(&[port::out, port::error], read_config(config, names).map(NodeKind::Effect))
    }
}

fn read_config(config: &Field<'_>, names: &Names<'_>) -> Option<Effect> {
    let members = config.object(&MEMBERS)?;
    let secret_names = names.with_secrets();
    let mut fields = Vec::new();
    let mut good = true;
    let mut keep = |name: &'static str, template| match template {
        Some(template) => fields.push((Arc::<str>::from(name), template)),
        None => good = false,
    };
    keep("method", members.required("method").and_then(|field| read_method(&field)));
    let url = members.required("url").and_then(|field| read_url(&field, names));
    for (name, read) in [
        ("query", read_pairs as fn(&Field<'_>, &Names<'_>) -> Option<()>),
        ("headers", read_headers),
        ("auth", read_auth),
        ("body", |_, _| Some(())),
        ("body_text", |field, _| field.text().map(|_| ())),
        ("form", read_pairs),
    ] {
        if let Some(field) = members.optional(name) {
            let checked = read(&field, &secret_names);
            let template = field.template(&secret_names);
            keep(name, checked.and(template).map(Rendering::Template));
        }
    }
    for (name, read) in [
        ("response", read_response as fn(&Field<'_>) -> Option<()>),
        ("follow_redirects", |field| field.boolean().map(|_| ())),
        ("idempotency_header", read_idempotency_header),
        ("success", read_success),
    ] {
        if let Some(field) = members.optional(name) {
            keep(name, read(&field).map(|()| Rendering::Constant(Arc::new(field.value.clone()))));
        }
    }
    if let Some(field) = members.optional("sign") {
        keep("sign", read_sign(&field, &secret_names).map(Rendering::Template));
    }
    let bodies = ["body", "body_text", "form"].iter().filter(|name| members.has(name)).count();
    if bodies > 1 {
        config.report(ProblemCode::InvalidConfig, "at most one of body, body_text and form");
        good = false;
    }
    match url {
        Some(url) if good => {
            fields.push(("url".into(), Rendering::Url(url)));
            Some(Effect::new(TYPE_NAME.into(), vec![port::out(), port::error()], fields))
        }
        _ => None,
    }
}

fn read_method(field: &Field<'_>) -> Option<Rendering> {
    let method = field.text()?.to_ascii_uppercase();
    if METHODS.contains(&method.as_str()) {
        return Some(Rendering::Constant(Arc::new(method.into())));
    }
    field.report(ProblemCode::InvalidValue, format!("must be one of {}", METHODS.join(", ")));
    None
}

fn read_url(field: &Field<'_>, names: &Names<'_>) -> Option<crate::expr::UrlTemplate> {
    let text = field.text()?;
    // What stands before the first placeholder must not contradict a scheme of HTTP.
    let fixed = text.split("{{").next().unwrap_or(text);
    let lower = fixed.trim_start().to_ascii_lowercase();
    let whole = fixed.len() == text.len();
    let good = ["http://", "https://"].iter().any(|scheme| match lower.strip_prefix(scheme) {
        Some(rest) => {
            let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest);
            if !whole && authority.len() == rest.len() {
                // A placeholder goes on with it.
                return !authority.contains('@');
            }
            // What follows the host cannot make a URL malformed.
            !authority.contains('@') && url::Url::parse(&format!("{scheme}{authority}/")).is_ok()
        }
        None => !whole && scheme.starts_with(&lower),
    });
    if !good || text.chars().any(char::is_control) || fixed != fixed.trim() {
        field.report(
            ProblemCode::InvalidValue,
            "must be an http:// or https:// URL with a host and without a username",
        );
        return None;
    }
    field.url_template(names)
}

/// An object of values for a query or form; each may be an array, which repeats the name.
fn read_pairs(field: &Field<'_>, _: &Names<'_>) -> Option<()> {
    let mut good = true;
    for (_, field) in field.members()?.all() {
        let values = match field.value {
            Value::Array(_) => field.items()?.collect(),
            _ => vec![field],
        };
        for value in values {
            if matches!(value.value, Value::Array(_) | Value::Object(_)) {
                value.report(ProblemCode::InvalidType, "expected a string, a number, a boolean or null");
                good = false;
            }
        }
    }
    good.then_some(())
}

fn read_headers(field: &Field<'_>, _: &Names<'_>) -> Option<()> {
    let all = field.members()?.all();
    let mut good = true;
    if all.len() > MAX_HEADERS {
        field.report(ProblemCode::InvalidValue, format!("at most {MAX_HEADERS} headers"));
        good = false;
    }
    let mut seen = std::collections::BTreeSet::new();
    for (name, field) in &all {
        good &= check_header_name(field, name);
        if !seen.insert(name.to_ascii_lowercase()) {
            field.report(ProblemCode::InvalidValue, "this header is there already, in another spelling");
            good = false;
        }
        match field.value {
            Value::Array(_) | Value::Object(_) => {
                field.report(ProblemCode::InvalidType, "expected a string");
                good = false;
            }
            Value::String(text) if !is_header_value(text) => {
                field.report(ProblemCode::InvalidValue, "not a value that a header can have");
                good = false;
            }
            _ => {}
        }
        let lower = name.to_ascii_lowercase();
        if lower == "authorization" || lower == "cookie" {
            warn_of_constant(field);
        }
    }
    good.then_some(())
}

fn check_header_name(field: &Field<'_>, name: &str) -> bool {
    if !is_header_name(name) {
        field.report(ProblemCode::InvalidValue, "not the name of a header");
    } else if is_reserved_header(name) {
        field.report(ProblemCode::InvalidValue, "reserved: the client sets this header itself");
    } else {
        return true;
    }
    false
}

fn warn_of_constant(field: &Field<'_>) {
    if field.constant_text().is_some_and(|text| !text.is_empty()) {
        field.report(
            ProblemCode::SecretLiteral,
            "looks like a credential; keep it in the vault and write {{ secrets.name }}",
        );
    }
}

fn read_auth(field: &Field<'_>, _: &Names<'_>) -> Option<()> {
    // Without a known type, what else may stand here is not known either.
    let kind = field.members()?.required("type")?;
    let (wanted, credential): (&[&str], &str) = kind.choice(&[
        ("bearer", (&["type", "token"][..], "token")),
        ("basic", (&["type", "username", "password"][..], "password")),
        ("header", (&["type", "name", "value"][..], "value")),
        ("query", (&["type", "name", "value"][..], "value")),
    ])?;
    let members = field.object(wanted)?;
    let mut good = true;
    for name in &wanted[1..] {
        match members.required(name) {
            Some(field) => {
                good &= field.text().is_some();
                if *name == credential {
                    warn_of_constant(&field);
                }
                if *name == "name"
                    && kind.value == "header"
                    && let Some(text) = field.constant_text()
                {
                    good &= check_header_name(&field, text);
                }
            }
            None => good = false,
        }
    }
    good.then_some(())
}

fn read_response(field: &Field<'_>) -> Option<()> {
    let members = field.object(&["parse", "max_bytes"])?;
    let most = field.checker.context.limits.max_output_bytes;
    let parse = members
        .optional("parse")
        .map(|field| field.choice(&[("auto", ()), ("json", ()), ("text", ()), ("base64", ())]));
    let max_bytes = members.optional("max_bytes").map(|field| field.limited_integer(1..=most));
    parse.unwrap_or(Some(()))?;
    max_bytes.unwrap_or(Some(1))?;
    Some(())
}

fn read_idempotency_header(field: &Field<'_>) -> Option<()> {
    match field.value {
        Value::Bool(false) => Some(()),
        Value::Bool(true) => {
            field.report(ProblemCode::InvalidValue, "must be the name of a header, or false");
            None
        }
        _ => check_header_name(field, field.text()?).then_some(()),
    }
}

fn read_success(field: &Field<'_>) -> Option<()> {
    let items = field.items()?;
    if items.len() == 0 || items.len() > MAX_SUCCESS {
        field.report(ProblemCode::InvalidValue, format!("1 to {MAX_SUCCESS} statuses or classes"));
        return None;
    }
    let mut good = true;
    for item in items {
        good &= match item.value {
            Value::String(class) => {
                let is_class = matches!(class.as_bytes(), [b'1'..=b'5', b'x', b'x']);
                if !is_class {
                    item.report(ProblemCode::InvalidValue, "must be a status, or a class from 1xx to 5xx");
                }
                is_class
            }
            _ => item.integer(100..=599).is_some(),
        };
    }
    good.then_some(())
}

/// How the request is signed. Its secrets are names; what the executor is given is their values.
fn read_sign(field: &Field<'_>, secret_names: &Names<'_>) -> Option<Template> {
    let members = field.object(&["scheme", "secret"])?;
    let scheme = members.required("scheme").and_then(|field| field.choice(&[("standard", "standard")]));
    let secret = members.required("secret").and_then(|field| {
        let names: Vec<Field<'_>> = match field.value {
            Value::Array(_) => field.items()?.collect(),
            _ => vec![field.clone()],
        };
        if !(1..=StandardSigner::MAX_KEYS).contains(&names.len()) {
            let most = StandardSigner::MAX_KEYS;
            field.report(ProblemCode::InvalidValue, format!("must be 1 to {most} names"));
            return None;
        }
        let read: Vec<_> = names.iter().map(|field| read_secret(field, secret_names)).collect();
        read.into_iter().collect::<Option<Vec<Value>>>()
    });
    let rendered = json!({"scheme": scheme?, "secret": secret?});
    // Each secret was judged at its own place; here nothing is left to say.
    Template::parse(&rendered, &TemplateOptions::default().with_secrets()).ok()
}

/// The placeholder for the secret that a field names.
fn read_secret(field: &Field<'_>, secret_names: &Names<'_>) -> Option<Value> {
    let name = SecretName::new(field.text()?);
    let name = name.map_err(|error| field.report(ProblemCode::InvalidValue, error.to_string())).ok()?;
    let placeholder = Value::String(format!("{{{{ secrets.{name} }}}}"));
    Field { value: &placeholder, path: field.path.clone(), checker: field.checker }.template(secret_names)?;
    Some(placeholder)
}

/// The JSON Schema of the config.
pub(super) fn config_schema(limits: &crate::definition::DefinitionLimits) -> Value {
    let scalar = json!({"type": ["string", "number", "boolean", "null"]});
    let pairs = json!({
        "type": ["object", "null"],
        "additionalProperties": {"anyOf": [scalar, {"type": "array", "items": scalar}]},
        "description": "names and values, templates allowed; an array repeats its name"
    });
    let text = json!({"type": "string"});
    let auth = |kind: &str, members: &[&str]| {
        let mut properties = serde_json::Map::new();
        properties.insert("type".into(), json!({"const": kind}));
        for name in members {
            properties.insert((*name).to_owned(), text.clone());
        }
        let required: Vec<&str> = std::iter::once("type").chain(members.iter().copied()).collect();
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    };
    json!({
        "type": "object",
        "properties": {
            "method": {"type": "string", "description": METHODS.join(", ")},
            "url": {"type": "string", "description": "http or https; inserted values are percent-encoded"},
            "query": pairs,
            "headers": {"type": ["object", "null"], "maxProperties": MAX_HEADERS, "additionalProperties": scalar, "description": "templates allowed"},
            "auth": {"description": "templates allowed", "oneOf": [
                {"type": "null"},
                auth("bearer", &["token"]),
                auth("basic", &["username", "password"]),
                auth("header", &["name", "value"]),
                auth("query", &["name", "value"])
            ]},
            "body": {"description": "sent as JSON; templates allowed"},
            "body_text": {"type": ["string", "null"], "description": "sent as it is; templates allowed"},
            "form": pairs,
            "response": {
                "type": ["object", "null"],
                "properties": {
                    "parse": {"enum": ["auto", "json", "text", "base64", null], "default": "auto"},
                    "max_bytes": {"type": ["integer", "null"], "minimum": 1, "maximum": limits.max_output_bytes, "default": limits.max_output_bytes}
                },
                "additionalProperties": false
            },
            "follow_redirects": {"type": ["boolean", "null"], "default": false},
            "idempotency_header": {"anyOf": [{"type": ["string", "null"]}, {"const": false}], "default": "Idempotency-Key"},
            "success": {
                "type": ["array", "null"],
                "minItems": 1,
                "maxItems": MAX_SUCCESS,
                "items": {"anyOf": [{"type": "integer", "minimum": 100, "maximum": 599}, {"type": "string", "pattern": "^[1-5]xx$"}]},
                "default": ["2xx"]
            },
            "sign": {
                "type": ["object", "null"],
                "properties": {
                    "scheme": {"const": "standard"},
                    "secret": {
                        "anyOf": [
                            {"type": "string"},
                            {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": StandardSigner::MAX_KEYS}
                        ],
                        "description": "names of secrets; all of them sign"
                    }
                },
                "required": ["scheme", "secret"],
                "additionalProperties": false
            }
        },
        "required": ["method", "url"],
        "additionalProperties": false
    })
}
