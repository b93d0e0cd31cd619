//! What is shown of the lives, in which order: as a tree, or sorted.

use std::collections::{HashMap, HashSet};

use super::model::{Id, Life, Model, words};
use crate::output::cut::MARK;
use crate::output::escape::{Quote, command_line, push_cell};

/// The order of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// Children below their parents, in the order of their births
    #[default]
    Tree,
    /// The youngest first
    Age,
    /// By CPU time
    Cpu,
    /// Failures first, the last one on top
    Failures,
    /// By command
    Command,
}

impl Sort {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Tree => Self::Age,
            Self::Age => Self::Cpu,
            Self::Cpu => Self::Failures,
            Self::Failures => Self::Command,
            Self::Command => Self::Tree,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Age => "age",
            Self::Cpu => "CPU",
            Self::Failures => "failures",
            Self::Command => "command",
        }
    }
}

/// What is to be shown.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) sort: Sort,
    /// Only rows with this text, and their ancestors
    pub(super) filter: String,
    /// Only this life and its descendants
    pub(super) root: Option<Id>,
    /// Lives whose descendants are hidden
    pub(super) folded: HashSet<Id>,
    /// Also processes that have done nothing since the beginning
    pub(super) shows_idle: bool,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) id: Id,
    /// The lines of the tree in front of the command
    pub(super) prefix: String,
}

/// Deeper levels are not indented further.
const MOST_LEVELS: usize = 12;

/// All rows. `cpu_ns`: the CPU time of a life, as far as it is known.
pub(super) fn items(
    model: &Model,
    wanted: &Wanted,
    cpu_ns: impl Fn(&Life) -> Option<u64>,
) -> Vec<Item> {
    let mut order: Vec<(Id, &Life)> = model.all().collect();
    order.sort_unstable_by_key(|(id, life)| (began_ns(model, life), *id));
    let shown = shown(&order, wanted);
    match wanted.sort {
        Sort::Tree => tree(&order, &shown, wanted),
        sort => sorted(order, &shown, sort, cpu_ns),
    }
}

/// Those that pass, and in a tree their ancestors.
fn shown(order: &[(Id, &Life)], wanted: &Wanted) -> HashSet<Id> {
    let parents: HashMap<Id, Option<Id>> =
        order.iter().map(|(id, life)| (*id, life.parent)).collect();
    let climb = |from: Id, mut see: Box<dyn FnMut(Id) -> bool + '_>| {
        let mut at = Some(from);
        // A parent has a smaller number or is older: there is no ring, but files may hold anything.
        for _ in 0..=parents.len() {
            let Some(id) = at.filter(|id| parents.contains_key(id)) else { return };
            if !see(id) {
                return;
            }
            at = parents.get(&id).copied().flatten();
        }
    };
    let is_below = |id: Id| {
        let Some(root) = wanted.root else { return true };
        let mut found = false;
        climb(
            id,
            Box::new(|above| {
                found |= above == root;
                !found
            }),
        );
        found
    };
    let filter = wanted.filter.to_lowercase();
    let mut shown = HashSet::new();
    for (id, life) in order {
        let is_idle = life.seen_ns == 0 && !wanted.shows_idle && filter.is_empty();
        if is_idle || !filter.is_empty() && !matches(life, &filter) || !is_below(*id) {
            continue;
        }
        if wanted.sort != Sort::Tree {
            shown.insert(*id);
            continue;
        }
        climb(*id, Box::new(|above| shown.insert(above) && Some(above) != wanted.root));
    }
    shown
}

/// Whether a row has this text, in small letters.
fn matches(life: &Life, filter: &str) -> bool {
    let status = life.end.as_ref().map_or("running", |end| end.status.as_str());
    let why = life.end.as_ref().map_or("", |end| end.why.as_str());
    label(life).to_lowercase().contains(filter)
        || why.to_lowercase().contains(filter)
        || status.to_lowercase().contains(filter)
        || life.pid.to_string() == filter
}

/// What ages count from: the birth, or the last execution where births are not seen. Failed
/// executions are as old as they are.
pub(super) fn began_ns(model: &Model, life: &Life) -> u64 {
    match model.sees_ends {
        true => life.start_ns,
        false => life.exec_ns.unwrap_or(life.seen_ns),
    }
}

