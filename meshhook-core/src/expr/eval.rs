//! Evaluates the compiled form over borrowed data.
//!
//! Each kind of node has its own small function: in a debug build a function's stack frame has room for the locals
//! of all its branches, and [`Evaluator::eval`] is on the stack once per level of nesting.

use serde_json::Value;

use super::ast::{Arithmetic, Chain, Comparison, Let, Node, Project, Projection, Slice, Step, Ternary};
use super::budget::Budget;
use super::compare::equal;
use super::error::{ExprError, ExprErrorKind, Fault};
use super::function::Invocation;
use super::regex::Patterns;
use super::value::{Array, Kind, Object, Text, Val};
use super::view::{Env, View};

pub(super) struct Evaluator<'a> {
    pub(super) root: &'a View<'a>,
    pub(super) env: &'a Env<'a>,
    pub(super) budget: Budget,
    scratch: Option<Box<Scratch<'a>>>,
}

/// What few expressions need, behind one pointer that costs the others nothing.
#[derive(Debug, Default)]
pub(super) struct Scratch<'a> {
    pub(super) patterns: Patterns,
    /// Outermost first.
    variables: Vec<Val<'a>>,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(root: &'a View<'a>, env: &'a Env<'a>, budget: Budget) -> Self {
        Self { root, env, budget, scratch: None }
    }

    #[inline]
    pub(super) fn scratch(&mut self) -> &mut Scratch<'a> {
        self.scratch.get_or_insert_default()
    }

    #[inline]
    pub(super) fn eval(&mut self, node: &'a Node, current: &Val<'a>) -> Result<Val<'a>, Fault> {
        self.budget.spend(1, 0)?;
        match node {
            Node::Field(name) => Ok(current.member(name)),
            Node::Literal(value) => Ok(Val::Json(value)),
            node => self.eval_other(node, current),
        }
    }

    #[inline(never)]
    fn eval_other(&mut self, node: &'a Node, current: &Val<'a>) -> Result<Val<'a>, Fault> {
        match node {
            Node::Field(name) => Ok(current.member(name)),
            Node::Literal(value) => Ok(Val::Json(value)),
            Node::Current => Ok(current.clone()),
            Node::Root => Ok(Val::from_view(self.root)),
            Node::Variable(slot) => Ok(self.scratch().variables[*slot].clone()),
            Node::Secret { name, position } => self.secret(name, *position),
            Node::Chain(chain) => self.chain(chain, current),
            Node::Not(operand) => Ok(Val::bool(!self.eval(operand, current)?.is_truthy())),
            Node::Negate { operand, position } => self.negate(operand, *position, current),
            Node::Ternary(ternary) => self.ternary(ternary, current),
            Node::List(items) => self.list(items, current),
            Node::Hash(members) => self.hash(members, current),
            Node::Call(call) => (call.function.run)(&mut Invocation { eval: self, call, current }),
            Node::Let(binding) => self.let_expression(binding, current),
        }
    }

    fn chain(&mut self, chain: &'a Chain, current: &Val<'a>) -> Result<Val<'a>, Fault> {
        let mut value = self.eval(&chain.head, current)?;
        for step in &chain.steps {
            value = match step {
                Step::Field(name) => value.member(name),
                Step::Index(index) => index_of(&value, *index),
                Step::Project(project) => self.project(value, project)?,
                Step::Pipe(node) => self.eval(node, &value)?,
                Step::And(node) if value.is_truthy() => self.eval(node, current)?,
                Step::Or(node) if !value.is_truthy() => self.eval(node, current)?,
                Step::And(_) | Step::Or(_) => value,
                Step::Compare(comparison, node) => self.compare(value, *comparison, node, current)?,
                Step::Arithmetic { operator, operand, position } => {
                    self.arithmetic(&value, *operator, operand, *position, current)?
                }
            };
            self.budget.spend(1, 0)?;
        }
        Ok(value)
    }

    #[inline(never)]
    fn project(&mut self, value: Val<'a>, project: &'a Project) -> Result<Val<'a>, Fault> {
        let each = project.each.as_ref();
        match (&project.over, value.open()) {
            (Projection::List, Kind::Array(array)) => self.project_items(array.iter(), None, each),
            (Projection::Values, Kind::Object(object)) => self.project_values(&object, each),
            (Projection::Flatten, Kind::Array(array)) => {
                let flat = self.flatten(&array)?;
                self.project_items(flat.into_iter(), None, each)
            }
            (Projection::Filter(predicate), Kind::Array(array)) => {
                self.project_items(array.iter(), Some(predicate), each)
            }
            (Projection::Slice(slice), Kind::Array(array)) => {
                let places = places(*slice, array.len());
                self.project_items(places.filter_map(|index| array.get(index)), None, each)
            }
            _ => Ok(Val::NULL),
        }
    }

    fn project_values(&mut self, object: &Object<'a>, each: Option<&'a Node>) -> Result<Val<'a>, Fault> {
        self.budget.spend(object.len(), 0)?;
        self.project_items(object.values().into_iter(), None, each)
    }

    fn project_items(
        &mut self,
        items: impl Iterator<Item = Val<'a>>,
        predicate: Option<&'a Node>,
        each: Option<&'a Node>,
    ) -> Result<Val<'a>, Fault> {
        let expected = items.size_hint().0;
        let expected = if predicate.is_some() { expected.min(16) } else { expected };
        let mut projected = Vec::with_capacity(expected);
        for item in items {
            self.budget.spend(1, 0)?;
            if let Some(predicate) = predicate
                && !self.eval(predicate, &item)?.is_truthy()
            {
                continue;
            }
            let value = match each {
                Some(node) => self.eval(node, &item)?,
                None => item,
            };
            if !value.is_null() {
                projected.push(value);
            }
        }
        self.array(projected)
    }

    fn flatten(&mut self, array: &Array<'a>) -> Result<Vec<Val<'a>>, Fault> {
        let mut flat = Vec::with_capacity(array.len());
        for item in array.iter() {
            match item {
                Val::Json(Value::Array(inner)) => {
                    self.budget.spend(inner.len(), 0)?;
                    flat.extend(inner.iter().map(Val::Json));
                }
                Val::Array(inner) => {
                    self.budget.spend(inner.items.len(), 0)?;
                    flat.extend(inner.items.iter().cloned());
                }
                other => flat.push(other),
            }
            self.budget.spend(1, 0)?;
        }
        Ok(flat)
    }

    #[inline(never)]
    fn compare(
        &mut self,
        left: Val<'a>,
        comparison: Comparison,
        right: &'a Node,
        current: &Val<'a>,
    ) -> Result<Val<'a>, Fault> {
        let right = self.eval(right, current)?;
        let is = match comparison {
            Comparison::Equal => return Ok(Val::bool(equal(left, right, &mut self.budget)?)),
            Comparison::NotEqual => return Ok(Val::bool(!equal(left, right, &mut self.budget)?)),
            Comparison::Less => std::cmp::Ordering::is_lt,
            Comparison::LessOrEqual => std::cmp::Ordering::is_le,
            Comparison::Greater => std::cmp::Ordering::is_gt,
            Comparison::GreaterOrEqual => std::cmp::Ordering::is_ge,
        };
        // Only numbers have an order.
        Ok(match (left.as_number(), right.as_number()) {
            (Some(left), Some(right)) => Val::bool(is(left.compare(right))),
            _ => Val::NULL,
        })
    }

    #[inline(never)]
    fn arithmetic(
        &mut self,
        left: &Val<'a>,
        operator: Arithmetic,
        right: &'a Node,
        position: usize,
        current: &Val<'a>,
    ) -> Result<Val<'a>, Fault> {
        let right = self.eval(right, current)?;
        match (left.as_number(), right.as_number()) {
            (Some(left), Some(right)) => match left.apply(operator, right) {
                Ok(number) => Ok(Val::number(number)),
                Err(message) => Err(ExprError::new(ExprErrorKind::InvalidValue, position, message).into()),
            },
            (Some(_), None) => Err(not_a_number(&right, position)),
            (None, _) => Err(not_a_number(left, position)),
        }
    }

    fn negate(&mut self, operand: &'a Node, position: usize, current: &Val<'a>) -> Result<Val<'a>, Fault> {
        let value = self.eval(operand, current)?;
        match value.as_number() {
            Some(number) => Ok(Val::number(number.negate())),
            None => Err(not_a_number(&value, position)),
        }
    }

    fn ternary(&mut self, ternary: &'a Ternary, current: &Val<'a>) -> Result<Val<'a>, Fault> {
        for (condition, value) in &ternary.branches {
            if self.eval(condition, current)?.is_truthy() {
                return self.eval(value, current);
            }
        }
        self.eval(&ternary.otherwise, current)
    }

    fn list(&mut self, items: &'a [Node], current: &Val<'a>) -> Result<Val<'a>, Fault> {
        if current.is_null() {
            return Ok(Val::NULL);
        }
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            list.push(self.eval(item, current)?);
        }
        self.array(list)
    }

    fn hash(&mut self, members: &'a [(String, Node)], current: &Val<'a>) -> Result<Val<'a>, Fault> {
        if current.is_null() {
            return Ok(Val::NULL);
        }
        let mut hash = Vec::with_capacity(members.len());
        for (key, node) in members {
            hash.push((Text::Name(key), self.eval(node, current)?));
        }
        self.checked(Val::object(hash))
    }

    fn let_expression(&mut self, binding: &'a Let, current: &Val<'a>) -> Result<Val<'a>, Fault> {
        let outer = self.scratch().variables.len();
        let mut values = Vec::with_capacity(binding.values.len());
        for value in &binding.values {
            values.push(self.eval(value, current)?);
        }
        self.scratch().variables.extend(values);
        let result = self.eval(&binding.body, current);
        self.scratch().variables.truncate(outer);
        result
    }

    fn secret(&mut self, name: &str, position: usize) -> Result<Val<'a>, Fault> {
        let Some(secrets) = self.env.secrets() else {
            return Err(ExprError::new(
                ExprErrorKind::SecretNotAllowed,
                position,
                "secrets are not visible here",
            )
            .into());
        };
        match secrets.resolve(name) {
            Some(value) => Ok(Val::string(value)),
            None => {
                let message = format!("there is no secret {name:?}");
                Err(ExprError::new(ExprErrorKind::SecretNotFound, position, message).into())
            }
        }
    }

    /// Makes an array, unless it would nest too deep.
    #[inline]
    pub(super) fn array(&mut self, items: Vec<Val<'a>>) -> Result<Val<'a>, Fault> {
        self.checked(Val::array(items))
    }

    #[inline]
    pub(super) fn checked(&mut self, value: Val<'a>) -> Result<Val<'a>, Fault> {
        if value.made_depth() > self.budget.max_depth {
            return Err(self.too_deep());
        }
        Ok(value)
    }

    #[cold]
    fn too_deep(&self) -> Fault {
        ExprError::budget(0, format!("value nests deeper than {}", self.budget.max_depth)).into()
    }
}

#[cold]
fn not_a_number(value: &Val<'_>, position: usize) -> Fault {
    let message = format!("operand must be a number, not {}", with_article(value.type_name()));
    ExprError::new(ExprErrorKind::InvalidType, position, message).into()
}

pub(super) fn with_article(type_name: &str) -> String {
    match type_name {
        "null" => "null".to_owned(),
        "array" | "object" => format!("an {type_name}"),
        _ => format!("a {type_name}"),
    }
}

#[inline]
fn index_of<'a>(value: &Val<'a>, index: i64) -> Val<'a> {
    let place = |len: usize| {
        let index = if index < 0 { index.saturating_add_unsigned(len as u64) } else { index };
        usize::try_from(index).ok()
    };
    let item = match value {
        Val::Json(Value::Array(items)) => place(items.len()).and_then(|at| items.get(at)).map(Val::Json),
        Val::Array(made) => place(made.items.len()).and_then(|at| made.items.get(at)).cloned(),
        _ => None,
    };
    item.unwrap_or(Val::NULL)
}

