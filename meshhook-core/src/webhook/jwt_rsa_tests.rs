use super::*;

/// Of RFC 7515, appendix A.2.1.
const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
/// The same key as OpenSSL writes it.
const SPKI: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxXFvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQIDAQAB";
/// The same key as PKCS #1 writes it.
const PKCS1: &str = "MIIBCgKCAQEAofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxXFvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQIDAQAB";
/// A key of 1024 bits, and a signature by it of the claims with `{"alg":"RS256"}`.
const SMALL: (&str, &str) = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCu0f8ievjjOv9St/PDcwuXNyzmN+DS+9wgIo6IDnHNApxRGrI7Oz2Nt8w6AhSPjCUUXE2MFMDaluXjnDoUfDyY+DOggAKjJJWdwdZR48TdpMY7kd2TRcIsNZAAc9+XaZGIGtJoL2Emi3T7/Oyy3pvLYzG7jaGVguz6kUf6K8dN7QIDAQAB",
    "MjTrR6JtNiAtrb31dtjx73H2jrw7dAmSFEm--RgIYQ2e48gvtcIJjcjvPsK6mDIhTDV6g2C-yBJOTfETKOEo95fb9CXNdBehjHB7xHlwMEUk_bR4sRLzu0ju1fmIi_Q-F5sQwVp8N9CBwEtLDxCmdHdG03dAuCnUNOfZj3wL6v4",
);
/// The claims of all tokens here, which are those of the RFC.
const CLAIMS: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const AT: i64 = 1_300_819_380;

