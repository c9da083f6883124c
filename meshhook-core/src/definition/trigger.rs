//! Triggers: what may start a run of a published version.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::limits::DefinitionLimits;
use super::problem::{Problem, ProblemCode, member_path};
use super::reader::{Field, Members};
use super::schema::Schema;
use super::text::{Names, excerpt};
use crate::expr::Expression;
use crate::schedule::{Cron, Zone};
use crate::secret::SecretName;
use crate::webhook::{
    HANDSHAKES, HandshakeRule, HookPath, SecretUse, VerifyConfig, handshake, handshake_secret,
};

/// What may start a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Trigger {
    /// The id, unique in the workflow.
    pub id: Arc<str>,
    /// What it listens to.
    pub kind: TriggerKind,
}

/// What a trigger listens to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TriggerKind {
    /// Requests to a URL.
    Webhook(Box<WebhookTrigger>),
    /// The clock.
    Schedule(Box<ScheduleTrigger>),
}

impl TriggerKind {
    /// The type's name, as definitions write it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            TriggerKind::Webhook(_) => "webhook",
            TriggerKind::Schedule(_) => "schedule",
        }
    }
}

/// A webhook: which requests it takes, and what it makes of them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WebhookTrigger {
    /// Where it listens.
    pub path: WebhookPath,
    /// The methods it takes, in upper case.
    pub methods: Vec<String>,
    /// How it knows who sends.
    pub verify: VerifyConfig,
    /// Which requests are repetitions.
    pub dedupe: Dedupe,
    /// Which requests start a run; all, where there is none.
    pub filter: Option<Expression>,
    /// What of a request is a run of its own; the whole request is one run, where this is not there.
    pub each: Option<Each>,
    /// How many requests it takes.
    pub rate_limit: Option<RateLimit>,
    /// The largest body in bytes, decoded.
    pub max_body_bytes: u64,
    /// What the body must look like.
    pub body_schema: Option<Schema>,
    /// How it answers a provider that asks whether it is there.
    pub handshake: Option<Handshake>,
    /// When it answers.
    pub respond: Respond,
}

/// Where a webhook listens, below its project.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebhookPath {
    /// At the workflow's slug.
    Slug,
    /// At a path that is made up at publishing and that nobody can guess.
    Random,
    /// At this path.
    Fixed(HookPath),
}

/// Which requests are repetitions of an earlier one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Dedupe {
    /// What repetitions have in common; without it, the delivery id of the scheme.
    pub key: Option<Expression>,
    /// How long a key is remembered.
    pub window: Duration,
}

/// What a request of a sender carries that sends in batches.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Each {
    /// The items: an array, of which each is the input of a run.
    pub items: Expression,
    /// What repetitions of an item have in common; without it, their place in the delivery and its key.
    pub id: Option<Expression>,
    /// The most items that one request may have.
    pub max_items: usize,
}

/// How many requests a webhook takes: a bucket of `burst` that fills by `per_second`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RateLimit {
    /// Requests per 1,000 seconds: 500 is one every two seconds.
    pub per_kilosecond: u64,
    /// Requests at once; at least 1.
    pub burst: u32,
    /// What has a bucket of its own; without it, there is one for all.
    pub key: Option<Expression>,
}

/// How a webhook answers a provider that asks whether it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handshake {
    /// The protocol: one of [`HANDSHAKES`].
    pub kind: Arc<str>,
    /// How it is known and answered.
    pub rules: Vec<HandshakeRule>,
    /// The secret that the protocol compares or signs with.
    pub secret: Option<SecretName>,
}

/// When a webhook answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Respond {
    /// As soon as the run is stored.
    Accepted,
    /// When the run has ended, or after this long.
    Wait(Duration),
}

/// A schedule: when it starts runs, and what with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScheduleTrigger {
    /// The times.
    pub cron: Cron,
    /// Where they are local times.
    pub timezone: Zone,
    /// The runs' input; null where the trigger names none.
    pub input: Arc<Value>,
    /// What becomes of times that passed while nobody looked.
    pub catch_up: CatchUp,
}

/// What becomes of scheduled times that passed while nobody looked. Exhaustive: the format names exactly these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// They are left out.
    #[default]
    Skip,
    /// The latest of them starts a run.
    One,
    /// Each of them starts a run.
    All,
}

/// How long a dedupe key is remembered where the definition does not say.
pub const DEFAULT_DEDUPE_WINDOW: Duration = Duration::from_secs(86_400);

