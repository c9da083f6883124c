//! What is sent to one hop, and what of it may go on to the next.

use bytes::Bytes;
use http::Method;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use meshhook_core::webhook::StandardSigner;
use url::Url;

use crate::redirect::Hop;

/// A request on its way.
pub(crate) struct Message {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// All that is the node's: its headers, auth, `content-type` and the idempotency key.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

impl Message {
    /// The client's form of it, with the headers that every request has.
    pub(crate) fn to_request(&self) -> reqwest::Request {
        let mut request = reqwest::Request::new(self.method.clone(), self.url.clone());
        *request.headers_mut() = self.headers.clone();
        for (name, value) in [(ACCEPT, "*/*"), (ACCEPT_ENCODING, "gzip")] {
            request.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
        }
        if self.body.is_none() && matches!(self.method.as_str(), "POST" | "PUT" | "PATCH") {
            // These methods usually have a body: without this, some servers answer 411.
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        *request.body_mut() = self.body.clone().map(reqwest::Body::from);
        request
    }

    /// What remains of it after a redirect.
    pub(crate) fn redirected(mut self, hop: Hop) -> Self {
        if !hop.same_origin {
            self.headers.clear();
        }
        if !hop.keeps_body {
            self.body = None;
            // So does what signs it.
            for name in BODY_HEADERS.into_iter().chain(StandardSigner::HEADERS) {
                self.headers.remove(name);
            }
        }
        Self { url: hop.url, method: hop.method, ..self }
    }
}

/// Headers that describe a body and go with it.
const BODY_HEADERS: [HeaderName; 4] = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION];
