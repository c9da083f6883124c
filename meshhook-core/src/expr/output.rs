//! Turns values into results: JSON values and canonical text, both counted while they are made.

use serde_json::{Map, Value};

use super::budget::Budget;
use super::error::ExprError;
use super::value::Val;
use crate::json;

/// Makes the result, taking its canonical bytes from the budget as it grows.
pub(super) fn materialize(value: &Val<'_>, budget: &mut Budget) -> Result<Value, ExprError> {
    materialize_at(value, budget, budget.max_depth)
}

fn materialize_at(value: &Val<'_>, budget: &mut Budget, depth_left: usize) -> Result<Value, ExprError> {
    match value {
        Val::Array(array) => {
            let inner = inner_depth(depth_left, budget)?;
            // "[]" and the commas.
            budget.emit(1 + array.len().max(1))?;
            let mut items = Vec::with_capacity(array.len());
            for item in array.iter() {
                items.push(materialize_at(&item, budget, inner)?);
            }
            Ok(Value::Array(items))
        }
        Val::Object(object) => {
            let inner = inner_depth(depth_left, budget)?;
            // "{}", the commas and the colons.
            budget.emit(1 + object.len().max(1) + object.len())?;
            let mut members = Map::new();
            for (key, value) in object.members() {
                budget.emit(string_len(&key))?;
                members.insert((*key).to_owned(), materialize_at(&value, budget, inner)?);
            }
            Ok(Value::Object(members))
        }
        scalar => materialize_scalar(scalar, budget),
    }
}

#[inline(never)]
fn materialize_scalar(value: &Val<'_>, budget: &mut Budget) -> Result<Value, ExprError> {
    Ok(match value {
        Val::Bool(value) => {
            budget.emit(if *value { 4 } else { 5 })?;
            Value::Bool(*value)
        }
        Val::Number(number) => {
            let value = Value::Number(number.to_json());
            let len = json::canonical_len_within(&value, budget.result_bytes).unwrap_or(usize::MAX);
            budget.emit(len)?;
            value
        }
        Val::String(text) => {
            budget.emit(string_len(text))?;
            Value::String((**text).to_owned())
        }
        _ => {
            budget.emit(4)?;
            Value::Null
        }
    })
}

fn inner_depth(depth_left: usize, budget: &Budget) -> Result<usize, ExprError> {
    depth_left
        .checked_sub(1)
        .ok_or_else(|| ExprError::budget(0, format!("value nests deeper than {}", budget.max_depth)))
}

/// How many bytes a string takes in canonical text.
fn string_len(text: &str) -> usize {
    2 + text
        .bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0C | b'\r' => 2,
            0..=0x1F => 6,
            _ => 1,
        })
        .sum::<usize>()
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
