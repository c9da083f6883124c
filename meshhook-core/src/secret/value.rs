//! A secret's plaintext in memory.

use std::fmt;

use zeroize::Zeroizing;

/// The plaintext of one secret.
///
/// It is overwritten when dropped, prints as `***`, and can be neither cloned nor serialized: where several
/// places need it, share it in an `Arc`. [`SecretValue::expose`] is the only way to the text, so a search for
/// that word finds every place that sees one.
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// The longest value, in bytes.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Takes over a plaintext.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The plaintext, for the moment it is sent or checked against.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the value is empty. An empty value never verifies a signature.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether [`Masker`](super::Masker) hides this value: shorter ones would hide ordinary text.
    pub fn is_masked(&self) -> bool {
        self.0.len() >= super::MIN_MASKED_BYTES
    }
}

impl From<&str> for SecretValue {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(super::MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_prints_as_stars() {
        let value = SecretValue::from("hunter2hunter2");
        assert_eq!(format!("{value:?}"), "***");
        assert_eq!(format!("{:#?}", Some(&value)), "Some(\n    ***,\n)");
        assert_eq!(value.expose(), "hunter2hunter2");
    }
}
