//! Which JSON Schemas are safe to check values with.
//!
//! Compiling a pattern can take a while, so there may not be many. Checking is what can take forever:
//! a schema library walks a schema and a value together. References make that walk long in three ways, and each is
//! refused before the schema is compiled:
//!
//! - **outside**: a reference to anything but `#` or `#/json/pointer` would have to be fetched.
//! - **wide**: `$defs` that each use the next one twice cost 2ⁿ. The walk over one value is counted out beforehand,
//!   up to [`MAX_VISITS`]. Recursion doubles in the same way when two recursive references apply to the same part of
//!   a value (`{"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}`); a tree whose `left` and `right`
//!   are trees does not, because each part of the value is still looked at once.
//! - **deep**: chains of references nest on the stack, recursive ones once for each level of the value.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::schema::SchemaError;

/// How deep a schema nests.
const MAX_DEPTH: usize = 128;
/// Patterns in one schema: a short one can take as long to compile as the limit of compiled ones lets it.
const MAX_PATTERNS: usize = 200;
const MAX_PATTERN_BYTES: usize = 1_024;
/// References in one schema.
const MAX_REFERENCES: usize = 1_000;
/// Subschemas that one walk may come by, references followed.
const MAX_VISITS: usize = 10_000;
/// Subschemas on one path, references followed.
const MAX_PATH: usize = 192;
/// Subschemas on one path of a recursive schema that look at the same value.
const MAX_CHAIN: usize = 12;
/// Recursive references in one recursive schema, as each pair is compared.
const MAX_RECURSIONS: usize = 300;

/// Refuses a schema that could be costly to check, or that refers to something outside itself.
pub(super) fn check(schema: &Value) -> Result<(), SchemaError> {
    if crate::json::depth(schema) > MAX_DEPTH {
        return refuse("it nests too deep");
    }
    let patterns = patterns(schema);
    if patterns.len() > MAX_PATTERNS || patterns.iter().any(|pattern| pattern.len() > MAX_PATTERN_BYTES) {
        return refuse(format!(
            "it has more than {MAX_PATTERNS} patterns, or one longer than {MAX_PATTERN_BYTES} bytes"
        ));
    }
    let graph = References::collect(schema)?;
    if graph.edges.is_empty() {
        return Ok(());
    }
    for start in std::iter::once(schema).chain(graph.targets.values().copied()) {
        graph.walk(start)?;
    }
    Ok(())
}

/// Every pattern of a schema, and whatever looks like one.
pub(super) fn patterns(schema: &Value) -> Vec<&str> {
    let mut patterns = Vec::new();
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(members) => {
                patterns.extend(members.get("pattern").and_then(Value::as_str));
                let many = members.get("patternProperties").and_then(Value::as_object);
                patterns.extend(many.into_iter().flatten().map(|(name, _)| name.as_str()));
                open.extend(members.values());
            }
            _ => {}
        }
    }
    patterns
}

fn refuse<T>(why: impl Into<String>) -> Result<T, SchemaError> {
    Err(SchemaError(why.into()))
}

/// A subschema is told from others by its place in memory.
type Identity = usize;

fn identity(schema: &Value) -> Identity {
    std::ptr::from_ref(schema) as usize
}

/// Which targets of references lead to which, through the subschemas that they contain.
struct References<'a> {
    root: &'a Value,
    targets: BTreeMap<Identity, &'a Value>,
    edges: BTreeMap<Identity, BTreeSet<Identity>>,
    recursive: BTreeSet<Identity>,
}