/// The most bytes of arguments in a label.
const MOST_BYTES: usize = 300;

/// The command line, or the name in brackets; escaped.
pub(super) fn label(life: &Life) -> String {
    if life.args.is_empty() {
        let mut name = "[".to_owned();
        push_cell(&mut name, &life.comm);
        name.push(']');
        return name;
    }
    let short = begin(&life.args);
    let mut line = command_line(words(short), Quote::WhereNeeded);
    if life.args_cut || short.len() < life.args.len() {
        line.push(MARK);
    }
    line
}

/// The first bytes of a block of arguments, without a part of a character at the end.
fn begin(args: &[u8]) -> &[u8] {
    let Some(mut begin) = args.get(..MOST_BYTES) else { return args };
    let is_inner = |byte: Option<&u8>| byte.is_some_and(|byte| byte & 0xc0 == 0x80);
    for _ in 0..3 {
        if is_inner(args.get(begin.len())) {
            begin = begin.split_last().map_or(begin, |(_, rest)| rest);
        }
    }
    begin
}

fn tree(order: &[(Id, &Life)], shown: &HashSet<Id>, wanted: &Wanted) -> Vec<Item> {
    let mut children: HashMap<Id, Vec<Id>> = HashMap::new();
    let mut roots = Vec::new();
    for (id, life) in order.iter().filter(|(id, _)| shown.contains(id)) {
        match life.parent.filter(|parent| shown.contains(parent) && wanted.root != Some(*id)) {
            Some(parent) => children.entry(parent).or_default().push(*id),
            None => roots.push(*id),
        }
    }
    let mut items = Vec::new();
    // Not recursive: a tree may be as deep as there are lives. The prefix of the row, that of its
    // children.
    let mut todo: Vec<(Id, usize, String, String)> =
        roots.into_iter().rev().map(|id| (id, 0, String::new(), String::new())).collect();
    while let Some((id, level, prefix, below)) = todo.pop() {
        let all = children.remove(&id).unwrap_or_default();
        let is_folded = wanted.folded.contains(&id) && !all.is_empty();
        let mark = if is_folded { "+ " } else { "" };
        items.push(Item { id, prefix: format!("{prefix}{mark}") });
        if is_folded {
            continue;
        }
        let last = all.last().copied();
        for child in all.into_iter().rev() {
            let is_last = Some(child) == last;
            let is_deep = level >= MOST_LEVELS;
            let prefix = if is_deep {
                below.clone()
            } else {
                format!("{below}{}", if is_last { "└ " } else { "├ " })
            };
            let next = if is_deep {
                below.clone()
            } else {
                format!("{below}{}", if is_last { "  " } else { "│ " })
            };
            todo.push((child, level + 1, prefix, next));
        }
    }
    items
}

