//! `--filter`: which events are shown, by the members of their JSON. docs/filters.md describes the
//! language.
//!
//! An expression looks at the line that `--json` writes for an event, whatever is shown of it. So it
//! chooses what `jq` would choose from that line.

#[cfg(test)]
mod against_jq;
mod parse;
mod read;
mod value;

use crate::output::escape::push_cell;
use crate::output::row::FieldDoc;
use parse::Tree;
use value::{Key, Test, Value};

/// The most keys of one expression: the bits of a set.
const MOST_KEYS: usize = 64;

/// Keys whose members have names that others choose, such as labels.
const OPEN: [&str; 2] = ["container.label", "k8s.pod.label"];

/// The kinds of calls that have members of their own in mmapsnoop's keys.
const CALLS: [&str; 7] = ["mmap", "munmap", "mprotect", "mremap", "brk", "madvise", "shmat"];

/// Names that are less alike are not suggested.
const SIMILAR: f64 = 0.85;

/// An expression, ready to be applied.
#[derive(Clone, Debug)]
pub struct Expr {
    node: Node,
    /// Each once
    keys: Vec<Key>,
}

/// A part of an expression. Numbers are those of keys.
#[derive(Clone, Debug)]
enum Node {
    Any(Vec<Node>),
    All(Vec<Node>),
    Not(Box<Node>),
    Test(usize, Test),
}

impl Expr {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// One line: where it is wrong, and what belongs there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tree = parse::parse(text)?;
        let mut keys = Vec::new();
        let node = number(tree, &mut keys);
        match keys.len() {
            0..=MOST_KEYS => Ok(Self { node, keys }),
            _ => Err(format!("more than {MOST_KEYS} different keys")),
        }
    }

    /// The keys in it.
    pub fn keys(&self) -> impl Iterator<Item = String> {
        self.keys.iter().map(ToString::to_string)
    }

    /// Whether it is true of an event, by its line of JSON.
    pub fn is_true_of(&self, line: &[u8]) -> bool {
        self.node.is_true_of(&read::values(line, &self.keys))
    }

    /// One line about a key that no event can have.
    pub fn unknown_key(&self, fields: &[FieldDoc]) -> Option<String> {
        let known = known_keys(fields);
        let unknown = self.keys.iter().find(|key| !key.is_among(&known))?;
        let name = unknown.to_string();
        let mut shown = String::new();
        push_cell(&mut shown, name.as_bytes());
        let likeness = |key: &&String| strsim::jaro_winkler(key, &name);
        let best = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        Some(match best.filter(|key| likeness(key) > SIMILAR) {
            Some(key) => format!("--filter: no key '{shown}': is '{key}' meant?"),
            None => format!("--filter: no key '{shown}': the manual lists the keys of --json"),
        })
    }
}

/// The keys of all fields, with the calls by their names.
fn known_keys(fields: &[FieldDoc]) -> Vec<String> {
    let keys = fields.iter().map(|field| field.key).filter(|key| !key.is_empty());
    let keys = keys.flat_map(|key| match key.strip_prefix("CALL.") {
        Some(rest) => CALLS.iter().map(|call| format!("{call}.{rest}")).collect(),
        None => vec![key.to_owned()],
    });
    keys.collect()
}

impl Key {
    /// Whether an event can have this key: that of a field, of an object that holds fields, or of
    /// the exact bytes of a field.
    fn is_among(&self, known: &[String]) -> bool {
        let name = self.to_string();
        let field = name.strip_suffix("_base64").unwrap_or(&name);
        known.iter().any(|key| {
            let is_below = |name: &str, above: &str| {
                name.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'))
            };
            key == field
                || is_below(key, &name)
                || OPEN.contains(&key.as_str()) && is_below(&name, key)
        })
    }
}

/// Gives each different key a number.
fn number(tree: Tree, keys: &mut Vec<Key>) -> Node {
    let all =
        |trees: Vec<Tree>, keys: &mut _| trees.into_iter().map(|tree| number(tree, keys)).collect();
    match tree {
        Tree::Any(trees) => Node::Any(all(trees, keys)),
        Tree::All(trees) => Node::All(all(trees, keys)),
        Tree::Not(tree) => Node::Not(Box::new(number(*tree, keys))),
        Tree::Test(key, test) => {
            let number = keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                keys.push(key);
                keys.len() - 1
            });
            Node::Test(number, test)
        }
    }
}