impl<'a> References<'a> {
    fn collect(root: &'a Value) -> Result<Self, SchemaError> {
        let mut graph =
            Self { root, targets: BTreeMap::new(), edges: BTreeMap::new(), recursive: BTreeSet::new() };
        let mut referring = BTreeSet::new();
        let mut pending = vec![root];
        let mut seen = BTreeSet::from([identity(root)]);
        while let Some(start) = pending.pop() {
            let mut parts = vec![start];
            while let Some(part) = parts.pop() {
                let Some(members) = part.as_object() else { continue };
                let is_root = identity(part) == identity(root);
                for (keyword, value) in members {
                    match keyword.as_str() {
                        "$dynamicRef" | "$recursiveRef" => {
                            return refuse(format!("{keyword} is not supported"));
                        }
                        "$id" | "id" if !is_root && value.is_string() => {
                            return refuse(format!("{keyword} may stand only at the top"));
                        }
                        _ => {}
                    }
                }
                if let Some(target) = graph.target(members)? {
                    referring.insert(identity(part));
                    if referring.len() > MAX_REFERENCES {
                        return refuse(format!("it has more than {MAX_REFERENCES} references"));
                    }
                    let id = identity(target);
                    graph.targets.insert(id, target);
                    graph.edges.entry(identity(start)).or_default().insert(id);
                    if seen.insert(id) {
                        pending.push(target);
                    }
                }
                // Definitions are parts too here: what they refer to must be checked even where nobody uses them.
                parts.extend(subschemas(members).into_iter().map(|(_, schema)| schema));
            }
        }
        for id in graph.targets.keys() {
            let mut reached = BTreeSet::new();
            let mut open: Vec<Identity> = vec![*id];
            while let Some(next) = open.pop() {
                let more = graph.edges.get(&next).into_iter().flatten().copied();
                open.extend(more.filter(|next| reached.insert(*next)));
            }
            if reached.contains(id) {
                graph.recursive.insert(*id);
            }
        }
        Ok(graph)
    }

    /// What the schema's `$ref` leads to.
    fn target(&self, members: &Map<String, Value>) -> Result<Option<&'a Value>, SchemaError> {
        let Some(reference) = members.get("$ref") else { return Ok(None) };
        let Some(text) = reference.as_str() else { return refuse("$ref must be a string") };
        let Some(pointer) = text.strip_prefix('#').filter(|rest| rest.is_empty() || rest.starts_with('/'))
        else {
            return refuse("$ref may lead only to # or #/json/pointer within the schema");
        };
        let decoded = percent_encoding::percent_decode_str(pointer).decode_utf8();
        match decoded.ok().and_then(|pointer| self.root.pointer(&pointer)) {
            Some(target) => Ok(Some(target)),
            None => refuse("$ref leads to nothing"),
        }
    }

    /// Walks everything that checking a value against `start` could come by.
    fn walk(&self, start: &'a Value) -> Result<(), SchemaError> {
        let is_recursive = self.recursive.contains(&identity(start));
        let mut recursions: Vec<Vec<Step<'a>>> = Vec::new();
        let mut visits = 0;
        let mut open = vec![Visit { schema: start, place: Vec::new(), path: 1, chain: 1 }];
        while let Some(visit) = open.pop() {
            visits += 1;
            if visits > MAX_VISITS {
                return refuse("its references multiply");
            }
            if visit.path > MAX_PATH || (is_recursive && visit.chain > MAX_CHAIN) {
                return refuse("its references nest too deep, or lead back to themselves");
            }
            let Some(members) = visit.schema.as_object() else { continue };
            let next = |schema, step: Option<Step<'a>>| {
                let chain = if step.is_some() { 1 } else { visit.chain + 1 };
                let place = visit.place.iter().cloned().chain(step).collect();
                Visit { schema, place, path: visit.path + 1, chain }
            };
            if let Some(target) = self.target(members)? {
                if !visit.place.is_empty() && self.recursive.contains(&identity(target)) {
                    recursions.push(visit.place.clone());
                } else {
                    open.push(next(target, None));
                }
            }
            for (part, schema) in subschemas(members) {
                match part {
                    Part::Same => open.push(next(schema, None)),
                    Part::Within(step) => open.push(next(schema, Some(step))),
                    Part::Unused => {}
                }
            }
        }
        if !is_recursive {
            return Ok(());
        }
        if recursions.len() > MAX_RECURSIONS {
            return refuse(format!("it has more than {MAX_RECURSIONS} recursive references"));
        }
        for (at, one) in recursions.iter().enumerate() {
            if recursions[..at].iter().any(|other| one.iter().zip(other).all(|(a, b)| a.overlaps(b))) {
                return refuse("two recursive references apply to the same part of a value");
            }
        }
        Ok(())
    }
}

