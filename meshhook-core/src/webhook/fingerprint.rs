//! Fingerprints: what tells a delivery that is sent again from another one with its key.
//!
//! ```text
//!   body ──► its bytes ──────────────────────────────────────────┬──► SHA-256
//!      └───► object without what varies, as canonical text ──────┘
//!            only where the scheme names such members
//! ```
//!
//! Most senders repeat a delivery byte for byte, so the bytes are hashed as they came, which costs nothing more than that. Some
//! write into the body which attempt it is: the same event has the same key and other bytes each time, and were refused as
//! another one for as long as its sender tries. Of their schemes the members that [vary](SignatureScheme::varying) are left
//! out.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::body::BodyKind;
use super::config::VerifyConfig;
use super::scheme::{Scheme, SignatureScheme, Text, TokenScheme};
use super::verify::RawRequest;
use crate::json;

impl VerifyConfig {
    /// What repetitions of a request have in common, and what another one with their key has not. `body` is what was read
    /// of the request.
    #[must_use]
    pub fn fingerprint(&self, request: &RawRequest<'_>, body: &Value) -> [u8; 32] {
        let mut varying = self.varying().peekable();
        let is_json = || matches!(BodyKind::of(request.headers), Ok(BodyKind::Json));
        if varying.peek().is_none() || !body.is_object() || !is_json() {
            return Sha256::digest(request.body).into();
        }
        let mut body = body.clone();
        for pointer in varying {
            remove(&mut body, pointer);
        }
        Sha256::digest(json::to_canonical_string(&body)).into()
    }

    /// The members of a body that are others each time that the same delivery is sent.
    fn varying(&self) -> impl Iterator<Item = &Text> {
        let (forms, token) = match &self.scheme {
            Scheme::Signature(forms) => (forms.as_slice(), None),
            Scheme::Token(token) => (&[][..], Some(token)),
            Scheme::None | Scheme::Jwt(_) | Scheme::Basic { .. } => (&[][..], None),
        };
        let of_forms = forms.iter().flat_map(|SignatureScheme { varying, .. }| varying.iter());
        of_forms.chain(token.into_iter().flat_map(|TokenScheme { varying, .. }| varying.iter()))
    }
}

/// Takes the member of an object away to which a JSON pointer leads, if it leads to one.
fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(members)) = value.pointer_mut(parent) {
        members.remove(&json::pointer_token(name));
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::CONTENT_TYPE;
    use serde_json::json;

    use super::*;

    fn fingerprint_of(config: &VerifyConfig, media: &str, text: &str) -> [u8; 32] {
        let headers: HeaderMap = [(CONTENT_TYPE, media.parse().unwrap())].into_iter().collect();
        let request =
            RawRequest { method: "POST", url: "", query: "", headers: &headers, body: text.as_bytes() };
        let body = crate::webhook::read_body(&headers, request.body, &Default::default()).unwrap();
        config.fingerprint(&request, &body.value)
    }

    fn parse(config: &Value) -> VerifyConfig {
        VerifyConfig::parse(config, "").unwrap()
    }

    #[test]
    fn what_varies_makes_no_other_delivery_and_everything_else_does() {
        let config = parse(&json!({ "scheme": "api_key", "header": "x-key", "secret": "s", "id": "body:/id",
            "varying": ["/meta/try~1no", "/sent", "/list/0", "/nowhere/at/all"] }));
        let of = |text: &str| fingerprint_of(&config, "application/json", text);
        let first = of(r#"{"id":1,"meta":{"try/no":1,"of":"a"},"sent":"now","list":[1,2]}"#);
        for same in [
            r#"{"id":1,"meta":{"try/no":{"n":2},"of":"a"},"sent":"later","list":[1,2]}"#,
            r#"{ "list":[1,2], "meta":{"of":"a"}, "id":1 }"#,
        ] {
            assert_eq!(of(same), first, "{same}");
        }
        for other in [
            r#"{"id":2,"meta":{"try/no":1,"of":"a"},"sent":"now","list":[1,2]}"#,
            r#"{"id":1,"meta":{"try/no":1,"of":"b"},"sent":"now","list":[1,2]}"#,
            // Only members of objects are left out.
            r#"{"id":1,"meta":{"try/no":1,"of":"a"},"sent":"now","list":[2,2]}"#,
            r#"{"id":1,"meta":{"sent":1,"of":"a"},"sent":"now","list":[1,2]}"#,
            "null",
            "[]",
        ] {
            assert_ne!(of(other), first, "{other}");
        }
    }

    #[test]
    fn what_a_provider_says_of_an_attempt_is_not_what_it_sends() {
        // The samples of their documentation, cut.
        for (scheme, sent, again) in [
            (
                "intercom",
                r#"{"id":"notif_1","topic":"contact.created","delivery_status":"pending","delivery_attempts":1,
                    "delivered_at":0,"first_sent_at":1596633295,"created_at":1596633294}"#,
                r#"{"id":"notif_1","topic":"contact.created","delivery_status":"retry","delivery_attempts":2,
                    "delivered_at":0,"first_sent_at":1596633355,"created_at":1596633294}"#,
            ),
            (
                "linear",
                r#"{"action":"create","type":"Issue","webhookTimestamp":1676056940508}"#,
                r#"{"action":"create","type":"Issue","webhookTimestamp":1676060540508}"#,
            ),
            (
                "mux",
                r#"{"id":"8f2b","type":"video.asset.ready","attempts":[]}"#,
                r#"{"id":"8f2b","type":"video.asset.ready","attempts":[{"response_status_code":503}]}"#,
            ),
            (
                "notion",
                r#"{"id":"367cba44","type":"page.created","attempt_number":1}"#,
                r#"{"id":"367cba44","type":"page.created","attempt_number":8}"#,
            ),
            (
                "paddle",
                r#"{"event_id":"evt_1","event_type":"customer.created","notification_id":"ntf_1"}"#,
                r#"{"event_id":"evt_1","event_type":"customer.created","notification_id":"ntf_2"}"#,
            ),
            (
                "stripe",
                r#"{"id":"evt_1","type":"charge.succeeded","pending_webhooks":2}"#,
                r#"{"id":"evt_1","type":"charge.succeeded","pending_webhooks":1}"#,
            ),
        ] {
            let config = parse(&json!({ "scheme": scheme, "secret": "s" }));
            let of = |text: &str| fingerprint_of(&config, "application/json", text);
            assert_eq!(of(sent), of(again), "{scheme}");
            assert_ne!(
                of(sent),
                of(&sent.replace("create", "update").replace("ready", "errored").replace("succ", "f"))
            );
        }
    }

    #[test]
    fn what_is_no_json_object_and_what_never_varies_has_the_hash_of_its_bytes() {
        let raw = |text: &str| <[u8; 32]>::from(Sha256::digest(text));
        let notion = parse(&json!({ "scheme": "notion", "secret": "s" }));
        for (media, text) in [
            ("application/json", r#"[{"attempt_number":1}]"#),
            ("application/json", "\"attempt_number\""),
            ("text/plain", r#"{"attempt_number":1}"#),
            ("application/x-www-form-urlencoded", "attempt_number=1"),
        ] {
            assert_eq!(fingerprint_of(&notion, media, text), raw(text), "{media} {text}");
        }
        let spaced = r#"{ "attempt_number": 1 }"#;
        assert_ne!(fingerprint_of(&notion, "application/json", spaced), raw(spaced));
        for config in [json!({ "scheme": "none" }), json!({ "scheme": "github", "secret": "s" })] {
            assert_eq!(fingerprint_of(&parse(&config), "application/json", spaced), raw(spaced));
        }
    }
}
