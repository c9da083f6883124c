//! Bodies that are too large, too deep, too many, or not what they say.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::target::Target;
use crate::wire::Request;

/// What a hook takes unless it says otherwise.
pub(crate) const MAX_BODY: usize = 1 << 20;

pub(crate) fn all(target: &mut Target) {
    types(target);
    sizes(target);
    packed(target);
    crowded(target);
    texts(target);
    names(target);
}

fn of_type(path: &str, media: &str, body: impl AsRef<[u8]>) -> Request {
    Request::hook(path).header("Content-Type", media).body(body)
}

fn types(target: &mut Target) {
    let utf16: Vec<u8> = "{\"n\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let long = format!("application/{}", "x".repeat(8_000));
    let parameters = format!("application/json{}", "; a=b".repeat(1_600));
    for (what, media, body, open, schema) in [
        ("text", "text/plain", &b"{\"n\":1}"[..], 202, 415),
        ("a charset that JSON does not have", "application/json; charset=utf-16", &utf16, 400, 400),
        ("text in UTF-16", "text/plain; charset=utf-16", &utf16, 202, 415),
        ("a charset that nobody knows", "text/plain; charset=klingon", b"a", 415, 415),
        ("a charset that hides pages", "text/plain; charset=iso-2022-kr", b"a", 415, 415),
        ("text that is none", "text/plain; charset=utf-8", b"\xff", 400, 415),
        ("8 kB of a type", &long, b"{\"n\":1}", 202, 415),
        ("8 kB of parameters", &parameters, b"{\"n\":1}", 202, 202),
        ("an empty type", "", b"{\"n\":1}", 202, 415),
        ("a type that is no type", "application/json/../text", b"{\"n\":1}", 202, 415),
        ("parts", "multipart/form-data; boundary=x", b"--x\r\n\r\n", 202, 415),
        (
            "XML with an entity",
            "application/xml",
            b"<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>",
            202,
            415,
        ),
        ("a picture", "image/png", b"\x89PNG", 202, 415),
        ("JSON without what the schema wants", "application/json", b"{}", 202, 422),
        ("no JSON at all", "application/json", b"<html>", 400, 400),
        ("nothing, as JSON", "application/json", b"", 202, 422),
    ] {
        target.expect(what, of_type("open", media, body), open);
        target.expect(&format!("{what}, to a schema"), of_type("schema", media, body), schema);
    }
    let untyped = |path| Request::hook(path).body("{\"n\":1}");
    target.expect("no type", untyped("open"), 202);
    target.expect("no type, to a schema", untyped("schema"), 415);
    let twice = |path| of_type(path, "application/json", "{\"n\":1}").header("Content-Type", "text/plain");
    target.expect("two types", twice("open"), 400);
    target.expect("two types, to a schema", twice("schema"), 400);
}

