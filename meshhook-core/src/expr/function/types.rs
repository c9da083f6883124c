//! `default length not_null to_array to_number to_string type`

use serde_json::Value;

use super::{Invocation, Outcome};
use crate::expr::output;
use crate::expr::value::Val;
use crate::json::{self, JsonLimits};

pub(super) fn type_of<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let name = call.value(0)?.type_name();
    Ok(Val::String(crate::expr::value::Text::Borrowed(name)))
}

/// Evaluates the second argument only when it counts.
pub(super) fn default<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    match call.value(0)? {
        Val::Null => call.value(1),
        value => Ok(value),
    }
}

pub(super) fn not_null<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    for index in 0..call.len() {
        let value = call.value(index)?;
        if !value.is_null() {
            return Ok(value);
        }
    }
    Ok(Val::Null)
}

pub(super) fn length<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let len = match call.value(0)? {
        Val::String(text) => {
            call.eval.budget.read(text.len(), call.call.position)?;
            text.chars().count()
        }
        Val::Array(array) => array.len(),
        Val::Object(object) => object.len(),
        other => return Err(call.wrong_type(0, "a string, an array or an object", &other)),
    };
    Ok(Val::integer(len))
}

pub(super) fn to_array<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    match call.value(0)? {
        array @ Val::Array(_) => Ok(array),
        other => call.eval.array(vec![other]),
    }
}

pub(super) fn to_string<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    match call.value(0)? {
        text @ Val::String(_) => Ok(text),
        other => {
            let text = output::to_text(&other, &mut call.eval.budget, call.call.position)?;
            Ok(Val::string(text))
        }
    }
}

/// A string must be a number as JSON writes it; everything else that is no number gives null.
pub(super) fn to_number<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    match call.value(0)? {
        number @ Val::Number(_) => Ok(number),
        Val::String(text) => {
            call.eval.budget.read(text.len(), call.call.position)?;
            // Only a number starts and ends with a digit or starts with a sign; JSON also allows white space around.
            let bare = text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
                && text.ends_with(|c: char| c.is_ascii_digit());
            match json::parse(text.as_bytes(), &JsonLimits::default().with_max_depth(0)) {
                Ok(Value::Number(number)) if bare => {
                    Ok(crate::expr::number::Num::from_json(&number).map_or(Val::Null, Val::Number))
                }
                _ => Ok(Val::Null),
            }
        }
        _ => Ok(Val::Null),
    }
}
