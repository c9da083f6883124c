use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;

const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMIIBVQIBADANBgkqhkiG9w0BAQEFAASCAT8wggE7AgEAAkEAq7BFUpkGp3+LQmlQ\nYx2eqzDV+xeG8kx/sQFV18S5JhzGeIJNA72wSeukEPojtqUyX2J0CciPBh7eqclQ\n-----END PRIVATE KEY-----\n";

const CANARIES: &[&str] = &[
    "canary-1",
    "s3cr3t-canary-value",
    "quotes \" and 'single' & <tags> + plus/slash\\back",
    "line one\nline two\r\nline three\ttab",
    "ünïcödé-кану́-😀-秘密",
    "sk_live_51H8xYzAbCdEfGhIjKlMnOp",
    "????>>>>~~~~ÿÿÿÿ",
    "nul\0inside\u{7f}",
    "12345678901234",
    PEM,
];

fn masker(secrets: &[&str]) -> Masker {
    let values: Vec<SecretValue> = secrets.iter().map(|s| SecretValue::from(*s)).collect();
    Masker::new(&values)
}

/// JSON with everything outside ASCII escaped, as Python and PHP write it.
fn ascii_json(text: &str, upper: bool, slash: bool) -> String {
    let mut out = String::new();
    for unit in text.encode_utf16() {
        match unit {
            0x22 => out.push_str("\\\""),
            0x5c => out.push_str("\\\\"),
            0x2f if slash => out.push_str("\\/"),
            0x20..0x7f => out.push(char::from(unit as u8)),
            _ if upper => out.push_str(&format!("\\u{unit:04X}")),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out
}

fn serde_json_inner(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Every encoding of a secret that the contract names, and some that people use: what it is, the text, and how
/// many bytes of it belong to neighbours of the secret.
fn encodings(secret: &str) -> Vec<(String, String, usize)> {
    const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    const PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'%');
    let percent = utf8_percent_encode(secret, COMPONENT).to_string();
    let lower: String = {
        let mut out = String::new();
        let mut chars = percent.chars();
        while let Some(c) = chars.next() {
            out.push(c);
            if c == '%' {
                out.extend(chars.by_ref().take(2).map(|c| c.to_ascii_lowercase()));
            }
        }
        out
    };
    let json = serde_json_inner(secret);
    let alone = [
        ("raw", secret.to_owned()),
        ("json", json.clone()),
        ("json twice", serde_json_inner(&json)),
        ("json ascii lower", ascii_json(secret, false, false)),
        ("json ascii upper, slashes", ascii_json(secret, true, true)),
        ("json html", json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")),
        ("percent everything", utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string()),
        ("percent twice", utf8_percent_encode(&percent, COMPONENT).to_string()),
        ("percent path", utf8_percent_encode(secret, PATH).to_string()),
        ("form", percent.replace("%20", "+")),
        ("form by its crate", form_urlencoded::byte_serialize(secret.as_bytes()).collect()),
        ("percent lower", lower),
        ("percent", percent),
        ("hex lower", hex::encode(secret)),
        ("hex upper", hex::encode_upper(secret)),
        (
            "html",
            secret
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&#39;"),
        ),
    ];
    // The white space that is trimmed off a secret may stay; nothing encodes it in more than 15 bytes.
    let trimmed = 15 * (secret.len() - secret.trim().len());
    let mut all: Vec<_> = alone.map(|(about, text)| (about.to_owned(), text, trimmed)).into();
    for before in ["", "x", "xy", "xyz", "user:"] {
        for after in ["", "1", "12", "123"] {
            let text = format!("{before}{secret}{after}");
            let about = |how: &str| format!("base64 of {before:?} + secret + {after:?}, {how}");
            let kept = trimmed + before.len() * 2 + after.len() * 2 + "%3D%3D".len();
            let padded = STANDARD.encode(&text);
            let lines: Vec<&[u8]> = padded.as_bytes().chunks(20).collect();
            all.extend([
                (about("unpadded"), STANDARD_NO_PAD.encode(&text), kept),
                (about("url, padded"), URL_SAFE.encode(&text), kept),
                (about("url, unpadded"), URL_SAFE_NO_PAD.encode(&text), kept),
                (about("percent"), utf8_percent_encode(&padded, COMPONENT).to_string(), kept),
                (about("wrapped"), String::from_utf8(lines.join(&b'\n')).unwrap(), kept + 2),
                (about("padded"), padded, kept),
            ]);
        }
    }
    all
}

#[test]
fn no_canary_survives_in_any_encoding() {
    let masker = masker(CANARIES);
    let mut planted = 0;
    for secret in CANARIES {
        for (about, encoded, kept) in encodings(secret) {
            let masked = masker.mask_str(&encoded).into_owned();
            let shown = masked.replace(MASK, "").len();
            assert!(masked.contains(MASK) && shown <= kept, "{about} of {secret:?}: {encoded} -> {masked}");
            let around = format!("<<{encoded}>>");
            let masked = masker.mask_str(&around);
            assert!(masked.starts_with("<<") && masked.ends_with(">>"), "{about}: {around} -> {masked}");
            planted += 1;
        }
    }
    assert!(planted >= 200, "{planted}");
}

#[test]
fn what_surrounds_a_secret_stays() {
    let masker = masker(&["s3cr3t-canary"]);
    let check = |text: &str, expected: &str| assert_eq!(masker.mask_str(text), expected);
    check("", "");
    check("nothing here", "nothing here");
    check("s3cr3t-canary", "***");
    check("Bearer s3cr3t-canary, twice: s3cr3t-canary!", "Bearer ***, twice: ***!");
    check("s3cr3t-canarys3cr3t-canary", "***");
    check("s3cr3t-canar", "s3cr3t-canar");
    check("S3CR3T-CANARY", "S3CR3T-CANARY");
    check("a=s3cr3t%2Dcanary&b=1%2", "a=***&b=1%2");
    check("über s3cr3t-canary ✓", "über *** ✓");
    assert!(matches!(masker.mask_str("nothing here \\n %41"), Cow::Borrowed(_)));
}

#[test]
fn overlapping_secrets_leave_no_tail() {
    let masker = masker(&["abcdefgh", "fghijklmnop", "cdefghij"]);
    assert_eq!(masker.mask_str("<abcdefghijklmnop>"), "<***>");
    assert_eq!(masker.mask_str("abcdefgh fghijklmnop"), "*** ***");
}

#[test]
fn short_values_are_not_masked() {
    let masker = masker(&["", "a", "test", "1234567", "docker"]);
    assert_eq!(masker.mask_str("a test of docker 1234567"), "a test of docker 1234567");
    assert_eq!(self::masker(&["12345678"]).mask_str("12345678"), "***");
}

#[test]
fn a_long_secret_is_hidden_whole_and_also_when_cut_short() {
    let secret: String = (0..1_000u32).map(|i| hex::encode(Sha256::digest(i.to_be_bytes()))).collect();
    let masker = masker(&[&secret]);
    assert_eq!(masker.mask_str(&format!("<{secret}>")), "<***>");
    assert_eq!(masker.mask_str(&format!("<{}>", &secret[..40_000])), "<***>");
    assert_eq!(masker.mask_str(&format!("<{}>", hex::encode(&secret))), "<***>");
}

#[test]
fn values_are_masked_at_every_depth_in_strings_keys_and_numbers() {
    let masker = masker(&["s3cr3t-canary", "8675309867"]);
    let mut value = json!({
        "plain": ["x", {"deep": "see s3cr3t-canary"}],
        "s3cr3t-canary": 1,
        "hex": hex::encode("s3cr3t-canary"),
        "number": 8675309867u64,
        "other": 8675309,
        "flag": true,
    });
    masker.mask_value(&mut value);
    let expected = json!({
        "plain": ["x", {"deep": "see ***"}],
        "***": 1,
        "hex": "***",
        "number": "***",
        "other": 8675309,
        "flag": true,
    });
    assert_eq!(value, expected);
}

#[test]
fn keys_that_become_equal_are_kept_apart() {
    let masker = masker(&["s3cr3t-canary", "s3cr3t-finch"]);
    let mut value = json!({"s3cr3t-finch": 3, "s3cr3t-canary": 2, "***": 1});
    masker.mask_value(&mut value);
    assert_eq!(value, json!({"***": 1, "***#2": 2, "***#3": 3}));
}

#[test]
fn depth_does_not_matter() {
    let masker = masker(&["s3cr3t-canary"]);
    let mut value = json!("s3cr3t-canary");
    for _ in 0..100_000 {
        value = Value::Array(vec![value]);
    }
    masker.mask_value(&mut value);
    // Taken apart by hand: dropping it whole would recurse.
    let mut depth = 0;
    while let Value::Array(mut items) = value {
        value = items.pop().unwrap();
        depth += 1;
    }
    assert_eq!((depth, value), (100_000, json!("***")));
}

#[test]
fn text_that_is_costly_to_match_is_hidden_whole() {
    let secret = "a".repeat(60_000);
    let masker = masker(&[&secret]);
    let hostile = format!("{}b", "a".repeat(59_000)).repeat(4);
    assert_eq!(masker.mask_str(&hostile), MASK);
}

#[test]
fn the_head_of_a_secret_at_the_end_of_a_cut_text_is_hidden() {
    let secrets = ["s3cr3t-canary-value-with-%-and-\"", "https://user:pass@host.example/path"];
    let masker = masker(&secrets);
    for secret in secrets {
        for (about, encoded, _) in encodings(secret).iter().filter(|(about, ..)| !about.contains("base64")) {
            let text = format!("<<{encoded}");
            for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                let masked = masker.mask_cut_str(&text[..cut]).into_owned();
                assert!(masked.len() <= 2 + 18, "{about} cut at {cut}: {} -> {masked}", &text[..cut]);
                assert!(cut < 2 || masked.starts_with("<<"), "{about}: {masked}");
            }
        }
    }
    assert_eq!(masker.mask_cut_str("see s3cr"), "see ***");
    assert_eq!(masker.mask_cut_str("see s3c"), "see s3c");
    assert_eq!(masker.mask_str("see https://"), "see https://");
}

#[test]
fn failures_are_masked_in_message_and_details() {
    let masker = masker(&["s3cr3t-canary"]);
    let cut = format!("{}s3cr3t-canary", "x".repeat(MAX_MESSAGE_BYTES - 5));
    let mut failure = Failure::permanent("http_status", cut).with_details(json!({"body": "s3cr3t-canary"}));
    masker.mask_failure(&mut failure);
    assert_eq!(failure.message, format!("{}***", "x".repeat(MAX_MESSAGE_BYTES - 5)));
    assert_eq!(failure.details.as_deref(), Some(&json!({"body": "***"})));
    let mut failure = Failure::permanent("http_status", "s3cr3t-canary ends in s3cr3t");
    masker.mask_failure(&mut failure);
    assert_eq!(failure.message, "*** ends in s3cr3t");
}

#[test]
fn a_masker_prints_no_secret() {
    let shown = format!("{:?}", masker(&["s3cr3t-canary"]));
    assert!(!shown.contains("s3cr3t"), "{shown}");
}

#[test]
fn bytes_that_are_not_text_are_masked() {
    let masker = masker(&["s3cr3t-canary"]);
    assert_eq!(&*masker.mask_bytes(b"\xff\xfes3cr3t-canary\xff"), b"\xff\xfe***\xff");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_secret_in_any_text_is_hidden_and_the_rest_is_kept(
        secret in "[ -~éß😀\n]{8,40}",
        before in "[0-9.;é]{0,20}",
        after in "[0-9.;é]{0,20}",
    ) {
        prop_assume!(secret.trim().len() >= 8);
        let masker = masker(&[&secret]);
        for (about, encoded, _) in encodings(secret.trim()) {
            let text = format!("{before}\u{1}{encoded}\u{1}{after}");
            let masked = masker.mask_str(&text).into_owned();
            prop_assert!(masked.contains(MASK), "{about}: {encoded} -> {masked}");
            let start = format!("{before}\u{1}");
            let end = format!("\u{1}{after}");
            prop_assert!(masked.starts_with(&start) && masked.ends_with(&end), "{about}: {text} -> {masked}");
        }
    }

    #[test]
    fn text_without_a_secret_is_untouched(text in "\\PC{0,200}") {
        let masker = masker(&["s3cr3t-canary-value"]);
        prop_assert_eq!(&*masker.mask_str(&text), text.as_str());
    }
}
