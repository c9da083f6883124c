//! Graphs: nodes, edges, and the order in which they can run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use crate::id::NodeId;
use crate::node::NodeKind;
use crate::policy::EffectPolicy;

/// A node's place in its graph's list of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(usize);

impl NodeIndex {
    /// Makes the index of the node at `place`, counted from 0 in the order of the document.
    #[must_use]
    pub fn new(place: usize) -> Self {
        Self(place)
    }

    /// The place, counted from 0.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

/// One node of a graph.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Node {
    /// The id, unique in the graph.
    pub id: NodeId,
    /// What people call it.
    pub name: Option<String>,
    /// When it is ready.
    pub join: Join,
    /// What it does.
    pub kind: NodeKind,
    /// Retries and time limits, on side-effect nodes only.
    pub policy: Option<EffectPolicy>,
}

/// When a node with several incoming edges is ready. Exhaustive: the definition format names exactly these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Join {
    /// When all incoming edges are resolved and at least one is taken.
    #[default]
    All,
    /// At the first taken edge, once.
    Any,
}

/// One edge; its port is always resolved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Edge {
    /// The node that it leaves.
    pub from: NodeIndex,
    /// The node that it enters.
    pub to: NodeIndex,
    /// The port of `from` by which it leaves.
    pub port: Arc<str>,
}

/// An acyclic graph of at least one node.
#[derive(Debug, Clone)]
pub struct Graph {
    nodes: Vec<Node>,
    by_id: BTreeMap<NodeId, NodeIndex>,
    incoming: Vec<Vec<Edge>>,
    outgoing: Vec<Vec<Edge>>,
    starts: Vec<NodeIndex>,
    order: Vec<NodeIndex>,
}

impl Graph {
    /// Puts checked parts together: unique ids, edges between existing nodes, no cycle, no edge twice.
    pub(crate) fn new(nodes: Vec<Node>, edges: &[Edge]) -> Self {
        let mut incoming = vec![Vec::new(); nodes.len()];
        let mut outgoing = vec![Vec::new(); nodes.len()];
        for edge in edges {
            incoming[edge.to.0].push(edge.clone());
            outgoing[edge.from.0].push(edge.clone());
        }
        let starts = (0..nodes.len()).filter(|place| incoming[*place].is_empty()).map(NodeIndex).collect();
        let pairs: Vec<_> = edges.iter().map(|edge| (edge.from.0, edge.to.0)).collect();
        let order = topological_order(nodes.len(), &pairs).into_iter().map(NodeIndex).collect();
        let by_id =
            nodes.iter().enumerate().map(|(place, node)| (node.id.clone(), NodeIndex(place))).collect();
        Self { nodes, by_id, incoming, outgoing, starts, order }
    }

    /// The nodes in the order of the document.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node at an index of this graph.
    ///
    /// # Panics
    ///
    /// When the index is of another, larger graph.
    #[must_use]
    pub fn node(&self, index: NodeIndex) -> &Node {
        &self.nodes[index.0]
    }

    /// The index of the node with this id.
    #[must_use]
    pub fn index_of(&self, id: &str) -> Option<NodeIndex> {
        self.by_id.get(id).copied()
    }

    /// The edges that enter a node, in the order of the document.
    ///
    /// # Panics
    ///
    /// When the index is of another, larger graph.
    #[must_use]
    pub fn incoming(&self, index: NodeIndex) -> &[Edge] {
        &self.incoming[index.0]
    }

    /// The edges that leave a node, in the order of the document.
    ///
    /// # Panics
    ///
    /// When the index is of another, larger graph.
    #[must_use]
    pub fn outgoing(&self, index: NodeIndex) -> &[Edge] {
        &self.outgoing[index.0]
    }

    /// Whether a node has an edge at this port.
    #[must_use]
    pub fn has_edge(&self, from: NodeIndex, port: &str) -> bool {
        self.outgoing(from).iter().any(|edge| &*edge.port == port)
    }

    /// The nodes without incoming edges, in the order of the document: where a run starts.
    #[must_use]
    pub fn starts(&self) -> &[NodeIndex] {
        &self.starts
    }

    /// All nodes, each after every node that has an edge to it; of several candidates the earlier in the document first.
    #[must_use]
    pub fn order(&self) -> &[NodeIndex] {
        &self.order
    }
}

/// Orders `0..count` so that every edge leads forward; nodes on a cycle, or behind one, are left out.
pub(crate) fn topological_order(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut blocked_by = vec![0_usize; count];
    let mut targets = vec![Vec::new(); count];
    for (from, to) in edges {
        blocked_by[*to] += 1;
        targets[*from].push(*to);
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..count).filter(|place| blocked_by[*place] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(count);
    while let Some(Reverse(place)) = ready.pop() {
        order.push(place);
        for target in &targets[place] {
            blocked_by[*target] -= 1;
            if blocked_by[*target] == 0 {
                ready.push(Reverse(*target));
            }
        }
    }
    order
}

/// Returns the places in `edges` that close a cycle with the edges before them, closing ones left out.
pub(crate) fn closing_edges(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let ordered: BTreeSet<usize> = topological_order(count, edges).into_iter().collect();
    if ordered.len() == count {
        return Vec::new();
    }
    // Only nodes on or behind a cycle are left. `reach` holds, for each of them, what it leads to: a node is
    // entered into a row at most once, so the work is bounded by edges × nodes + nodes² words.
    let rest: Vec<usize> = (0..count).filter(|place| !ordered.contains(place)).collect();
    let place_in_rest: BTreeMap<usize, usize> =
        rest.iter().enumerate().map(|(row, place)| (*place, row)).collect();
    let words = rest.len().div_ceil(64);
    let mut reach = vec![vec![0_u64; words]; rest.len()];
    for (row, bits) in reach.iter_mut().enumerate() {
        bits[row / 64] |= 1 << (row % 64);
    }
    let has = |bits: &[u64], row: usize| bits[row / 64] & (1 << (row % 64)) != 0;
    let mut closing = Vec::new();
    for (at, (from, to)) in edges.iter().enumerate() {
        let (Some(&from), Some(&to)) = (place_in_rest.get(from), place_in_rest.get(to)) else { continue };
        if has(&reach[to], from) {
            closing.push(at);
        } else if !has(&reach[from], to) {
            let added = reach[to].clone();
            for bits in &mut reach {
                if has(bits, from) && !has(bits, to) {
                    bits.iter_mut().zip(&added).for_each(|(word, more)| *word |= more);
                }
            }
        }
    }
    closing
}
