//! What goes right.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use meshhook_core::json;
use serde::Serialize;

use crate::problem::Problem;

/// An answer in JSON, its members sorted as everywhere in MeshHook.
pub(crate) fn json_answer(status: StatusCode, body: &impl Serialize) -> Result<Response, Problem> {
    let value = serde_json::to_value(body).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        Problem::internal()
    })?;
    let text = json::to_canonical_string(&value);
    Ok((status, [(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    status.into_response()
}

/// How long something is as JSON.
pub(crate) fn json_bytes(value: &impl Serialize) -> usize {
    /// Counts what is written.
    struct Counted(usize);

    impl std::io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let mut counted = Counted(0);
    // What cannot be written is as long as what could be; answering it says what is wrong.
    let _ = serde_json::to_writer(&mut counted, value);
    counted.0
}
