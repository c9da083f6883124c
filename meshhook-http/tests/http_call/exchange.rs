//! What goes over the wire, and what a config may say.

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::exec::{Attempt, Executor, TraceContext};
use meshhook_core::secret::SecretValue;
use meshhook_core::testing::ManualClock;
use meshhook_core::time::Timestamp;
use meshhook_core::webhook::{RawRequest, VerifyConfig};
use meshhook_http::HttpExecutor;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::server::{Received, Server, answer, json_answer};
use crate::{call, code_of, executor, output, permanent};

/// Sends one request and shows what arrived.
async fn arrived(mut config: Value) -> Received {
    let server = Server::always(json_answer("{}")).await;
    let path = config["url"].as_str().unwrap_or("/").to_owned();
    config["url"] = server.url(&path).into();
    output(config).await;
    server.request()
}

#[tokio::test]
async fn the_trace_of_the_webhook_goes_on_unless_the_node_names_one() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (headers, expected) in [(json!({}), parent), (json!({ "Traceparent": "mine" }), "mine")] {
        let server = Server::always(json_answer("{}")).await;
        let config = json!({"method": "GET", "url": server.url("/"), "headers": headers});
        let mut attempt = Attempt::sample(config);
        attempt.trace = TraceContext::parse(parent);
        executor().execute(attempt).await.unwrap();
        assert_eq!(server.request().header("traceparent"), Some(expected));
    }
    let untraced = arrived(json!({"method": "GET", "url": "/"})).await;
    assert_eq!(untraced.header("traceparent"), None);
}

