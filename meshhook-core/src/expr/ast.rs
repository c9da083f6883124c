//! The compiled form of an expression.
//!
//! What is left-associative in the grammar (`a.b.c`, `a || b || c`, `a | b | c`) is one [`Chain`]: a head and the
//! steps applied to its value one after the other. So the depth of the tree, and with it the stack that evaluation
//! needs, is bounded by the nesting of the text and not by its length.

use regex::Regex;
use serde_json::Value;

use super::function::Function;

#[derive(Debug)]
pub(super) enum Node {
    Current,
    Root,
    Literal(Value),
    Field(Box<str>),
    /// Index into the variables bound around this node, outermost first.
    Variable(usize),
    Secret {
        name: Box<str>,
        position: usize,
    },
    Chain(Box<Chain>),
    Not(Box<Node>),
    Negate {
        operand: Box<Node>,
        position: usize,
    },
    Ternary(Box<Ternary>),
    List(Vec<Node>),
    /// Sorted by key, without duplicates.
    Hash(Vec<(String, Node)>),
    Call(Box<Call>),
    Let(Box<Let>),
}

#[derive(Debug)]
pub(super) struct Chain {
    pub(super) head: Node,
    pub(super) steps: Vec<Step>,
}

/// What is done to the value so far.
#[derive(Debug)]
pub(super) enum Step {
    Field(Box<str>),
    Index(i64),
    /// `over`, then `each` on every element; elements that give null are dropped.
    Project(Box<Project>),
    /// Evaluates the node with the value so far as the current one: `a.{…}`, `a.f(@)`, `a | b`.
    Pipe(Node),
    And(Node),
    Or(Node),
    Compare(Comparison, Node),
    Arithmetic {
        operator: Arithmetic,
        operand: Node,
        position: usize,
    },
}

#[derive(Debug)]
pub(super) struct Project {
    pub(super) over: Projection,
    pub(super) each: Option<Node>,
}

#[derive(Debug)]
pub(super) enum Projection {
    List,
    Values,
    Flatten,
    Filter(Node),
    Slice(Slice),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Slice {
    pub(super) start: Option<i64>,
    pub(super) end: Option<i64>,
    /// Never zero.
    pub(super) step: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// `c1 ? v1 : c2 ? v2 : … : otherwise`
#[derive(Debug)]
pub(super) struct Ternary {
    pub(super) branches: Vec<(Node, Node)>,
    pub(super) otherwise: Node,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) function: &'static Function,
    /// As many as the function takes; where it takes `&expression`, the node is what stands behind the `&`.
    pub(super) args: Vec<Node>,
    pub(super) position: usize,
    /// The compiled pattern, when the function takes one and it is literal.
    pub(super) pattern: Option<Regex>,
}

#[derive(Debug)]
pub(super) struct Let {
    pub(super) values: Vec<Node>,
    pub(super) body: Node,
}

impl Node {
    /// Appends a step, extending a chain in place.
    pub(super) fn then(self, step: Step) -> Self {
        match self {
            Node::Chain(mut chain) => {
                chain.steps.push(step);
                Node::Chain(chain)
            }
            head => Node::Chain(Box::new(Chain { head, steps: vec![step] })),
        }
    }
}
