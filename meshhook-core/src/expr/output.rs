//! Turns values into results: JSON values and canonical text, both counted while they are made.

use serde_json::{Map, Value};

use super::budget::Budget;
use super::error::ExprError;
use super::number::Num;
use super::value::{Array, Object, Val};
use crate::json;

/// Makes the result, taking its canonical bytes from the budget as it grows.
pub(super) fn materialize(value: &Val<'_>, budget: &mut Budget) -> Result<Value, ExprError> {
    materialize_at(value, budget, budget.max_depth)
}

fn materialize_at(value: &Val<'_>, budget: &mut Budget, depth_left: usize) -> Result<Value, ExprError> {
    match value {
        Val::Null => null(budget),
        Val::Bool(value) => boolean(*value, budget),
        Val::Number(value) => number(*value, budget),
        Val::String(text) => Ok(Value::String(string(text, budget)?)),
        Val::Array(Array::Borrowed(items)) => copy_array(items, budget, depth_left),
        Val::Object(Object::Borrowed(members)) => copy_object(members, budget, depth_left),
        Val::Array(array) => {
            let inner = open_array(array.len(), budget, depth_left)?;
            array
                .iter()
                .map(|item| materialize_at(&item, budget, inner))
                .collect::<Result<_, _>>()
                .map(Value::Array)
        }
        Val::Object(object) => {
            let inner = open_object(object.len(), budget, depth_left)?;
            let members = object.members();
            let members = members
                .iter()
                .map(|(key, value)| Ok((string(key, budget)?, materialize_at(value, budget, inner)?)));
            members.collect::<Result<_, _>>().map(Value::Object)
        }
    }
}

/// Copies borrowed JSON, its numbers in normal form.
fn copy(value: &Value, budget: &mut Budget, depth_left: usize) -> Result<Value, ExprError> {
    match value {
        Value::Null => null(budget),
        Value::Bool(value) => boolean(*value, budget),
        Value::Number(value) => match Num::from_json(value) {
            Some(value) => number(value, budget),
            None => null(budget),
        },
        Value::String(text) => Ok(Value::String(string(text, budget)?)),
        Value::Array(items) => copy_array(items, budget, depth_left),
        Value::Object(members) => copy_object(members, budget, depth_left),
    }
}

fn copy_array(items: &[Value], budget: &mut Budget, depth_left: usize) -> Result<Value, ExprError> {
    let inner = open_array(items.len(), budget, depth_left)?;
    items.iter().map(|item| copy(item, budget, inner)).collect::<Result<_, _>>().map(Value::Array)
}

fn copy_object(
    members: &Map<String, Value>,
    budget: &mut Budget,
    depth_left: usize,
) -> Result<Value, ExprError> {
    let inner = open_object(members.len(), budget, depth_left)?;
    let members = members.iter().map(|(key, value)| Ok((string(key, budget)?, copy(value, budget, inner)?)));
    members.collect::<Result<_, _>>().map(Value::Object)
}

fn null(budget: &mut Budget) -> Result<Value, ExprError> {
    budget.emit(4)?;
    Ok(Value::Null)
}

fn boolean(value: bool, budget: &mut Budget) -> Result<Value, ExprError> {
    budget.emit(if value { 4 } else { 5 })?;
    Ok(Value::Bool(value))
}

fn number(value: Num, budget: &mut Budget) -> Result<Value, ExprError> {
    budget.emit(value.canonical_len())?;
    Ok(Value::Number(value.to_json()))
}

fn string(text: &str, budget: &mut Budget) -> Result<String, ExprError> {
    budget.emit(string_len(text))?;
    Ok(text.to_owned())
}

/// Counts the brackets and commas of an array; returns how deep its items may nest.
fn open_array(len: usize, budget: &mut Budget, depth_left: usize) -> Result<usize, ExprError> {
    budget.emit(1 + len.max(1))?;
    inner_depth(depth_left, budget)
}

/// Counts the braces, commas and colons of an object; returns how deep its members may nest.
fn open_object(len: usize, budget: &mut Budget, depth_left: usize) -> Result<usize, ExprError> {
    budget.emit(1 + len.max(1) + len)?;
    inner_depth(depth_left, budget)
}

fn inner_depth(depth_left: usize, budget: &Budget) -> Result<usize, ExprError> {
    depth_left
        .checked_sub(1)
        .ok_or_else(|| ExprError::budget(0, format!("value nests deeper than {}", budget.max_depth)))
}

/// How many bytes a string takes in canonical text.
fn string_len(text: &str) -> usize {
    let escaped = text.bytes().filter(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\').count();
    if escaped == 0 {
        return text.len() + 2;
    }
    // Two bytes for what has a short escape, six for other control characters.
    let short = |byte: &u8| matches!(byte, b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0C | b'\r');
    let long = escaped - text.bytes().filter(short).count();
    text.len() + 2 + escaped + long * 4
}

/// Writes the canonical text of a value, which must not be longer than a result may be.
pub(super) fn to_text(value: &Val<'_>, budget: &mut Budget, position: usize) -> Result<String, ExprError> {
    let mut copy = budget.clone();
    copy.result_bytes = budget.text_bytes;
    let made = materialize(value, &mut copy);
    let made = made.map_err(|error| ExprError { position, ..error })?;
    let text = json::to_canonical_string(&made);
    budget.make(text.len(), position)?;
    Ok(text)
}

/// Appends a value where text is put together: strings as they are, null as nothing, others as canonical JSON.
pub(super) fn insert(value: &Val<'_>, budget: &mut Budget, into: &mut String) -> Result<(), ExprError> {
    match value {
        Val::Null => {}
        Val::String(text) => {
            budget.emit(text.len())?;
            into.push_str(text);
        }
        other => {
            let made = materialize(other, budget)?;
            json::write_canonical(&made, into);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::expr::ExprLimits;

    #[test]
    fn the_bytes_taken_are_those_of_the_canonical_text() {
        for value in [
            json!(null),
            json!([true, false, null, [], {}, [[]], [1, 2]]),
            json!({"a": 1, "b": {"c": [], "d": "x\n\u{1}\"\\é\u{7f}"}, "\t": 0}),
            json!([0, -1, 10, 99, 100, u64::MAX, i64::MIN, 1.5, -1e300, 5e-324, 1e21, 0.1, 1.0, -0.0, 1e20]),
        ] {
            let max_result_bytes = json::to_canonical_string(&value).len();
            let mut limits = ExprLimits { max_result_bytes, ..ExprLimits::default() };
            for value in [Val::from_json(&value), Val::array(vec![Val::from_json(&value)])] {
                if matches!(value, Val::Array(Array::Made(_))) {
                    limits.max_result_bytes += 2;
                }
                let mut budget = Budget::new(&limits);
                materialize(&value, &mut budget).unwrap();
                assert_eq!(budget.result_bytes, 0);
            }
        }
    }
}
