use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::definition::{CatchUp, Respond, TriggerKind, WebhookPath, WebhookTrigger};
use crate::id::WorkflowSlug;

fn webhook(config: Value) -> WebhookTrigger {
    let definition = checked(&with_webhook(config)).definition.unwrap();
    match &definition.triggers()[0].kind {
        TriggerKind::Webhook(webhook) => (**webhook).clone(),
        other => panic!("{other:?}"),
    }
}

fn with_schedule(config: Value) -> Value {
    json!({"name": "x", "nodes": [{"id": "n", "type": "terminate"}],
        "triggers": [{"id": "clock", "type": "schedule", "config": config}]})
}

#[test]
fn a_webhook_without_config_has_the_documented_defaults() {
    let webhook = webhook(json!({}));
    assert_eq!(webhook.path, WebhookPath::Slug);
    assert_eq!(webhook.methods, ["POST"]);
    assert_eq!(webhook.dedupe.window, Duration::from_secs(86_400));
    assert_eq!(webhook.max_body_bytes, 1_048_576);
    assert_eq!(webhook.respond, Respond::Accepted);
    assert!(webhook.filter.is_none() && webhook.rate_limit.is_none() && webhook.body_schema.is_none());
}

#[test]
fn a_webhook_with_everything_is_valid() {
    let webhook = webhook(json!({
        "path": "a/b", "methods": ["PUT", "POST", "PUT"], "verify": {"scheme": "github", "secret": ["new", "old"]},
        "dedupe": {"key": "body.id", "window": "1h"}, "filter": "method == 'POST'",
        "rate_limit": {"per_second": 0.5, "burst": 10, "key": "headers.\"x-tenant\""},
        "max_body": 1000, "body_schema": {"type": "object"}, "handshake": {"type": "meta", "secret": "verify_token"},
        "respond": {"wait": "10s"}
    }));
    assert_eq!(webhook.methods, ["POST", "PUT"]);
    assert_eq!(webhook.verify.secret_names().len(), 2);
    assert_eq!(webhook.rate_limit.unwrap().per_kilosecond, 500);
    assert_eq!(webhook.respond, Respond::Wait(Duration::from_secs(10)));
}

#[test]
fn everything_wrong_with_a_webhook_is_told_at_once() {
    expect(
        &with_webhook(json!({
            "path": "a//b", "methods": ["post", 1], "verify": {"scheme": "github", "secrt": "x"},
            "dedupe": {"key": "(", "window": "0s"}, "filter": "secrets.x == 'a'",
            "rate_limit": {"per_second": 0, "burst": 0}, "max_body": 0, "body_schema": {"$ref": "http://x.example"},
            "handshake": {"type": "unheard_of"}, "respond": "later", "timeout": "1s"
        })),
        &[
            ("unknown_field", "triggers[0].config.timeout"),
            ("invalid_value", "triggers[0].config.path"),
            ("invalid_value", "triggers[0].config.methods[0]"),
            ("invalid_type", "triggers[0].config.methods[1]"),
            ("missing_field", "triggers[0].config.verify.secret"),
            ("unknown_field", "triggers[0].config.verify.secrt"),
            ("invalid_expression", "triggers[0].config.dedupe.key"),
            ("invalid_value", "triggers[0].config.dedupe.window"),
            ("secret_not_allowed", "triggers[0].config.filter"),
            ("invalid_value", "triggers[0].config.rate_limit.per_second"),
            ("invalid_value", "triggers[0].config.rate_limit.burst"),
            ("invalid_value", "triggers[0].config.max_body"),
            ("invalid_schema", "triggers[0].config.body_schema"),
            ("invalid_value", "triggers[0].config.handshake.type"),
            ("invalid_value", "triggers[0].config.respond"),
        ],
    );
}

#[test]
fn an_expression_of_a_webhook_sees_the_request_and_nothing_of_a_run() {
    let rate = |key: &str| json!({"per_second": 1, "burst": 1, "key": key});
    expect(
        &with_webhook(json!({
            "filter": "input.n > `1` && nodes.a && body.n", "dedupe": {"key": "trigger.delivery_id"}, "rate_limit": rate("run.id")
        })),
        &[
            ("invalid_expression", "triggers[0].config.dedupe.key"),
            ("invalid_expression", "triggers[0].config.filter"),
            ("invalid_expression", "triggers[0].config.rate_limit.key"),
        ],
    );
    // What is no name of the root object may be called anything.
    for filter in [
        "body.items[?input == `1`] | nodes",
        "let $input = query in $input",
        "$.body",
        "@",
        "body.{nodes: run}",
    ] {
        webhook(
            json!({"filter": filter, "dedupe": {"key": "[headers, method]"}, "rate_limit": rate("query.input")}),
        );
    }
}