#[tokio::test]
async fn a_plain_call_gets_status_headers_and_body() {
    let server = Server::always(answer(
        "201 Created",
        &[
            ("Content-Type", "application/json"),
            ("X-A", "1"),
            ("x-a", "2"),
            ("Set-Cookie", "a=b"),
            ("Set-Cookie", "c=d"),
        ],
        r#"{"id": 7}"#,
    ))
    .await;
    assert_eq!(
        output(json!({"method": "GET", "url": server.url("/things?x=1#frag")})).await,
        json!({
            "status": 201,
            "headers": {
                "content-length": "9", "content-type": "application/json", "x-a": "1, 2",
                "set-cookie": ["a=b", "c=d"],
            },
            "body": {"id": 7},
        })
    );
    let request = server.request();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/things?x=1"));
    assert_eq!(request.header("host"), Some(server.address.to_string().as_str()));
    assert_eq!(request.header("accept"), Some("*/*"));
    assert_eq!(request.header("accept-encoding"), Some("gzip"));
    assert!(request.header("user-agent").unwrap().starts_with("meshhook/"));
    assert_eq!(request.header("idempotency-key"), Some("sample-key"));
    for name in ["referer", "cookie", "authorization", "content-type"] {
        assert_eq!(request.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_json_body_has_the_same_bytes_at_every_attempt() {
    let config =
        json!({"method": "post", "url": "/", "body": {"b": 1.0, "a": [null, "ü", 18446744073709551615_u64]}});
    let (first, second) = (arrived(config.clone()).await, arrived(config).await);
    assert_eq!(first.method, "POST");
    assert_eq!(first.text(), r#"{"a":[null,"ü",18446744073709551615],"b":1}"#);
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.body, second.body);
    assert_eq!(first.all("idempotency-key"), second.all("idempotency-key"));
}

#[tokio::test]
async fn text_and_forms_are_sent_with_their_media_types() {
    let text = arrived(json!({"method": "PUT", "url": "/", "body_text": "héllo"})).await;
    assert_eq!((text.text(), text.header("content-type")), ("héllo", Some("text/plain; charset=utf-8")));

    let form = json!({"b": ["x y", 2, null], "a": true, "n": null, "e": "ü&="});
    let form = arrived(json!({"method": "POST", "url": "/", "form": form})).await;
    assert_eq!(form.text(), "a=true&b=x+y&b=2&e=%C3%BC%26%3D");
    assert_eq!(form.header("content-type"), Some("application/x-www-form-urlencoded"));

    let own =
        json!({"method": "POST", "url": "/", "body": [1], "headers": {"Content-Type": "application/x+json"}});
    assert_eq!(arrived(own).await.all("content-type"), ["application/x+json"]);
}

#[tokio::test]
async fn a_post_without_a_body_says_so() {
    let request = arrived(json!({"method": "POST", "url": "/"})).await;
    assert_eq!(request.header("content-length"), Some("0"));
    assert_eq!(request.header("content-type"), None);
}

#[tokio::test]
async fn query_members_join_the_urls_own() {
    let query = json!({"q": "a b&c", "tag": ["x", "y", null, 3], "none": null, "flag": false});
    let request = arrived(json!({"method": "GET", "url": "/p?own=1", "query": query})).await;
    assert_eq!(request.target, "/p?own=1&flag=false&q=a+b%26c&tag=x&tag=y&tag=3");
}

#[tokio::test]
async fn header_values_are_scalars_as_text() {
    let headers = json!({"X-Text": " a ", "X-Number": 7, "X-Flag": true, "X-None": null, "Cookie": "a=b"});
    let request = arrived(json!({"method": "GET", "url": "/", "headers": headers})).await;
    assert_eq!(request.header("x-text"), Some("a"));
    assert_eq!(request.header("x-number"), Some("7"));
    assert_eq!(request.header("x-flag"), Some("true"));
    assert_eq!(request.header("x-none"), None);
    assert_eq!(request.header("cookie"), Some("a=b"));
}

#[tokio::test]
async fn every_kind_of_auth_is_applied() {
    let with = |auth: Value| json!({"method": "GET", "url": "/p?a=1", "auth": auth});
    let request = arrived(with(json!({"type": "bearer", "token": "t0ken"}))).await;
    assert_eq!(request.all("authorization"), ["Bearer t0ken"]);
    let request =
        arrived(with(json!({"type": "basic", "username": "Aladdin", "password": "open sesame"}))).await;
    assert_eq!(request.all("authorization"), ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]);
    let request = arrived(with(json!({"type": "header", "name": "X-Api-Key", "value": "k"}))).await;
    assert_eq!(request.all("x-api-key"), ["k"]);
    let request = arrived(with(json!({"type": "query", "name": "key", "value": "a/b"}))).await;
    assert_eq!(request.target, "/p?a=1&key=a%2Fb");
}

#[tokio::test]
async fn the_idempotency_key_can_be_renamed_or_left_out_but_not_blanked() {
    let blank = json!({"method": "POST", "url": "/", "headers": {"idempotency-KEY": ""}});
    assert_eq!(arrived(blank).await.all("idempotency-key"), ["sample-key"]);
    let renamed = json!({"method": "POST", "url": "/", "idempotency_header": "X-Request-Id"});
    let renamed = arrived(renamed).await;
    assert_eq!(renamed.all("x-request-id"), ["sample-key"]);
    assert_eq!(renamed.header("idempotency-key"), None);
    let none = json!({"method": "POST", "url": "/", "idempotency_header": false});
    assert_eq!(arrived(none).await.header("idempotency-key"), None);
    let own = json!({"method": "POST", "url": "/", "idempotency_header": false, "headers": {"Idempotency-Key": "mine"}});
    assert_eq!(arrived(own).await.all("idempotency-key"), ["mine"]);
}

#[tokio::test]
async fn a_signed_request_verifies_by_our_own_preset_at_every_attempt() {
    let (new, old) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    let verify = VerifyConfig::parse(&json!({"scheme": "standard", "secret": "s"}), "").unwrap();
    for (secret, known_to_receiver) in [(json!(new), vec![new]), (json!([new, old]), vec![new, old])] {
        let start = Timestamp::from_micros(1_767_225_600_000_000);
        let clock = Arc::new(ManualClock::at(start));
        let server = Server::always(json_answer("{}")).await;
        let executor = HttpExecutor::builder().allow_private_network().clock(clock.clone()).build().unwrap();
        for attempt in 0..2 {
            clock.advance(Duration::from_secs(3_600));
            let config = json!({
                "method": "POST", "url": server.url("/hook"), "body": {"b": [1, "é"], "a": null},
                "headers": {"webhook-signature": "v1,mine"},
                "sign": {"scheme": "standard", "secret": secret.clone()},
            });
            executor.execute(Attempt::sample(config)).await.unwrap();
            let request = server.requests().pop().unwrap();
            assert_eq!(request.all("webhook-id"), ["sample-key"]);
            let now = start.after(Duration::from_secs(3_600 * (attempt + 1)));
            let seconds = (now.as_micros() / 1_000_000).to_string();
            assert_eq!(request.all("webhook-timestamp"), [seconds.as_str()]);
            let mut headers = http::HeaderMap::new();
            for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
                headers.append(name, request.header(name).unwrap().parse().unwrap());
            }
            let raw =
                RawRequest { method: "POST", url: "", query: "", headers: &headers, body: &request.body };
            for key in &known_to_receiver {
                let verified = verify.verify(&raw, &[Some(&SecretValue::from(*key))], now).unwrap();
                assert_eq!(verified.delivery_id.as_deref(), Some("sample-key"));
            }
        }
    }
}

#[tokio::test]
async fn a_signature_goes_with_the_body_and_to_no_other_origin() {
    let signed = |url: String| {
        json!({
            "method": "POST", "url": url, "body": {}, "follow_redirects": true,
            "sign": {"scheme": "standard", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
        })
    };
    let unsigned = arrived(json!({"method": "POST", "url": "/", "body": {}})).await;
    assert_eq!(unsigned.header("webhook-signature"), None);
    let bodiless = arrived(json!({
        "method": "GET", "url": "/",
        "sign": {"scheme": "standard", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
    }))
    .await;
    assert!(bodiless.header("webhook-signature").unwrap().starts_with("v1,"));
    let other = Server::always(json_answer("{}")).await;
    let first = Server::always(answer("307 Temporary Redirect", &[("Location", &other.url("/"))], "")).await;
    output(signed(first.url("/"))).await;
    assert!(first.request().header("webhook-signature").is_some());
    assert_eq!(other.request().header("webhook-signature"), None);
}

#[tokio::test]
async fn configs_that_make_no_request_are_permanent_failures() {
    let server = Server::always(json_answer("{}")).await;
    let long = "x".repeat(64 * 1024);
    let many: Value =
        (0..65).map(|n| (format!("x-{n}"), Value::from(""))).collect::<serde_json::Map<_, _>>().into();
    for patch in [
        json!({"method": null}),
        json!({"method": 7}),
        json!({"method": "CONNECT"}),
        json!({"method": "TRACE"}),
        json!({"method": "GE T"}),
        json!({"method": "GET\r\nX: y"}),
        json!({"headers": []}),
        json!({"headers": {"Host": "evil.example"}}),
        json!({"headers": {"content-length": "1"}}),
        json!({"headers": {"Transfer-Encoding": "chunked"}}),
        json!({"headers": {"Connection": "close"}}),
        json!({"headers": {"Proxy-Authorization": "x"}}),
        json!({"headers": {"Expect": "100-continue"}}),
        json!({"headers": {"Upgrade": "h2c"}}),
        json!({"headers": {"X": "a\r\nY: b"}}),
        json!({"headers": {"X": "a\u{0}b"}}),
        json!({"headers": {"a b": "c"}}),
        json!({"headers": {"": "c"}}),
        json!({"headers": {"X": {"a": 1}}}),
        json!({"headers": {"X": ["a"]}}),
        json!({"headers": {"X": "a", "x": "b"}}),
        json!({"headers": {"X": long}}),
        json!({"headers": many}),
        json!({"query": "a=b"}),
        json!({"query": {"a": {}}}),
        json!({"query": {"a": [[1]]}}),
        json!({"auth": "Bearer x"}),
        json!({"auth": {}}),
        json!({"auth": {"type": "digest"}}),
        json!({"auth": {"type": "bearer"}}),
        json!({"auth": {"type": "bearer", "token": "a\nb"}}),
        json!({"auth": {"type": "bearer", "token": "a", "extra": 1}}),
        json!({"auth": {"type": "basic", "username": "a:b", "password": "c"}}),
        json!({"auth": {"type": "header", "name": "Host", "value": "c"}}),
        json!({"body": 1, "form": {}}),
        json!({"body": 1, "body_text": ""}),
        json!({"body_text": {}}),
        json!({"body_text": "{\"a\":", "headers": {"Content-Type": "application/json"}}),
        json!({"form": [1]}),
        json!({"form": {"a": {"b": 1}}}),
        json!({"response": {"parse": "xml"}}),
        json!({"response": {"max_bytes": -1}}),
        json!({"response": {"max": 1}}),
        json!({"follow_redirects": "yes"}),
        json!({"idempotency_header": ""}),
        json!({"idempotency_header": "Host"}),
        json!({"idempotency_header": 5}),
        json!({"sign": true}),
        json!({"sign": {"scheme": "rsa", "secret": "AAAA"}}),
        json!({"sign": {"scheme": "standard", "secret": []}}),
        json!({"sign": {"scheme": "standard", "secret": "no key"}}),
        json!({"sign": {"scheme": "standard", "secret": 7}}),
        json!({"success": 200}),
        json!({"success": ["2x"]}),
        json!({"success": [99]}),
        json!({"unknown": 1}),
    ] {
        let mut config = json!({"method": "GET", "url": server.url("/")});
        for (name, value) in patch.as_object().unwrap() {
            config[name] = value.clone();
        }
        assert_eq!(
            code_of(config).await,
            permanent("invalid_config"),
            "{}",
            &patch.to_string()[..40.min(patch.to_string().len())]
        );
    }
    for url in [
        json!(null),
        json!(7),
        json!(""),
        json!("/path"),
        json!("ftp://example.com/"),
        json!("http://u:p@example.com/"),
    ] {
        assert_eq!(code_of(json!({"method": "GET", "url": url})).await, permanent("invalid_url"));
    }
    let long_query = json!({"method": "GET", "url": server.url("/"), "query": {"q": "x".repeat(20_000)}});
    assert_eq!(code_of(long_query).await, permanent("invalid_url"));
    assert_eq!(code_of(json!("config")).await, permanent("invalid_config"));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn failures_never_quote_values() {
    let server = Server::always(answer("500 Oops", &[], "")).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for config in [
        json!({"method": "GET", "url": server.url("/CANARY?CANARY"), "auth": {"type": "query", "name": "k", "value": "CANARY"}}),
        json!({"method": "GET", "url": format!("http://{closed}/CANARY?k=CANARY")}),
        json!({"method": "GET", "url": "http://CANARY:CANARY@example.com/"}),
        json!({"method": "GET", "url": "http://127.0.0.1:22/CANARY?k=CANARY"}),
        json!({"method": "GET", "url": server.url("/"), "headers": {"X": "CANARY\n"}}),
        json!({"method": "GET", "url": server.url("/"), "auth": {"type": "bearer", "token": "CANARY\r"}}),
        json!({"method": "GET", "url": server.url("/"), "body": "CANARY", "form": {"a": "CANARY"}}),
        json!({"method": "GET", "url": server.url("/"), "success": ["CANARY"]}),
    ] {
        let error = call(config).await.expect_err("it fails");
        let shown = format!("{error:?} {:?}", error.failure.to_value()).to_lowercase();
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[tokio::test]
async fn request_bodies_are_capped() {
    let server = Server::always(json_answer("{}")).await;
    let executor = HttpExecutor::builder().allow_cidr("127.0.0.0/8").max_request_bytes(10).build().unwrap();
    let config = |text: &str| json!({"method": "POST", "url": server.url("/"), "body_text": text});
    assert!(executor.execute(Attempt::sample(config("0123456789"))).await.is_ok());
    let failure = executor.execute(Attempt::sample(config("0123456789a"))).await.unwrap_err().failure;
    assert_eq!((failure.code.as_ref(), failure.retryable), ("limit_exceeded", false));
}

#[tokio::test]
async fn connections_are_reused_and_cookies_are_not_kept() {
    let server = Server::always(answer("200 OK", &[("Set-Cookie", "session=1")], "")).await;
    let executor = executor();
    for _ in 0..3 {
        let config = json!({"method": "GET", "url": server.url("/")});
        executor.execute(Attempt::sample(config)).await.unwrap();
    }
    assert_eq!(server.connections(), 1);
    assert!(server.requests().iter().all(|request| request.header("cookie").is_none()));
}

#[tokio::test]
async fn bursts_at_one_host_reuse_each_others_connections() {
    let server = Server::always(json_answer("{}")).await;
    let executor = executor();
    for _ in 0..4 {
        let mut burst = JoinSet::new();
        for _ in 0..64 {
            let (executor, config) = (executor.clone(), json!({"method": "GET", "url": server.url("/")}));
            burst.spawn(async move { executor.execute(Attempt::sample(config)).await });
        }
        assert!(burst.join_all().await.iter().all(Result::is_ok));
    }
    assert!(server.connections() < 2 * 64, "{}", server.connections());
}

#[tokio::test]
async fn an_abandoned_attempt_ends_at_once() {
    let server = Server::always(crate::server::Reply::SendAndHang(Vec::new())).await;
    let attempt = Attempt::sample(json!({"method": "GET", "url": server.url("/")}));
    let (cancelled, executor) = (attempt.cancelled.clone(), executor());
    let running = tokio::spawn(async move { executor.execute(attempt).await });
    while server.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    cancelled.cancel();
    let failure = running.await.unwrap().unwrap_err().failure;
    assert_eq!((failure.code.as_ref(), failure.retryable), ("cancelled", true));
}
