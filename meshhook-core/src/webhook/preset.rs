//! Presets: the schemes of known providers.
//!
//! Each follows its provider's documentation, named beside it. Hexadecimal is accepted in lower case only and
//! base64 only with its padding, because that is what all of them send; where one differs, its preset says so.
//!
//! What is `varying` is what a provider documents of the delivery and not of the event. It says how often and when the same
//! event was sent, so leaving it out takes no event for another.

use std::borrow::Cow;

use http::HeaderName;

use super::scheme::{
    Algorithm, Extraction, HexCase, KeyPreparation, Padding, Part, Scheme, SignatureEncoding,
    SignatureScheme, Source, Text, TimestampRule, TimestampUnit, TokenScheme,
};

/// The names of all presets, sorted.
pub const PRESETS: &[&str] = &[
    "adyen",
    "adyen_platform",
    "asana",
    "bitbucket",
    "box",
    "calendly",
    "circleci",
    "discord",
    "dropbox",
    "gitea",
    "github",
    "gitlab",
    "hubspot",
    "hubspot_v1",
    "hubspot_v2",
    "intercom",
    "jira",
    "linear",
    "mailgun",
    "meta",
    "mux",
    "notion",
    "paddle",
    "pagerduty",
    "paystack",
    "razorpay",
    "sanity",
    "sendgrid",
    "sentry",
    "shopify",
    "slack",
    "square",
    "standard",
    "stripe",
    "svix",
    "telegram",
    "trello",
    "twilio",
    "twitch",
    "typeform",
    "vercel",
    "woocommerce",
    "x",
    "xero",
    "zendesk",
    "zoom",
];

