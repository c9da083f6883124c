//! Values while an expression is evaluated: borrowed from the input as long as possible, shared when made.
//!
//! A [`Val`] is a handle of two words: a tag and one pointer or number. So it travels in registers, together with the
//! error it could have been, and taking a member of a member copies nothing. Whoever needs to know what a value is
//! opens it: [`Val::open`] gives a [`Kind`], in which JSON, views and made values look alike.

use std::borrow::Cow;
use std::ops::Deref;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::number::Num;
use super::view::{Members, View, ViewKind};
use crate::json::compare_keys;

/// A value that an expression is working on.
#[derive(Debug, Clone)]
pub(super) enum Val<'a> {
    /// Of the input, or a literal.
    Json(&'a Value),
    View(&'a Members<'a>),
    /// A string that is stored as one: a member's key.
    Name(&'a String),
    Word(Word),
    Integer(i64),
    /// Above `i64::MAX`.
    Large(u64),
    Double(Bits),
    String(Rc<MadeText<'a>>),
    Array(Rc<Made<Vec<Val<'a>>>>),
    /// Sorted by key, without duplicates.
    Object(Rc<Made<Vec<(Text<'a>, Val<'a>)>>>),
}

/// A constant text, behind one thin pointer.
pub(super) type Word = &'static &'static str;

/// A double as its bits: a floating-point field would keep all of [`Val`] out of registers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits(u64);

#[derive(Debug, Clone)]
pub(super) enum MadeText<'a> {
    Slice(&'a str),
    Owned(String),
}

/// Items that an expression put together, and how deep what was put together nests: the limit on that keeps
/// everything that recurses on such values (dropping them, to begin with) within the stack.
#[derive(Debug, Clone)]
pub(super) struct Made<T> {
    pub(super) items: T,
    depth: usize,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Kind<'a> {
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
    Name(&'a String),
    Word(Word),
    Made(Rc<MadeText<'a>>),
}

#[derive(Debug, Clone)]
pub(super) enum Array<'a> {
    Borrowed(&'a [Value]),
    Made(Rc<Made<Vec<Val<'a>>>>),
}

#[derive(Debug, Clone)]
pub(super) enum Object<'a> {
    Borrowed(&'a Map<String, Value>),
    View(&'a Members<'a>),
    Made(Rc<Made<Vec<(Text<'a>, Val<'a>)>>>),
}

static NULL: Value = Value::Null;
static TRUE: Value = Value::Bool(true);
static FALSE: Value = Value::Bool(false);

impl<'a> Val<'a> {
    pub(super) const NULL: Val<'static> = Val::Json(&NULL);

    #[inline]
    pub(super) fn from_view(view: &'a View<'a>) -> Self {
        match &view.0 {
            ViewKind::Value(value) => Val::Json(value),
            ViewKind::Object(members) => Val::View(members),
        }
    }

    #[inline]
    pub(super) fn bool(value: bool) -> Self {
        Val::Json(if value { &TRUE } else { &FALSE })
    }

    #[inline]
    pub(super) fn number(number: Num) -> Self {
        match number {
            Num::Integer(integer) => Val::Integer(integer),
            Num::Large(integer) => Val::Large(integer),
            Num::Double(double) => Val::Double(Bits(double.to_bits())),
        }
    }

    pub(super) fn integer(integer: usize) -> Self {
        Val::number(Num::from_i128(integer as i128))
    }

    pub(super) fn string(text: String) -> Self {
        Val::String(Rc::new(MadeText::Owned(text)))
    }

    /// Makes an array; nesting is the caller's to check, see [`Val::made_depth`].
    #[inline]
    pub(super) fn array(items: Vec<Val<'a>>) -> Self {
        let depth = 1 + items.iter().map(Val::made_depth).max().unwrap_or(0);
        Val::Array(Rc::new(Made { items, depth }))
    }

    /// Makes an object of members that are sorted by key and without duplicates.
    #[inline]
    pub(super) fn object(members: Vec<(Text<'a>, Val<'a>)>) -> Self {
        let depth = 1 + members.iter().map(|(_, value)| value.made_depth()).max().unwrap_or(0);
        Val::Object(Rc::new(Made { items: members, depth }))
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
            Val::Array(made) => made.depth,
            Val::Object(made) => made.depth,
            _ => 0,
        }
    }

    #[inline]
    pub(super) fn open(self) -> Kind<'a> {
        match self {
            Val::Json(value) => match value {
                Value::Null => Kind::Null,
                Value::Bool(value) => Kind::Bool(*value),
                // None only for a number past the range of a double, which no parsed document holds.
                Value::Number(number) => Num::from_json(number).map_or(Kind::Null, Kind::Number),
                Value::String(text) => Kind::String(Text::Name(text)),
                Value::Array(items) => Kind::Array(Array::Borrowed(items)),
                Value::Object(members) => Kind::Object(Object::Borrowed(members)),
            },
            Val::View(members) => Kind::Object(Object::View(members)),
            Val::Name(name) => Kind::String(Text::Name(name)),
            Val::Word(word) => Kind::String(Text::Word(word)),
            Val::Integer(integer) => Kind::Number(Num::Integer(integer)),
            Val::Large(integer) => Kind::Number(Num::Large(integer)),
            Val::Double(bits) => Kind::Number(Num::Double(f64::from_bits(bits.0))),
            Val::String(text) => Kind::String(Text::Made(text)),
            Val::Array(made) => Kind::Array(Array::Made(made)),
            Val::Object(made) => Kind::Object(Object::Made(made)),
        }
    }

    /// The number, where it is one.
    #[inline]
    pub(super) fn as_number(&self) -> Option<Num> {
        match self {
            Val::Json(Value::Number(number)) => Num::from_json(number),
            Val::Integer(integer) => Some(Num::Integer(*integer)),
            Val::Large(integer) => Some(Num::Large(*integer)),
            Val::Double(bits) => Some(Num::Double(f64::from_bits(bits.0))),
            _ => None,
        }
    }

    /// The text, where it is a string.
    #[inline]
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Val::Json(Value::String(text)) => Some(text),
            Val::Name(name) => Some(name),
            Val::Word(word) => Some(word),
            Val::String(text) => Some(text),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn is_null(&self) -> bool {
        match self {
            Val::Json(Value::Null) => true,
            Val::Json(Value::Number(number)) => Num::from_json(number).is_none(),
            _ => false,
        }
    }

    /// Truthiness of JMESPath: null, false and everything empty is false, every number is true.
    #[inline]
    pub(super) fn is_truthy(&self) -> bool {
        match self {
            Val::Json(value) => match value {
                Value::Null => false,
                Value::Bool(value) => *value,
                Value::Number(_) => !self.is_null(),
                Value::String(text) => !text.is_empty(),
                Value::Array(items) => !items.is_empty(),
                Value::Object(members) => !members.is_empty(),
            },
            Val::View(members) => !members.is_empty(),
            Val::Name(name) => !name.is_empty(),
            Val::Word(word) => !word.is_empty(),
            Val::Integer(_) | Val::Large(_) | Val::Double(_) => true,
            Val::String(text) => !text.is_empty(),
            Val::Array(made) => !made.items.is_empty(),
            Val::Object(made) => !made.items.is_empty(),
        }
    }

    pub(super) fn type_name(&self) -> Word {
        self.clone().open().type_name()
    }

    /// The member of an object; null for everything else.
    #[inline]
    pub(super) fn member(&self, name: &str) -> Val<'a> {
        match self {
            Val::Json(Value::Object(members)) => members.get(name).map_or(Val::NULL, Val::Json),
            Val::View(members) => member_of_view(members, name).unwrap_or(Val::NULL),
            Val::Object(made) => member_of_made(&made.items, name).unwrap_or(Val::NULL),
            _ => Val::NULL,
        }
    }
}

impl Kind<'_> {
    pub(super) fn type_name(&self) -> Word {
        match self {
            Kind::Null => &"null",
            Kind::Bool(_) => &"boolean",
            Kind::Number(_) => &"number",
            Kind::String(_) => &"string",
            Kind::Array(_) => &"array",
            Kind::Object(_) => &"object",
        }
    }
}

impl Deref for MadeText<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        match self {
            MadeText::Slice(text) => text,
            MadeText::Owned(text) => text,
        }
    }
}

