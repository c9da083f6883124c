//! `abs avg ceil floor sum`

use super::{Invocation, Outcome};
use crate::expr::ast::Arithmetic;
use crate::expr::error::ExprError;
use crate::expr::number::Num;
use crate::expr::value::{Array, Val};

pub(super) fn abs<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    Ok(Val::Number(call.number(0)?.abs()))
}

pub(super) fn ceil<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    Ok(Val::Number(call.number(0)?.round_with(f64::ceil)))
}

pub(super) fn floor<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    Ok(Val::Number(call.number(0)?.round_with(f64::floor)))
}

pub(super) fn sum<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let array = call.array(0)?;
    Ok(Val::Number(total(call, &array)?))
}

pub(super) fn avg<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let array = call.array(0)?;
    let total = total(call, &array)?;
    if array.len() == 0 {
        return Ok(Val::Null);
    }
    let count = Num::from_i128(array.len() as i128);
    total.apply(Arithmetic::Divide, count).map(Val::Number).map_err(|message| call.invalid(message))
}

/// Adds from left to right, with the rules of `+`.
fn total(call: &Invocation<'_, '_>, array: &Array<'_>) -> Result<Num, ExprError> {
    let mut total = Num::ZERO;
    for item in array.iter() {
        let Val::Number(number) = item else {
            return Err(call.wrong_item("every item must be a number", &item));
        };
        total = total.apply(Arithmetic::Add, number).map_err(|message| call.invalid(message))?;
    }
    Ok(total)
}
