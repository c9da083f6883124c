//! `keys merge values`

use super::{Invocation, Outcome};
use crate::expr::value::Val;

pub(super) fn keys<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let members = call.object(0)?.members();
    call.eval.array(members.into_iter().map(|(key, _)| key.into()).collect())
}

pub(super) fn values<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let members = call.object(0)?.members();
    call.eval.array(members.into_iter().map(|(_, value)| value).collect())
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