fn sizes(target: &mut Target) {
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    target.expect("the largest body", Request::json("open", text(MAX_BODY)), 202);
    target.expect("a byte more than that", Request::json("open", text(MAX_BODY + 1)), 413);
    target.expect(
        "8 MB in one name",
        Request::json("open", format!("{{\"{}\":1}}", "k".repeat(8_000_000))),
        413,
    );
    target.expect("the largest body, unsigned", Request::json("github", text(MAX_BODY)), 401);
    target.expect("the largest body of nothing known", of_type("open", "a/b", "\0".repeat(MAX_BODY)), 202);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn packed(target: &mut Target) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..256 {
        encoder.write_all(&[b' '; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let good = gzip(b"{\"n\":1}");
    let twice = gzip(&good);
    let send = |encoding: &str, body: &[u8]| Request::json("open", body).header("Content-Encoding", encoding);
    for (what, encoding, body, status) in [
        ("256 MiB in a quarter of one", "gzip", &bomb[..], 413),
        ("half of that", "gzip", &bomb[..bomb.len() / 2], 413),
        ("packed JSON", "gzip", &good, 202),
        ("a packed body that is cut", "gzip", &good[..good.len() - 4], 400),
        ("a packed body with another behind it", "gzip", &[&good[..], &good].concat(), 400),
        ("a packed body that is not", "gzip", b"{}", 400),
        ("a body packed twice, said once", "gzip", &twice, 400),
        ("a body packed twice", "gzip, gzip", &twice, 415),
        ("a packing that is not taken", "br", b"{}", 415),
        ("a packing that nobody knows", "zip", b"{}", 415),
    ] {
        target.expect(what, send(encoding, body), status);
    }
}

fn crowded(target: &mut Target) {
    let object = |members: usize| {
        let members: Vec<String> = (0..members).map(|n| format!("\"{n:x}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    let deep = |open: &str, close: &str, levels: usize| open.repeat(levels) + "1" + &close.repeat(levels);
    for (what, body, status) in [
        ("a million names", object(1_000_000), 413),
        ("100,001 names", object(100_001), 413),
        ("99,999 names", object(99_999), 202),
        ("a name a hundred thousand times", format!("{{{}\"a\":0}}", "\"a\":0,".repeat(100_000)), 400),
        ("100,000 numbers and one", format!("[{}1]", "1,".repeat(100_000)), 413),
        ("520,000 arrays in each other", "[".repeat(520_000), 413),
        ("100,000 levels of objects", deep("{\"a\":", "}", 100_000), 413),
        ("129 levels", deep("[", "]", 129), 413),
        ("128 levels", deep("[", "]", 128), 202),
        ("a number of a million digits", "1".repeat(1_000_000), 400),
        ("a number beyond all doubles", "[1e400]".to_owned(), 400),
        ("a number that is next to nothing", format!("[0.{}1]", "0".repeat(900_000)), 202),
        ("escapes alone", format!("\"{}\"", "\\u0041".repeat(170_000)), 202),
        ("quotes that grow", format!("\"{}\"", "\\u0001".repeat(170_000)), 202),
    ] {
        target.expect(what, Request::json("open", body), status);
    }
    let form = |body: String| of_type("open", "application/x-www-form-urlencoded", body);
    target.expect("a form of 500,000 pairs", form("a&".repeat(500_000)), 413);
    target.expect("a form of one name, 9,000 times", form("a=1&".repeat(9_000)), 202);
    target.expect("a form of no UTF-8", form("%FF=%00&%zz=%C0%80".to_owned()), 202);
}

fn texts(target: &mut Target) {
    for (what, body, status) in [
        ("a NUL", &b"[\"\\u0000\"]"[..], 202),
        ("a NUL in a name", b"{\"\\u0000\":1}", 202),
        ("a NUL as it is", b"[\"\0\"]", 400),
        ("half a surrogate", b"[\"\\ud800\"]", 400),
        ("the other half", b"[\"\\udc00\"]", 400),
        ("halves in the wrong order", b"[\"\\udc00\\ud800\"]", 400),
        ("half a surrogate in a name", b"{\"\\ud800\":1}", 400),
        ("no UTF-8", b"[\"\xff\"]", 400),
        ("no UTF-8 in a name", b"{\"\xff\":1}", 400),
        ("overlong UTF-8", b"[\"\xc0\x80\"]", 400),
        ("a surrogate in UTF-8", b"[\"\xed\xa0\x80\"]", 400),
        ("more than Unicode", b"[\"\xf4\x90\x80\x80\"]", 400),
        ("a mark in front", b"\xef\xbb\xbf[]", 400),
        ("characters that are none", "[\"\u{fffe}\u{ffff}\u{1fffe}\u{10ffff}\"]".as_bytes(), 202),
        ("what turns text round", "[\"\u{202e}\u{2066}\u{200b}\"]".as_bytes(), 202),
        ("an escape sequence", b"[\"\\u001b[31m\"]", 202),
        ("a line feed as it is", b"[\"a\nb\"]", 400),
        ("a name twice", b"{\"a\":1,\"\\u0061\":2}", 400),
        ("two values", b"{} {}", 400),
        ("a comment", b"{}//", 400),
        ("no number", b"[NaN]", 400),
        ("a sign", b"[+1]", 400),
        ("a leading zero", b"[01]", 400),
        ("a comma at the end", b"[1,]", 400),
    ] {
        target.expect(what, Request::json("open", body), status);
    }
}

fn names(target: &mut Target) {
    let body = json!({
        "__proto__": { "polluted": true }, "constructor": { "prototype": 1 }, "$ref": "#/x", "$where": "1",
        "": 1, ".": 2, "a.b": 3, "[0]": 4, "\"": 5, "\n": 6, "{{ secrets.s }}": "{{ secrets.s }}",
        "\u{0}": "\u{0}", "$(id)": "`id`", "' OR 1=1 --": "'; DROP TABLE runs; --", "${jndi:ldap://x}": 7,
        "big": 18_446_744_073_709_551_615_u64,
    });
    let accepted =
        target.expect("names that mean something elsewhere", Request::json("open", body.to_string()), 202);
    let run = accepted.json()["run_id"].as_str().unwrap().to_owned();
    let view = target.api("GET", &format!("/runs/{run}"), &Value::Null, 200).json();
    assert_eq!(view["input"], body);
    let verdict = target.api("POST", &format!("/runs/{run}/verify"), &Value::Null, 200).json();
    assert_eq!(verdict["ok"], true, "{verdict}");
    for reserved in ["$serde_json::private::Number", "$serde_json::private::RawValue"] {
        let body = json!({ reserved: "1" }).to_string();
        target.expect(&format!("the name {reserved}"), Request::json("open", body), 400);
    }
}