impl<'a> Text<'a> {
    pub(super) fn owned(text: String) -> Self {
        Text::Made(Rc::new(MadeText::Owned(text)))
    }

    pub(super) fn slice(text: &'a str) -> Self {
        Text::Made(Rc::new(MadeText::Slice(text)))
    }

    /// Whether it lies in memory of its own, so that a part of it is a copy.
    pub(super) fn is_owned(&self) -> bool {
        matches!(self, Text::Made(text) if matches!(**text, MadeText::Owned(_)))
    }

    /// Part of this text: borrowed when the text is.
    pub(super) fn part(&self, range: std::ops::Range<usize>) -> Self {
        let slice = match self {
            Text::Name(text) => &text[range],
            Text::Word(text) => &text[range],
            Text::Made(text) => match &**text {
                MadeText::Slice(text) => &text[range],
                MadeText::Owned(text) => return Text::owned(text[range].to_owned()),
            },
        };
        Text::slice(slice)
    }
}

impl Deref for Text<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        match self {
            Text::Name(text) => text,
            Text::Word(text) => text,
            Text::Made(text) => text,
        }
    }
}

impl<'a> From<Text<'a>> for Val<'a> {
    #[inline]
    fn from(text: Text<'a>) -> Self {
        match text {
            Text::Name(name) => Val::Name(name),
            Text::Word(word) => Val::Word(word),
            Text::Made(made) => Val::String(made),
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
            Array::Borrowed(items) => items.get(index).map(Val::Json),
            Array::Made(made) => made.items.get(index).cloned(),
        }
    }

    #[inline]
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Val<'a>> + ExactSizeIterator + '_ {
        (0..self.len()).map(|index| self.get(index).unwrap_or(Val::NULL))
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
            Object::Borrowed(members) => members.get(name).map(Val::Json),
            Object::View(members) => member_of_view(members, name),
            Object::Made(made) => member_of_made(&made.items, name),
        }
    }

    /// The keys, sorted.
    pub(super) fn keys(&self) -> Vec<Val<'a>> {
        match self {
            Object::Borrowed(members) if is_in_order(members) => {
                let mut keys = Vec::with_capacity(members.len());
                for key in members.keys() {
                    keys.push(Val::Name(key));
                }
                keys
            }
            _ => self.members().into_iter().map(|(key, _)| key.into()).collect(),
        }
    }

    /// The values, sorted by key.
    pub(super) fn values(&self) -> Vec<Val<'a>> {
        match self {
            Object::Borrowed(members) if is_in_order(members) => {
                let mut values = Vec::with_capacity(members.len());
                for value in members.values() {
                    values.push(Val::Json(value));
                }
                values
            }
            _ => self.members().into_iter().map(|(_, value)| value).collect(),
        }
    }

    /// The members sorted by key.
    pub(super) fn members(&self) -> Vec<(Text<'a>, Val<'a>)> {
        match self {
            Object::Borrowed(members) => {
                let mut sorted = Vec::with_capacity(members.len());
                for (key, value) in *members {
                    sorted.push((Text::Name(key), Val::Json(value)));
                }
                if !is_in_order(members) {
                    sorted.sort_by(|(a, _), (b, _)| compare_keys(a, b));
                }
                sorted
            }
            Object::View(members) => {
                members.iter().map(|(key, view)| (name_of(key), Val::from_view(view))).collect()
            }
            Object::Made(made) => made.items.clone(),
        }
    }
}

fn name_of<'a>(key: &'a Cow<'a, str>) -> Text<'a> {
    match key {
        Cow::Borrowed(name) => Text::slice(name),
        Cow::Owned(name) => Text::Name(name),
    }
}

/// Whether a map has its members in the order of their keys as it is. One that is a tree has them in the order of their
/// bytes, which is the order wanted as long as all are ASCII; seeing that is cheaper than sorting.
fn is_in_order(members: &Map<String, Value>) -> bool {
    let mut last = "";
    for key in members.keys() {
        if !key.is_ascii() || **key < *last {
            return false;
        }
        last = key;
    }
    true
}

fn member_of_view<'a>(members: &'a Members<'a>, name: &str) -> Option<Val<'a>> {
    let index = members.binary_search_by(|(key, _)| compare_keys(key, name)).ok()?;
    Some(Val::from_view(&members[index].1))
}

fn member_of_made<'a>(members: &[(Text<'a>, Val<'a>)], name: &str) -> Option<Val<'a>> {
    let index = members.binary_search_by(|(key, _)| compare_keys(key, name)).ok()?;
    Some(members[index].1.clone())
}
