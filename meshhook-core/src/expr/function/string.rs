//! `ends_with join lower replace split starts_with substring trim upper`

use super::{Invocation, Outcome};
use crate::expr::value::Val;

pub(super) fn starts_with<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let (text, prefix) = (call.string(0)?, call.string(1)?);
    Ok(Val::bool(text.starts_with(&*prefix)))
}

pub(super) fn ends_with<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let (text, suffix) = (call.string(0)?, call.string(1)?);
    Ok(Val::bool(text.ends_with(&*suffix)))
}

pub(super) fn lower<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let text = call.string(0)?.to_lowercase();
    call.made(text)
}

pub(super) fn upper<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let text = call.string(0)?.to_uppercase();
    call.made(text)
}

pub(super) fn trim<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let text = call.string(0)?;
    let start = text.len() - text.trim_start().len();
    let end = start + text.trim().len();
    if text.is_owned() {
        call.reserve(end - start)?;
    }
    Ok(text.part(start..end).into())
}

pub(super) fn join<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let (separator, array) = (call.string(0)?, call.array(1)?);
    let mut joined = String::new();
    for (index, item) in array.iter().enumerate() {
        let Some(text) = item.as_str() else {
            return Err(call.wrong_item("every item must be a string", &item));
        };
        let separator = if index == 0 { "" } else { &*separator };
        joined.push_str(separator);
        joined.push_str(text);
        // Piece by piece, so that a bomb stops while it is built.
        call.grow(joined.len(), separator.len() + text.len())?;
    }
    Ok(Val::string(joined))
}

/// Splits at every occurrence; an empty separator splits into characters.
pub(super) fn split<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let (text, separator) = (call.string(0)?, call.string(1)?);
    let mut parts = Vec::new();
    if separator.is_empty() {
        for (start, character) in text.char_indices() {
            call.spend(1)?;
            parts.push(text.part(start..start + character.len_utf8()).into());
        }
    } else {
        let mut start = 0;
        for (end, matched) in text.match_indices(&*separator) {
            call.spend(1)?;
            parts.push(text.part(start..end).into());
            start = end + matched.len();
        }
        parts.push(text.part(start..text.len()).into());
    }
    call.eval.array(parts)
}

/// Replaces all occurrences of a literal text.
pub(super) fn replace<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let (text, from, to) = (call.string(0)?, call.string(1)?, call.string(2)?);
    // Counted first: many short matches and a long replacement could make far more than a result may have.
    let matches = if from.is_empty() { text.chars().count() + 1 } else { text.matches(&*from).count() };
    call.spend(matches)?;
    let len =
        text.len().saturating_sub(matches * from.len()).saturating_add(matches.saturating_mul(to.len()));
    call.reserve(len)?;
    Ok(Val::string(text.replace(&*from, &to)))
}

/// Counts in characters; what lies outside the text is clamped.
pub(super) fn substring<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let (text, start) = (call.string(0)?, call.integer(1)?);
    let end = if call.len() > 2 { call.integer(2)? } else { i64::MAX };
    let start = usize::try_from(start.max(0)).unwrap_or(usize::MAX);
    let end = usize::try_from(end.max(0)).unwrap_or(usize::MAX);
    let place = |count: usize| text.char_indices().nth(count).map_or(text.len(), |(index, _)| index);
    let (from, to) = if start < end { (place(start), place(end)) } else { (0, 0) };
    call.reserve(to - from)?;
    Ok(text.part(from..to).into())
}