/// The indexes that a slice selects of an array of `len` items.
fn places(slice: Slice, len: usize) -> impl Iterator<Item = usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let forward = slice.step > 0;
    let (low, high) = if forward { (0, len) } else { (-1, len - 1) };
    let clamp = |bound: i64| {
        let bound = if bound < 0 { bound.saturating_add(len) } else { bound };
        bound.clamp(low, high)
    };
    let start = slice.start.map_or(if forward { low } else { high }, clamp);
    let end = slice.end.map_or(if forward { high } else { low }, clamp);
    let mut at = Some(start);
    std::iter::from_fn(move || {
        let index = at.filter(|index| if forward { *index < end } else { *index > end })?;
        at = index.checked_add(slice.step);
        usize::try_from(index).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(start: Option<i64>, end: Option<i64>, step: i64, len: usize) -> Vec<usize> {
        places(Slice { start, end, step }, len).collect()
    }

    #[test]
    fn slices_select_like_python_at_every_extreme() {
        assert_eq!(slice(None, None, 1, 3), [0, 1, 2]);
        assert_eq!(slice(None, None, -1, 3), [2, 1, 0]);
        assert_eq!(slice(Some(-2), None, 1, 3), [1, 2]);
        assert_eq!(slice(Some(5), Some(-9), -2, 3), [2, 0]);
        assert_eq!(slice(Some(-1), None, i64::MAX, 3), [2]);
        assert_eq!(slice(Some(i64::MIN), Some(i64::MAX), i64::MIN + 1, 3), [0; 0]);
        assert_eq!(slice(Some(i64::MAX), Some(i64::MIN), -1, 3), [2, 1, 0]);
        assert_eq!(slice(None, None, -1, 0), [0; 0]);
    }
}