const MAX_DEDUPE_WINDOW: Duration = Duration::from_secs(30 * 86_400);
/// What the id of an item sees.
const ITEM_NAMES: Names<'static> = Names::roots(&["item", "index", "headers", "query", "body", "method"]);
/// What the expressions of a webhook see.
const HOOK_NAMES: Names<'static> = Names::roots(&["headers", "query", "body", "method"]);
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const MAX_RATE: f64 = 1e6;
const WEBHOOK_MEMBERS: [&str; 11] = [
    "path",
    "methods",
    "verify",
    "dedupe",
    "filter",
    "each",
    "rate_limit",
    "max_body",
    "body_schema",
    "handshake",
    "respond",
];

/// Reads the list of triggers of a workflow whose input is to match a schema.
pub(super) fn read(field: &Field<'_>, input_schema: Option<&Schema>) -> Option<Vec<Trigger>> {
    let items = field.items()?;
    let most = field.checker.context.limits.max_triggers;
    if items.len() > most {
        field.report(ProblemCode::InvalidValue, format!("at most {most} triggers"));
        return None;
    }
    let mut seen = Seen::default();
    let triggers: Vec<_> = items.map(|item| read_one(&item, input_schema, &mut seen)).collect();
    triggers.into_iter().collect()
}

/// What the triggers before this one use.
#[derive(Default)]
struct Seen<'a> {
    ids: BTreeSet<&'a str>,
    paths: BTreeSet<String>,
}

fn read_one<'a>(item: &Field<'a>, input_schema: Option<&Schema>, seen: &mut Seen<'a>) -> Option<Trigger> {
    let members = item.object(&["id", "type", "config"])?;
    let id = members.required("id").and_then(|field| read_id(&field, seen));
    let type_field = members.required("type");
    let kind = type_field.as_ref().and_then(Field::text);
    let config = members.optional("config").unwrap_or_else(|| Field {
        value: &super::node::NO_CONFIG,
        path: member_path(&item.path, "config"),
        checker: item.checker,
    });
    let kind = match kind {
        Some("webhook") => read_webhook(&config, seen).map(|webhook| TriggerKind::Webhook(Box::new(webhook))),
        Some("schedule") => {
            read_schedule(&config, input_schema).map(|schedule| TriggerKind::Schedule(Box::new(schedule)))
        }
        Some(other) => {
            let message = format!("there is no trigger type {}; types are webhook, schedule", excerpt(other));
            type_field?.report(ProblemCode::UnknownType, message);
            None
        }
        None => None,
    };
    Some(Trigger { id: id?.into(), kind: kind? })
}

fn read_id<'a>(field: &Field<'a>, seen: &mut Seen<'a>) -> Option<&'a str> {
    let id = field.text()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !(1..=64).contains(&id.len()) || !id.bytes().all(plain) {
        field.report(ProblemCode::InvalidId, "must be 1 to 64 letters, digits, _ or -");
        return None;
    }
    if !seen.ids.insert(id) {
        field.report(ProblemCode::DuplicateId, format!("another trigger has the id {}", excerpt(id)));
        return None;
    }
    Some(id)
}

fn read_webhook(config: &Field<'_>, seen: &mut Seen<'_>) -> Option<WebhookTrigger> {
    let members = config.object(&WEBHOOK_MEMBERS)?;
    let limits = &config.checker.context.limits;
    let path = read_path(config, &members, seen);
    let methods = members
        .optional("methods")
        .map_or_else(|| Some(vec!["POST".to_owned()]), |field| read_methods(&field));
    let verify = match members.optional("verify") {
        Some(field) => read_verify(&field),
        None if config.checker.context.is_published => Some(VerifyConfig::none()),
        None => {
            let message = r#"verify is required: to take what anybody sends, write {"scheme": "none"}"#;
            members.missing_because("verify", message);
            None
        }
    };
    let dedupe = members.optional("dedupe").map_or_else(
        || Some(Dedupe { key: None, window: DEFAULT_DEDUPE_WINDOW }),
        |field| read_dedupe(&field),
    );
    let filter = members.optional("filter").map(|field| field.expression(&HOOK_NAMES));
    let each = members.optional("each").map(|field| read_each(&field));
    let rate_limit = members.optional("rate_limit").map(|field| read_rate_limit(&field));
    let max_body = members.optional("max_body").map_or_else(
        || Some(limits.max_webhook_body_bytes.min(DEFAULT_MAX_BODY)),
        |field| field.limited_integer(1..=limits.max_webhook_body_bytes),
    );
    let body_schema = members.optional("body_schema").map(|field| field.schema());
    let handshake = members.optional("handshake").map(|field| read_handshake(&field, verify.as_ref()));
    let respond =
        members.optional("respond").map_or_else(|| Some(Respond::Accepted), |field| read_respond(&field));
    if let (Some(Some(_)), Some(Respond::Wait(_)), Some(field)) =
        (&each, respond, members.optional("respond"))
    {
        let message = "a request with items has as many runs: with each, none of them can be waited for";
        field.report(ProblemCode::InvalidTrigger, message);
        return None;
    }
    Some(WebhookTrigger {
        path: path?,
        methods: methods?,
        verify: verify?,
        dedupe: dedupe?,
        filter: optional(filter)?,
        each: optional(each)?,
        rate_limit: optional(rate_limit)?,
        max_body_bytes: max_body?,
        body_schema: optional(body_schema)?,
        handshake: optional(handshake)?,
        respond: respond?,
    })
}

