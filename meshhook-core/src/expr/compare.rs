//! Whether two values are equal, exactly and at a bounded cost.

use super::budget::Budget;
use super::error::ExprError;
use super::value::Val;

/// Compares two values by what they hold; a number equals a number of the same value, whatever its form.
pub(super) fn equal(a: &Val<'_>, b: &Val<'_>, budget: &mut Budget) -> Result<bool, ExprError> {
    // Pairs still to be compared: no recursion, since borrowed values may nest to any depth.
    let (first, mut pending) = (compare_shallow(a, b, budget)?, Vec::new());
    let mut verdict = first;
    loop {
        match verdict {
            Verdict::Different => return Ok(false),
            Verdict::Same => {}
            Verdict::Pairs(pairs) => pending.extend(pairs),
        }
        let Some((a, b)) = pending.pop() else { return Ok(true) };
        verdict = compare_shallow(&a, &b, budget)?;
    }
}

enum Verdict<'a, 'b> {
    Same,
    Different,
    Pairs(Vec<(Val<'a>, Val<'b>)>),
}

fn compare_shallow<'a, 'b>(
    a: &Val<'a>,
    b: &Val<'b>,
    budget: &mut Budget,
) -> Result<Verdict<'a, 'b>, ExprError> {
    budget.spend(1, 0)?;
    let same = match (a, b) {
        (Val::Null, Val::Null) => true,
        (Val::Bool(a), Val::Bool(b)) => a == b,
        (Val::Number(a), Val::Number(b)) => a == b,
        (Val::String(a), Val::String(b)) => {
            budget.read(a.len().min(b.len()), 0)?;
            **a == **b
        }
        (Val::Array(a), Val::Array(b)) if a.len() == b.len() => {
            budget.spend(a.len(), 0)?;
            return Ok(Verdict::Pairs(a.iter().zip(b.iter()).collect()));
        }
        (Val::Object(a), Val::Object(b)) if a.len() == b.len() => {
            budget.spend(a.len(), 0)?;
            let mut pairs = Vec::with_capacity(a.len());
            for (key, value) in a.members() {
                budget.read(key.len(), 0)?;
                match b.get(&key) {
                    Some(other) => pairs.push((value, other)),
                    None => return Ok(Verdict::Different),
                }
            }
            return Ok(Verdict::Pairs(pairs));
        }
        _ => false,
    };
    Ok(if same { Verdict::Same } else { Verdict::Different })
}
