//! What an expression refers to, found while parsing, for validation.

use std::collections::BTreeSet;

/// A secret that an expression reads: `secrets.<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct SecretRef {
    /// Name of the secret.
    pub name: String,
    /// Byte offset of `secrets` in the expression's text.
    pub position: usize,
}

/// A node whose output an expression reads by a literal id: `nodes.<id>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct NodeRef {
    /// Id of the node, as written.
    pub id: String,
    /// Byte offset of the id in the expression's text.
    pub position: usize,
}

#[derive(Debug, Default)]
pub(super) struct References {
    pub(super) secrets: Vec<SecretRef>,
    pub(super) nodes: Vec<NodeRef>,
    pub(super) dynamic_nodes: bool,
    pub(super) whole_root: bool,
    pub(super) roots: BTreeSet<Box<str>>,
    pub(super) literal_patterns: usize,
}

impl References {
    pub(super) fn add_secret(&mut self, name: &str, position: usize) {
        self.secrets.push(SecretRef { name: name.to_owned(), position });
    }

    pub(super) fn add_node(&mut self, id: &str, position: usize) {
        self.nodes.push(NodeRef { id: id.to_owned(), position });
    }

    pub(super) fn add_root(&mut self, name: &str) {
        if !self.roots.contains(name) {
            self.roots.insert(name.into());
        }
    }
}

/// Whether a name can be a secret's: `[A-Za-z_][A-Za-z0-9_]{0,63}`.
pub(super) fn is_secret_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 64
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
