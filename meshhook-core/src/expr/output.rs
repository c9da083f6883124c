//! Turns values into results: JSON values and canonical text, both counted before they are made.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::budget::Budget;
use super::error::{ExprError, Fault};
use super::number::Num;
use super::value::{MadeText, Object, Text, Val};
use crate::json;

/// Makes the result, taking its canonical bytes from the budget as it grows.
#[inline]
pub(super) fn materialize(value: Val<'_>, budget: &mut Budget) -> Result<Value, Fault> {
    if let Some(made) = scalar(&value, budget) {
        return made;
    }
    let mut made = Value::Null;
    fill_other(&mut made, value, budget, budget.max_depth)?;
    Ok(made)
}

/// Makes part of the result where it belongs: handing a small [`Value`] on costs as much as making it.
#[inline]
fn fill(into: &mut Value, value: Val<'_>, budget: &mut Budget, depth_left: usize) -> Result<(), Fault> {
    if let Some(made) = scalar(&value, budget) {
        *into = made?;
        return Ok(());
    }
    fill_other(into, value, budget, depth_left)
}

/// Makes what results mostly are, where it can be done in registers.
#[inline(always)]
fn scalar(value: &Val<'_>, budget: &mut Budget) -> Option<Result<Value, Fault>> {
    Some(match value {
        Val::Json(Value::String(text)) => borrowed_text(text, budget).map(Value::String),
        Val::Json(Value::Number(number)) => normal_number(Num::from_json(number), budget),
        Val::Json(Value::Bool(value)) => {
            budget.emit(if *value { 4 } else { 5 }).map(|()| Value::Bool(*value))
        }
        Val::Json(Value::Null) => budget.emit(4).map(|()| Value::Null),
        Val::Integer(_) | Val::Large(_) | Val::Double(_) => normal_number(value.as_number(), budget),
        _ => return None,
    })
}

#[inline(never)]
fn fill_other(into: &mut Value, value: Val<'_>, budget: &mut Budget, depth_left: usize) -> Result<(), Fault> {
    match value {
        Val::Name(text) => *into = Value::String(borrowed_text(text, budget)?),
        Val::Word(text) => *into = Value::String(borrowed_text(text, budget)?),
        Val::String(text) => *into = Value::String(made_text(text, budget)?),
        Val::Array(made) => {
            let inner = open_array(made.items.len(), budget, depth_left)?;
            let mut items = vec![Value::Null; made.items.len()];
            // Taken apart, not copied, where nothing else holds it.
            for (into, item) in items.iter_mut().zip(Rc::unwrap_or_clone(made).items) {
                fill(into, item, budget, inner)?;
            }
            *into = Value::Array(items);
        }
        Val::Object(made) => *into = object(Rc::unwrap_or_clone(made).items, budget, depth_left)?,
        Val::View(view) => *into = object(Object::View(view).members(), budget, depth_left)?,
        Val::Json(value) => *into = copy(value, budget, depth_left)?,
        Val::Integer(_) | Val::Large(_) | Val::Double(_) => fill(into, value, budget, depth_left)?,
    }
    Ok(())
}

fn object(members: Vec<(Text<'_>, Val<'_>)>, budget: &mut Budget, depth_left: usize) -> Result<Value, Fault> {
    let inner = open_object(members.len(), budget, depth_left)?;
    let mut object = Map::with_capacity(members.len());
    for (key, value) in members {
        let key = match key {
            Text::Made(text) => made_text(text, budget)?,
            key => borrowed_text(&key, budget)?,
        };
        fill(object.entry(key).or_insert(Value::Null), value, budget, inner)?;
    }
    Ok(Value::Object(object))
}

#[inline]
fn normal_number(number: Option<Num>, budget: &mut Budget) -> Result<Value, Fault> {
    match number {
        Some(number) => {
            budget.emit(number.canonical_len())?;
            Ok(Value::Number(number.to_json()))
        }
        None => {
            budget.emit(4)?;
            Ok(Value::Null)
        }
    }
}

#[inline]
fn borrowed_text(text: &str, budget: &mut Budget) -> Result<String, Fault> {
    budget.emit(string_len(text))?;
    Ok(text.to_owned())
}

fn made_text(text: Rc<MadeText<'_>>, budget: &mut Budget) -> Result<String, Fault> {
    budget.emit(string_len(&text))?;
    Ok(match Rc::unwrap_or_clone(text) {
        MadeText::Slice(text) => text.to_owned(),
        MadeText::Owned(text) => text,
    })
}

/// Copies borrowed JSON, its numbers in normal form. Nearly always they are in it already: then the value is cloned as
/// it is, which is a good deal faster than building it again.
fn copy(value: &Value, budget: &mut Budget, depth_left: usize) -> Result<Value, Fault> {
    let is_normal = measure(value, budget, depth_left)?;
    let mut copy = value.clone();
    if !is_normal {
        normalize(&mut copy);
    }
    Ok(copy)
}