fn sorted(
    mut order: Vec<(Id, &Life)>,
    shown: &HashSet<Id>,
    sort: Sort,
    cpu_ns: impl Fn(&Life) -> Option<u64>,
) -> Vec<Item> {
    order.retain(|(id, _)| shown.contains(id));
    let end_ns = |life: &Life| life.end.as_ref().map_or(0, |end| end.time_ns);
    match sort {
        Sort::Tree | Sort::Age => order.reverse(),
        Sort::Cpu => order.sort_by_cached_key(|(_, life)| std::cmp::Reverse(cpu_ns(life))),
        Sort::Failures => order.sort_by_key(|(_, life)| {
            let has_failed = life.end.as_ref().is_some_and(|end| end.has_failed);
            std::cmp::Reverse((has_failed, end_ns(life)))
        }),
        Sort::Command => order.sort_by_cached_key(|(_, life)| label(life)),
    }
    order.into_iter().map(|(id, _)| Item { id, prefix: String::new() }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::model::{End, Place, Who};
    use super::*;

    fn model() -> Model {
        let mut model = Model::default();
        model.sees_ends = true;
        let who = |pid, ppid, time_ns| Who {
            pid,
            start_ns: u64::from(pid),
            ppid,
            uid: None,
            comm: b"x",
            cgroup: None,
            time_ns,
        };
        model.older(&who(1, 0, 1), b"init\0", b"");
        model.older(&who(2, 1, 1), b"idle\0", b"");
        model.connect();
        for (pid, ppid, args) in [
            (10, 1, &b"make\0"[..]),
            (11, 10, b"cc\0a b\0"),
            (12, 10, b"\x1bld\0"),
            (13, 11, b"as\0"),
        ] {
            model.executed(&who(pid, ppid, 100 + u64::from(pid)), args, b"", Place::default());
        }
        let why = "SIGKILL from pid 7 (x)".to_owned();
        let status = "1".to_owned();
        let end = End { time_ns: 200, status, has_failed: true, why, ..End::default() };
        model.ended(&who(13, 11, 200), end, b"", b"");
        model
    }

    /// What runs has used as much as its id says.
    fn cpu_ns(life: &Life) -> Option<u64> {
        life.end.as_ref().map_or(Some(life.pid.into()), |end| end.cpu_ns)
    }

    fn lines(model: &Model, wanted: &Wanted) -> Vec<String> {
        let line = |item: Item| format!("{}{}", item.prefix, label(model.get(item.id).unwrap()));
        items(model, wanted, cpu_ns).into_iter().map(line).collect()
    }

    #[test]
    fn children_stand_below_their_parents() {
        let model = model();
        let all = ["init", "└ make", "  ├ cc 'a b'", "  │ └ as", r"  └ $'\033ld'"];
        assert_eq!(lines(&model, &Wanted::default()), all);
        let idle = lines(&model, &Wanted { shows_idle: true, ..Wanted::default() });
        assert!(idle.contains(&"├ idle".to_owned()), "{idle:?}");
    }

    #[test]
    fn what_is_cut_is_marked() {
        let life = |args: Vec<u8>| Life { args, ..Life::default() };
        let long = label(&life([&b"x "[..], "日".repeat(200).as_bytes()].concat()));
        assert!(long.ends_with("日'…") && !long.contains('\\'), "{long}");
        assert_eq!(label(&life(b"ls\0-l\0".to_vec())), "ls -l");
        assert_eq!(label(&Life { args_cut: true, ..life(b"ls\0".to_vec()) }), "ls…");
        let garbage = label(&life(vec![0x80; 400]));
        assert!(
            garbage.ends_with('…')
                && garbage.is_ascii() == garbage.trim_end_matches('…').is_empty()
        );
    }

    #[test]
    fn rows_are_filtered_folded_and_sorted() {
        let model = model();
        let filter = |text: &str| Wanted { filter: text.to_owned(), ..Wanted::default() };
        assert_eq!(lines(&model, &filter("AS")), ["init", "└ make", "  └ cc 'a b'", "    └ as"]);
        assert_eq!(lines(&model, &filter("13")).last().unwrap(), "    └ as");
        let id = |name: &str| {
            model.all().find(|(_, life)| life.args.starts_with(name.as_bytes())).unwrap().0
        };
        let root = Wanted { root: Some(id("cc")), ..Wanted::default() };
        assert_eq!(lines(&model, &root), ["cc 'a b'", "└ as"]);
        let folded = Wanted { folded: [id("make")].into(), ..Wanted::default() };
        assert_eq!(lines(&model, &folded), ["init", "└ + make"]);
        let failures = Wanted { sort: Sort::Failures, ..Wanted::default() };
        assert_eq!(lines(&model, &failures)[0], "as");
        let by_cpu = lines(&model, &Wanted { sort: Sort::Cpu, ..Wanted::default() });
        assert_eq!(by_cpu, [r"$'\033ld'", "cc 'a b'", "make", "as"], "what runs, too");
        let why = |why: &str| lines(&model, &filter(why)).len();
        assert_eq!((why("pid 7 (X"), why("pid 8")), (4, 0));
        let mut sort = Sort::Tree;
        for _ in 0..5 {
            sort = sort.next();
            assert!(lines(&model, &Wanted { sort, ..Wanted::default() }).len() >= 4);
        }
        assert_eq!(sort, Sort::Tree);
    }
}
