//! `regex_match regex_replace`

use regex::{Captures, Regex};

use super::{Invocation, Outcome};
use crate::expr::error::Fault;
use crate::expr::value::Val;

/// Whether the pattern matches anywhere in the text.
pub(super) fn regex_match<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let text = call.string(0)?;
    let pattern = pattern(call)?;
    pay_for_search(call, &pattern, text.len())?;
    Ok(Val::bool(pattern.is_match(&text)))
}

/// Replaces every match; `$1` and `${name}` stand for groups, `$$` for a dollar sign.
pub(super) fn regex_replace<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let text = call.string(0)?;
    let pattern = pattern(call)?;
    let replacement = call.string(2)?;
    pay_for_search(call, &pattern, text.len())?;
    let limit = call.eval.budget.text_bytes;
    let mut replaced = String::new();
    let mut copied = 0;
    for captures in pattern.captures_iter(&text) {
        let matched = captures.get_match();
        // A search may look at all the rest of the text to find a match of one character.
        call.spend(1 + (text.len() - matched.start()) / 512)?;
        replaced.push_str(&text[copied..matched.start()]);
        expand(&replacement, &captures, &mut replaced, limit);
        if replaced.len() > limit {
            break;
        }
        copied = matched.end();
    }
    replaced.push_str(&text[copied..]);
    call.made(replaced)
}

/// The compiled pattern of the second argument.
fn pattern(call: &mut Invocation<'_, '_>) -> Result<Regex, Fault> {
    if let Some(pattern) = &call.call.pattern {
        return Ok(pattern.clone());
    }
    let text = call.string(1)?;
    if let Some(pattern) = call.eval.scratch().patterns.get(&text) {
        return Ok(pattern);
    }
    // Compiling takes up to milliseconds.
    call.spend(COMPILE_STEPS)?;
    call.eval.scratch().patterns.compile(&text).map_err(|message| call.invalid(message))
}

const COMPILE_STEPS: usize = 5_000;

/// A search takes time in proportion to the text and, at worst, to the pattern.
fn pay_for_search(call: &mut Invocation<'_, '_>, pattern: &Regex, text_len: usize) -> Result<(), Fault> {
    call.spend((text_len / 64).saturating_mul(pattern.as_str().len().max(8)))
}

/// Appends the replacement of one match, stopping soon after the text passes the limit.
fn expand(replacement: &str, captures: &Captures<'_>, into: &mut String, limit: usize) {
    let mut rest = replacement;
    while let Some(place) = rest.find('$') {
        into.push_str(&rest[..place]);
        rest = &rest[place + 1..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let mut group = None;
        if digits > 0 {
            group = rest[..digits].parse().ok().and_then(|index: usize| captures.get(index));
            rest = &rest[digits..];
        } else if let Some(after) = rest.strip_prefix('$') {
            into.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            group = name.parse().map_or_else(|_| captures.name(name), |index: usize| captures.get(index));
            rest = after;
        } else {
            into.push('$');
        }
        into.push_str(group.map_or("", |group| group.as_str()));
        if into.len() > limit {
            return;
        }
    }
    into.push_str(rest);
}
