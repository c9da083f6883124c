//! Handshakes: how a hook answers a provider that asks whether it is there, and whose it is.
//!
//! ```text
//!   request ──► when ──► trust ──► challenge ──► answer
//!              is it one? who asks? bounded       starts no run
//! ```
//!
//! Like signature schemes they are data: a [`HandshakeRule`] says by what a handshake is known, whom it is answered, and
//! how. What a provider signs is answered only after its signature was accepted. What it does not sign, anybody may ask
//! for, so an answer gives away nothing but what the asker sent: a challenge is echoed as plain text or as JSON, never as
//! a page.
//!
//! **The answer is no oracle.** Some handshakes want a MAC of the challenge, under the key that deliveries are signed with.
//! A challenge that is a delivery's body would be a signature for the asking. So they have an alphabet in which no JSON
//! object or array can be written, and no pair of a form; a hook takes no delivery whose body
//! [could have been asked for](HandshakeRule::answers_mac_of) under its key; and a scheme whose signatures are made of more
//! than the body shares no secret with such a handshake.

use std::borrow::Cow;

use base64::Engine as _;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::found::Found;
use super::refusal::{Refusal, Refused, place};
use super::scheme::{Source, Text};
use super::signature::{STANDARD, hmac_sha256, same, without_padding};
use super::verify::RawRequest;
use crate::json;
use crate::secret::SecretValue;

/// One way in which a provider asks, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeRule {
    /// The method of the request.
    pub method: &'static str,
    /// All of these hold for a handshake, and not for a delivery.
    pub when: Cow<'static, [Condition]>,
    /// Who is answered.
    pub trust: Trust,
    /// What the provider wants to see again.
    pub challenge: Option<Source>,
    /// What it is answered.
    pub answer: Answer,
}

/// Something by which a handshake is known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// This is there.
    Has(Source),
    /// This has this text.
    Is(Source, &'static str),
    /// There is nothing in the body at this JSON pointer.
    Lacks(&'static str),
    /// At this JSON pointer of the body there is an array without items.
    IsEmpty(&'static str),
    /// The body is a JSON object with this member and no other.
    Only(&'static str),
}

/// Who is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// Whoever asks.
    Anyone,
    /// Whoever the hook's own scheme accepts.
    Signature,
    /// Who knows the handshake's secret, and says it here.
    Token(Source),
    /// The same where the handshake has a secret, else whoever asks.
    TokenIfAny(Source),
    /// Whoever asks; the answer is made with the handshake's secret.
    Key,
}

/// What a handshake is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// A status alone.
    Status(u16),
    /// The challenge as plain text.
    Text,
    /// An object.
    Json(Cow<'static, [(&'static str, Member)]>),
    /// The challenge in this header, and these beside it.
    Header(&'static str, Cow<'static, [(&'static str, &'static str)]>),
    /// 200; the challenge is a key that the hook's owner needs and nobody else tells.
    Tell,
}

/// A member of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Member {
    /// This number.
    Number(u64),
    /// The challenge.
    Challenge,
    /// HMAC-SHA-256 of the challenge, in hexadecimal.
    HexMac,
    /// HMAC-SHA-256 of the challenge, in base64 after this text.
    Base64Mac(&'static str),
}

/// An answer to a handshake, ready to be sent. It starts no run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeAnswer {
    /// The status.
    pub status: u16,
    /// Headers besides those of the body.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body and its media type: plain text or JSON.
    pub body: Option<(&'static str, String)>,
    /// What the hook's owner must be told: a key that the provider made.
    pub tell: Option<String>,
}

impl HandshakeRule {
    /// Whether the request is this handshake. Looks at a body of at most 16 KiB.
    #[must_use]
    pub fn is_meant_by(&self, request: &RawRequest<'_>) -> bool {
        let needs_body = self.when.iter().any(Condition::is_about_the_body);
        if request.method != self.method || needs_body && request.body.len() > MAX_BODY {
            return false;
        }
        let found = Found::without_signature(request);
        self.when.iter().all(|condition| condition.holds(&found))
    }

