//! Bodies of the API: received within bounds, and read as what they say they are.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use meshhook_core::definition::{index_path, member_path, parse_yaml};
use meshhook_core::json::{self, JsonLimits};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::problem::Problem;
use crate::room::Held;

/// How large a body may be, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyBounds {
    pub(crate) max_bytes: usize,
    pub(crate) timeout: Duration,
}

impl BodyBounds {
    /// The most memory that is counted for a body.
    pub(crate) fn most_counted(self) -> usize {
        self.max_bytes.saturating_add(self.max_bytes.min(MAX_SPARE))
    }
}

/// What a route reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepts {
    Json,
    JsonOrYaml,
}

/// Receives a body within a size and a time, and within what it may take of the [room](crate::room) for bodies. Nothing
/// is set aside for what a sender merely announces.
pub(crate) async fn receive_body(
    body: Body,
    headers: &HeaderMap,
    bounds: BodyBounds,
    held: &mut Held,
) -> Result<Bytes, Problem> {
    let BodyBounds { max_bytes, timeout } = bounds;
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let mut body = body;
    if let Some(length) = announced.filter(|length| *length > max_bytes as u64) {
        // Who asks first, as with `Expect: 100-continue`, has sent nothing yet.
        if length <= (max_bytes + MAX_DISCARDED) as u64 && !headers.contains_key(header::EXPECT) {
            discard(&mut body).await;
        }
        return Err(Problem::too_large(max_bytes));
    }
    let deadline = Instant::now() + timeout;
    let mut received = Pieces::default();
    loop {
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "invalid_request", "the body took too long").closing()
        })?;
        let frame = match frame {
            None => break,
            Some(Ok(frame)) => frame,
            Some(Err(_)) => {
                return Err(Problem::invalid("body", "the body could not be read to its end").closing());
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        if received.len + data.len() > max_bytes {
            discard(&mut body).await;
            return Err(Problem::too_large(max_bytes));
        }
        if !received.add(data, held) {
            return Err(Problem::unavailable("too many bodies at once; try again later").closing());
        }
    }
    Ok(received.join())
}

/// What has come of a body. A buffer that grew by doubling would take up to twice what came for as long as a sender pleases;
/// pieces take little more, and are put together when the body is whole. What they take is what is counted.
#[derive(Default)]
struct Pieces {
    /// The only piece: most bodies come in one, which needs no copy.
    only: Bytes,
    /// Copies, since a piece as it came keeps the connection's whole buffer alive. All are full but the last.
    copies: Vec<BytesMut>,
    len: usize,
}

impl Pieces {
    /// Adds a piece, unless there is no room for it.
    fn add(&mut self, data: Bytes, held: &mut Held) -> bool {
        self.len += data.len();
        if self.len == data.len() {
            self.only = data;
            return held.take(self.len);
        }
        let only = std::mem::take(&mut self.only);
        // The only piece was counted when it came.
        self.copy(&only, only.len(), held) && self.copy(&data, 0, held)
    }

    fn copy(&mut self, data: &[u8], counted: usize, held: &mut Held) -> bool {
        let spare = self.copies.last_mut().map_or(0, |last| last.capacity() - last.len());
        let (fits, more) = data.split_at(spare.min(data.len()));
        if let Some(last) = self.copies.last_mut() {
            last.extend_from_slice(fits);
        }
        if more.is_empty() {
            return true;
        }
        // No more is set aside than has come.
        let mut copy = BytesMut::with_capacity(more.len().max(self.len.min(MAX_SPARE)));
        copy.extend_from_slice(more);
        let is_room = held.take(copy.capacity() - counted);
        self.copies.push(copy);
        is_room
    }

    fn join(mut self) -> Bytes {
        match self.copies.len() {
            0 => self.only,
            1 => self.copies.remove(0).freeze(),
            _ => {
                let mut whole = BytesMut::with_capacity(self.len);
                self.copies.iter().for_each(|copy| whole.extend_from_slice(copy));
                whole.freeze()
            }
        }
    }
}

/// The largest piece that is begun for what is yet to come.
const MAX_SPARE: usize = 64 << 10;

/// Bytes of a refused body that are still read, and how long that may take.
const MAX_DISCARDED: usize = 8 * 1024 * 1024;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads away what is left of a refused body. Most clients read no answer before they have sent everything: they would
/// see a torn connection and never learn why.
async fn discard(body: &mut Body) {
    let deadline = Instant::now() + DISCARD_TIMEOUT;
    let mut left = MAX_DISCARDED;
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => break,
        }
    }
}