/// The scheme of a provider.
#[must_use]
pub fn preset(name: &str) -> Option<Scheme> {
    let scheme = match name {
        // docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures, "Payment webhooks": of
        // the item these eight values are signed and nothing else. A webhook in JSON has exactly one item, and a
        // second one would be covered by nothing.
        "adyen" => SignatureScheme {
            carriers: sources([item("additionalData/hmacSignature")]),
            key: KeyPreparation::Hex,
            signed: parts([
                Part::From(item("pspReference")),
                literal(":"),
                Part::IfAny(item("originalReference")),
                literal(":"),
                Part::From(item("merchantAccountCode")),
                literal(":"),
                Part::IfAny(item("merchantReference")),
                literal(":"),
                Part::IfAny(item("amount/value")),
                literal(":"),
                Part::IfAny(item("amount/currency")),
                literal(":"),
                Part::From(item("eventCode")),
                literal(":"),
                Part::From(item("success")),
            ]),
            absent: Cow::Owned(vec!["/notificationItems/1".into()]),
            ..base64("additionaldata")
        },
        // The same page, "Platform webhooks".
        "adyen_platform" => SignatureScheme { key: KeyPreparation::Hex, ..base64("hmacsignature") },
        // developers.asana.com/docs/webhooks-guide, "Security"
        "asana" => hex("x-hook-signature"),
        // support.atlassian.com/bitbucket-cloud/docs/manage-webhooks, "Secure webhooks"
        "bitbucket" => SignatureScheme {
            delivery_id: from_header("x-request-uuid"),
            ..prefixed("sha256=", hex("x-hub-signature"))
        },
        // developer.box.com/guides/webhooks/v2/signatures-v2: one header for each of two keys.
        "box" => SignatureScheme {
            carriers: sources(
                ["box-signature-primary", "box-signature-secondary"].map(|n| Source::Header(header(n))),
            ),
            signed: parts([Part::Body, Part::Timestamp]),
            timestamp: at(Source::Header(header("box-delivery-timestamp")), TimestampUnit::Rfc3339),
            delivery_id: from_header("box-delivery-id"),
            ..base64("box-signature-primary")
        },
        // developer.calendly.com/api-docs, "Webhook signatures"
        "calendly" => stripe_like("calendly-webhook-signature"),
        // circleci.com/docs/guides/integration/outbound-webhooks, "Validate webhooks"
        "circleci" => SignatureScheme {
            extraction: list(',', '=', "v1"),
            delivery_id: from_body("/id"),
            ..hex("circleci-signature")
        },
        // discord.com/developers/docs/interactions/overview, "Setting up an Endpoint"
        "discord" => SignatureScheme {
            algorithm: Algorithm::Ed25519,
            key: KeyPreparation::Hex,
            signed: parts([Part::Timestamp, Part::Body]),
            timestamp: seconds(Source::Header(header("x-signature-timestamp"))),
            delivery_id: from_body("/id"),
            ..hex("x-signature-ed25519")
        },
        // dropbox.com/developers/reference/webhooks
        "dropbox" => hex("x-dropbox-signature"),
        // docs.gitea.com/usage/webhooks
        "gitea" => {
            SignatureScheme { delivery_id: from_header("x-gitea-delivery"), ..hex("x-gitea-signature") }
        }
        // docs.github.com, "Validating webhook deliveries"
        "github" => SignatureScheme {
            delivery_id: from_header("x-github-delivery"),
            ..prefixed("sha256=", hex("x-hub-signature-256"))
        },
        // docs.gitlab.com, "Webhooks". Older servers send no idempotency key.
        "gitlab" => {
            let ids = ["idempotency-key", "x-gitlab-event-uuid"].map(|name| Source::Header(header(name)));
            return Some(token("x-gitlab-token", sources(ids)));
        }
        // developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation: of
        // version 3 the URL is signed with twelve escapes decoded, of version 2 as it was sent. One request may hold
        // several events, so there is no id.
        "hubspot" => SignatureScheme {
            signed: parts([Part::Method, Part::DecodedUrl, Part::Body, Part::Timestamp]),
            timestamp: at(Source::Header(header("x-hubspot-request-timestamp")), TimestampUnit::Millis),
            ..base64("x-hubspot-signature-v3")
        },
        "hubspot_v1" => SignatureScheme { algorithm: Algorithm::KeyedSha256, ..hex("x-hubspot-signature") },
        "hubspot_v2" => SignatureScheme {
            algorithm: Algorithm::KeyedSha256,
            signed: parts([Part::Method, Part::Url, Part::Body]),
            ..hex("x-hubspot-signature")
        },
        // developers.intercom.com/docs/webhooks/setting-up-webhooks, "Signed notifications"; and webhook-models, "The
        // notification object"
        "intercom" => SignatureScheme {
            algorithm: Algorithm::HmacSha1,
            delivery_id: from_body("/id"),
            varying: pointers(["/delivery_attempts", "/delivery_status", "/delivered_at", "/first_sent_at"]),
            ..prefixed("sha1=", hex("x-hub-signature"))
        },
        // developer.atlassian.com/cloud/jira/platform/webhooks, "Secure admin webhooks"
        "jira" => SignatureScheme {
            delivery_id: from_header("x-atlassian-webhook-identifier"),
            ..prefixed("sha256=", hex("x-hub-signature"))
        },
        // linear.app/developers/webhooks: the time stands in the signed body, and is that of sending it.
        "linear" => SignatureScheme {
            timestamp: at(Source::Body("/webhookTimestamp".into()), TimestampUnit::Millis),
            delivery_id: from_header("linear-delivery"),
            varying: pointers(["/webhookTimestamp"]),
            ..hex("linear-signature")
        },
        // documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks: a time and a token are signed,
        // what happened is not. The token as the id makes a second body for it a conflict.
        "mailgun" => SignatureScheme {
            carriers: sources([Source::Body("/signature/signature".into())]),
            signed: parts([Part::Timestamp, Part::From(Source::Body("/signature/token".into()))]),
            timestamp: seconds(Source::Body("/signature/timestamp".into())),
            delivery_id: from_body("/signature/token"),
            ..hex("signature")
        },
        // developers.facebook.com/docs/graph-api/webhooks/getting-started, "Validating Payloads": Facebook, Instagram,
        // WhatsApp.
        "meta" => prefixed("sha256=", hex("x-hub-signature-256")),
        // mux.com/docs/core/verify-webhook-signatures; `attempts` is of sending the event
        // (github.com/muxinc/mux-node-sdk, src/resources/webhooks, `BaseWebhookEvent`).
        "mux" => SignatureScheme {
            delivery_id: from_body("/id"),
            varying: pointers(["/attempts"]),
            ..stripe_like("mux-signature")
        },
        // developers.notion.com/reference/webhooks, "Validating event payloads"; and webhooks-events-delivery, "Event
        // properties"
        "notion" => SignatureScheme {
            delivery_id: from_body("/id"),
            varying: pointers(["/attempt_number"]),
            ..prefixed("sha256=", hex("x-notion-signature"))
        },
        // developer.paddle.com/webhooks/signature-verification. An event that somebody has sent again is another
        // notification (api-reference/notifications/replay-notification).
        "paddle" => SignatureScheme {
            extraction: list(';', '=', "h1"),
            signed: parts([Part::Timestamp, literal(":"), Part::Body]),
            timestamp: seconds(Source::Label("ts".into())),
            delivery_id: from_body("/event_id"),
            varying: pointers(["/notification_id"]),
            ..hex("paddle-signature")
        },
        // docs.pagerduty.com/developer/verifying-webhook-signatures: one entry for each active key.
        "pagerduty" => SignatureScheme {
            extraction: list(',', '=', "v1"),
            delivery_id: from_body("/event/id"),
            ..hex("x-pagerduty-signature")
        },
        // paystack.com/docs/payments/webhooks, "Signature validation"
        "paystack" => SignatureScheme { algorithm: Algorithm::HmacSha512, ..hex("x-paystack-signature") },
        // razorpay.com/docs/webhooks/validate-test
        "razorpay" => {
            SignatureScheme { delivery_id: from_header("x-razorpay-event-id"), ..hex("x-razorpay-signature") }
        }
        // sanity.io/docs/http-reference/webhooks, and github.com/sanity-io/webhook-toolkit: base64url without padding.
        "sanity" => SignatureScheme {
            encoding: SignatureEncoding::Base64Url(Padding::Optional),
            timestamp: at(Source::Label("t".into()), TimestampUnit::Millis),
            delivery_id: from_header("idempotency-key"),
            ..stripe_like("sanity-webhook-signature")
        },
        // twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features. One
        // request may hold several events, so there is no id.
        "sendgrid" => SignatureScheme {
            algorithm: Algorithm::EcdsaP256,
            key: KeyPreparation::Spki,
            signed: parts([Part::Timestamp, Part::Body]),
            timestamp: seconds(Source::Header(header("x-twilio-email-event-webhook-timestamp"))),
            ..base64("x-twilio-email-event-webhook-signature")
        },
        // docs.sentry.io/organization/integrations/integration-platform/webhooks
        "sentry" => {
            SignatureScheme { delivery_id: from_header("request-id"), ..hex("sentry-hook-signature") }
        }
        // shopify.dev, "Deliver webhooks through HTTPS"
        "shopify" => SignatureScheme {
            delivery_id: from_header("x-shopify-webhook-id"),
            ..base64("x-shopify-hmac-sha256")
        },
        // docs.slack.dev/authentication/verifying-requests-from-slack
        "slack" => SignatureScheme {
            delivery_id: from_body("/event_id"),
            ..v0("x-slack-signature", "x-slack-request-timestamp")
        },
        // developer.squareup.com/docs/webhooks/step3validate
        "square" => SignatureScheme {
            signed: parts([Part::Url, Part::Body]),
            delivery_id: from_body("/event_id"),
            ..base64("x-square-hmacsha256-signature")
        },
        // github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md
        "standard" => return Some(standard("webhook-id", "webhook-timestamp", "webhook-signature")),
        // docs.stripe.com/webhooks/signature; `pending_webhooks` counts the endpoints that have yet to take the event
        // (docs.stripe.com/api/events/object).
        "stripe" => SignatureScheme {
            delivery_id: from_body("/id"),
            varying: pointers(["/pending_webhooks"]),
            ..stripe_like("stripe-signature")
        },
        // docs.svix.com/receiving/verifying-payloads/how-manual
        "svix" => return Some(standard("svix-id", "svix-timestamp", "svix-signature")),
        // core.telegram.org/bots/api, "setWebhook", `secret_token`
        "telegram" => return Some(token("x-telegram-bot-api-secret-token", from_body("/update_id"))),
        // developer.atlassian.com/cloud/trello/guides/rest-api/webhooks, "Webhook signatures"
        "trello" => SignatureScheme {
            algorithm: Algorithm::HmacSha1,
            signed: parts([Part::Body, Part::Url]),
            delivery_id: from_body("/action/id"),
            ..base64("x-trello-webhook")
        },
        // twilio.com/docs/usage/webhooks/webhooks-security: a form's pairs are signed, any other body by a digest
        // that Twilio adds to the URL.
        "twilio" => SignatureScheme {
            algorithm: Algorithm::HmacSha1,
            signed: parts([Part::Url, Part::FormPairs]),
            body_digest: Some(Text::Borrowed("bodySHA256")),
            delivery_id: from_header("i-twilio-idempotency-token"),
            ..base64("x-twilio-signature")
        },
        // dev.twitch.tv/docs/eventsub/handling-webhook-events, "Verifying the event message"
        "twitch" => SignatureScheme {
            signed: parts([Part::Id, Part::Timestamp, Part::Body]),
            timestamp: at(
                Source::Header(header("twitch-eventsub-message-timestamp")),
                TimestampUnit::Rfc3339,
            ),
            id: Some(Source::Header(header("twitch-eventsub-message-id"))),
            delivery_id: from_header("twitch-eventsub-message-id"),
            ..prefixed("sha256=", hex("twitch-eventsub-message-signature"))
        },
        // typeform.com/developers/webhooks/secure-your-webhooks
        "typeform" => SignatureScheme {
            delivery_id: from_body("/event_id"),
            ..prefixed("sha256=", base64("typeform-signature"))
        },
        // vercel.com/docs/webhooks/webhooks-api, "Securing webhooks"
        "vercel" => SignatureScheme {
            algorithm: Algorithm::HmacSha1,
            delivery_id: from_body("/id"),
            ..hex("x-vercel-signature")
        },
        // developer.woocommerce.com/docs/best-practices/urls-and-routing/webhooks
        "woocommerce" => SignatureScheme {
            delivery_id: from_header("x-wc-webhook-delivery-id"),
            ..base64("x-wc-webhook-signature")
        },
        // docs.x.com/x-api/webhooks/introduction, "Securing webhooks"
        "x" => prefixed("sha256=", base64("x-twitter-webhooks-signature")),
        // developer.xero.com/documentation/guides/webhooks/configuring-your-server
        "xero" => base64("x-xero-signature"),
        // developer.zendesk.com/documentation/webhooks/verifying
        "zendesk" => SignatureScheme {
            signed: parts([Part::Timestamp, Part::Body]),
            timestamp: at(
                Source::Header(header("x-zendesk-webhook-signature-timestamp")),
                TimestampUnit::Rfc3339,
            ),
            delivery_id: from_header("x-zendesk-webhook-invocation-id"),
            ..base64("x-zendesk-webhook-signature")
        },
        // developers.zoom.us/docs/api/webhooks
        "zoom" => v0("x-zm-signature", "x-zm-request-timestamp"),
        _ => return None,
    };
    Some(Scheme::Signature(vec![scheme]))
}

