//! Presets: the schemes of known providers.
//!
//! Each follows its provider's documentation, named beside it. Hexadecimal is accepted in lower case only and
//! base64 only with its padding, because that is what all of them send.

use std::borrow::Cow;

use http::HeaderName;

use super::scheme::{
    Algorithm, Extraction, HexCase, KeyPreparation, Padding, Part, Scheme, SignatureEncoding,
    SignatureScheme, Source, Text, TimestampRule, TimestampUnit, TokenScheme,
};

/// The names of all presets, sorted.
pub const PRESETS: &[&str] = &[
    "github", "gitlab", "linear", "paddle", "shopify", "slack", "square", "standard", "stripe", "svix",
    "twilio", "zoom",
];

/// The scheme of a provider.
#[must_use]
pub fn preset(name: &str) -> Option<Scheme> {
    let scheme = match name {
        // docs.github.com, "Validating webhook deliveries"
        "github" => SignatureScheme {
            extraction: prefix("sha256="),
            delivery_id: from_header("x-github-delivery"),
            ..SignatureScheme::over_body(header("x-hub-signature-256"), HEX)
        },
        // docs.gitlab.com, "Webhooks". Older servers send no idempotency key.
        "gitlab" => {
            let ids = ["idempotency-key", "x-gitlab-event-uuid"].map(|name| Source::Header(header(name)));
            return Some(Scheme::Token(TokenScheme {
                header: header("x-gitlab-token"),
                delivery_id: Cow::Owned(ids.into()),
            }));
        }
        // linear.app/developers/webhooks: the time stands in the signed body.
        "linear" => SignatureScheme {
            timestamp: Some(TimestampRule::new(
                Source::Body("/webhookTimestamp".into()),
                TimestampUnit::Millis,
            )),
            delivery_id: from_header("linear-delivery"),
            ..SignatureScheme::over_body(header("linear-signature"), HEX)
        },
        // developer.paddle.com/webhooks/signature-verification
        "paddle" => SignatureScheme {
            extraction: list(';', '=', "h1"),
            signed: parts([Part::Timestamp, literal(":"), Part::Body]),
            timestamp: seconds(Source::Label("ts".into())),
            delivery_id: from_body("/event_id"),
            ..SignatureScheme::over_body(header("paddle-signature"), HEX)
        },
        // shopify.dev, "Deliver webhooks through HTTPS"
        "shopify" => SignatureScheme {
            delivery_id: from_header("x-shopify-webhook-id"),
            ..SignatureScheme::over_body(header("x-shopify-hmac-sha256"), BASE64)
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
            ..SignatureScheme::over_body(header("x-square-hmacsha256-signature"), BASE64)
        },
        // github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md
        "standard" => standard("webhook-id", "webhook-timestamp", "webhook-signature"),
        // docs.stripe.com/webhooks/signature
        "stripe" => SignatureScheme {
            extraction: list(',', '=', "v1"),
            signed: parts([Part::Timestamp, literal("."), Part::Body]),
            timestamp: seconds(Source::Label("t".into())),
            delivery_id: from_body("/id"),
            ..SignatureScheme::over_body(header("stripe-signature"), HEX)
        },
        // docs.svix.com/receiving/verifying-payloads/how-manual
        "svix" => standard("svix-id", "svix-timestamp", "svix-signature"),
        // twilio.com/docs/usage/webhooks/webhooks-security: a form's pairs are signed, any other body by a digest
        // that Twilio adds to the URL.
        "twilio" => SignatureScheme {
            algorithm: Algorithm::HmacSha1,
            signed: parts([Part::Url, Part::FormPairs]),
            body_digest: Some(Text::Borrowed("bodySHA256")),
            delivery_id: from_header("i-twilio-idempotency-token"),
            ..SignatureScheme::over_body(header("x-twilio-signature"), BASE64)
        },
        // developers.zoom.us/docs/api/webhooks
        "zoom" => v0("x-zm-signature", "x-zm-request-timestamp"),
        _ => return None,
    };
    Some(Scheme::Signature(Box::new(scheme)))
}

/// `v0={hex}` over `v0:{timestamp}:{body}`, which Zoom took over from Slack.
fn v0(signature: &'static str, timestamp: &'static str) -> SignatureScheme {
    SignatureScheme {
        extraction: prefix("v0="),
        signed: parts([literal("v0:"), Part::Timestamp, literal(":"), Part::Body]),
        timestamp: seconds(Source::Header(header(timestamp))),
        ..SignatureScheme::over_body(header(signature), HEX)
    }
}

fn standard(id: &'static str, timestamp: &'static str, signature: &'static str) -> SignatureScheme {
    SignatureScheme {
        extraction: list(' ', ',', "v1"),
        key: KeyPreparation::Whsec,
        signed: parts([Part::Id, literal("."), Part::Timestamp, literal("."), Part::Body]),
        timestamp: seconds(Source::Header(header(timestamp))),
        id: Some(Source::Header(header(id))),
        delivery_id: from_header(id),
        ..SignatureScheme::over_body(header(signature), BASE64)
    }
}

const HEX: SignatureEncoding = SignatureEncoding::Hex(HexCase::Lower);
const BASE64: SignatureEncoding = SignatureEncoding::Base64(Padding::Required);

fn header(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

fn prefix(text: &'static str) -> Extraction {
    Extraction::Prefix(Text::Borrowed(text))
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

#[expect(clippy::unnecessary_wraps, reason = "fills an optional field")]
fn seconds(source: Source) -> Option<TimestampRule> {
    Some(TimestampRule::new(source, TimestampUnit::Seconds))
}

fn from_header(name: &'static str) -> Cow<'static, [Source]> {
    Cow::Owned(vec![Source::Header(header(name))])
}

fn from_body(pointer: &'static str) -> Cow<'static, [Source]> {
    Cow::Owned(vec![Source::Body(Text::Borrowed(pointer))])
}

#[cfg(test)]
#[path = "preset_tests.rs"]
mod tests;
