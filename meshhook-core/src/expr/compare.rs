//! Whether two values are equal, exactly and at a bounded cost.

use super::budget::Budget;
use super::error::Fault;
use super::value::{Kind, Val};

/// Compares two values by what they hold; a number equals a number of the same value, whatever its form.
pub(super) fn equal(a: Val<'_>, b: Val<'_>, budget: &mut Budget) -> Result<bool, Fault> {
    // Pairs still to be compared: no recursion, since borrowed values may nest to any depth.
    let (mut verdict, mut pending) = (compare_shallow(a, b, budget)?, Vec::new());
    loop {
        match verdict {
            Verdict::Different => return Ok(false),
            Verdict::Same => {}
            Verdict::Pairs(pairs) => pending.extend(pairs),
        }
        let Some((a, b)) = pending.pop() else { return Ok(true) };
        verdict = compare_shallow(a, b, budget)?;
    }
}

enum Verdict<'a, 'b> {
    Same,
    Different,
    Pairs(Vec<(Val<'a>, Val<'b>)>),
}

#[inline]
fn compare_shallow<'a, 'b>(a: Val<'a>, b: Val<'b>, budget: &mut Budget) -> Result<Verdict<'a, 'b>, Fault> {
    budget.spend(1, 0)?;
    let same = if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        budget.read(a.len().min(b.len()), 0)?;
        a == b
    } else {
        match (a.open(), b.open()) {
            (Kind::Null, Kind::Null) => true,
            (Kind::Bool(a), Kind::Bool(b)) => a == b,
            (Kind::Number(a), Kind::Number(b)) => a == b,
            (Kind::Array(a), Kind::Array(b)) if a.len() == b.len() => {
                budget.spend(a.len(), 0)?;
                return Ok(Verdict::Pairs(a.iter().zip(b.iter()).collect()));
            }
            (Kind::Object(a), Kind::Object(b)) if a.len() == b.len() => {
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
        }
    };
    Ok(if same { Verdict::Same } else { Verdict::Different })
}