    /// The answer to a request that [is meant](Self::is_meant_by) as this handshake.
    ///
    /// `secret` is the handshake's, or for those of [`Trust::Signature`] the one that the signature matched.
    ///
    /// # Errors
    ///
    /// The reason, for the record.
    pub fn answer(
        &self,
        request: &RawRequest<'_>,
        secret: Option<&SecretValue>,
    ) -> Result<HandshakeAnswer, Refused> {
        let found = Found::without_signature(request);
        let secret = secret.filter(|secret| !secret.is_empty());
        match &self.trust {
            Trust::Anyone | Trust::Signature => {}
            Trust::TokenIfAny(_) if secret.is_none() => {}
            Trust::Token(source) | Trust::TokenIfAny(source) => {
                let secret = secret.ok_or_else(needs_secret)?;
                let token = found.get(source)?.ok_or_else(|| Refused::missing(source))?;
                if !same(token.as_bytes(), secret.expose().as_bytes()) {
                    let detail = format!("{} is not the handshake's secret", place(source));
                    return Err(Refusal::Mismatch.because(detail));
                }
            }
            Trust::Key => {
                secret.ok_or_else(needs_secret)?;
            }
        }
        let challenge = match &self.challenge {
            Some(source) => {
                let bad = || {
                    let stands = place(source);
                    let detail = format!("the challenge in {stands} is missing, too long or no plain text");
                    Refusal::BadChallenge.because(detail)
                };
                found.get(source)?.filter(|text| is_challenge(text)).ok_or_else(bad)?
            }
            None => Cow::Borrowed(""),
        };
        self.answer.to(&challenge, secret)
    }

    /// Whether anybody who asks is answered with the MAC of the challenge, under the handshake's secret.
    #[must_use]
    pub fn answers_with_mac(&self) -> bool {
        self.trust == Trust::Key
    }

    /// Whether anybody who asks is answered with the MAC of this text, under the handshake's secret.
    #[must_use]
    pub fn answers_mac_of(&self, text: &[u8]) -> bool {
        self.answers_with_mac() && is_signed_challenge(text)
    }

    /// The header whose value is the handshake's secret.
    pub(super) fn credential_header(&self) -> Option<&str> {
        match &self.trust {
            Trust::Token(Source::Header(name)) | Trust::TokenIfAny(Source::Header(name)) => {
                Some(name.as_str())
            }
            _ => None,
        }
    }
}

fn needs_secret() -> Refused {
    Refusal::NeedsSecret.because("the handshake's secret has no value in the vault")
}

impl Condition {
    fn is_about_the_body(&self) -> bool {
        match self {
            Self::Has(source) | Self::Is(source, _) => matches!(source, Source::Body(_)),
            Self::Lacks(_) | Self::IsEmpty(_) | Self::Only(_) => true,
        }
    }

    fn holds(&self, found: &Found<'_>) -> bool {
        let text = |source| found.get(source).ok().flatten();
        let at = |pointer: &str| found.json().and_then(|json| json.pointer(pointer));
        match self {
            Self::Has(source) => text(source).is_some(),
            Self::Is(source, wanted) => text(source).is_some_and(|text| text == *wanted),
            Self::Lacks(pointer) => at(pointer).is_none(),
            Self::IsEmpty(pointer) => at(pointer).and_then(Value::as_array).is_some_and(Vec::is_empty),
            Self::Only(member) => {
                let object = found.json().and_then(Value::as_object);
                object.is_some_and(|object| object.len() == 1 && object.contains_key(*member))
            }
        }
    }
}

impl Answer {
    fn to(&self, challenge: &str, secret: Option<&SecretValue>) -> Result<HandshakeAnswer, Refused> {
        let mut answer = HandshakeAnswer { status: 200, headers: Vec::new(), body: None, tell: None };
        match self {
            Self::Status(status) => answer.status = *status,
            Self::Text => answer.body = Some(("text/plain; charset=utf-8", challenge.to_owned())),
            Self::Json(members) => {
                let mut object = Map::new();
                for (name, member) in members.iter() {
                    object.insert((*name).to_owned(), member.value(challenge, secret)?);
                }
                let text = json::to_canonical_string(&Value::Object(object));
                answer.body = Some(("application/json", text));
            }
            Self::Header(name, beside) => {
                let value = HeaderValue::from_str(challenge).map_err(|_| Refusal::BadChallenge)?;
                answer.headers.push((HeaderName::from_static(name), value));
                let beside = beside
                    .iter()
                    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
                answer.headers.extend(beside);
            }
            Self::Tell => answer.tell = Some(challenge.to_owned()),
        }
        Ok(answer)
    }
}

