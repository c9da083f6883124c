use http::HeaderMap;
use serde_json::json;

use super::*;

struct Ask {
    method: &'static str,
    query: &'static str,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn get(query: &'static str) -> Ask {
    Ask { method: "GET", query, headers: HeaderMap::new(), body: Vec::new() }
}

fn post(body: impl AsRef<[u8]>) -> Ask {
    Ask { method: "POST", query: "", headers: HeaderMap::new(), body: body.as_ref().to_vec() }
}

impl Ask {
    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    /// The answer of the first rule that takes this for its handshake.
    fn answered(
        &self,
        rules: &[HandshakeRule],
        secret: Option<&str>,
    ) -> Option<Result<HandshakeAnswer, Refusal>> {
        let Self { method, query, headers, body } = self;
        let request = RawRequest { method, url: "", query, headers, body };
        let secret = secret.map(SecretValue::from);
        rules
            .iter()
            .find(|rule| rule.is_meant_by(&request))
            .map(|rule| Ok(rule.answer(&request, secret.as_ref())?))
    }

    fn of(&self, name: &str, secret: Option<&str>) -> Option<Result<HandshakeAnswer, Refusal>> {
        self.answered(&handshake(name), secret)
    }

    fn of_preset(&self, name: &str, secret: Option<&str>) -> Option<Result<HandshakeAnswer, Refusal>> {
        self.answered(&preset_handshakes(name), secret)
    }
}

#[track_caller]
fn body_of(answer: Option<Result<HandshakeAnswer, Refusal>>) -> (&'static str, String) {
    let answer = answer.expect("a handshake").expect("answered");
    assert_eq!((answer.status, answer.tell), (200, None));
    answer.body.expect("a body")
}

const TEXT: &str = "text/plain; charset=utf-8";

#[test]
fn every_handshake_has_rules_and_no_other_name_has() {
    for name in HANDSHAKES {
        assert!(!handshake(name).is_empty(), "{name}");
    }
    assert!(HANDSHAKES.is_sorted());
    assert!(handshake("challenge").is_empty() && preset_handshakes("github").is_empty());
}

#[test]
fn a_presets_handshakes_are_signed_without_exception() {
    for preset in crate::webhook::PRESETS {
        assert!(preset_handshakes(preset).iter().all(|rule| rule.trust == Trust::Signature), "{preset}");
    }
}

