//! What a request is: a provider's question, or a delivery of somebody who may send, and then whether it is wanted.
//!
//! ```text
//!   size ─► question that nobody signs ─► signature ─► signed question ─► method ─► body ─► filter ─► key
//!    413        answer, or 401               401          answer            405    415, 400  ignored  400
//! ```
//!
//! A handshake is answered after the path check, whatever methods the hook takes: it is no delivery, starts no run and
//! leaves no key. Where the provider signs it, only with its valid signature; without one it goes the way of deliveries. A
//! request by a method that the hook takes for handshakes only, and that is none, is refused for its method and for nothing
//! else.
//!
//! Nothing is done here: whoever takes a request, and whoever [checks](super::delivery) one that came earlier, finds the
//! same.

use super::hearing::Found;
use super::hook::{LiveHook, Read, matched_key};
use super::refusal::{HookRefusal, body_refusal};
use crate::time::Timestamp;
use crate::webhook::{BodyError, HandshakeAnswer, RawRequest, VerifyConfig};

/// What a request is.
#[derive(Debug)]
pub(super) enum Recognized {
    /// A provider's question, with the answer to it.
    Handshake(HandshakeAnswer),
    /// A delivery that the filter does not want; why, in words.
    Unwanted(String),
    /// Another delivery.
    Wanted(Box<Wanted>),
}

/// A delivery that the filter wants.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) read: Read,
    /// What repetitions have in common with it.
    pub(super) key: Option<String>,
}

impl LiveHook {
    /// Finds out what a request is that came at a time, by a scheme with the project's secrets. What is known of its sender
    /// goes to `found`, also where the request is refused for something else.
    pub(super) async fn recognize(
        &self,
        verify: &VerifyConfig,
        request: &RawRequest<'_>,
        at: Timestamp,
        found: &mut Found,
    ) -> Result<Recognized, HookRefusal> {
        let is_taken = self.takes(request.method);
        let max_bytes = self.max_body_bytes();
        if request.body.len() > max_bytes {
            return Err(match is_taken {
                true => body_refusal(&BodyError::TooLarge { max_bytes }),
                false => HookRefusal::MethodNotAllowed,
            });
        }
        if let Some(answer) = self.greet(verify, request).await? {
            return Ok(Recognized::Handshake(answer));
        }
        let verified = match self.verify(verify, request, at).await {
            // Whoever cannot show that it is a handshake has only a method that the hook does not take.
            Err(HookRefusal::Unauthorized(_)) if !is_taken => return Err(HookRefusal::MethodNotAllowed),
            verified => verified?,
        };
        found.key = matched_key(verify, &verified);
        let verified = found.verified.insert(verified);
        if let Some(answer) = self.greet_signed(verify, request, verified).await? {
            return Ok(Recognized::Handshake(answer));
        }
        self.recognize_delivery(request, verified.delivery_id.as_deref())
    }

    /// The same of a request that is no handshake, and whose sender is known or vouched for.
    pub(super) fn recognize_delivery(
        &self,
        request: &RawRequest<'_>,
        delivery_id: Option<&str>,
    ) -> Result<Recognized, HookRefusal> {
        if !self.takes(request.method) {
            return Err(HookRefusal::MethodNotAllowed);
        }
        let read = self.read(request)?;
        if let Err(why) = self.wants(&read) {
            return Ok(Recognized::Unwanted(why));
        }
        let key = self.dedupe_key(&read, delivery_id)?;
        Ok(Recognized::Wanted(Box::new(Wanted { read, key })))
    }

    /// Whether a request is a handshake, should its sender be who may send.
    pub(super) fn asks(&self, request: &RawRequest<'_>) -> bool {
        self.handshakes(&self.trigger().1.verify).any(|rule| rule.is_meant_by(request))
    }
}
