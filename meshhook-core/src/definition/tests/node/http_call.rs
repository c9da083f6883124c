//! Calls: their configs, their URLs and their rendering.

use super::*;

#[test]
fn http_call_is_rendered_for_its_executor() {
    let NodeKind::Effect(effect) = kind(
        "http_call",
        json!({
            "method": "post", "url": "https://x.example/{{ input.path }}?q={{ input.path }}", "query": {"n": 5, "list": ["{{ input.n }}", true]},
            "headers": {"X": "{{ vars.word }}"}, "auth": {"type": "bearer", "token": "{{ secrets.key }}"},
            "body": {"n": "{{ input.n }}"}, "response": {"parse": "json", "max_bytes": 1000}, "follow_redirects": true,
            "idempotency_header": false, "success": ["2xx", 404]
        }),
    ) else {
        panic!()
    };
    assert_eq!(&**effect.type_name(), "http_call");
    assert_eq!(effect.ports().iter().map(|port| &**port).collect::<Vec<_>>(), ["out", "error"]);
    let rendered = over(json!({"path": "a/b c", "n": 1}), |scope| effect.render(scope)).unwrap();
    assert_eq!(
        rendered,
        json!({
            "method": "POST", "url": "https://x.example/a%2Fb%20c?q=a%2Fb%20c", "query": {"n": 5, "list": [1, true]},
            "headers": {"X": "hello"}, "auth": {"type": "bearer", "token": "s3cret-value"},
            "body": {"n": 1}, "response": {"parse": "json", "max_bytes": 1000}, "follow_redirects": true,
            "idempotency_header": false, "success": ["2xx", 404]
        })
    );
}

#[test]
fn a_signed_call_is_rendered_with_the_values_of_its_secrets() {
    let config = |secret: Value| json!({"method": "POST", "url": "https://x.example", "sign": {"scheme": "standard", "secret": secret}});
    for (secret, rendered) in [
        (json!("key"), json!(["s3cret-value"])),
        (json!(["key", "key"]), json!(["s3cret-value", "s3cret-value"])),
    ] {
        let NodeKind::Effect(effect) = kind("http_call", config(secret)) else { panic!() };
        assert_eq!(effect.secrets().iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["key"]);
        let config = over(json!(null), |scope| effect.render(scope)).unwrap();
        assert_eq!(config["sign"], json!({"scheme": "standard", "secret": rendered}));
    }
    let at = |member: &str| format!("nodes[0].config.sign{member}");
    let check = |sign: Value, expected: &[(&str, &str)]| {
        let config = json!({"method": "POST", "url": "https://x.example", "sign": sign});
        let expected: Vec<_> = expected.iter().map(|(code, member)| (*code, at(member))).collect();
        let expected: Vec<_> = expected.iter().map(|(code, path)| (*code, path.as_str())).collect();
        expect(&with_node("http_call", config), &expected);
    };
    check(json!("key"), &[("invalid_type", "")]);
    check(json!({}), &[("missing_field", ".scheme"), ("missing_field", ".secret")]);
    check(json!({"scheme": "rsa", "secret": "key"}), &[("invalid_value", ".scheme")]);
    check(json!({"scheme": "standard", "secret": []}), &[("invalid_value", ".secret")]);
    check(
        json!({"scheme": "standard", "secret": ["a b", 1]}),
        &[("invalid_value", ".secret[0]"), ("invalid_type", ".secret[1]")],
    );
    check(json!({"scheme": "standard", "secret": "key", "id": 1}), &[("unknown_field", ".id")]);
}

#[test]
fn a_secret_that_is_not_there_fails_the_rendering() {
    let NodeKind::Effect(effect) = kind(
        "http_call",
        json!({"method": "GET", "url": "https://x.example", "headers": {"x": "{{ secrets.other }}"}}),
    ) else {
        panic!()
    };
    assert_eq!(over(json!(null), |scope| effect.render(scope)).unwrap_err().code, "secret_not_found");
}

