//! `abs avg ceil floor sum`

use super::{Invocation, Outcome};
use crate::expr::ast::Arithmetic;
use crate::expr::error::Fault;
use crate::expr::number::Num;
use crate::expr::value::{Array, Val};

pub(super) fn abs<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    Ok(Val::number(call.number(0)?.abs()))
}

pub(super) fn ceil<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    Ok(Val::number(call.number(0)?.round_with(f64::ceil)))
}

pub(super) fn floor<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    Ok(Val::number(call.number(0)?.round_with(f64::floor)))
}

pub(super) fn sum<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let array = call.array(0)?;
    Ok(Val::number(total(call, &array)?))
}

pub(super) fn avg<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let array = call.array(0)?;
    let total = total(call, &array)?;
    if array.len() == 0 {
        return Ok(Val::NULL);
    }
    let count = Num::from_i128(array.len() as i128);
    total.apply(Arithmetic::Divide, count).map(Val::number).map_err(|message| call.invalid(message))
}

/// Adds from left to right, with the rules of `+`.
fn total(call: &Invocation<'_, '_>, array: &Array<'_>) -> Result<Num, Fault> {
    let mut total = Num::ZERO;
    for item in array.iter() {
        let Some(number) = item.as_number() else {
            return Err(call.wrong_item("every item must be a number", &item));
        };
        total = total.apply(Arithmetic::Add, number).map_err(|message| call.invalid(message))?;
    }
    Ok(total)
}
