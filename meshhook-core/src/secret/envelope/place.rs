//! What an envelope is bound to: the associated data of its two layers.

use super::{ALG_AES_256_GCM, FORMAT};
use crate::id::{DeliveryId, ProjectId};
use crate::secret::SecretName;

/// Where a secret belongs. An envelope opens only in the context it was sealed for.
#[derive(Debug, Clone, Copy)]
pub struct SecretContext<'a> {
    /// The project that owns the secret.
    pub project: &'a ProjectId,
    /// The secret's name in the project.
    pub name: &'a SecretName,
    /// The version of the secret, counted from 1.
    pub version: u64,
}

/// Where a delivery's raw request belongs.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryContext<'a> {
    /// The project that the delivery was sent to.
    pub project: &'a ProjectId,
    /// The delivery.
    pub id: DeliveryId,
}

/// What an envelope is bound to.
pub(super) trait Place: Copy {
    /// The associated data of the wrap, without the master key's id.
    fn wrap(self) -> Vec<u8>;
    /// The associated data of the payload.
    fn payload(self) -> Vec<u8>;
}

impl Place for SecretContext<'_> {
    fn wrap(self) -> Vec<u8> {
        self.binding(b"meshhook/secret/wrap")
    }

    fn payload(self) -> Vec<u8> {
        self.binding(b"meshhook/secret/payload")
    }
}

impl SecretContext<'_> {
    fn binding(self, domain: &[u8]) -> Vec<u8> {
        let mut bound = binding(domain, self.project);
        push_part(&mut bound, self.name.as_str().as_bytes());
        push_part(&mut bound, &self.version.to_be_bytes());
        bound
    }
}

impl Place for DeliveryContext<'_> {
    fn wrap(self) -> Vec<u8> {
        self.binding(b"meshhook/delivery/wrap")
    }

    fn payload(self) -> Vec<u8> {
        self.binding(b"meshhook/delivery/payload")
    }
}

impl DeliveryContext<'_> {
    fn binding(self, domain: &[u8]) -> Vec<u8> {
        let mut bound = binding(domain, self.project);
        push_part(&mut bound, self.id.as_bytes());
        bound
    }
}

fn binding(domain: &[u8], project: &ProjectId) -> Vec<u8> {
    let mut bound = Vec::with_capacity(128);
    push_part(&mut bound, domain);
    push_part(&mut bound, &[FORMAT, ALG_AES_256_GCM]);
    push_part(&mut bound, project.as_str().as_bytes());
    bound
}

pub(super) fn push_part(bound: &mut Vec<u8>, part: &[u8]) {
    bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
    bound.extend_from_slice(part);
}