#[test]
fn everything_wrong_with_a_call_is_told_at_once() {
    expect(
        &with_node(
            "http_call",
            json!({
                "method": "FETCH", "url": "ftp://x.example", "query": {"a": {"b": 1}, "c": [[1]]},
                "headers": {"Host": "x", "content-length": "1", "Transfer-Encoding": "chunked", "Connection": "close", "Proxy-Authorization": "x",
                    "Expect": "x", "Upgrade": "x", "a b": "x", "X": "a\r\nY: b", "ok": "fine", "OK": "twice", "n": [1]},
                "auth": {"type": "digest", "token": "x"}, "body": 1, "form": {}, "body_text": 5,
                "response": {"parse": "xml", "max_bytes": 1_048_577, "size": 1}, "follow_redirects": 3,
                "idempotency_header": true, "success": ["6xx", 99, true], "timeout": "1s"
            }),
        ),
        &[
            ("unknown_field", "nodes[0].config.timeout"),
            ("invalid_value", "nodes[0].config.method"),
            ("invalid_value", "nodes[0].config.url"),
            ("invalid_type", "nodes[0].config.query.a"),
            ("invalid_type", "nodes[0].config.query.c[0]"),
            ("invalid_value", "nodes[0].config.headers.Host"),
            ("invalid_value", "nodes[0].config.headers[\"content-length\"]"),
            ("invalid_value", "nodes[0].config.headers[\"Transfer-Encoding\"]"),
            ("invalid_value", "nodes[0].config.headers.Connection"),
            ("invalid_value", "nodes[0].config.headers[\"Proxy-Authorization\"]"),
            ("invalid_value", "nodes[0].config.headers.Expect"),
            ("invalid_value", "nodes[0].config.headers.Upgrade"),
            ("invalid_value", "nodes[0].config.headers[\"a b\"]"),
            ("invalid_value", "nodes[0].config.headers.X"),
            ("invalid_value", "nodes[0].config.headers.ok"),
            ("invalid_type", "nodes[0].config.headers.n"),
            ("invalid_value", "nodes[0].config.auth.type"),
            ("invalid_type", "nodes[0].config.body_text"),
            ("invalid_config", "nodes[0].config"),
            ("invalid_value", "nodes[0].config.response.parse"),
            ("limit_exceeded", "nodes[0].config.response.max_bytes"),
            ("unknown_field", "nodes[0].config.response.size"),
            ("invalid_type", "nodes[0].config.follow_redirects"),
            ("invalid_value", "nodes[0].config.idempotency_header"),
            ("invalid_value", "nodes[0].config.success[0]"),
            ("invalid_value", "nodes[0].config.success[1]"),
            ("invalid_type", "nodes[0].config.success[2]"),
        ],
    );
    expect(
        &with_node("http_call", json!({})),
        &[("missing_field", "nodes[0].config.method"), ("missing_field", "nodes[0].config.url")],
    );
    expect(
        &with_node(
            "http_call",
            json!({"method": "GET", "url": "https://x", "auth": {"type": "basic", "username": 1, "token": "x"}}),
        ),
        &[
            ("invalid_type", "nodes[0].config.auth.username"),
            ("missing_field", "nodes[0].config.auth.password"),
            ("unknown_field", "nodes[0].config.auth.token"),
        ],
    );
}

#[test]
fn urls_are_http_wherever_that_can_be_seen() {
    let url = |url: &str| with_node("http_call", json!({"method": "GET", "url": url}));
    for good in [
        "http://x",
        "HTTPS://X.example/a",
        "{{ input }}",
        "https://{{ input }}/a",
        "http{{ input }}://x",
        "{{ vars.base }}/a",
        "https://x:8443/{{ input }}",
        "https://x:{{ input }}",
        "https://[::1]/",
        "https://x?a@b",
    ] {
        expect(&url(good), &[]);
    }
    for bad in [
        "",
        "x",
        "/a",
        "ftp://x",
        "file:///etc/passwd",
        "https://",
        "https:///a",
        "http:x",
        " https://x",
        "javascript:{{ input }}",
        "https://u:p@x/",
        "https://x:99999/",
        "https://x:port/{{ input }}",
        "https://[::1/",
        "https://a b/",
        "https://256.256.256.256",
        "https://x/\n",
        "ftp://{{ input }}",
        "https:///{{ input }}",
    ] {
        expect(&url(bad), &[("invalid_value", "nodes[0].config.url")]);
    }
}
