//! Text that looks like a secret.
//!
//! The prefixes are the documented ones of common providers: GitHub ("Behind GitHub's new authentication token
//! formats"), GitLab ("Token overview"), Slack ("Token types"), Stripe ("API keys"), AWS ("IAM identifiers"),
//! Google ("API keys"), SendGrid, npm, PyPI, Shopify, DigitalOcean, OpenAI and Anthropic in their API references.

/// Prefixes, and how many token characters must follow at least.
const PREFIXES: [(&str, usize); 33] = [
    ("ghp_", 10),
    ("gho_", 10),
    ("ghu_", 10),
    ("ghs_", 10),
    ("ghr_", 10),
    ("github_pat_", 10),
    ("glpat-", 10),
    ("xoxb-", 8),
    ("xoxp-", 8),
    ("xoxa-", 8),
    ("xoxr-", 8),
    ("xoxs-", 8),
    ("xoxe-", 8),
    ("xapp-", 8),
    ("sk_live_", 8),
    ("sk_test_", 8),
    ("rk_live_", 8),
    ("rk_test_", 8),
    ("whsec_", 8),
    ("AKIA", 12),
    ("ASIA", 12),
    ("AIza", 20),
    ("SG.", 20),
    ("npm_", 20),
    ("pypi-", 20),
    ("shpat_", 10),
    ("shpss_", 10),
    ("dop_v1_", 10),
    ("sk-ant-", 10),
    ("sk-proj-", 10),
    ("sk-", 32),
    ("hf_", 20),
    ("dckr_pat_", 10),
];

/// Whether the text holds a token of a known provider or a PEM private key.
pub(super) fn looks_like_secret(text: &str) -> bool {
    has_pem_key(text) || PREFIXES.iter().any(|(prefix, least)| has_token(text, prefix, *least))
}

fn has_pem_key(text: &str) -> bool {
    text.match_indices("-----BEGIN ").any(|(at, marker)| {
        let label: &str = text[at + marker.len()..].split("-----").next().unwrap_or_default();
        label.len() <= 64 && label.ends_with("PRIVATE KEY")
    })
}

/// Whether the prefix stands at the start of a word and is followed by enough characters of a token.
fn has_token(text: &str, prefix: &str, least: usize) -> bool {
    text.match_indices(prefix).any(|(at, _)| {
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let starts_word = at == 0 || !is_word(text.as_bytes()[at - 1]);
        let rest = text[at + prefix.len()..].bytes();
        let strict = prefix.bytes().all(|b| b.is_ascii_uppercase());
        starts_word
            && rest
                .take_while(|b| {
                    if strict {
                        b.is_ascii_uppercase() || b.is_ascii_digit()
                    } else {
                        is_word(*b) || *b == b'.'
                    }
                })
                .take(least)
                .count()
                == least
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_known_providers_are_seen_wherever_they_stand() {
        let long = "0123456789abcdefghijklmnopqrstuvwxyz";
        for prefix in ["ghp_", "github_pat_", "xoxb-", "sk_live_", "AIza", "npm_", "sk-"] {
            assert!(looks_like_secret(&format!("{prefix}{long}")), "{prefix}");
            assert!(looks_like_secret(&format!("Bearer {prefix}{long}")), "{prefix}");
        }
        assert!(looks_like_secret("AKIAIOSFODNN7EXAMPLE"));
        assert!(looks_like_secret("key:\n-----BEGIN RSA PRIVATE KEY-----\nMIIE"));
        assert!(looks_like_secret("-----BEGIN PRIVATE KEY-----"));
    }

    #[test]
    fn ordinary_text_is_not_mistaken_for_a_secret() {
        for text in [
            "",
            "ghp_",
            "see ghp_short",
            "AKIA is a prefix",
            "risk-assessment-of-everything-we-ever-did-in-the-past",
            "task_live_event_handler",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----",
            "Bearer {{ secrets.chat_token }}",
        ] {
            assert!(!looks_like_secret(text), "{text}");
        }
    }
}
