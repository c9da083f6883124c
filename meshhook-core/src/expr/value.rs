//! Values while an expression is evaluated: borrowed from the input as long as possible, shared when made.

use std::borrow::Cow;
use std::ops::Deref;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::number::Num;
use super::view::{View, ViewKind};
use crate::json::compare_keys;

/// A value that an expression is working on.
#[derive(Debug, Clone)]
pub(super) enum Val<'a> {
    Null,
    Bool(bool),
    Number(Num),
    String(Text<'a>),
    Array(Array<'a>),
    Object(Object<'a>),
}

/// A string.
#[derive(Debug, Clone)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Shared(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Array<'a> {
    Borrowed(&'a [Value]),
    Made(Rc<Made<Vec<Val<'a>>>>),
}

#[derive(Debug, Clone)]
pub(super) enum Object<'a> {
    Borrowed(&'a Map<String, Value>),
    View(&'a [(Cow<'a, str>, View<'a>)]),
    /// Sorted by key, without duplicates.
    Made(Rc<Made<Vec<(Text<'a>, Val<'a>)>>>),
}

/// Items that an expression put together, and how deep what was put together nests: the limit on that keeps
/// everything that recurses on such values (dropping them, to begin with) within the stack.
#[derive(Debug)]
pub(super) struct Made<T> {
    pub(super) items: T,
    depth: usize,
}

impl<'a> Val<'a> {
    #[inline]
    pub(super) fn from_json(value: &'a Value) -> Self {
        match value {
            Value::Null => Val::Null,
            Value::Bool(value) => Val::Bool(*value),
            // None only for a number past the range of a double, which no parsed document holds.
            Value::Number(number) => Num::from_json(number).map_or(Val::Null, Val::Number),
            Value::String(text) => Val::String(Text::Borrowed(text)),
            Value::Array(items) => Val::Array(Array::Borrowed(items)),
            Value::Object(members) => Val::Object(Object::Borrowed(members)),
        }
    }

    #[inline]
    pub(super) fn from_view(view: &'a View<'a>) -> Self {
        match &view.0 {
            ViewKind::Value(value) => Self::from_json(value),
            ViewKind::Object(members) => Val::Object(Object::View(members)),
        }
    }

    pub(super) fn string(text: impl Into<Rc<str>>) -> Self {
        Val::String(Text::Shared(text.into()))
    }

    pub(super) fn integer(integer: usize) -> Self {
        Val::Number(Num::from_i128(integer as i128))
    }

    /// Makes an array; nesting is the caller's to check, see [`Val::made_depth`].
    #[inline]
    pub(super) fn array(items: Vec<Val<'a>>) -> Self {
        let depth = 1 + items.iter().map(Val::made_depth).max().unwrap_or(0);
        Val::Array(Array::Made(Rc::new(Made { items, depth })))
    }

    /// Makes an object of members that are sorted by key and without duplicates.
    #[inline]
    pub(super) fn object(members: Vec<(Text<'a>, Val<'a>)>) -> Self {
        let depth = 1 + members.iter().map(|(_, value)| value.made_depth()).max().unwrap_or(0);
        Val::Object(Object::Made(Rc::new(Made { items: members, depth })))
    }

    /// Makes an object of members in any order; of several with the same key the last counts.
    pub(super) fn object_of(mut members: Vec<(Text<'a>, Val<'a>)>) -> Self {
        members.sort_by(|(a, _), (b, _)| compare_keys(a, b));
        members.dedup_by(|later, earlier| {
            let same = *later.0 == *earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        Self::object(members)
    }

    /// How deep the part of this value nests that expressions put together.
    #[inline]
    pub(super) fn made_depth(&self) -> usize {
        match self {
            Val::Array(Array::Made(made)) => made.depth,
            Val::Object(Object::Made(made)) => made.depth,
            _ => 0,
        }
    }

    #[inline]
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Val::Null)
    }

    /// Truthiness of JMESPath: null, false and everything empty is false, every number is true.
    #[inline]
    pub(super) fn is_truthy(&self) -> bool {
        match self {
            Val::Null => false,
            Val::Bool(value) => *value,
            Val::Number(_) => true,
            Val::String(text) => !text.is_empty(),
            Val::Array(array) => array.len() != 0,
            Val::Object(object) => object.len() != 0,
        }
    }

    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Val::Null => "null",
            Val::Bool(_) => "boolean",
            Val::Number(_) => "number",
            Val::String(_) => "string",
            Val::Array(_) => "array",
            Val::Object(_) => "object",
        }
    }

    /// The member of an object; null for everything else.
    #[inline]
    pub(super) fn member(&self, name: &str) -> Val<'a> {
        match self {
            Val::Object(object) => object.get(name).unwrap_or(Val::Null),
            _ => Val::Null,
        }
    }
}

impl<'a> Array<'a> {
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Array::Borrowed(items) => items.len(),
            Array::Made(made) => made.items.len(),
        }
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Val<'a>> {
        match self {
            Array::Borrowed(items) => items.get(index).map(Val::from_json),
            Array::Made(made) => made.items.get(index).cloned(),
        }
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Val<'a>> + '_ {
        (0..self.len()).map(|index| self.get(index).unwrap_or(Val::Null))
    }
}

impl<'a> Object<'a> {
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Object::Borrowed(members) => members.len(),
            Object::View(members) => members.len(),
            Object::Made(made) => made.items.len(),
        }
    }

    #[inline]
    pub(super) fn get(&self, name: &str) -> Option<Val<'a>> {
        match self {
            Object::Borrowed(members) => members.get(name).map(Val::from_json),
            Object::View(members) => {
                let index = members.binary_search_by(|(key, _)| compare_keys(key, name)).ok()?;
                Some(Val::from_view(&members[index].1))
            }
            Object::Made(made) => {
                let index = made.items.binary_search_by(|(key, _)| compare_keys(key, name)).ok()?;
                Some(made.items[index].1.clone())
            }
        }
    }

    /// The members sorted by key.
    pub(super) fn members(&self) -> Vec<(Text<'a>, Val<'a>)> {
        match self {
            Object::Borrowed(members) => {
                let mut sorted: Vec<_> = members
                    .iter()
                    .map(|(key, value)| (Text::Borrowed(key.as_str()), Val::from_json(value)))
                    .collect();
                sorted.sort_by(|(a, _), (b, _)| compare_keys(a, b));
                sorted
            }
            Object::View(members) => members
                .iter()
                .map(|(key, view)| (Text::Borrowed(key.as_ref()), Val::from_view(view)))
                .collect(),
            Object::Made(made) => made.items.clone(),
        }
    }
}