struct Visit<'a> {
    schema: &'a Value,
    /// The part of the value that is looked at.
    place: Vec<Step<'a>>,
    path: usize,
    chain: usize,
}

/// Which part of a value a subschema looks at.
enum Part<'a> {
    /// The same.
    Same,
    /// A part of it.
    Within(Step<'a>),
    /// None, unless a reference leads here.
    Unused,
}

/// A step into a value.
#[derive(Clone)]
enum Step<'a> {
    Member(&'a str),
    /// Any member but those that the schema names beside it.
    Members(Option<&'a Map<String, Value>>),
    Item(usize),
    /// All items from this one.
    Items(usize),
    /// The name of a member.
    Name,
}

impl Step<'_> {
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Step::Member(a), Step::Member(b)) => a == b,
            (Step::Member(name), Step::Members(but)) | (Step::Members(but), Step::Member(name)) => {
                but.is_none_or(|but| !but.contains_key(*name))
            }
            (Step::Item(a), Step::Item(b)) => a == b,
            (Step::Item(one), Step::Items(from)) | (Step::Items(from), Step::Item(one)) => one >= from,
            (Step::Members(_), Step::Members(_))
            | (Step::Items(_), Step::Items(_))
            | (Step::Name, Step::Name) => true,
            _ => false,
        }
    }
}