/// `v0={hex}` over `v0:{timestamp}:{body}`, which Zoom took over from Slack.
fn v0(signature: &'static str, timestamp: &'static str) -> SignatureScheme {
    SignatureScheme {
        signed: parts([literal("v0:"), Part::Timestamp, literal(":"), Part::Body]),
        timestamp: seconds(Source::Header(header(timestamp))),
        ..prefixed("v0=", hex(signature))
    }
}

/// `t=…,v1={hex}` over `{t}.{body}`, which others took over from Stripe.
fn stripe_like(signature: &'static str) -> SignatureScheme {
    SignatureScheme {
        extraction: list(',', '=', "v1"),
        signed: parts([Part::Timestamp, literal("."), Part::Body]),
        timestamp: seconds(Source::Label("t".into())),
        ..hex(signature)
    }
}

/// `v1` with a shared key, or `v1a` with a public one, as the secret's prefix says.
fn standard(id: &'static str, timestamp: &'static str, signature: &'static str) -> Scheme {
    let shared = SignatureScheme {
        extraction: list(' ', ',', "v1"),
        key: KeyPreparation::Whsec,
        signed: parts([Part::Id, literal("."), Part::Timestamp, literal("."), Part::Body]),
        timestamp: seconds(Source::Header(header(timestamp))),
        id: Some(Source::Header(header(id))),
        delivery_id: from_header(id),
        ..base64(signature)
    };
    let public = SignatureScheme {
        extraction: list(' ', ',', "v1a"),
        algorithm: Algorithm::Ed25519,
        key: KeyPreparation::Whpk,
        ..shared.clone()
    };
    Scheme::Signature(vec![shared, public])
}

