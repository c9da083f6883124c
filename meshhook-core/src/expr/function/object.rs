//! `keys merge values`

use super::{Invocation, Outcome};
use crate::expr::value::Val;

pub(super) fn keys<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let keys = call.object(0)?.keys();
    call.eval.array(keys)
}

pub(super) fn values<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let values = call.object(0)?.values();
    call.eval.array(values)
}

/// Later objects win.
pub(super) fn merge<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let mut members = Vec::new();
    for index in 0..call.len() {
        members.extend(call.object(index)?.members());
    }
    call.pay_for_sorting(members.iter().map(|(key, _)| key.len()))?;
    call.eval.checked(Val::object_of(members))
}