/// Signatures of the claims with a header of `alg` alone. That of RS256 is the RFC's (appendix A.2.1); the others were
/// computed with Python's `cryptography` from the key that the RFC publishes.
const SIGNATURES: [(&str, &str); 6] = [
    (
        "RS256",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    ),
    (
        "RS384",
        "UqgNjrJOGhk4wfoSG6Uvrt9GcKu-TgPwInExALrMBadg1pol1uTw7mZADTddAWsC6ZzdFiTFUmIi7DuD38ftLAZoW4qezdAO7RYf1yZDsbT20bt8DJJN1I4VovL2PLg80B6x6ug-kaW8k5LaM5ce0dk1zgWhjafKC3Mb4UNLL8f9fqVMkHpdWYRjF6QjTz12Ap-gq-tPyUoWSdvzCIYOcZ9-08SQQdUTTgsNF1Qwu3TqeWPqzNJwmWHiHMmaV8I4ktMFEX-AiEBa55KsfYTx0jSbTHP-odqmnLQJ4n-oQJ2RSXy0HQP6BkdiwDHdoMUk4z_wAeOsfDTs_mLxTgOInQ",
    ),
    (
        "RS512",
        "ZatQfsb2gyCu3y9cDuz59a-IKm4bkqtT0HuT8BpNlPCmA3Y2eH91CVSI0TbkPqI9v2jaXuWvPcoJGNRtTpUXafTAbqzxWSMjqx8SkJRTuUz6imaHBctra42j2AvJ1t7qJwf2NN49y9PZbkYn3ejhU-iCmKJ3J-_GLsYp5VlximYm-o3sMul0tyCMvHUdmuWvadnVEaio-jix3pXYWfyFC8tp19zZrTaofxTAzCqlqundx22tfsuqchto_zVnZk_ZBr1R5lr29Qle5JgLmRkfDNbVSQZFdwg6mSlODL8BrOiM_vreMaPCO8U_JGezKUob0ONv7DA7XDfpbaXaFsHipQ",
    ),
    (
        "PS256",
        "HUqs5gt7U_MzIk8VsqNdZK2FvrS9LnzBbll3cUk_HMaU3loEIwRMWV8j4iUgZCQWPqZ6u_SphgSZh_0vAAiWiEojoN8HATGaxDb7DG8Jt-SvjUeu70N4UZbP86BvgxjLZmsWLp2wuPJ4JUHGcIxabgl-ulhEygIGEle3C3jt0trYh6_9GBf7u_eSpFZW0MTb_pWLbVJudZvzO_jKZWJB1GzkUWcvUl45kopdRzsmjb0c_sqZm6jRKdeUrnETZMYiRHC8xxwGucYHMmGUDxwttRfM3ceyPWPFO9pl51Adzk319J8HRrlFJwZDD8LMDsyP782e-Z9JxxwOLMvySQEmwA",
    ),
    (
        "PS384",
        "ZR9Hy4H35MmPv-cmTniy1mST9bDiu6lwoCjslt7JGwaTRtMf0d-i9QrVreivvpd5bk80jf6oRUX5vKPD4HHw2mC4UlkSqrJM3rFtYvMqDqCnGONeJX_dFX6YJV6DAkjn6vFUNe8FALYadZ6xVU-3Yxu7JAHvz1ql4p1jSrGVTRmIhy5_ihp4V27jwZBLJjBMQX2v71w7ButIQoimGJpL9JTtnWWwaHuHnxq3-V43S4ijBO0tW33xWkG-D4P-vOxGSZrVM2IZ-Sbxq0ZTe06RDsS_-fpRExKdMM-HKoJMWLtY-Z9ehh4Rp0jBAiEkPDAa-uMmMtjqGNL3miz5P6rcPw",
    ),
    (
        "PS512",
        "d0dP8Iyo3VT9NexKNTt8Van0JBS5zp7xzSL_x_eFo7oVwgPxQOAmDDBS371LUYUbFC_aEB1xCV5z1UTBS3ZOkeFTwJ1UzALa99Oog4M6TREiUTFSjgMOgZg5bpBFnqSJ3v0djz5uEUX1T1giQ-wP28aJQwW0nYIeaIf4bMh5MVb57U6-fLqtYwHcTZW4llD78Wegtv8gR7ms62MzMhpXWkhRay9AJqENMa82yN2KGD72AByfwmbHEgvqLGwGmRpiyY1x0tgxDsWm3OhtJgpPvmuRbwHhcW8QYMAOCC6eVGuiWqvTHWNamftEFGNJNcuBTkWAf9ogFiGwxtszBrOVKQ",
    ),
];
/// Of PS256, with no salt at all.
const UNSALTED: &str = "cMDnon9-kWOmWl3ENxyEIYFFJYZTPzSZAh5spERaclkKwJmvwMMNUMCbdMAak1TUhOHX2HHV0ImU0QgH8_r8sZKD_Ym2fIs6dyawyPikuwkHN5FPlTLqEIx0GdKYUiIb7lezAXraCkMp8QFBKdBOWZFl1QBolOc9ZbPDcx7yGnGuXpJFdhvtmpxRQMMmti_YtxtYFtnynI8-tROWpUJY02C-wx_xmySr86Q9PYQ64BsNZLHrW9LErNqvSDE7hd77ic8oRps8O2a3Sm1YizLj2jAXBktyainlOJgO0dcJz1X84nHJp7ySpc34rbN2LqbE8o2nVA7ZARiWPphEIuqkYg";

pub(super) fn rsa_key() -> Value {
    json!({"kty": "RSA", "n": N, "e": "AQAB"})
}

pub(super) fn rsa_token(algorithm: &str) -> String {
    let signature = SIGNATURES.iter().find(|(name, _)| *name == algorithm).unwrap().1;
    labelled(algorithm, signature)
}