impl Node {
    fn is_true_of(&self, values: &[Value<'_>]) -> bool {
        match self {
            Self::Any(nodes) => nodes.iter().any(|node| node.is_true_of(values)),
            Self::All(nodes) => nodes.iter().all(|node| node.is_true_of(values)),
            Self::Not(node) => !node.is_true_of(values),
            Self::Test(key, test) => values.get(*key).is_some_and(|value| test.holds(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"process":{"pid":7,"comm":"sh","user":{"id":0},"args":["a","-x"]},
        "file":{"path":"/usr/bin/é","deleted":true,"inode":"18446744073709551615"},"n":-1.5,
        "big":18446744073709551615,"no":false,"empty":[],"nothing":null,"a-b":{"c.d":1}}"#;

    fn is_true(text: &str) -> bool {
        Expr::parse(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
            .is_true_of(LINE.as_bytes())
    }

    #[test]
    fn what_is_true() {
        for text in [
            "process.pid == 7",
            "process.pid != 8",
            "process.pid==7&&process.comm==\"sh\"",
            " ( process.pid < 7.5 ) && process.pid >= 7 ",
            "n < -1 && n > -2e0",
            "big == 18446744073709551615 && big > 18446744073709551614",
            "process.comm < \"si\" && process.comm >= \"s\"",
            "process.comm in [\"bash\", 'sh']",
            "process.user.id in [33, 0]",
            "file.path ~ \"^/usr/\" && file.path ~ '/.$'",
            "file.path !~ \"^/bin\"",
            "file.deleted && file.deleted == true && !no && no == false",
            "file && process.user && empty",
            "!gone && !nothing && !process.pid.deeper",
            "gone != 1 && gone !~ \"x\"",
            "process.args == \"-x\" && process.args != \"y\" && process.args ~ \"^a$\"",
            "!(process.pid == 8) && !process.pid == 8",
            "process.pid == 8 || process.pid == 7 && n < 0",
            "(process.pid == 7 || n > 0) && (n > 0 || no == false)",
            "\"a-b\".\"c.d\" == 1 && in != 1 && !true",
            "process.comm == \"\\u0073h\"",
        ] {
            assert!(is_true(text), "{text}");
        }
    }

    #[test]
    fn what_is_false() {
        for text in [
            "process.pid == \"7\"",
            "process.pid ~ \"7\"",
            "process.pid < \"8\"",
            "process.comm > 0",
            "gone == 1",
            "gone < 1",
            "gone ~ \"\"",
            "gone in [1]",
            "process == 1",
            "empty == \"\" || empty in [0] || empty < 1",
            "nothing || nothing == false",
            "no",
            "file.deleted == 1",
            "process.args.a",
        ] {
            assert!(!is_true(text), "{text}");
        }
    }

    #[test]
    fn keys_are_those_of_fields() {
        let fields = ["process.user.id", "CALL.vma.mode", "container.label", "process.comm", ""];
        let fields = fields.map(|key| FieldDoc { title: "", key, about: "" });
        let said = |text: &str| Expr::parse(text).unwrap().unknown_key(&fields);
        for known in [
            "process.user.id",
            "process.user",
            "process",
            "mprotect.vma.mode",
            "mmap.vma",
            "container.label.\"a/b\"",
            "process.comm_base64",
        ] {
            assert_eq!(said(known), None, "{known}");
        }
        let why = said("process.user.ids == 1").unwrap();
        assert_eq!(why, "--filter: no key 'process.user.ids': is 'process.user.id' meant?");
        assert!(said("process.user.id.x").is_some() && said("CALL.vma").is_some());
        let why = said(r#""x\u001b""#).unwrap();
        assert_eq!(why, "--filter: no key 'x\\033': the manual lists the keys of --json");
    }

    #[test]
    fn keys_have_a_limit() {
        let all = |count: usize| (0..count).map(|n| format!("a{n}")).collect::<Vec<_>>().join("||");
        assert!(Expr::parse(&all(64)).is_ok());
        assert_eq!(Expr::parse(&all(65)).unwrap_err(), "more than 64 different keys");
        assert!(Expr::parse(&["a"; 100].join("||")).is_ok());
    }
}