/// A body as JSON or YAML; `None` when it is empty.
pub(crate) fn parse(headers: &HeaderMap, body: &[u8], accepts: Accepts) -> Result<Option<Value>, Problem> {
    if body.is_empty() {
        return Ok(None);
    }
    let unsupported = |found: Option<&HeaderValue>| {
        let types = match accepts {
            Accepts::Json => "application/json",
            Accepts::JsonOrYaml => "application/json or application/yaml",
        };
        let found = found.and_then(|found| found.to_str().ok()).unwrap_or_default();
        let not = if found.is_empty() { String::new() } else { format!(", not {found:.64}") };
        let detail = format!("the body must be {types}, in UTF-8{not}");
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    };
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(unsupported(encoding));
    }
    // The wrapper adds a level to what a definition may have.
    let limits = JsonLimits::default().with_max_depth(MAX_BODY_DEPTH);
    let unsupported = || unsupported(headers.get(header::CONTENT_TYPE));
    let read = match Media::of(headers).ok_or_else(unsupported)? {
        Media::Json => json::parse(body, &limits).map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid_json", error.to_string())
                .with("path", body_path(&error.pointer))
        }),
        Media::Yaml if accepts == Accepts::JsonOrYaml => parse_yaml(body, &limits)
            .map_err(|error| Problem::invalid("body", format!("the body is no YAML document: {error}"))),
        Media::Yaml => Err(unsupported()),
    };
    read.map(Some)
}

/// The path of a JSON pointer (RFC 6901) below the body. A number is taken as an index.
fn body_path(pointer: &str) -> String {
    pointer.split('/').skip(1).fold("body".to_owned(), |path, part| {
        let name = json::pointer_token(part);
        match name.parse() {
            Ok(index) => index_path(&path, index),
            Err(_) => member_path(&path, &name),
        }
    })
}

/// The deepest nesting of a body.
const MAX_BODY_DEPTH: usize = 130;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Json,
    Yaml,
}

impl Media {
    /// `None` when it is neither, or not UTF-8. A body that does not say is taken as JSON.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(header::CONTENT_TYPE).iter();
        let Some(value) = values.next() else { return Some(Media::Json) };
        if values.next().is_some() {
            return None;
        }
        let mut parts = value.to_str().ok()?.split(';');
        let essence = parts.next()?.trim().to_ascii_lowercase();
        for parameter in parts {
            if let Some((name, value)) = parameter.split_once('=')
                && name.trim().eq_ignore_ascii_case("charset")
                && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            {
                return None;
            }
        }
        match essence.as_str() {
            "application/json" => Some(Media::Json),
            "application/yaml" => Some(Media::Yaml),
            essence if essence.starts_with("application/") && essence.ends_with("+json") => Some(Media::Json),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use meshhook_core::id::ProjectId;

    use super::*;
    use crate::room::Room;

    /// What pieces of these sizes come to, and how much of the room is counted for them.
    fn pieces(sizes: &[usize], bytes: usize) -> (Option<Bytes>, usize) {
        let room = Room::new(bytes);
        let mut held = room.hold(&ProjectId::new("default").unwrap(), "in", usize::MAX);
        let mut pieces = Pieces::default();
        let mut next = 0;
        for &size in sizes {
            let data: Bytes = (0..size).map(|at| (next + at) as u8).collect();
            next += size;
            if !pieces.add(data, &mut held) {
                return (None, bytes - room.free());
            }
        }
        let counted = bytes - room.free();
        (Some(pieces.join()), counted)
    }

    #[test]
    fn pieces_are_put_together_in_order_and_take_little_more_than_they_are() {
        let dribbled = vec![1; 3_000];
        let uneven: Vec<usize> = (0..60).map(|n| n * 997 % 40_000).collect();
        for sizes in [&[][..], &[0, 5, 0], &[70_000], &[1, 200_000, 1], &dribbled, &uneven] {
            let (whole, counted) = pieces(sizes, 8 << 20);
            let len: usize = sizes.iter().sum();
            let bounds = BodyBounds { max_bytes: len, timeout: Duration::ZERO };
            let expected: Vec<u8> = (0..len).map(|at| at as u8).collect();
            assert_eq!(whole.unwrap(), expected, "{sizes:?}");
            assert!((len..=bounds.most_counted()).contains(&counted), "{len} {counted}");
        }
    }

    #[test]
    fn a_piece_without_room_is_refused() {
        assert_eq!(pieces(&[600, 500], 1_000).0.map(|whole| whole.len()), None);
        assert_eq!(pieces(&[1_000], 1_000).0.map(|whole| whole.len()), Some(1_000));
        assert_eq!(pieces(&[1_001], 1_000), (None, 0));
    }
}