/// The subschemas of a schema, in all drafts.
fn subschemas(members: &Map<String, Value>) -> Vec<(Part<'_>, &Value)> {
    let named = members.get("properties").and_then(Value::as_object);
    let fixed =
        ["prefixItems", "items"].iter().find_map(|name| members.get(*name)?.as_array()).map_or(0, Vec::len);
    let mut found: Vec<(Part<'_>, &Value)> = Vec::new();
    for (keyword, value) in members {
        match (keyword.as_str(), value) {
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                found.extend(schemas.iter().map(|schema| (Part::Same, schema)));
            }
            ("not" | "if" | "then" | "else", schema) => found.push((Part::Same, schema)),
            ("dependentSchemas" | "dependencies", Value::Object(schemas)) => {
                found.extend(schemas.values().map(|schema| (Part::Same, schema)));
            }
            ("properties", Value::Object(schemas)) => {
                found.extend(schemas.iter().map(|(name, schema)| (Part::Within(Step::Member(name)), schema)));
            }
            ("patternProperties", Value::Object(schemas)) => {
                found.extend(schemas.values().map(|schema| (Part::Within(Step::Members(None)), schema)));
            }
            ("additionalProperties" | "unevaluatedProperties", schema) => {
                found.push((Part::Within(Step::Members(named)), schema));
            }
            ("prefixItems" | "items", Value::Array(schemas)) => found.extend(
                schemas.iter().enumerate().map(|(at, schema)| (Part::Within(Step::Item(at)), schema)),
            ),
            ("items" | "additionalItems" | "unevaluatedItems", schema) => {
                found.push((Part::Within(Step::Items(fixed)), schema));
            }
            ("contains", schema) => found.push((Part::Within(Step::Items(0)), schema)),
            ("propertyNames", schema) => found.push((Part::Within(Step::Name), schema)),
            ("$defs" | "definitions", Value::Object(schemas)) => {
                found.extend(schemas.values().map(|schema| (Part::Unused, schema)));
            }
            ("contentSchema", schema) => found.push((Part::Unused, schema)),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(schema: &Value) -> String {
        check(schema).expect_err(&schema.to_string()).to_string()
    }

    /// `$defs` d0 … dn, each made by `link` from the reference to the next, the last one empty.
    fn chain(length: usize, link: impl Fn(&Value) -> Value) -> Value {
        let mut defs = Map::new();
        for at in 0..length {
            defs.insert(format!("d{at}"), link(&json!({"$ref": format!("#/$defs/d{}", at + 1)})));
        }
        defs.insert(format!("d{length}"), json!({"type": "object"}));
        json!({"$ref": "#/$defs/d0", "$defs": defs})
    }

    #[test]
    fn ordinary_schemas_are_let_through() {
        let tree = json!({"$ref": "#"});
        for schema in [
            json!(true),
            json!({"type": "object", "properties": {"$ref": {"type": "string"}}}),
            json!({"enum": [{"$ref": "http://example.com"}], "default": {"$ref": 1}}),
            json!({"$defs": {"a b/c~": {"type": "string"}}, "items": {"$ref": "#/$defs/a%20b~1c~0"}}),
            json!({"properties": {"left": tree, "right": tree, "value": {"type": "string"}}}),
            json!({"properties": {"a": tree}, "additionalProperties": tree}),
            json!({"anyOf": [{"type": "string"}, {"type": "array", "items": tree}, {"additionalProperties": tree}]}),
            json!({"oneOf": [{"properties": {"and": {"items": tree}}}, {"properties": {"or": {"items": tree}}}, {"properties": {"not": tree}}]}),
            json!({"prefixItems": [tree, tree], "items": tree}),
            chain(100, Value::clone),
        ] {
            assert_eq!(check(&schema), Ok(()), "{schema}");
        }
    }

    #[test]
    fn references_to_the_outside_are_refused() {
        for reference in [
            "http://127.0.0.1/x",
            "file:///etc/passwd",
            "other.json",
            "#anchor",
            "https://json-schema.org/draft/2020-12/schema",
            "",
        ] {
            assert!(refused(&json!({"items": {"$ref": reference}})).contains("lead only to"), "{reference}");
        }
        assert!(refused(&json!({"$ref": "#/nowhere"})).contains("leads to nothing"));
        assert!(refused(&json!({"items": {"$id": "http://x/", "type": "object"}})).contains("$id"));
        assert!(refused(&json!({"$dynamicRef": "#a"})).contains("not supported"));
        assert!(refused(&json!({"$defs": {"unused": {"$ref": "http://x"}}})).contains("lead only to"));
    }

    #[test]
    fn patterns_are_bounded_in_number_and_length() {
        let patterns = |count: usize, length: usize| -> Value {
            json!({"allOf": (0..count).map(|_| json!({"pattern": "a".repeat(length)})).collect::<Vec<_>>()})
        };
        assert_eq!(check(&patterns(200, 1_024)), Ok(()));
        assert!(refused(&patterns(201, 1)).contains("patterns"));
        assert!(refused(&patterns(1, 1_025)).contains("patterns"));
        assert!(refused(&json!({"patternProperties": {"a".repeat(1_025): true}})).contains("patterns"));
    }

    #[test]
    fn references_that_multiply_are_refused() {
        let twice = |next: &Value| json!({"allOf": [next, next]});
        assert!(check(&chain(10, twice)).is_ok());
        assert!(refused(&chain(20, twice)).contains("multiply"));
        let same_part = "same part of a value";
        let tree = json!({"$ref": "#"});
        for schema in [
            json!({"properties": {"a": {"allOf": [tree, tree]}}}),
            json!({"properties": {"a": tree}, "patternProperties": {"^a": tree}}),
            json!({"anyOf": [{"properties": {"a": tree}}, {"properties": {"a": tree}}]}),
            json!({"properties": {"a": {"properties": {"a": tree}, "allOf": [tree]}}}),
            json!({"items": tree, "contains": tree}),
        ] {
            assert!(refused(&schema).contains(same_part), "{schema}");
        }
    }

    #[test]
    fn references_that_nest_deep_or_go_in_circles_are_refused() {
        assert!(refused(&chain(500, Value::clone)).contains("nest too deep"));
        for schema in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
        ] {
            assert!(refused(&schema).contains("nest too deep"), "{schema}");
        }
        let mut long = json!({"properties": {"a": {"$ref": "#"}}});
        for _ in 0..MAX_CHAIN {
            long = json!({"allOf": [long]});
        }
        assert!(refused(&long).contains("nest too deep"));
    }
}