#[test]
fn a_webhook_that_takes_items_says_which_and_answers_at_once() {
    let each = webhook(json!({"each": {"items": "body.events", "id": "item.id"}, "respond": "accepted"}))
        .each
        .unwrap();
    assert_eq!(
        (each.items.text(), each.id.unwrap().text(), each.max_items),
        ("body.events", "item.id", 1_000)
    );
    assert!(webhook(json!({"each": {"items": "body", "id": null}})).each.unwrap().id.is_none());
    assert!(webhook(json!({"each": null, "respond": {"wait": "1s"}})).each.is_none());
    let at = |member: &str| format!("triggers[0].config.{member}");
    for (config, code, path) in [
        (json!({"each": {}}), "missing_field", "each.items"),
        (json!({"each": "body"}), "invalid_type", "each"),
        (json!({"each": {"items": "("}}), "invalid_expression", "each.items"),
        (json!({"each": {"items": "body", "id": 7}}), "invalid_type", "each.id"),
        (json!({"each": {"items": "body", "id": "secrets.s"}}), "secret_not_allowed", "each.id"),
        (json!({"each": {"items": "item.x"}}), "invalid_expression", "each.items"),
        (json!({"each": {"items": "body", "id": "input.x"}}), "invalid_expression", "each.id"),
        (json!({"each": {"items": "body", "max": 1}}), "unknown_field", "each.max"),
        (json!({"each": {"items": "body"}, "respond": {"wait": "1s"}}), "invalid_trigger", "respond"),
    ] {
        expect(&with_webhook(config), &[(code, &at(path))]);
    }
}

#[test]
fn a_handshake_has_the_secret_that_it_needs_and_no_other() {
    let with = |handshake: Value| with_webhook(json!({"handshake": handshake}));
    for valid in [
        json!({"type": "meta", "secret": "v"}),
        json!({"type": "x", "secret": "v"}),
        json!({"type": "asana"}),
        json!({"type": "asana", "secret": "v"}),
        json!({"type": "websub", "secret": null}),
        json!({"type": "notion"}),
    ] {
        expect(&with(valid), &[]);
    }
    let at = |member: &str| format!("triggers[0].config.handshake.{member}");
    expect(&with(json!({"type": "x"})), &[("missing_field", &at("secret"))]);
    expect(&with(json!({"type": "dropbox", "secret": "v"})), &[("invalid_trigger", &at("secret"))]);
    expect(&with(json!({"type": "challenge"})), &[("invalid_value", &at("type"))]);
}

#[test]
fn a_handshake_that_answers_with_macs_shares_its_secret_with_what_signs_the_body_alone() {
    let with = |verify: Value, secret: &str| {
        with_webhook(json!({"verify": verify, "handshake": {"type": "x", "secret": secret}}))
    };
    let mailgun = || json!({"scheme": "mailgun", "secret": ["s", "t"]});
    expect(&with(json!({"scheme": "x", "secret": "s"}), "s"), &[]);
    expect(&with(json!({"scheme": "api_key", "header": "x-key", "secret": "s"}), "s"), &[]);
    expect(&with(mailgun(), "other"), &[]);
    expect(&with(mailgun(), "t"), &[("invalid_trigger", "triggers[0].config.handshake.secret")]);
}

#[test]
fn triggers_have_unique_ids_and_known_types() {
    let document = json!({"name": "x", "nodes": [{"id": "n", "type": "terminate"}], "triggers": [
        {"id": "a", "type": "webhook", "config": {"path": "p", "verify": {"scheme": "none"}}},
        {"id": "a", "type": "webhook", "config": {"path": "q", "verify": {"scheme": "none"}}},
        {"id": "b c", "type": "cron"},
        {"type": "schedule"},
        {}
    ]});
    expect(
        &document,
        &[
            ("duplicate_id", "triggers[1].id"),
            ("invalid_id", "triggers[2].id"),
            ("unknown_type", "triggers[2].type"),
            ("missing_field", "triggers[3].id"),
            ("missing_field", "triggers[3].config.cron"),
            ("missing_field", "triggers[4].id"),
            ("missing_field", "triggers[4].type"),
        ],
    );
}

#[test]
fn what_was_published_goes_on_working_under_rules_that_came_later() {
    let config = json!({ "filter": "input.x", "verify": { "scheme": "none" } });
    let document = json!({ "name": "W", "nodes": [{ "id": "n", "type": "terminate" }],
        "triggers": [{ "id": "t", "type": "webhook", "config": config }] });
    let types = node_types();
    assert!(check(&document, &CheckContext::new(&types)).definition.is_none());
    let published = check(&document, &CheckContext::new(&types).published());
    assert!(published.definition.is_some(), "{:?}", published.problems);
}

