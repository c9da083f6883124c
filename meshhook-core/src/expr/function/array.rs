//! `contains flatten_deep max min range reverse sort unique zip`

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::{Invocation, Outcome};
use crate::expr::compare::equal;
use crate::expr::error::Fault;
use crate::expr::output;
use crate::expr::value::{Array, Kind, Val};

/// Whether an array holds a value, or a string another.
pub(super) fn contains<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let (subject, search) = (call.kind(0)?, call.value(1)?);
    match subject {
        Kind::Array(array) => {
            for item in array.iter() {
                if equal(item, search.clone(), &mut call.eval.budget)? {
                    return Ok(Val::bool(true));
                }
            }
            Ok(Val::bool(false))
        }
        Kind::String(text) => {
            call.eval.budget.read(text.len(), call.call.position)?;
            Ok(Val::bool(search.as_str().is_some_and(|part| text.contains(part))))
        }
        other => Err(call.wrong_type(0, "an array or a string", &other)),
    }
}

pub(super) fn reverse<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    match call.kind(0)? {
        Kind::Array(array) => {
            call.spend(array.len())?;
            call.eval.array(array.iter().rev().collect())
        }
        Kind::String(text) => call.made(text.chars().rev().collect()),
        other => Err(call.wrong_type(0, "an array or a string", &other)),
    }
}

pub(super) fn max<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    extreme(call, Ordering::Greater)
}

pub(super) fn min<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    extreme(call, Ordering::Less)
}

/// The first of the items that no other is `wanted` than.
fn extreme<'a>(call: &mut Invocation<'_, 'a>, wanted: Ordering) -> Outcome<'a> {
    let array = call.array(0)?;
    let keys = sort_keys(call, array.iter())?;
    let mut best: Option<(&Val<'a>, Val<'a>)> = None;
    for (key, item) in keys.iter().zip(array.iter()) {
        if best.as_ref().is_none_or(|(best, _)| compare_keys(key, best) == wanted) {
            best = Some((key, item));
        }
    }
    Ok(best.map_or(Val::NULL, |(_, item)| item))
}

pub(super) fn sort<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let array = call.array(0)?;
    let mut items = sort_keys(call, array.iter())?;
    items.sort_by(compare_keys);
    call.eval.array(items)
}

/// Checks that values can be ordered among each other: all numbers or all strings. Pays for comparing them.
pub(super) fn sort_keys<'a>(
    call: &mut Invocation<'_, 'a>,
    keys: impl Iterator<Item = Val<'a>>,
) -> Result<Vec<Val<'a>>, Fault> {
    let keys: Vec<_> = keys.collect();
    let all_strings = keys.first().is_some_and(|key| key.as_str().is_some());
    for key in &keys {
        let (is_string, is_number) = (key.as_str().is_some(), key.as_number().is_some());
        if !is_string && !is_number {
            return Err(call.wrong_item("what is ordered must be numbers or strings", key));
        }
        if is_string != all_strings {
            return Err(call.wrong_item("what is ordered must be all numbers or all strings, and found", key));
        }
    }
    call.pay_for_sorting(keys.iter().map(|key| key.as_str().map_or(0, str::len)))?;
    Ok(keys)
}

/// Compares what [`sort_keys`] let through: numbers by value, strings by code points.
pub(super) fn compare_keys(a: &Val<'_>, b: &Val<'_>) -> Ordering {
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        return a.cmp(b);
    }
    match (a.as_number(), b.as_number()) {
        (Some(a), Some(b)) => a.compare(b),
        _ => Ordering::Equal,
    }
}

/// Keeps the first of equal items.
pub(super) fn unique<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let array = call.array(0)?;
    let mut seen = BTreeSet::new();
    let mut kept = Vec::new();
    for item in array.iter() {
        // Equal values, and only they, have the same canonical text.
        if seen.insert(output::to_text(item.clone(), &mut call.eval.budget, call.call.position)?) {
            kept.push(item);
        }
    }
    call.eval.array(kept)
}

pub(super) fn flatten_deep<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let array = call.array(0)?;
    let mut flat = Vec::new();
    let mut open: Vec<(Array<'a>, usize)> = vec![(array, 0)];
    while let Some((array, index)) = open.last_mut() {
        let item = array.get(*index);
        *index += 1;
        call.spend(1)?;
        let Some(item) = item else {
            open.pop();
            continue;
        };
        match item.clone().open() {
            Kind::Array(inner) => open.push((inner, 0)),
            _ => flat.push(item),
        }
    }
    call.eval.array(flat)
}

/// Arrays of the first items, the second items and so on, as long as every array has one.
pub(super) fn zip<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let mut arrays = Vec::with_capacity(call.len());
    for index in 0..call.len() {
        arrays.push(call.array(index)?);
    }
    let shortest = arrays.iter().map(Array::len).min().unwrap_or(0);
    call.spend(shortest.saturating_mul(arrays.len()))?;
    let mut rows = Vec::with_capacity(shortest);
    for place in 0..shortest {
        let row = arrays.iter().filter_map(|array| array.get(place)).collect();
        rows.push(call.eval.array(row)?);
    }
    call.eval.array(rows)
}

/// `range(end)`, `range(start, end)`, `range(start, end, step)`
pub(super) fn range<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let first = call.integer(0)?;
    let (start, end) = if call.len() > 1 { (first, call.integer(1)?) } else { (0, first) };
    let step = if call.len() > 2 { call.integer(2)? } else { 1 };
    if step == 0 {
        return Err(call.invalid("step must not be 0"));
    }
    let mut numbers = Vec::new();
    let mut at = Some(start);
    while let Some(number) = at.filter(|at| if step > 0 { *at < end } else { *at > end }) {
        call.spend(1)?;
        numbers.push(Val::Integer(number));
        at = number.checked_add(step);
    }
    call.eval.array(numbers)
}