/// Takes the canonical bytes of borrowed JSON from the budget; returns whether its numbers are in normal form.
fn measure(value: &Value, budget: &mut Budget, depth_left: usize) -> Result<bool, Fault> {
    match value {
        Value::Null => budget.emit(4)?,
        Value::Bool(value) => budget.emit(if *value { 4 } else { 5 })?,
        Value::Number(number) => match Num::from_json(number) {
            Some(value) => {
                budget.emit(value.canonical_len())?;
                return Ok(value.to_json() == *number);
            }
            None => {
                budget.emit(4)?;
                return Ok(false);
            }
        },
        Value::String(text) => budget.emit(string_len(text))?,
        Value::Array(items) => {
            let inner = open_array(items.len(), budget, depth_left)?;
            let mut is_normal = true;
            for item in items {
                is_normal &= measure(item, budget, inner)?;
            }
            return Ok(is_normal);
        }
        Value::Object(members) => {
            let inner = open_object(members.len(), budget, depth_left)?;
            let mut is_normal = true;
            for (key, value) in members {
                budget.emit(string_len(key))?;
                is_normal &= measure(value, budget, inner)?;
            }
            return Ok(is_normal);
        }
    }
    Ok(true)
}

/// Brings the numbers of a value that was measured into normal form.
fn normalize(value: &mut Value) {
    match value {
        Value::Number(number) => {
            *value = Num::from_json(number).map_or(Value::Null, |number| Value::Number(number.to_json()));
        }
        Value::Array(items) => items.iter_mut().for_each(normalize),
        Value::Object(members) => members.values_mut().for_each(normalize),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Counts the brackets and commas of an array; returns how deep its items may nest.
fn open_array(len: usize, budget: &mut Budget, depth_left: usize) -> Result<usize, Fault> {
    budget.emit(1 + len.max(1))?;
    inner_depth(depth_left, budget)
}

/// Counts the braces, commas and colons of an object; returns how deep its members may nest.
fn open_object(len: usize, budget: &mut Budget, depth_left: usize) -> Result<usize, Fault> {
    budget.emit(1 + len.max(1) + len)?;
    inner_depth(depth_left, budget)
}

fn inner_depth(depth_left: usize, budget: &Budget) -> Result<usize, Fault> {
    depth_left
        .checked_sub(1)
        .ok_or_else(|| ExprError::budget(0, format!("value nests deeper than {}", budget.max_depth)).into())
}

/// How many bytes a string takes in canonical text.
#[inline]
fn string_len(text: &str) -> usize {
    text.len() + 2 + if needs_escapes(text.as_bytes()) { escapes_len(text) } else { 0 }
}

/// Looks at many bytes at once: at vectors of them in long texts, at words in short ones and at what is left.
#[inline]
fn needs_escapes(bytes: &[u8]) -> bool {
    let is_escaped = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    let (vectors, rest) = bytes.as_chunks::<32>();
    let (words, rest) = rest.as_chunks::<8>();
    // None of these ends early, so that none of them branches.
    vectors.as_flattened().iter().fold(false, |any, byte| any | is_escaped(*byte))
        | words.iter().fold(false, |any, word| any | word_needs_escapes(u64::from_le_bytes(*word)))
        | rest.iter().fold(false, |any, byte| any | is_escaped(*byte))
}

/// Whether one of eight bytes is to be escaped.
#[inline]
fn word_needs_escapes(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xFF;
    // Has the highest bit of some byte set if and only if one of the bytes is zero.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let controls = zeros(word & (ONES * 0xE0));
    (controls | zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')))) != 0
}

/// How many bytes the escapes add: one for what has a short escape, five for other control characters.
fn escapes_len(text: &str) -> usize {
    let added = |byte| match byte {
        b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0C | b'\r' => 1,
        0x00..0x20 => 5,
        _ => 0,
    };
    text.bytes().map(added).sum()
}

/// Writes the canonical text of a value, which must not be longer than a result may be.
pub(super) fn to_text(value: Val<'_>, budget: &mut Budget, position: usize) -> Result<String, Fault> {
    let mut copy = budget.clone();
    copy.result_bytes = budget.text_bytes;
    let made = materialize(value, &mut copy).map_err(|mut error| {
        error.position = position;
        error
    })?;
    let text = json::to_canonical_string(&made);
    budget.make(text.len(), position)?;
    Ok(text)
}

/// Appends a value where text is put together: strings as they are, null as nothing, others as canonical JSON.
pub(super) fn insert(value: Val<'_>, budget: &mut Budget, into: &mut String) -> Result<(), Fault> {
    if let Some(text) = value.as_str() {
        budget.emit(text.len())?;
        into.push_str(text);
    } else if !value.is_null() {
        let made = materialize(value, budget)?;
        json::write_canonical(&made, into);
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
            for value in [Val::Json(&value), Val::array(vec![Val::Json(&value)])] {
                if matches!(value, Val::Array(_)) {
                    limits.max_result_bytes += 2;
                }
                let mut budget = Budget::new(&limits);
                materialize(value, &mut budget).unwrap();
                assert_eq!(budget.result_bytes, 0);
            }
        }
    }
}