impl Member {
    fn value(&self, challenge: &str, secret: Option<&SecretValue>) -> Result<Value, Refused> {
        let mac = || {
            let key = secret.ok_or_else(needs_secret)?.expose();
            let is_plain = is_signed_challenge(challenge.as_bytes());
            let mac = is_plain.then(|| hmac_sha256(key.as_bytes(), challenge.as_bytes()));
            mac.ok_or_else(|| {
                Refusal::BadChallenge.because("the challenge could be something else that the secret signs")
            })
        };
        Ok(match self {
            Self::Number(number) => Value::from(*number),
            Self::Challenge => Value::from(challenge),
            Self::HexMac => Value::from(hex::encode(mac()?)),
            Self::Base64Mac(prefix) => Value::from(format!("{prefix}{}", STANDARD.encode(mac()?))),
        })
    }
}

/// What a challenge can be: 1 to 1,024 bytes without control characters.
fn is_challenge(text: &str) -> bool {
    (1..=MAX_CHALLENGE).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// What a challenge can be that is answered with its MAC: base64 in either alphabet, or letters and digits.
fn is_signed_challenge(text: &[u8]) -> bool {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"+/_-".contains(b);
    (1..=MAX_SIGNED_CHALLENGE).contains(&text.len()) && without_padding(text).iter().all(is_plain)
}

/// The handshakes that a trigger's config can name.
pub const HANDSHAKES: [&str; 9] =
    ["asana", "cloudevents", "dropbox", "meta", "msgraph", "notion", "twitch", "websub", "x"];

/// The rules of a handshake that a trigger's config names.
#[must_use]
pub fn handshake(name: &str) -> Vec<HandshakeRule> {
    match name {
        // developers.asana.com/docs/webhooks-guide, "The webhook handshake". Asana's answer to the call that creates the
        // webhook names the secret, too.
        "asana" => {
            let secret = header("x-hook-secret");
            let when = [Condition::Has(secret.clone())];
            vec![
                rule("POST", when, Answer::Header("x-hook-secret", Cow::Borrowed(&[])))
                    .trusting(Trust::TokenIfAny(secret.clone()))
                    .challenged(secret),
            ]
        }
        // github.com/cloudevents/spec, cloudevents/http-webhook.md, "Abuse protection"
        "cloudevents" => {
            let origin = header("webhook-request-origin");
            let beside = Cow::Borrowed(&[("allow", "POST"), ("webhook-allowed-rate", "*")][..]);
            let when = [Condition::Has(origin.clone())];
            vec![rule("OPTIONS", when, Answer::Header("webhook-allowed-origin", beside)).challenged(origin)]
        }
        // dropbox.com/developers/reference/webhooks, "The verification request"
        "dropbox" => vec![
            rule("GET", [Condition::Has(query("challenge"))], Answer::Text).challenged(query("challenge")),
        ],
        // developers.facebook.com/docs/graph-api/webhooks/getting-started, "Verification Requests"
        "meta" => vec![
            rule("GET", [Condition::Is(query("hub.mode"), "subscribe")], Answer::Text)
                .trusting(Trust::Token(query("hub.verify_token")))
                .challenged(query("hub.challenge")),
        ],
        // learn.microsoft.com/graph/change-notifications-delivery-webhooks, "notificationUrl validation"
        "msgraph" => vec![
            rule("POST", [Condition::Has(query("validationToken"))], Answer::Text)
                .challenged(query("validationToken")),
        ],
        // developers.notion.com/reference/webhooks, "Verifying the subscription"
        "notion" => vec![
            rule("POST", [Condition::Only("verification_token")], Answer::Tell)
                .challenged(body("/verification_token")),
        ],
        // dev.twitch.tv/docs/eventsub/handling-webhook-events, "Responding to a challenge request"
        "twitch" => vec![
            rule(
                "POST",
                [Condition::Is(header("twitch-eventsub-message-type"), "webhook_callback_verification")],
                Answer::Text,
            )
            .trusting(Trust::Signature)
            .challenged(body("/challenge")),
        ],
        // w3.org/TR/websub, "Hub Verifies Intent of the Subscriber". Anybody can ask a hub to end a subscription, so that
        // is confirmed to nobody but who knows the token.
        "websub" => {
            let mode = |mode, trust| {
                rule("GET", [Condition::Is(query("hub.mode"), mode)], Answer::Text)
                    .trusting(trust)
                    .challenged(query("hub.challenge"))
            };
            let token = query("hub.verify_token");
            vec![
                mode("subscribe", Trust::TokenIfAny(token.clone())),
                mode("unsubscribe", Trust::Token(token)),
            ]
        }
        // docs.x.com/x-api/webhooks/introduction, "Challenge-Response Check"
        "x" => {
            let members = [("response_token", Member::Base64Mac("sha256="))];
            vec![
                rule("GET", [Condition::Has(query("crc_token"))], Answer::Json(Cow::Owned(members.into())))
                    .trusting(Trust::Key)
                    .challenged(query("crc_token")),
            ]
        }
        _ => Vec::new(),
    }
}

/// Whether a handshake that a trigger's config names has a secret.
#[must_use]
pub fn handshake_secret(name: &str) -> SecretUse {
    let rules = handshake(name);
    let is_any = |is_it: fn(&Trust) -> bool| rules.iter().any(|rule| is_it(&rule.trust));
    if is_any(|trust| matches!(trust, Trust::TokenIfAny(_))) {
        SecretUse::Optional
    } else if is_any(|trust| matches!(trust, Trust::Token(_) | Trust::Key)) {
        SecretUse::Required
    } else {
        SecretUse::None
    }
}

/// Whether something has a secret. Exhaustive: there is no fourth answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretUse {
    /// It cannot be without.
    Required,
    /// It can be without.
    Optional,
    /// It has none.
    None,
}

