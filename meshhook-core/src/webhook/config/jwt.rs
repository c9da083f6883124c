//! Tokens: which algorithms a hook accepts, and the keys of the set that its config may hold.

use serde_json::{Map, Value};

use super::Reader;
use crate::definition::ProblemCode::{InvalidTrigger, InvalidType, InvalidValue, MissingField, UnknownField};
use crate::definition::{index_path, member_path};
use crate::webhook::jwt::{Jwk, JwtAlgorithm, JwtScheme};

impl<'a> Reader<'a> {
    pub(super) fn jwt(&mut self) -> Option<JwtScheme> {
        let algorithms = self.algorithms();
        let issuer = self.optional_text("issuer");
        let audience = self.optional_text("audience");
        self.known.push("key");
        let keys = match (self.members.get("key"), &algorithms) {
            (Some(Value::Object(key)), Some(algorithms)) => self.jwks(key, algorithms).map(Some),
            (Some(Value::Object(_)), None) => None,
            _ => Some(None),
        };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Some(JwtScheme {
            algorithms: algorithms?,
            keys: keys?,
            issuer: owned(issuer),
            audience: owned(audience),
        })
    }

    fn algorithms(&mut self) -> Option<Vec<JwtAlgorithm>> {
        let Value::Array(names) = self.required("algorithms")? else {
            self.problem("algorithms", InvalidType, "must be an array");
            return None;
        };
        let path = member_path(self.path, "algorithms");
        let mut algorithms: Vec<JwtAlgorithm> = Vec::new();
        let mut all_are_known = true;
        for (i, name) in names.iter().enumerate() {
            let known = JwtAlgorithm::NAMES.iter().find(|(known, _)| name == known);
            match known {
                Some((_, algorithm)) if algorithms.contains(algorithm) => {}
                Some((_, algorithm)) => algorithms.push(*algorithm),
                None => {
                    all_are_known = false;
                    let known = JwtAlgorithm::NAMES.map(|(name, _)| name).join(", ");
                    self.problem_at(index_path(&path, i), InvalidValue, format!("must be one of {known}"));
                }
            }
        }
        let most = JwtAlgorithm::NAMES.len();
        let is_in_pem = !matches!(self.members.get("key"), Some(Value::Object(_)));
        if names.is_empty() || names.len() > most {
            self.problem("algorithms", InvalidValue, format!("must be 1 to {most} algorithms"));
        } else if algorithms.iter().any(|it| it.is_shared()) && !algorithms.iter().all(|it| it.is_shared()) {
            let message =
                "must be all with shared keys (HS…) or all with public ones: a public key is no secret";
            self.problem("algorithms", InvalidTrigger, message);
        } else if is_in_pem && algorithms.iter().filter(|it| it.is_rsa()).count() > 1 {
            let message =
                "must have one algorithm of RSA where the key is in PEM, which does not say what it is for";
            self.problem("algorithms", InvalidTrigger, message);
        } else if all_are_known {
            return Some(algorithms);
        }
        None
    }

    /// The set of keys in `key`, itself a part of the definition.
    fn jwks(&mut self, key: &'a Map<String, Value>, algorithms: &[JwtAlgorithm]) -> Option<Vec<Jwk>> {
        let path = member_path(self.path, "key");
        let place = member_path(&path, "jwks");
        let mut unknown: Vec<_> = key.keys().filter(|name| *name != "jwks").collect();
        unknown.sort();
        let (code, message) = match key.get("jwks") {
            None => (MissingField, "is required: a set of keys"),
            Some(_) if !unknown.is_empty() => (UnknownField, "is not a member of key"),
            Some(Value::String(_)) => (InvalidTrigger, "must be the set itself: this release fetches none"),
            Some(_) if algorithms.iter().any(|it| it.is_shared()) => {
                (InvalidTrigger, "has public keys, and these algorithms need shared ones")
            }
            Some(set) => match Jwk::read_set(set, algorithms) {
                Ok(keys) => return Some(keys),
                Err(message) => (InvalidValue, message),
            },
        };
        let place = match unknown.first() {
            Some(name) if code == UnknownField => member_path(&path, name),
            _ => place,
        };
        self.problem_at(place, code, message);
        None
    }
}