#[test]
fn slack_gets_its_challenge_as_plain_text() {
    let ask = post(r#"{"token":"x","challenge":"<script>alert(1)</script>","type":"url_verification"}"#);
    assert_eq!(body_of(ask.of_preset("slack", None)), (TEXT, "<script>alert(1)</script>".into()));
    assert!(post(r#"{"type":"event_callback","challenge":"x"}"#).of_preset("slack", None).is_none());
    let without = post(r#"{"type":"url_verification"}"#);
    assert_eq!(without.of_preset("slack", None), Some(Err(Refusal::BadChallenge)));
}

#[test]
fn zoom_gets_the_mac_of_its_token() {
    // As developers.zoom.us describes it; computed with Python's hmac.
    let ask =
        post(r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#);
    let (media, body) = body_of(ask.of_preset("zoom", Some("zoom_key")));
    let expected = json!({
        "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
        "encryptedToken": "95bb3763b15ac703badae7607a226ff97bad352cdb358bfb020814c61d57f3dc",
    });
    assert_eq!((media, serde_json::from_str::<Value>(&body).unwrap()), ("application/json", expected));
    assert_eq!(ask.of_preset("zoom", None), Some(Err(Refusal::NeedsSecret)));
}

#[test]
fn discord_is_answered_by_what_it_sends() {
    let ping = |body: &str| post(body).of_preset("discord", None);
    assert_eq!(
        body_of(ping(r#"{"type":1,"id":"1","token":"t"}"#)),
        ("application/json", r#"{"type":1}"#.into())
    );
    assert_eq!(ping(r#"{"type":0,"version":1}"#).unwrap().unwrap().status, 204);
    for delivery in [r#"{"type":2}"#, r#"{"type":1,"event":{"type":"APPLICATION_AUTHORIZED"}}"#, "[1]", ""] {
        assert!(ping(delivery).is_none(), "{delivery}");
    }
}

#[test]
fn xero_asks_with_an_empty_list_of_events() {
    let ask = |body: &str| post(body).of_preset("xero", None);
    assert_eq!(ask(r#"{"events":[],"entropy":"x"}"#).unwrap().unwrap().status, 200);
    assert!(ask(r#"{"events":[{}]}"#).is_none());
}

#[test]
fn meta_is_answered_where_it_knows_the_token() {
    let ask = get("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock");
    assert_eq!(body_of(ask.of("meta", Some("meatyhamhock"))), (TEXT, "1158201444".into()));
    assert_eq!(ask.of("meta", Some("other")), Some(Err(Refusal::Mismatch)));
    assert_eq!(ask.of("meta", Some("")), Some(Err(Refusal::NeedsSecret)));
    assert_eq!(ask.of("meta", None), Some(Err(Refusal::NeedsSecret)));
    let twice = get("hub.mode=subscribe&hub.challenge=1&hub.verify_token=a&hub.verify_token=a");
    assert_eq!(twice.of("meta", Some("a")), Some(Err(Refusal::Ambiguous)));
    assert!(get("hub.challenge=1&hub.verify_token=a").of("meta", Some("a")).is_none());
    assert!(Ask { method: "POST", ..ask }.of("meta", Some("meatyhamhock")).is_none());
}

#[test]
fn a_hub_ends_a_subscription_only_for_who_knows_the_token() {
    let subscribe = get("hub.mode=subscribe&hub.topic=t&hub.challenge=abc&hub.lease_seconds=60");
    assert_eq!(body_of(subscribe.of("websub", None)), (TEXT, "abc".into()));
    assert_eq!(subscribe.of("websub", Some("token")), Some(Err(Refusal::HeaderMissing)));
    let end = get("hub.mode=unsubscribe&hub.topic=t&hub.challenge=abc&hub.verify_token=token");
    assert_eq!(end.of("websub", None), Some(Err(Refusal::NeedsSecret)));
    assert_eq!(body_of(end.of("websub", Some("token"))), (TEXT, "abc".into()));
}

#[test]
fn a_token_in_the_query_is_echoed_decoded() {
    let graph = Ask { method: "POST", ..get("validationToken=Validation%3A+Testing+client%20%3Cb%3E") };
    assert_eq!(body_of(graph.of("msgraph", None)), (TEXT, "Validation: Testing client <b>".into()));
    assert_eq!(body_of(get("challenge=abc123").of("dropbox", None)), (TEXT, "abc123".into()));
    assert!(get("").of("dropbox", None).is_none());
}

#[test]
fn challenges_are_bounded_and_have_no_control_characters() {
    let longest: &'static str = Box::leak(format!("challenge={}", "x".repeat(1_024)).into_boxed_str());
    let longer: &'static str = Box::leak(format!("challenge={}", "x".repeat(1_025)).into_boxed_str());
    assert!(get(longest).of("dropbox", None).unwrap().is_ok());
    for bad in [longer, "challenge=", "challenge=a%0d%0ab", "challenge=%00", "challenge=%1b[2J"] {
        assert_eq!(get(bad).of("dropbox", None), Some(Err(Refusal::BadChallenge)), "{bad}");
    }
    let twice = get("challenge=a&challenge=b").of("dropbox", None);
    assert!(twice.is_none(), "{twice:?}");
}

#[test]
fn twitch_gets_its_challenge() {
    let ask = post(r#"{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{}}"#)
        .header("twitch-eventsub-message-type", "webhook_callback_verification");
    assert_eq!(body_of(ask.of("twitch", None)), (TEXT, "pogchamp-kappa-360noscope-vohiyo".into()));
    assert_eq!(ask.of("twitch", None), ask.of_preset("twitch", None));
    let delivery = post(r#"{"challenge":"x"}"#).header("twitch-eventsub-message-type", "notification");
    assert!(delivery.of("twitch", None).is_none());
}

#[test]
fn notion_tells_its_key_and_nothing_else() {
    let answer = post(r#"{"verification_token":"secret_tMrl"}"#).of("notion", None).unwrap().unwrap();
    assert_eq!((answer.status, answer.body, answer.tell.as_deref()), (200, None, Some("secret_tMrl")));
    assert!(post(r#"{"verification_token":"s","id":"1"}"#).of("notion", None).is_none());
    let padding = format!("{}{}", r#"{"verification_token":"s"}"#, " ".repeat(MAX_BODY));
    assert!(post(padding).of("notion", None).is_none());
}

#[test]
fn asana_sees_its_secret_again() {
    let ask = post("").header("x-hook-secret", "b537207f20cbfa02357cf448134da559");
    let answer = ask.of("asana", None).unwrap().unwrap();
    assert_eq!(answer.headers[0].0, "x-hook-secret");
    assert_eq!(answer.headers[0].1, "b537207f20cbfa02357cf448134da559");
    assert!(ask.of("asana", Some("b537207f20cbfa02357cf448134da559")).unwrap().is_ok());
    assert_eq!(ask.of("asana", Some("another")), Some(Err(Refusal::Mismatch)));
    assert!(post("{}").of("asana", None).is_none());
}

#[test]
fn x_gets_the_mac_of_what_cannot_be_a_delivery() {
    // As docs.x.com describes it; computed with Python's hmac.
    let (media, body) = body_of(get("crc_token=challenge_string&nonce=1").of("x", Some("consumer_secret")));
    assert_eq!(
        (media, body.as_str()),
        ("application/json", r#"{"response_token":"sha256=v1WdiCVwy17uGTMWveHGlqQXN/qW1bQraNXXByRO2YA="}"#)
    );
    assert_eq!(get("crc_token=a").of("x", None), Some(Err(Refusal::NeedsSecret)));
    for token in ["%7B%7D", "%5B%5D", "%22a%22", "a%20b", "v0:1:", "a%3Db", "1.2", "ab%3D%3D%3D", "a%26b"] {
        let query: &'static str = Box::leak(format!("crc_token={token}").into_boxed_str());
        assert_eq!(get(query).of("x", Some("consumer_secret")), Some(Err(Refusal::BadChallenge)), "{token}");
    }
    let rule = &handshake("x")[0];
    for text in ["a", "MGY2OTRkM2UtNjRhOA==", "+/_-", "=", &"x".repeat(256)] {
        assert!(rule.answers_mac_of(text.as_bytes()), "{text}");
    }
    for text in ["", "{}", "a=b", "===", "a b", &"x".repeat(257)] {
        assert!(!rule.answers_mac_of(text.as_bytes()), "{text}");
    }
    assert!(!handshake("meta")[0].answers_mac_of(b"a"));
}

#[test]
fn cloudevents_are_allowed_by_their_origin() {
    let ask =
        Ask { method: "OPTIONS", ..get("") }.header("webhook-request-origin", "eventemitter.example.com");
    let answer = ask.of("cloudevents", None).unwrap().unwrap();
    let headers: Vec<_> = answer.headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
    let expected = [
        ("webhook-allowed-origin", "eventemitter.example.com"),
        ("allow", "POST"),
        ("webhook-allowed-rate", "*"),
    ];
    assert_eq!((answer.status, &headers[..]), (200, &expected[..]));
    assert!(Ask { method: "OPTIONS", ..get("") }.of("cloudevents", None).is_none());
}

#[test]
fn a_handshake_has_a_secret_where_its_rules_ask_for_one() {
    let using =
        |wanted| HANDSHAKES.into_iter().filter(|name| handshake_secret(name) == wanted).collect::<Vec<_>>();
    assert_eq!(using(SecretUse::Required), ["meta", "x"]);
    assert_eq!(using(SecretUse::Optional), ["asana", "websub"]);
    assert_eq!(using(SecretUse::None), ["cloudevents", "dropbox", "msgraph", "notion", "twitch"]);
}