/// The handshakes that belong to a preset, all answered only with its valid signature.
pub(super) fn preset_handshakes(preset: &str) -> Vec<HandshakeRule> {
    let rules = match preset {
        // discord.com/developers/docs/interactions/overview, "Setting Up an Endpoint"; and events/webhook-events, whose
        // type 1 is an event.
        "discord" => vec![
            rule(
                "POST",
                [Condition::Is(body("/type"), "1"), Condition::Lacks("/event")],
                Answer::Json(Cow::Borrowed(&[("type", Member::Number(1))])),
            ),
            rule("POST", [Condition::Is(body("/type"), "0")], Answer::Status(204)),
        ],
        // docs.slack.dev/apis/events-api/using-http-request-urls, "URL verification handshake"
        "slack" => vec![
            rule("POST", [Condition::Is(body("/type"), "url_verification")], Answer::Text)
                .challenged(body("/challenge")),
        ],
        "twitch" => handshake("twitch"),
        // developer.xero.com/documentation/guides/webhooks/configuring-your-server, "Intent to receive"
        "xero" => vec![rule("POST", [Condition::IsEmpty("/events")], Answer::Status(200))],
        // developers.zoom.us/docs/api/webhooks, "Validate your webhook endpoint"
        "zoom" => {
            let members = [("plainToken", Member::Challenge), ("encryptedToken", Member::HexMac)];
            vec![
                rule(
                    "POST",
                    [Condition::Is(body("/event"), "endpoint.url_validation")],
                    Answer::Json(Cow::Owned(members.into())),
                )
                .challenged(body("/payload/plainToken")),
            ]
        }
        _ => Vec::new(),
    };
    rules.into_iter().map(|rule| rule.trusting(Trust::Signature)).collect()
}

fn rule<const N: usize>(method: &'static str, when: [Condition; N], answer: Answer) -> HandshakeRule {
    HandshakeRule { method, when: Cow::Owned(when.into()), trust: Trust::Anyone, challenge: None, answer }
}

impl HandshakeRule {
    fn trusting(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    fn challenged(self, challenge: Source) -> Self {
        Self { challenge: Some(challenge), ..self }
    }
}

fn header(name: &'static str) -> Source {
    Source::Header(HeaderName::from_static(name))
}

fn query(name: &'static str) -> Source {
    Source::Query(Text::Borrowed(name))
}

fn body(pointer: &'static str) -> Source {
    Source::Body(Text::Borrowed(pointer))
}

/// The longest challenge, in bytes.
const MAX_CHALLENGE: usize = 1_024;
/// The longest challenge that is answered with a MAC of it, in bytes.
const MAX_SIGNED_CHALLENGE: usize = 256;
/// The longest body that is looked at for a handshake, in bytes.
const MAX_BODY: usize = 16 * 1_024;

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