/// The header is the secret.
fn token(name: &'static str, delivery_id: Cow<'static, [Source]>) -> Scheme {
    let (header, prefix, varying) = (header(name), Text::Borrowed(""), Cow::Borrowed(&[][..]));
    Scheme::Token(TokenScheme { header, prefix, delivery_id, varying })
}

/// HMAC-SHA-256 over the body, in hexadecimal.
fn hex(name: &'static str) -> SignatureScheme {
    SignatureScheme::over_body(header(name), SignatureEncoding::Hex(HexCase::Lower))
}

/// HMAC-SHA-256 over the body, in base64.
fn base64(name: &'static str) -> SignatureScheme {
    SignatureScheme::over_body(header(name), SignatureEncoding::Base64(Padding::Required))
}

fn prefixed(text: &'static str, scheme: SignatureScheme) -> SignatureScheme {
    SignatureScheme { extraction: Extraction::Prefix(Text::Borrowed(text)), ..scheme }
}

/// A member of the only item of an Adyen notification.
fn item(path: &str) -> Source {
    Source::Body(Text::Owned(format!("/notificationItems/0/NotificationRequestItem/{path}")))
}

fn header(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

fn list(separator: char, assign: char, label: &'static str) -> Extraction {
    Extraction::List { separator, assign, label: Text::Borrowed(label) }
}

fn literal(text: &'static str) -> Part {
    Part::Literal(Text::Borrowed(text))
}

fn parts<const N: usize>(parts: [Part; N]) -> Cow<'static, [Part]> {
    Cow::Owned(parts.into())
}

fn sources<const N: usize>(sources: [Source; N]) -> Cow<'static, [Source]> {
    Cow::Owned(sources.into())
}

fn pointers<const N: usize>(pointers: [&'static str; N]) -> Cow<'static, [Text]> {
    Cow::Owned(pointers.map(Text::Borrowed).into())
}

fn seconds(source: Source) -> Option<TimestampRule> {
    at(source, TimestampUnit::Seconds)
}

#[expect(clippy::unnecessary_wraps, reason = "fills an optional field")]
fn at(source: Source, unit: TimestampUnit) -> Option<TimestampRule> {
    Some(TimestampRule::new(source, unit))
}

fn from_header(name: &'static str) -> Cow<'static, [Source]> {
    sources([Source::Header(header(name))])
}

fn from_body(pointer: &'static str) -> Cow<'static, [Source]> {
    sources([Source::Body(Text::Borrowed(pointer))])
}

#[cfg(test)]
#[path = "preset_tests.rs"]
mod tests;
#[cfg(test)]
#[path = "preset_vectors.rs"]
mod vectors;
