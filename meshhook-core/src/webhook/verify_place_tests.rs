//! Signatures, times and ids outside of headers.

use super::*;

const TEXT: &str = r#"{"a":1}"#;

fn in_query(query: &'static str) -> Case {
    let mut case =
        Case::hmac(json!({"header": null, "signature": "query:sig", "signed": "{body}{query:n?}"}));
    case.query = query;
    case
}

#[test]
fn a_signature_in_the_query_is_found_once_or_not_at_all() {
    let (good, other) = (signed("key", TEXT), signed("key", &format!("{TEXT}7")));
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    in_query(leak(format!("a=1&sig={good}"))).accepted();
    in_query(leak(format!("%73ig={good}"))).accepted();
    in_query(leak(format!("sig={other}&n=7"))).accepted();
    in_query(leak(format!("sig={good}&n="))).accepted();
    in_query(leak(format!("sig={good}&n=7"))).refused(Refusal::Mismatch);
    in_query(leak(format!("sig={other}"))).refused(Refusal::Mismatch);
    in_query(leak(format!("sig={good}&sig={good}"))).refused(Refusal::Ambiguous);
    in_query(leak(format!("sig={other}&n=7&n=7"))).refused(Refusal::Ambiguous);
    in_query(leak(format!("Sig={good}"))).refused(Refusal::HeaderMissing);
    in_query("").refused(Refusal::HeaderMissing);
    in_query("sig=").refused(Refusal::BadEncoding);
    in_query(leak(format!("sig={good}%0A"))).refused(Refusal::BadEncoding);
    in_query("sig=%FF%FE").refused(Refusal::BadEncoding);
    // A header of that name is another place.
    in_query("").header("sig", &good).refused(Refusal::HeaderMissing);
}

/// A body that signs two of its members.
fn in_body(body: &str) -> Case {
    let mut case = Case::hmac(json!({
        "header": null, "signature": "body:/sig/value", "signed": "{timestamp}.{body:/sig/token}",
        "timestamp": "body:/sig/at", "timestamp_unit": "seconds", "id": ["query:id", "body:/sig/token"], "absent": ["/more"],
    }));
    case.body = body.into();
    case
}

#[test]
fn a_body_may_carry_its_signature_time_and_id() {
    let good = signed("key", &format!("{NOW}.t-1"));
    let with =
        |more: &str| in_body(&format!(r#"{{"sig":{{"value":"{good}","at":{NOW},"token":"t-1"}}{more}}}"#));
    let verified = with("").accepted();
    assert_eq!(verified.delivery_id.as_deref(), Some("t-1"));
    assert_eq!(verified.timestamp, Some(now()));
    let mut by_query = with("");
    by_query.query = "id=q-1";
    assert_eq!(by_query.accepted().delivery_id.as_deref(), Some("q-1"));
    // Nothing but those members is signed.
    with(r#","event":"any""#).accepted();
    with(r#","more":null"#).refused(Refusal::Ambiguous);
    // A body that is read in two ways is read in none.
    with(r#","sig":{}"#).refused(Refusal::HeaderMissing);
    in_body("not json").refused(Refusal::HeaderMissing);
    in_body("").refused(Refusal::HeaderMissing);
    in_body(&format!(r#"{{"sig":{{"value":["{good}"],"at":{NOW},"token":"t-1"}}}}"#))
        .refused(Refusal::HeaderMissing);
    in_body(&format!(r#"{{"sig":{{"value":"{good}","at":{NOW},"token":"t-2"}}}}"#))
        .refused(Refusal::Mismatch);
    in_body(&format!(r#"{{"sig":{{"value":"{good}","at":{},"token":"t-1"}}}}"#, NOW + 1))
        .refused(Refusal::Mismatch);
    in_body(&format!(r#"{{"sig":{{"value":"{good}","token":"t-1"}}}}"#)).refused(Refusal::BadTimestamp);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    in_body(&deep).refused(Refusal::HeaderMissing);
}

#[test]
fn of_several_places_those_that_are_there_are_tried() {
    let good = signed("key", TEXT);
    let case = || Case::hmac(json!({"header": null, "signature": ["header:x-new", "header:x-old"]}));
    case().header("x-old", &good).accepted();
    case().header("x-new", &"0".repeat(64)).header("x-old", &good).accepted();
    case().header("x-new", "junk").header("x-old", &good).accepted();
    case().header("x-new", &"0".repeat(64)).refused(Refusal::Mismatch);
    case().header("x-old", &good).header("x-old", &good).refused(Refusal::Ambiguous);
    case().refused(Refusal::HeaderMissing);
}

#[test]
fn a_list_may_have_other_separators_and_another_time() {
    let good = signed("key", &format!("{NOW}:{TEXT}"));
    let case = |value: String| {
        Case::hmac(json!({
            "label": "h1", "separator": ";", "assign": ":", "signed": "{timestamp}:{body}", "timestamp": "label:ts",
        }))
        .header("x-sig", &value)
    };
    case(format!("ts:{NOW};h1:{good}")).accepted();
    case(format!("h1:{good};h1:00;ts:{NOW}")).accepted();
    case(format!("ts:{NOW};ts:{NOW};h1:{good}")).refused(Refusal::Ambiguous);
    case(format!("t:{NOW};h1:{good}")).refused(Refusal::BadTimestamp);
    case(format!("ts={NOW},h1={good}")).refused(Refusal::BadEncoding);
}

#[test]
fn a_time_is_in_its_unit_where_the_config_names_one() {
    let at = |unit: &str, text: &str| {
        Case::hmac(json!({"signed": "{timestamp}{body}", "timestamp_header": "x-t", "timestamp_unit": unit}))
            .header("x-t", text)
            .header("x-sig", &signed("key", &format!("{text}{TEXT}")))
    };
    let texts =
        [("seconds", "1767225600"), ("milliseconds", "1767225600000"), ("rfc3339", "2026-01-01T00:00:00Z")];
    for (unit, _) in texts {
        for (written, text) in texts {
            match (unit, written) {
                _ if unit == written => drop(at(unit, text).accepted()),
                // Ten digits are milliseconds as well: of another year.
                ("milliseconds", "seconds") => at(unit, text).refused(Refusal::Stale),
                _ => at(unit, text).refused(Refusal::BadTimestamp),
            }
        }
    }
}

#[test]
fn a_key_in_a_header_names_its_delivery_where_the_config_says() {
    let mut case = Case::new(json!({
        "scheme": "api_key", "header": "x-key", "secret": "s", "id": ["header:x-id", "body:/a"],
    }))
    .header("x-key", "key");
    assert_eq!(case.accepted().delivery_id.as_deref(), Some("1"));
    case = case.header("x-id", "d-1");
    assert_eq!(case.accepted().delivery_id.as_deref(), Some("d-1"));
    case.header("x-id", "d-1").refused(Refusal::Ambiguous);
}
