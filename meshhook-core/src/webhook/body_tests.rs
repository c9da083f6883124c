use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn typed(content_type: &str) -> HeaderMap {
    headers(&[("content-type", content_type)])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn check(content_type: &str, bytes: &[u8], expected: Value) {
    let body = read_body(&typed(content_type), bytes, &BodyLimits::default());
    assert_eq!(body.map(|b| b.value), Ok(expected), "{content_type}");
}

#[track_caller]
fn refuse(headers: &HeaderMap, bytes: &[u8], status: u16) -> BodyError {
    let error = read_body(headers, bytes, &BodyLimits::default()).unwrap_err();
    assert_eq!(error.status(), status, "{error}");
    error
}

#[test]
fn json_bodies_are_their_value() {
    check("application/json", br#"{"b":1,"a":[true,null]}"#, json!({"a": [true, null], "b": 1}));
    check("application/json; charset=utf-8", b"\"x\"", json!("x"));
    check("Application/JSON", b"1", json!(1));
    check("application/vnd.api+json;v=1", b"[]", json!([]));
    check("application/cloudevents+json", b"{}", json!({}));
    check("application/json", b"", Value::Null);
    check("application/json", b"18446744073709551615", json!(u64::MAX));
}

#[test]
fn json_that_is_not_strict_is_a_bad_request() {
    let json = typed("application/json");
    for bad in [
        &br#"{"a":1,"a":2}"#[..],
        br#""\ud800""#,
        b"\xef\xbb\xbf{}",
        b"{",
        b" ",
        b"{} {}",
        b"nan",
        b"\"\xff\"",
        b"\"\xc0\xaf\"",
        b"1e400",
    ] {
        refuse(&json, bad, 400);
    }
    refuse(&typed("application/json; charset=utf-16"), b"{\0}\0", 400);
}

#[test]
fn deep_and_crowded_json_is_too_large() {
    let json = typed("application/json");
    let deep = |n: usize| [b"[".repeat(n), b"]".repeat(n)].concat();
    assert!(read_body(&json, &deep(128), &BodyLimits::default()).is_ok());
    assert_eq!(refuse(&json, &deep(129), 413), BodyError::TooDeep { max_depth: 128 });
    refuse(&json, &deep(400_000), 413);
    let crowded = format!("[{}]", vec!["1"; 200_000].join(","));
    let refusal = BodyError::TooManyValues { max_values: 100_000 };
    assert_eq!(refuse(&json, crowded.as_bytes(), 413), refusal);
}

#[test]
fn odd_keys_are_plain_data() {
    let text = br#"{"__proto__":1,"constructor":2,"$ref":"x","":3,"a.b[0]\"\n":4,"nul\u0000":5}"#;
    let expected = json!({"__proto__": 1, "constructor": 2, "$ref": "x", "": 3, "a.b[0]\"\n": 4, "nul\0": 5});
    check("application/json", text, expected);
}

#[test]
fn forms_are_objects_with_repeated_names_as_arrays() {
    let form = "application/x-www-form-urlencoded";
    check(form, b"a=1&b=two+words&a=2", json!({"a": ["1", "2"], "b": "two words"}));
    check("application/x-www-form-urlencoded; charset=UTF-8", b"p=%7B%7D", json!({"p": "{}"}));
    check(form, b"", json!({}));
    refuse(&typed(form), b"$serde_json::private::Number=1", 400);
    refuse(&typed(form), &b"a&".repeat(10_001), 413);
}

#[test]
fn text_honours_its_charset() {
    check("text/plain", "grüß".as_bytes(), json!("grüß"));
    check("text/plain; charset=ISO-8859-1", b"gr\xfc\xdf", json!("grüß"));
    check("text/csv; charset=\"Shift_JIS\"", b"\x93\xfa\x96{", json!("日本"));
    check("text/plain; charset=utf-16le", b"h\0i\0", json!("hi"));
    check("text/html; charset=UTF-8", b"\xef\xbb\xbfx", json!("x"));
    check("text/plain", b"", json!(""));
    refuse(&typed("text/plain"), b"\xff\xff\xff", 400);
    refuse(&typed("text/plain; charset=no-such"), b"x", 415);
    refuse(&typed("text/plain; charset=iso-2022-kr"), b"x", 415);
}

#[test]
fn xml_is_a_string() {
    check("application/xml", b"<a/>", json!("<a/>"));
    check("application/atom+xml; charset=latin1", b"<a>\xe9</a>", json!("<a>é</a>"));
    let declared = b"<?xml version=\"1.0\" encoding='ISO-8859-1'?><a>\xe9</a>";
    let expected = "<?xml version=\"1.0\" encoding='ISO-8859-1'?><a>é</a>";
    check("text/xml", declared, json!(expected));
    refuse(&typed("application/xml"), b"<a>\xe9</a>", 400);
}

#[test]
fn anything_else_is_kept_raw() {
    check("application/octet-stream", b"\0\xff", json!({"raw": "AP8="}));
    check("multipart/form-data; boundary=x", b"--x", json!({"raw": "LS14"}));
    check("image/png", b"", json!({"raw": ""}));
    check("nonsense", b"{}", json!({"raw": "e30="}));
    let read = |bytes: &[u8]| read_body(&HeaderMap::new(), bytes, &BodyLimits::default()).unwrap();
    assert_eq!(read(b"{}").value, json!({"raw": "e30="}));
    assert_eq!(read(b"").value, Value::Null);
    assert_eq!(read(b"").kind, BodyKind::Raw);
}

#[test]
fn two_content_types_are_a_bad_request() {
    let both = headers(&[("content-type", "application/json"), ("content-type", "text/plain")]);
    assert_eq!(refuse(&both, b"{}", 400), BodyError::AmbiguousType);
}

#[test]
fn gzip_is_decoded_within_the_limit() {
    let gz = headers(&[("content-type", "application/json"), ("content-encoding", "GZip")]);
    assert_eq!(read_body(&gz, &gzip(b"[1]"), &BodyLimits::default()).unwrap().value, json!([1]));
    assert_eq!(read_body(&gz, b"", &BodyLimits::default()).unwrap().value, Value::Null);

    let text = headers(&[("content-type", "text/plain"), ("content-encoding", "gzip")]);
    let limits = BodyLimits::with_max_bytes(1000);
    assert!(read_body(&text, &gzip(&[b'a'; 1000]), &limits).is_ok());
    assert_eq!(
        read_body(&text, &gzip(&[b'a'; 1001]), &limits),
        Err(BodyError::TooLarge { max_bytes: limits.max_bytes })
    );
    let bomb = gzip(&vec![0; 64 * 1024 * 1024]);
    assert!(bomb.len() < 100_000);
    assert_eq!(refuse(&text, &bomb, 413), BodyError::TooLarge { max_bytes: 1024 * 1024 });
}

#[test]
fn damaged_gzip_is_a_bad_request() {
    let gz = headers(&[("content-type", "text/plain"), ("content-encoding", "gzip")]);
    let good = gzip(b"hello hello hello");
    let mut bad_sum = good.clone();
    let at = bad_sum.len() - 6;
    bad_sum[at] ^= 1;
    let trailing = [good.as_slice(), b"x"].concat();
    let two_members = [good.as_slice(), &good].concat();
    for bad in [&b"not gzip"[..], &good[..good.len() - 1], &good[..12], &bad_sum, &trailing, &two_members] {
        assert_eq!(refuse(&gz, bad, 400), BodyError::MalformedGzip);
    }
}

#[test]
fn other_encodings_are_unsupported() {
    for encoding in ["br", "deflate", "zstd", "gzip, gzip", "gzip, br", "compress", "gzip;q=1"] {
        let headers = headers(&[("content-type", "text/plain"), ("content-encoding", encoding)]);
        assert_eq!(refuse(&headers, b"x", 415), BodyError::UnsupportedEncoding, "{encoding}");
    }
    let twice = headers(&[("content-encoding", "gzip"), ("content-encoding", "gzip")]);
    assert_eq!(refuse(&twice, b"x", 415), BodyError::UnsupportedEncoding);
    for encoding in ["identity", "", "identity, identity"] {
        let headers = headers(&[("content-type", "text/plain"), ("content-encoding", encoding)]);
        assert!(read_body(&headers, b"x", &BodyLimits::default()).is_ok(), "{encoding}");
    }
}

#[test]
fn one_byte_over_the_limit_is_too_large() {
    let limits = BodyLimits::with_max_bytes(4);
    let text = typed("text/plain");
    assert!(read_body(&text, b"abcd", &limits).is_ok());
    assert_eq!(read_body(&text, b"abcde", &limits), Err(BodyError::TooLarge { max_bytes: limits.max_bytes }));
    assert!(read_body(&text, b"", &BodyLimits::with_max_bytes(0)).is_ok());
}
