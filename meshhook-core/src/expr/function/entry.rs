//! `from_entries to_entries`

use super::{Invocation, Outcome};
use crate::expr::value::{Kind, Text, Val};

pub(super) fn to_entries<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let members = call.object(0)?.members();
    let entries = members
        .into_iter()
        .map(|(key, value)| {
            Val::object(vec![(Text::Word(&"key"), key.into()), (Text::Word(&"value"), value)])
        })
        .collect();
    call.eval.array(entries)
}

/// Of several entries with the same key the last counts; an entry without a value has null.
pub(super) fn from_entries<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let array = call.array(0)?;
    let mut members = Vec::with_capacity(array.len());
    for entry in array.iter() {
        let Kind::Object(entry) = entry.clone().open() else {
            return Err(call.wrong_item("every entry must be an object", &entry));
        };
        let key = entry.get("key").unwrap_or(Val::NULL);
        match key.clone().open() {
            Kind::String(key) => members.push((key, entry.get("value").unwrap_or(Val::NULL))),
            _ => return Err(call.wrong_item("the key of every entry must be a string", &key)),
        }
    }
    call.pay_for_sorting(members.iter().map(|(key, _)| key.len()))?;
    call.eval.checked(Val::object_of(members))
}