#[test]
fn a_path_is_taken_by_another_trigger_or_another_workflow() {
    let types = node_types();
    let slug = WorkflowSlug::new("mine").unwrap();
    let is_taken = |path: &str| path == "theirs";
    let context = CheckContext::new(&types).slug(&slug).path_taken(&is_taken);
    let paths = |paths: &[Value]| {
        let triggers: Value = paths
            .iter()
            .enumerate()
            .map(|(at, path)| {
                let config = json!({"path": path, "verify": {"scheme": "none"}});
                json!({"id": format!("t{at}"), "type": "webhook", "config": config})
            })
            .collect();
        let document =
            json!({"name": "x", "nodes": [{"id": "n", "type": "terminate"}], "triggers": triggers});
        found(&check(&document, &context))
            .into_iter()
            .map(|(code, path)| format!("{code} {path}"))
            .collect::<Vec<_>>()
    };
    assert!(paths(&[json!(null), json!("other"), json!("random"), json!("random")]).is_empty());
    assert_eq!(paths(&[json!("theirs")]), ["path_taken triggers[0].config.path"]);
    assert_eq!(paths(&[json!("a"), json!("a")]), ["path_taken triggers[1].config.path"]);
    assert_eq!(paths(&[json!(null), json!("mine")]), ["path_taken triggers[1].config.path"]);
    assert_eq!(paths(&[json!("mine"), json!(null)]), ["path_taken triggers[1].config.path"]);
}

#[test]
fn two_webhooks_without_a_path_collide_even_where_the_slug_is_not_known() {
    let config = json!({"verify": {"scheme": "none"}});
    let document = json!({"name": "x", "nodes": [{"id": "n", "type": "terminate"}], "triggers": [
        {"id": "a", "type": "webhook", "config": config}, {"id": "b", "type": "webhook", "config": config}
    ]});
    expect(&document, &[("path_taken", "triggers[1].config.path")]);
}

#[test]
fn a_webhook_that_takes_what_anybody_sends_says_so() {
    let hook = |trigger: Value| json!({"name": "x", "nodes": [{"id": "n", "type": "terminate"}], "triggers": [trigger]});
    let types = node_types();
    for silent in [
        json!({"id": "h", "type": "webhook"}),
        json!({"id": "h", "type": "webhook", "config": {"path": "p"}}),
        json!({"id": "h", "type": "webhook", "config": {"path": "p", "verify": null}}),
    ] {
        expect(&hook(silent.clone()), &[("missing_field", "triggers[0].config.verify")]);
        // Under the rules of releases that let it be published, it goes on.
        let published = check(&hook(silent), &CheckContext::new(&types).published());
        assert!(published.definition.is_some(), "{:?}", published.problems);
    }
    let config = json!({"path": "p", "verify": {"scheme": "none"}});
    expect(&hook(json!({"id": "h", "type": "webhook", "config": config})), &[]);
}

#[test]
fn a_schedule_has_times_a_zone_and_an_input() {
    let document = with_schedule(
        json!({"cron": "0 30 9 * * MON-FRI", "timezone": "Europe/Berlin", "input": {"a": 1}, "catch_up": "all"}),
    );
    let definition = checked(&document).definition.unwrap();
    let TriggerKind::Schedule(schedule) = &definition.triggers()[0].kind else { panic!() };
    assert_eq!(schedule.cron.as_str(), "0 30 9 * * MON-FRI");
    assert_eq!(schedule.timezone.name(), "Europe/Berlin");
    assert_eq!(*schedule.input, json!({"a": 1}));
    assert_eq!(schedule.catch_up, CatchUp::All);
    expect(&with_schedule(json!({"cron": "*/5 * * * *"})), &[]);
}

#[test]
fn the_input_of_a_schedule_matches_the_workflows_schema() {
    let with_input = |config: Value| {
        let mut document = with_schedule(config);
        document["input_schema"] = json!({"type": "object", "required": ["a"]});
        document
    };
    expect(&with_input(json!({"cron": "* * * * *", "input": {"a": 1}})), &[]);
    expect(&with_input(json!({"cron": "* * * * *"})), &[("missing_field", "triggers[0].config.input")]);
    expect(
        &with_input(json!({"cron": "* * * * *", "input": null})),
        &[("missing_field", "triggers[0].config.input")],
    );
    for input in [json!({}), json!(1)] {
        let document = with_input(json!({"cron": "* * * * *", "input": input}));
        expect(&document, &[("invalid_trigger", "triggers[0].config.input")]);
    }
}

#[test]
fn impossible_schedules_are_refused() {
    for cron in ["0 0 31 2 *", "60 * * * *", "every day", "* * * *", ""] {
        expect(&with_schedule(json!({"cron": cron})), &[("invalid_value", "triggers[0].config.cron")]);
    }
    expect(
        &with_schedule(json!({"cron": 5, "timezone": "Mars/Olympus", "catch_up": "some", "every": "1h"})),
        &[
            ("unknown_field", "triggers[0].config.every"),
            ("invalid_type", "triggers[0].config.cron"),
            ("invalid_value", "triggers[0].config.timezone"),
            ("invalid_value", "triggers[0].config.catch_up"),
        ],
    );
}
