//! Reading response bodies: chunk by chunk, decoded, never past a cap.
//!
//! The client decodes nothing by itself: a gzip body of half a megabyte can hold half a gigabyte. Here decoded bytes
//! are counted as they come out, so a bomb costs no more memory than an honest body of the cap's size.

use std::io::Write;

use flate2::write::MultiGzDecoder;
use http::header::{CONTENT_ENCODING, HeaderMap};

/// What stands between the wire and the body's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    /// One that was not asked for; the bytes are taken as they are.
    Other,
}

impl Encoding {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut found = Encoding::Identity;
        for value in headers.get_all(CONTENT_ENCODING) {
            for token in value.to_str().unwrap_or("?").split(',').map(str::trim) {
                let next = match token.to_ascii_lowercase().as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Encoding::Gzip,
                    _ => Encoding::Other,
                };
                found = if found == Encoding::Identity { next } else { Encoding::Other };
            }
        }
        found
    }
}

/// Why there is no body.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// More than the cap.
    TooLarge,
    /// Not the gzip that was announced.
    Malformed,
    /// The connection broke first.
    Broken(reqwest::Error),
}

/// Reads a body to its end.
pub(crate) async fn read(response: &mut reqwest::Response, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
    let encoding = Encoding::of(response.headers());
    let announced = response.content_length().unwrap_or(0);
    if encoding != Encoding::Gzip && announced > max_bytes as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut collector = Collector::new(encoding, max_bytes);
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Broken)? {
        collector.push(&chunk)?;
    }
    collector.finish()
}

/// Reads into `start` what comes of a body until its end, the cap or a failure.
pub(crate) async fn read_start(response: &mut reqwest::Response, collector: &mut Collector) {
    while let Ok(Some(chunk)) = response.chunk().await {
        if collector.push(&chunk).is_err() {
            return;
        }
    }
}

/// Decodes and keeps at most a cap's worth of bytes.
pub(crate) struct Collector {
    decoder: Decoder,
    /// How many more bytes of the wire are taken. Encoded data that decodes to nothing must end, too.
    wire_left: usize,
    /// Whether there was anything on the wire.
    has_begun: bool,
}

enum Decoder {
    Plain(Capped),
    // Boxed for its window.
    Gzip(Box<MultiGzDecoder<Capped>>),
}

impl Collector {
    pub(crate) fn new(encoding: Encoding, max_bytes: usize) -> Self {
        let sink = Capped { bytes: Vec::new(), max_bytes, overflowed: false };
        let decoder = match encoding {
            Encoding::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(sink))),
            Encoding::Identity | Encoding::Other => Decoder::Plain(sink),
        };
        Self { decoder, wire_left: max_bytes.saturating_add(64 * 1024), has_begun: false }
    }

    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), BodyError> {
        let Some(left) = self.wire_left.checked_sub(chunk.len()) else { return Err(BodyError::TooLarge) };
        self.wire_left = left;
        self.has_begun |= !chunk.is_empty();
        let written = match &mut self.decoder {
            Decoder::Plain(sink) => sink.write_all(chunk),
            Decoder::Gzip(decoder) => decoder.write_all(chunk),
        };
        written.map_err(|_| self.reason())
    }

    fn finish(mut self) -> Result<Vec<u8>, BodyError> {
        if let Decoder::Gzip(decoder) = &mut self.decoder {
            // An answer without a body may still name an encoding.
            if self.has_begun && decoder.try_finish().is_err() {
                return Err(self.reason());
            }
        }
        Ok(self.into_bytes())
    }

    /// What was decoded so far.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(&mut self.sink().bytes)
    }

    fn reason(&mut self) -> BodyError {
        if self.sink().overflowed { BodyError::TooLarge } else { BodyError::Malformed }
    }

    fn sink(&mut self) -> &mut Capped {
        match &mut self.decoder {
            Decoder::Plain(sink) => sink,
            Decoder::Gzip(decoder) => decoder.get_mut(),
        }
    }
}

/// Takes bytes up to a cap and then fails.
struct Capped {
    bytes: Vec<u8>,
    max_bytes: usize,
    overflowed: bool,
}

impl Write for Capped {
    fn write(&mut self, chunk: &[u8]) -> std::io::Result<usize> {
        let room = self.max_bytes - self.bytes.len();
        self.bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            self.overflowed = true;
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        Ok(chunk.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn collect(encoding: Encoding, max_bytes: usize, wire: &[u8]) -> Result<Vec<u8>, BodyError> {
        let mut collector = Collector::new(encoding, max_bytes);
        for chunk in wire.chunks(1_000) {
            collector.push(chunk)?;
        }
        collector.finish()
    }

    #[test]
    fn a_body_of_the_cap_passes_and_one_byte_more_does_not() {
        for encoding in [Encoding::Identity, Encoding::Gzip] {
            let wire = |len: usize| match encoding {
                Encoding::Gzip => gzip(&vec![b'a'; len]),
                _ => vec![b'a'; len],
            };
            assert_eq!(collect(encoding, 5_000, &wire(5_000)).unwrap().len(), 5_000);
            assert!(matches!(collect(encoding, 5_000, &wire(5_001)), Err(BodyError::TooLarge)));
            assert!(collect(encoding, 0, &wire(0)).unwrap().is_empty());
        }
    }

    #[test]
    fn a_bomb_stops_at_the_cap() {
        let bomb = gzip(&vec![0; 16 * 1024 * 1024]);
        let mut collector = Collector::new(Encoding::Gzip, 1_024);
        assert!(matches!(collector.push(&bomb[..10_000]), Err(BodyError::TooLarge)));
        assert_eq!(collector.into_bytes().len(), 1_024);
    }

    #[test]
    fn gzip_members_follow_each_other() {
        let wire = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(collect(Encoding::Gzip, 100, &wire).unwrap(), b"one two");
    }

    #[test]
    fn members_without_content_end_at_the_wire_cap() {
        let wire = gzip(b"").repeat(10_000);
        assert!(matches!(collect(Encoding::Gzip, 100, &wire), Err(BodyError::TooLarge)));
    }

    #[test]
    fn broken_gzip_is_malformed() {
        let whole = gzip(b"some text that is long enough");
        for wire in [&b"plain"[..], &whole[..whole.len() - 1], &whole[..12], &[&whole[..], b"junk"].concat()]
        {
            assert!(matches!(collect(Encoding::Gzip, 100, wire), Err(BodyError::Malformed)), "{wire:?}");
        }
        assert!(collect(Encoding::Gzip, 100, b"").unwrap().is_empty());
    }

    #[test]
    fn encodings_are_told_apart() {
        for (values, expected) in [
            (&[][..], Encoding::Identity),
            (&["identity"], Encoding::Identity),
            (&["gzip"], Encoding::Gzip),
            (&["X-GZIP"], Encoding::Gzip),
            (&["identity, gzip"], Encoding::Gzip),
            (&["gzip, gzip"], Encoding::Other),
            (&["gzip", "gzip"], Encoding::Other),
            (&["br"], Encoding::Other),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(Encoding::of(&headers), expected, "{values:?}");
        }
    }
}
