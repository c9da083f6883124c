use proptest::prelude::*;

use super::*;

/// The headers that carry a preset's signatures, and those that carry times and ids.
fn headers_of(scheme: &str) -> (Vec<HeaderName>, Vec<HeaderName>) {
    let forms = match crate::webhook::preset(scheme) {
        Some(Scheme::Signature(forms)) => forms,
        Some(Scheme::Token(scheme)) => return (vec![scheme.header], Vec::new()),
        other => panic!("{other:?}"),
    };
    let header = |source: &Source| match source {
        Source::Header(name) => Some(name.clone()),
        _ => None,
    };
    let signatures = forms.iter().flat_map(|form| form.carriers.iter()).filter_map(header).collect();
    let times = forms.iter().flat_map(|form| form.timestamp.iter().map(|rule| &rule.source).chain(&form.id));
    (signatures, times.filter_map(header).collect())
}

proptest! {
    #[test]
    fn hostile_headers_never_panic_and_never_pass(
        signature in proptest::collection::vec(any::<u8>(), 0..200),
        time in "\\PC{0,40}",
        scheme in proptest::sample::select(crate::webhook::PRESETS),
    ) {
        let mut case = Case::new(json!({"scheme": scheme, "secret": "s"}));
        case.secrets = vec![Some("a2V5a2V5")];
        let Ok(signature) = HeaderValue::from_bytes(&signature) else { return Ok(()) };
        let Ok(time) = HeaderValue::from_bytes(time.as_bytes()) else { return Ok(()) };
        let (signatures, times) = headers_of(scheme);
        for name in signatures {
            case.headers.insert(name, signature.clone());
        }
        for name in times {
            case.headers.insert(name, time.clone());
        }
        prop_assert!(case.verify().is_err());
    }

    #[test]
    fn any_change_to_what_is_signed_is_refused(
        body in proptest::collection::vec(any::<u8>(), 0..100),
        id in "[A-Za-z0-9_-]{1,20}",
        at in 0usize..1000,
        bit in 0u8..8,
        key in "[ -~]{1,40}",
    ) {
        let text = [id.as_bytes(), b".1767225600.", &body].concat();
        let config = json!({
            "scheme": "hmac", "secret": "s", "header": "x-sig", "algorithm": "sha256", "encoding": "hex",
            "signed": "{id}.{timestamp}.{body}", "id_header": "x-id", "timestamp_header": "x-t",
        });
        let config = VerifyConfig::parse(&config, "").unwrap();
        let signature = hex::encode(mac(key.as_bytes(), &text));
        let verify = |id: &[u8], time: &[u8], body: &[u8], signature: &[u8], key: &str| {
            let mut headers = HeaderMap::new();
            for (name, value) in [("x-id", id), ("x-t", time), ("x-sig", signature)] {
                headers.insert(name, HeaderValue::from_bytes(value).unwrap_or(HeaderValue::from_static("")));
            }
            let request = RawRequest { method: "POST", url: "", query: "", headers: &headers, body };
            config.verify(&request, &[Some(&key.into())], now()).is_ok()
        };
        let flip = |bytes: &[u8]| {
            let mut bent = bytes.to_vec();
            if bent.is_empty() { bent.push(0) } else { let n = bent.len(); bent[at % n] ^= 1 << bit }
            bent
        };
        let (id, time, sig) = (id.as_bytes(), b"1767225600", signature.as_bytes());
        prop_assert!(verify(id, time, &body, sig, &key));
        prop_assert!(!verify(&flip(id), time, &body, sig, &key));
        prop_assert!(!verify(id, &flip(time), &body, sig, &key));
        prop_assert!(!verify(id, time, &flip(&body), sig, &key));
        prop_assert!(!verify(id, time, &body, sig, &(key.clone() + "x")));
        // Upper-case hex is the same signature in this scheme; every other change is another one.
        let bent = flip(sig);
        prop_assert!(bent.eq_ignore_ascii_case(sig) || !verify(id, time, &body, &bent, &key));
    }
}