const DEFAULT_MAX_BODY: u64 = 1024 * 1024;

/// What was read of an optional member: fails only when the member is there and wrong.
fn optional<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    read.map_or(Some(None), |value| value.map(Some))
}

fn read_path(config: &Field<'_>, members: &Members<'_>, seen: &mut Seen<'_>) -> Option<WebhookPath> {
    let context = config.checker.context;
    let (path, text) = match members.optional("path") {
        Some(field) => {
            let text = field.text()?;
            if text == HookPath::RANDOM {
                return Some(WebhookPath::Random);
            }
            let path = HookPath::new(text)
                .map_err(|error| field.report(ProblemCode::InvalidValue, error.to_string()))
                .ok()?;
            (WebhookPath::Fixed(path), text)
        }
        None => (WebhookPath::Slug, context.slug.map_or("", |slug| slug.as_str())),
    };
    let unknown = text.is_empty();
    if unknown && seen.paths.contains(text)
        || !seen.paths.insert(text.to_owned())
        || (!unknown && (context.path_taken)(text))
    {
        let message = match path {
            WebhookPath::Slug => "another webhook of the project listens at this path, the workflow's slug",
            _ => "another webhook of the project listens at this path",
        };
        let path = member_path(&config.path, "path");
        config.checker.report(Problem::new(ProblemCode::PathTaken, path, message));
        return None;
    }
    Some(path)
}

fn read_methods(field: &Field<'_>) -> Option<Vec<String>> {
    let items = field.items()?;
    if items.len() == 0 {
        field.report(ProblemCode::InvalidValue, "at least one method");
        return None;
    }
    let choices = METHODS.map(|method| (method, method));
    let read: Vec<_> = items.map(|item| item.choice(&choices)).collect();
    let methods: BTreeSet<&str> = read.into_iter().collect::<Option<_>>()?;
    Some(methods.into_iter().map(str::to_owned).collect())
}

fn read_verify(field: &Field<'_>) -> Option<VerifyConfig> {
    match VerifyConfig::parse(field.value, &field.path) {
        Ok(verify) => {
            for (path, name) in verify.secret_places() {
                let place = Field { path: path.to_owned(), ..field.clone() };
                place.use_secret(name.as_str());
            }
            Some(verify)
        }
        Err(problems) => {
            problems.into_iter().for_each(|problem| field.checker.report(problem));
            None
        }
    }
}

fn read_dedupe(field: &Field<'_>) -> Option<Dedupe> {
    let members = field.object(&["key", "window"])?;
    let key = members.optional("key").map(|field| field.expression(&HOOK_NAMES));
    let window = members
        .optional("window")
        .map_or(Some(DEFAULT_DEDUPE_WINDOW), |field| field.timeout(MAX_DEDUPE_WINDOW));
    Some(Dedupe { key: optional(key)?, window: window? })
}

fn read_each(field: &Field<'_>) -> Option<Each> {
    let members = field.object(&["items", "id"])?;
    let items = members.required("items").and_then(|field| field.expression(&HOOK_NAMES));
    let id = members.optional("id").map(|field| field.expression(&ITEM_NAMES));
    let most = field.checker.context.limits.max_delivery_items;
    let max_items = most.min(DefinitionLimits::DELIVERY_ITEMS_CEILING);
    Some(Each { items: items?, id: optional(id)?, max_items })
}