/// A token whose header names this algorithm, with this signature.
fn labelled(algorithm: &str, signature: &str) -> String {
    let header = URL_SAFE_BARE.encode(format!(r#"{{"alg":"{algorithm}"}}"#));
    format!("{header}.{CLAIMS}.{signature}")
}

fn verdict(config: &Value, token: &str) -> Result<Option<usize>, Refusal> {
    verify_at(config, &format!("Bearer {token}"), None, AT).map(|verified| verified.key_index)
}

fn by_pem(algorithm: &str, pem: &str, token: &str) -> Result<Option<usize>, Refusal> {
    let config = json!({"scheme": "jwt", "algorithms": [algorithm], "key": "s"});
    verify_at(&config, &format!("Bearer {token}"), Some(pem), AT).map(|verified| verified.key_index)
}

#[test]
fn the_example_of_the_standard_with_rsa_is_accepted() {
    let config = with(jwks(&["RS256"], &[rsa_key()]), "issuer", json!("joe"));
    assert_eq!(verdict(&config, &rsa_token("RS256")), Ok(None));
    let at = |now| verify_at(&config, &format!("Bearer {}", rsa_token("RS256")), None, now).map(drop);
    assert_eq!(at(AT + 59), Ok(()));
    assert_eq!(at(AT + 60), Err(Refusal::Stale));
}

#[test]
fn each_algorithm_of_rsa_takes_its_own_signatures_and_no_others() {
    for (accepted, _) in SIGNATURES {
        let unlabelled = jwks(&[accepted], &[rsa_key()]);
        let named = jwks(&[accepted], &[with(rsa_key(), "alg", json!(accepted))]);
        for (made_by, signature) in SIGNATURES {
            let expected = if made_by == accepted { Ok(None) } else { Err(Refusal::BadAlgorithm) };
            assert_eq!(verdict(&unlabelled, &rsa_token(made_by)), expected, "{accepted} {made_by}");
            assert_eq!(verdict(&named, &rsa_token(made_by)), expected, "{accepted} {made_by}");
            // The same signature under the name that is accepted.
            let expected = if made_by == accepted { Ok(None) } else { Err(Refusal::Mismatch) };
            assert_eq!(
                verdict(&unlabelled, &labelled(accepted, signature)),
                expected,
                "{accepted} {made_by}"
            );
        }
    }
    assert_eq!(
        verdict(&jwks(&["PS256"], &[rsa_key()]), &labelled("PS256", UNSALTED)),
        Err(Refusal::Mismatch)
    );
}

#[test]
fn a_key_of_rsa_is_for_one_algorithm() {
    let both = ["RS256", "PS256"];
    let key = |alg: &str| with(rsa_key(), "alg", json!(alg));
    assert_eq!(verdict(&jwks(&both, &[key("RS256")]), &rsa_token("RS256")), Ok(None));
    assert_eq!(verdict(&jwks(&both, &[key("RS256")]), &rsa_token("PS256")), Err(Refusal::Mismatch));
    assert_eq!(verdict(&jwks(&both, &[key("PS256")]), &rsa_token("PS256")), Ok(None));
    let problems = |config: &Value| VerifyConfig::parse(config, "").unwrap_err();
    let found = problems(&jwks(&both, &[rsa_key()]));
    assert_eq!((found.len(), found[0].path.as_str()), (1, "key.jwks"));
    assert!(found[0].message.contains("without `alg`"), "{}", found[0].message);
    assert!(VerifyConfig::parse(&jwks(&["RS256", "RS256"], &[rsa_key()]), "").is_ok());
}

#[test]
fn a_public_key_of_rsa_is_never_the_secret_of_a_mac() {
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{SPKI}\n-----END PUBLIC KEY-----\n");
    for key in [pem.as_str(), SPKI, PKCS1, N] {
        let signed = format!("{}.{CLAIMS}", URL_SAFE_BARE.encode(r#"{"alg":"HS256"}"#));
        let forged = URL_SAFE_BARE.encode(hmac_sha256(key.as_bytes(), signed.as_bytes()));
        let token = format!("{signed}.{forged}");
        assert_eq!(verdict(&jwks(&["RS256"], &[rsa_key()]), &token), Err(Refusal::BadAlgorithm));
        assert_eq!(by_pem("RS256", &pem, &token), Err(Refusal::BadAlgorithm));
        assert_eq!(by_pem("RS256", &pem, &labelled("RS256", &forged)), Err(Refusal::Mismatch));
    }
    for alg in ["none", "None", "HS256", "RS384", "PS256", "ES256", "rs256", ""] {
        let token = labelled(alg, SIGNATURES[0].1);
        assert_eq!(verdict(&jwks(&["RS256"], &[rsa_key()]), &token), Err(Refusal::BadAlgorithm), "{alg}");
    }
}

#[test]
fn a_key_of_rsa_may_be_a_secret_in_pem() {
    let pem = |label: &str, der: &str| format!("-----BEGIN {label}-----\n{der}\n-----END {label}-----\n");
    let token = rsa_token("RS256");
    assert_eq!(by_pem("RS256", &pem("PUBLIC KEY", SPKI), &token), Ok(Some(0)));
    assert_eq!(by_pem("RS256", SPKI, &token), Ok(Some(0)));
    assert_eq!(by_pem("PS256", SPKI, &rsa_token("PS256")), Ok(Some(0)));
    assert_eq!(by_pem("RS384", SPKI, &labelled("RS384", SIGNATURES[0].1)), Err(Refusal::Mismatch));
    // Another key's form, one that is too small however good its signature, and one with something behind it.
    let longer = format!("{}AAA=", SPKI.trim_end_matches('='));
    let small = labelled("RS256", SMALL.1);
    for (key, token) in [
        (pem("RSA PUBLIC KEY", PKCS1), &token),
        (PKCS1.to_owned(), &token),
        (N.to_owned(), &token),
        (longer, &token),
        (SMALL.0.to_owned(), &small),
        ("MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=".to_owned(), &token),
    ] {
        assert_eq!(by_pem("RS256", &key, token), Err(Refusal::BadKey), "{key}");
    }
}

#[test]
fn keys_of_rsa_that_are_damaged_small_or_for_something_else_are_left_out() {
    let n = |first: u8, bytes: usize| {
        let mut n = vec![0xff; bytes];
        n[0] = first;
        json!(URL_SAFE_BARE.encode(n))
    };
    let is_taken = |key: Value| VerifyConfig::parse(&jwks(&["RS256"], &[key]), "").is_ok();
    for good in [
        rsa_key(),
        with(rsa_key(), "use", json!("sig")),
        with(rsa_key(), "key_ops", json!(["verify"])),
        with(rsa_key(), "e", json!("Aw")),
        with(rsa_key(), "n", n(0x80, 256)),
        with(rsa_key(), "n", n(0xff, 1024)),
    ] {
        assert!(is_taken(good.clone()), "{good}");
    }
    for bad in [
        with(rsa_key(), "n", n(0x7f, 256)),
        with(rsa_key(), "n", n(0x01, 1025)),
        with(rsa_key(), "n", n(0x00, 257)),
        with(rsa_key(), "n", json!("")),
        with(rsa_key(), "n", json!(N.replace('-', "+"))),
        with(rsa_key(), "n", json!(format!("{N}="))),
        with(rsa_key(), "n", json!("A".repeat(1 << 16))),
        with(rsa_key(), "n", json!(65_537)),
        with(rsa_key(), "e", json!("")),
        with(rsa_key(), "e", json!("AQ")),
        with(rsa_key(), "e", json!("AQAA")),
        with(rsa_key(), "e", json!("AAEAAQ")),
        with(rsa_key(), "e", json!("A_____8")),
        with(rsa_key(), "e", json!(null)),
        with(rsa_key(), "use", json!("enc")),
        with(rsa_key(), "use", json!(["sig"])),
        with(rsa_key(), "key_ops", json!(["sign", "encrypt"])),
        with(rsa_key(), "key_ops", json!("verify")),
        with(rsa_key(), "alg", json!("PS256")),
        with(rsa_key(), "alg", json!("RSA-OAEP-256")),
        with(rsa_key(), "alg", json!("HS256")),
        with(rsa_key(), "alg", json!("ES256")),
        with(rsa_key(), "kty", json!("rsa")),
        with(rsa_key(), "crv", json!("P-256")),
        with(rsa_key(), "d", json!("AQAB")),
        with(rsa_key(), "p", json!("AQAB")),
        with(rsa_key(), "dq", json!("AQAB")),
    ] {
        assert!(!is_taken(bad.clone()), "{bad:.200}");
    }
    // What is left out does not keep the others from being used.
    let set =
        [json!({}), with(rsa_key(), "n", n(0x7f, 256)), with(rsa_key(), "use", json!("enc")), rsa_key()];
    assert_eq!(verdict(&jwks(&["RS256"], &set), &rsa_token("RS256")), Ok(None));
}

#[test]
fn a_signature_of_rsa_is_as_long_as_its_key() {
    let config = jwks(&["RS256"], &[rsa_key()]);
    let good = URL_SAFE_BARE.decode(SIGNATURES[0].1).unwrap();
    let longer = [&[0][..], &good].concat();
    let larger = [&good[..], &[0; 64]].concat();
    for bad in [&good[..255], &longer, &larger, &[0; 256], &[0xff; 256], &[1], &[0; 2048]] {
        let token = labelled("RS256", &URL_SAFE_BARE.encode(bad));
        assert_eq!(verdict(&config, &token), Err(Refusal::Mismatch), "{}", bad.len());
    }
}
