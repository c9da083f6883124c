//! `base64_decode base64_encode parse_json to_json url_encode`

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Invocation, Outcome};
use crate::expr::error::ExprError;
use crate::expr::number::Num;
use crate::expr::output;
use crate::expr::value::{Text, Val};
use crate::json::{self, JsonErrorKind, JsonLimits};

/// Everything but the unreserved characters of RFC 3986, section 2.3.
pub(in crate::expr) const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The standard alphabet, written with padding and read with or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn base64_encode<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let text = call.string(0)?;
    call.reserve(text.len() / 3 * 4 + 4)?;
    Ok(Val::string(BASE64.encode(text.as_bytes())))
}

pub(super) fn base64_decode<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let text = call.string(0)?;
    call.reserve(text.len())?;
    let bytes = BASE64.decode(text.as_bytes()).map_err(|_| call.invalid("argument is not base64"))?;
    let decoded = String::from_utf8(bytes).map_err(|_| call.invalid("decoded bytes are not UTF-8"))?;
    Ok(Val::string(decoded))
}

pub(super) fn url_encode<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let text = call.string(0)?;
    call.reserve(text.len())?;
    call.made(utf8_percent_encode(&text, RESERVED).to_string())
}

pub(super) fn to_json<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let value = call.value(0)?;
    Ok(Val::string(output::to_text(value, &mut call.eval.budget, call.call.position)?))
}

pub(super) fn parse_json<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let text = call.string(0)?;
    let limits = JsonLimits::default().with_max_depth(call.eval.budget.max_depth);
    let value = json::parse(text.as_bytes(), &limits).map_err(|error| match error.kind {
        JsonErrorKind::TooDeep => {
            ExprError::budget(call.call.position, "parse_json: argument nests too deep").into()
        }
        // Not the error's own text, which names members of the document.
        _ => {
            call.invalid(format_args!("argument is not JSON (line {}, column {})", error.line, error.column))
        }
    })?;
    made_of(call, value)
}

/// Takes a parsed value apart into one of our own; its depth is bounded by the parser.
fn made_of<'a>(call: &mut Invocation<'_, 'a>, value: Value) -> Outcome<'a> {
    call.spend(1)?;
    Ok(match value {
        Value::Null => Val::NULL,
        Value::Bool(value) => Val::bool(value),
        Value::Number(number) => Num::from_json(&number).map_or(Val::NULL, Val::number),
        Value::String(text) => Val::string(text),
        Value::Array(items) => {
            let mut made = Vec::with_capacity(items.len());
            for item in items {
                made.push(made_of(call, item)?);
            }
            Val::array(made)
        }
        Value::Object(members) => {
            let mut made = Vec::with_capacity(members.len());
            for (key, item) in members {
                made.push((Text::owned(key), made_of(call, item)?));
            }
            Val::object_of(made)
        }
    })
}