fn read_rate_limit(field: &Field<'_>) -> Option<RateLimit> {
    let members = field.object(&["per_second", "burst", "key"])?;
    let per_second = members.required("per_second").and_then(|field| {
        let Some(rate) = field.value.as_f64() else {
            field.report(ProblemCode::InvalidType, "expected a number");
            return None;
        };
        if !(0.001..=MAX_RATE).contains(&rate) {
            field.report(ProblemCode::InvalidValue, "must be from 0.001 to 1000000");
            return None;
        }
        Some((rate * 1_000.0).round() as u64)
    });
    let burst = members.required("burst").and_then(|field| field.integer(1..=1_000_000));
    let key = members.optional("key").map(|field| field.expression(&HOOK_NAMES));
    Some(RateLimit { per_kilosecond: per_second?, burst: u32::try_from(burst?).ok()?, key: optional(key)? })
}

fn read_handshake(field: &Field<'_>, verify: Option<&VerifyConfig>) -> Option<Handshake> {
    let members = field.object(&["type", "secret"])?;
    let choices = HANDSHAKES.map(|kind| (kind, kind));
    let kind = members.required("type").and_then(|field| field.choice(&choices));
    let secret = members.optional("secret").map(|field| {
        let name = SecretName::new(field.text()?);
        let name = name.map_err(|error| field.report(ProblemCode::InvalidValue, error.to_string())).ok()?;
        field.use_secret(name.as_str());
        Some(name)
    });
    let (kind, secret) = (kind?, optional(secret)?);
    match (handshake_secret(kind), &secret) {
        (SecretUse::Required, None) => {
            members.missing("secret");
            return None;
        }
        (SecretUse::None, Some(_)) => {
            let secret = members.optional("secret")?;
            secret.report(ProblemCode::InvalidTrigger, format!("the handshake {kind} has no secret"));
            return None;
        }
        _ => {}
    }
    let rules = handshake(kind);
    let is_shared = |verify: &VerifyConfig| {
        verify.secret_names().iter().any(|name| Some(name) == secret.as_ref())
            && !verify.signs_the_body_alone()
    };
    if !field.checker.context.is_published
        && rules.iter().any(HandshakeRule::answers_with_mac)
        && verify.is_some_and(is_shared)
    {
        let message = format!(
            "is a secret of verify, too, whose signatures are not made of the body alone: the handshake {kind} would give \
             them to anybody"
        );
        members.optional("secret")?.report(ProblemCode::InvalidTrigger, message);
        return None;
    }
    Some(Handshake { kind: kind.into(), rules, secret })
}

fn read_respond(field: &Field<'_>) -> Option<Respond> {
    if let Some(text) = field.value.as_str() {
        if text == "accepted" {
            return Some(Respond::Accepted);
        }
        field.report(ProblemCode::InvalidValue, "must be \"accepted\" or {\"wait\": \"10s\"}");
        return None;
    }
    let most = field.checker.context.limits.max_respond_wait;
    let wait = field.object(&["wait"])?.required("wait")?.timeout(most)?;
    Some(Respond::Wait(wait))
}

fn read_schedule(config: &Field<'_>, input_schema: Option<&Schema>) -> Option<ScheduleTrigger> {
    let members = config.object(&["cron", "timezone", "input", "catch_up"])?;
    let cron = members.required("cron").and_then(|field| {
        let cron = Cron::parse(field.text()?);
        cron.map_err(|error| field.report(ProblemCode::InvalidValue, error.to_string())).ok()
    });
    let timezone = members.optional("timezone").map_or_else(
        || Some(Zone::utc()),
        |field| {
            let zone = Zone::named(field.text()?);
            zone.map_err(|error| field.report(ProblemCode::InvalidValue, error.to_string())).ok()
        },
    );
    // Every run would be started with it, so what is wrong with it can be said now.
    let violation = |input: &Value| {
        let violations = input_schema?.validate(input).err()?;
        Some(violations.first().map(ToString::to_string).unwrap_or_default())
    };
    let input = match members.optional("input") {
        Some(field) => match violation(field.value) {
            Some(violation) => {
                let message = format!("does not match the workflow's input_schema: {violation}");
                field.report(ProblemCode::InvalidTrigger, message);
                None
            }
            None => Some(field.value.clone()),
        },
        None if violation(&Value::Null).is_some() => {
            let message = "input is required by input_schema: without it runs start with null";
            members.missing_because("input", message);
            None
        }
        None => Some(Value::Null),
    };
    let catch_up = members.optional("catch_up").map_or(Some(CatchUp::Skip), |field| {
        field.choice(&[("skip", CatchUp::Skip), ("one", CatchUp::One), ("all", CatchUp::All)])
    });
    Some(ScheduleTrigger { cron: cron?, timezone: timezone?, input: Arc::new(input?), catch_up: catch_up? })
}
