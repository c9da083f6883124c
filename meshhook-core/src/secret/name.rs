//! Names of secrets.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::is_identifier;

/// The name of a secret in its project: `[A-Za-z_][A-Za-z0-9_]{0,63}`.
///
/// The grammar is that of an expression identifier, so `secrets.<name>` never needs quoting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(Arc<str>);

impl SecretName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// When the text does not follow the grammar.
    pub fn new(text: &str) -> Result<Self, InvalidSecretName> {
        if is_identifier(text) { Ok(Self(text.into())) } else { Err(InvalidSecretName) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SecretName {
    type Err = InvalidSecretName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl Serialize for SecretName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The text is not a secret's name.
///
/// It does not repeat the text: somebody who pastes a value where the name belongs must not find it in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret's name is a letter or `_`, then at most 63 letters, digits or `_`")]
pub struct InvalidSecretName;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar_of_identifiers() {
        let longest = "a".repeat(64);
        for good in ["a", "_", "_1", "chat_token", "GH_WEBHOOK2", &longest] {
            assert!(SecretName::new(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(65);
        for bad in ["", "1a", "a-b", "a.b", "a b", "é", "aé", "a\n", &too_long] {
            assert_eq!(SecretName::new(bad), Err(InvalidSecretName), "{bad}");
        }
    }
}
