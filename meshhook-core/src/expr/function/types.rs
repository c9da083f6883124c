//! `default length not_null to_array to_number to_string type`

use serde_json::Value;

use super::{Invocation, Outcome};
use crate::expr::number::Num;
use crate::expr::output;
use crate::expr::value::{Kind, Val};
use crate::json::{self, JsonLimits};

pub(super) fn type_of<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    Ok(Val::Word(call.value(0)?.type_name()))
}

/// Evaluates the second argument only when it counts.
pub(super) fn default<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let value = call.value(0)?;
    if value.is_null() { call.value(1) } else { Ok(value) }
}

pub(super) fn not_null<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    for index in 0..call.len() {
        let value = call.value(index)?;
        if !value.is_null() {
            return Ok(value);
        }
    }
    Ok(Val::NULL)
}

pub(super) fn length<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let len = match call.kind(0)? {
        Kind::String(text) => {
            call.eval.budget.read(text.len(), call.call.position)?;
            text.chars().count()
        }
        Kind::Array(array) => array.len(),
        Kind::Object(object) => object.len(),
        other => return Err(call.wrong_type(0, "a string, an array or an object", &other)),
    };
    Ok(Val::integer(len))
}

pub(super) fn to_array<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let value = call.value(0)?;
    match value.clone().open() {
        Kind::Array(_) => Ok(value),
        _ => call.eval.array(vec![value]),
    }
}

pub(super) fn to_string<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let value = call.value(0)?;
    if value.as_str().is_some() {
        return Ok(value);
    }
    Ok(Val::string(output::to_text(value, &mut call.eval.budget, call.call.position)?))
}

/// A string must be a number as JSON writes it; everything else that is no number gives null.
pub(super) fn to_number<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    match call.kind(0)? {
        Kind::Number(number) => Ok(Val::number(number)),
        Kind::String(text) => {
            call.eval.budget.read(text.len(), call.call.position)?;
            // Only a number starts and ends with a digit or starts with a sign; JSON also allows white space around.
            let bare = text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
                && text.ends_with(|c: char| c.is_ascii_digit());
            match json::parse(text.as_bytes(), &JsonLimits::default().with_max_depth(0)) {
                Ok(Value::Number(number)) if bare => {
                    Ok(Num::from_json(&number).map_or(Val::NULL, Val::number))
                }
                _ => Ok(Val::NULL),
            }
        }
        _ => Ok(Val::NULL),
    }
}
