//! The functions that take an `&expression`: `group_by map max_by min_by sort_by`

use std::cmp::Ordering;

use super::array::{compare_keys, sort_keys};
use super::{Invocation, Outcome};
use crate::expr::error::Fault;
use crate::expr::output;
use crate::expr::value::{Array, Kind, Text, Val};

/// Unlike a projection, keeps nulls.
pub(super) fn map<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let array = call.array(1)?;
    let values = each(call, 0, &array)?;
    call.eval.array(values)
}

/// Stable: items with equal keys keep their order.
pub(super) fn sort_by<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let (array, keys) = keyed(call)?;
    let mut pairs: Vec<_> = keys.into_iter().zip(array.iter()).collect();
    pairs.sort_by(|(a, _), (b, _)| compare_keys(a, b));
    call.eval.array(pairs.into_iter().map(|(_, item)| item).collect())
}

pub(super) fn max_by<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    extreme_by(call, Ordering::Greater)
}

pub(super) fn min_by<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    extreme_by(call, Ordering::Less)
}

/// An object of arrays, by what the expression gives for each item: a string, or a scalar as its JSON text.
pub(super) fn group_by<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let array = call.array(0)?;
    let keys = each(call, 1, &array)?;
    let mut pairs = Vec::with_capacity(keys.len());
    for (key, item) in keys.into_iter().zip(array.iter()) {
        match key.clone().open() {
            Kind::String(key) => pairs.push((key, item)),
            Kind::Array(_) | Kind::Object(_) => {
                return Err(call.wrong_item("the key of every item must be a scalar", &key));
            }
            _ => {
                let text = output::to_text(key, &mut call.eval.budget, call.call.position)?;
                pairs.push((Text::owned(text), item));
            }
        }
    }
    call.pay_for_sorting(pairs.iter().map(|(key, _)| key.len()))?;
    pairs.sort_by(|(a, _), (b, _)| crate::json::compare_keys(a, b));
    let mut groups = Vec::new();
    let mut pairs = pairs.into_iter().peekable();
    while let Some((key, first)) = pairs.next() {
        let mut group = vec![first];
        while let Some((_, item)) = pairs.next_if(|(next, _)| **next == *key) {
            group.push(item);
        }
        groups.push((key, call.eval.array(group)?));
    }
    call.eval.checked(Val::object(groups))
}

fn extreme_by<'a>(call: &mut Invocation<'_, 'a>, wanted: Ordering) -> Outcome<'a> {
    let (array, keys) = keyed(call)?;
    let mut best: Option<usize> = None;
    for (index, key) in keys.iter().enumerate() {
        if best.is_none_or(|best| compare_keys(key, &keys[best]) == wanted) {
            best = Some(index);
        }
    }
    Ok(best.and_then(|index| array.get(index)).unwrap_or(Val::NULL))
}

/// The array of the first argument and, for each item, the key that the second gives.
fn keyed<'a>(call: &mut Invocation<'_, 'a>) -> Result<(Array<'a>, Vec<Val<'a>>), Fault> {
    let array = call.array(0)?;
    let keys = each(call, 1, &array)?;
    Ok((array, sort_keys(call, keys.into_iter())?))
}

fn each<'a>(call: &mut Invocation<'_, 'a>, index: usize, array: &Array<'a>) -> Result<Vec<Val<'a>>, Fault> {
    let node = call.expression(index);
    let mut values = Vec::with_capacity(array.len());
    for item in array.iter() {
        values.push(call.eval.eval(node, &item)?);
    }
    Ok(values)
}
