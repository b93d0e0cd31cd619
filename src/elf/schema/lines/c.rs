//! A loose reading of single lines of C: what they write to, send and make.

use std::collections::BTreeSet;

/// The most assignments or calls of a line.
pub(super) const MAX_PLACES: usize = 32;

/// The target of a line: `e` and `pid` of `e->id.pid = x;`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) variable: Option<String>,
    pub(super) member: Option<String>,
}

/// The part of a line that names the sent data: not the context, and not the map.
pub(super) fn sent_by(line: &str) -> &str {
    const SENDERS: [(&str, usize); 5] = [
        ("perf_event_output(", 2),
        ("skb_output(", 2),
        ("xdp_output(", 2),
        ("ringbuf_output(", 1),
        ("seq_write(", 1),
    ];
    for (call, others) in SENDERS {
        let Some(at) = line.find(call) else { continue };
        let arguments = line.get(at + call.len()..).unwrap_or_default();
        return from_argument(arguments, others).unwrap_or_default();
    }
    line
}

/// The rest behind this many arguments; calls often go on in the next line.
fn from_argument(arguments: &str, skip: usize) -> Option<&str> {
    let (mut depth, mut left) = (0_usize, skip);
    if left == 0 {
        return Some(arguments);
    }
    for (at, c) in arguments.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => left -= 1,
            _ => continue,
        }
        if left == 0 {
            return arguments.get(at + 1..);
        }
    }
    None
}

/// All targets of a line: of assignments, of copying calls, and the arguments that are `filled`.
pub(super) fn targets(line: &str, filled: &BTreeSet<u8>) -> Vec<Target> {
    let mut targets = Vec::new();
    for (at, _) in line.match_indices('=').take(MAX_PLACES) {
        let left = line.get(..at).unwrap_or_default();
        let is_equal = line.get(at + 1..).is_some_and(|rest| rest.starts_with('='));
        if is_equal || left.ends_with(['=', '!', '<', '>']) {
            continue;
        }
        targets
            .extend(path_before(left.trim_end_matches(['+', '-', '*', '/', '%', '&', '|', '^'])));
    }
    for (at, _) in line.match_indices('(').take(MAX_PLACES) {
        let name = line.get(..at).unwrap_or_default();
        let name = name.rsplit(|c| !is_word(c)).next().unwrap_or_default();
        let arguments = line.get(at + 1..).unwrap_or_default();
        let argument = |number: u8| {
            path_after(from_argument(arguments, usize::from(number.saturating_sub(1)))?)
        };
        if name.ends_with("memcpy") || name.ends_with("memset") {
            targets.extend(argument(1));
        } else if name.starts_with("bpf_") || name.starts_with("BPF_") {
            targets.extend(filled.iter().filter_map(|&number| argument(number)));
        }
    }
    targets
}

/// The variable and the member at the end of a text.
fn path_before(text: &str) -> Option<Target> {
    let new = |variable: Option<&str>, member: Option<&str>| Target {
        variable: variable.map(str::to_owned),
        member: member.map(str::to_owned),
    };
    let (mut rest, mut member) = (text.trim_end(), None);
    loop {
        while rest.ends_with(']') {
            rest = rest.get(..opening(rest)?)?.trim_end();
        }
        let name = rest.rsplit(|c| !is_word(c)).next().unwrap_or_default();
        let before = rest.strip_suffix(name)?.trim_end();
        if name.is_empty() {
            return member.map(|member: &str| new(None, Some(member)));
        }
        match before.strip_suffix("->").or_else(|| before.strip_suffix('.')) {
            Some(owner) => {
                member = member.or(Some(name));
                rest = owner.trim_end();
            }
            None => return Some(new(Some(name), member)),
        }
    }
}

/// The variable and the member at the beginning of a text, behind operators and casts.
fn path_after(text: &str) -> Option<Target> {
    let mut text = text.trim_start();
    while let Some(rest) = text.strip_prefix(['&', '*']).or_else(|| {
        let (cast, rest) = text.strip_prefix('(')?.split_once(')')?;
        (!cast.contains('(')).then_some(rest)
    }) {
        text = rest.trim_start();
    }
    let mut depth = 0_usize;
    let end = text.char_indices().find(|&(at, c)| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let rest = text.get(at..).unwrap_or_default();
        let arrow = rest.starts_with("->")
            || (c == '>' && text.get(..at).is_some_and(|t| t.ends_with('-')));
        depth == 0 && !is_word(c) && !arrow && !matches!(c, '.' | ']')
    });
    path_before(end.map_or(text, |(at, _)| text.get(..at).unwrap_or_default()))
}

/// The opening place of the bracket at the end of a text.
fn opening(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    text.char_indices().rev().find_map(|(at, c)| {
        match c {
            ']' => depth += 1,
            '[' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    })
}

/// All structs that a line names.
pub(super) fn named_structs(line: &str) -> Vec<String> {
    let after = line.match_indices("struct ").take(MAX_PLACES);
    let rest = after.filter_map(|(at, keyword)| line.get(at + keyword.len()..));
    let name = |rest: &str| rest.trim_start().split(|c| !is_word(c)).next().map(str::to_owned);
    rest.filter_map(name).filter(|name| !name.is_empty()).collect()
}

/// The structs that a line makes, or whose size it takes: `struct event e = {}`, `struct event *e =
/// …`, `(struct event){ … }`, `sizeof(struct event)`.
pub(super) fn made_structs(line: &str) -> Vec<String> {
    let mut made = Vec::new();
    for (at, keyword) in line.match_indices("struct ").take(MAX_PLACES) {
        let before = line.get(..at).unwrap_or_default().trim_end();
        let rest = line.get(at + keyword.len()..).unwrap_or_default().trim_start();
        let name = rest.split(|c| !is_word(c)).next().unwrap_or_default();
        let after = rest.strip_prefix(name).unwrap_or_default().trim_start();
        let variable = after.trim_start_matches(|c: char| c == '*' || c.is_whitespace());
        let value = variable.trim_start_matches(is_word).trim_start();
        let declared =
            value.len() < variable.len() && value.starts_with('=') && !value.starts_with("==");
        let literal = before.ends_with('(')
            && after.strip_prefix(')').is_some_and(|rest| rest.trim_start().starts_with('{'));
        let sized = before.ends_with("sizeof(") && after.starts_with(')');
        if !name.is_empty() && (declared || literal || sized) {
            made.push(name.to_owned());
        }
    }
    made
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether a line of C uses this name as a variable, as a whole.
pub(super) fn mentions(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line.get(..at).unwrap_or_default();
        let after = line.get(at + name.len()..).unwrap_or_default();
        let of = before.trim_end();
        let rest = after.trim_start();
        // A member of the same name does not count, nor does a member of the variable.
        !name.is_empty()
            && !before.ends_with(is_word)
            && !of.ends_with(['.', '"'])
            && !of.ends_with("->")
            && !after.starts_with(is_word)
            && !rest.starts_with('.')
            && !rest.starts_with("->")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> String {
        let shown = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".to_owned());
        let (filled, line) = text.split_once('#').unwrap_or(("", text));
        let targets = targets(line, &filled.parse().into_iter().collect());
        let targets = targets.iter().map(|t| shown(&t.variable) + ":" + &shown(&t.member));
        targets.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_lines_write_to() {
        for (line, expected) in [
            ("\te->pid = 1;", "e:pid"),
            ("e->id.pid = x->y;", "e:pid"),
            ("event.flags |= F;", "event:flags"),
            ("e->args[i] = a;", "e:args"),
            ("e->args[x[i]].at = a;", "e:at"),
            ("(*e).pid = 1;", "-:pid"),
            (".pid = 1, .uid = 2,", "-:pid -:uid"),
            ("pid = e->pid;", "pid:-"),
            ("*record = *event;", "record:-"),
            ("struct event e = {", "e:-"),
            ("vals[1] = 4242;", "vals:-"),
            ("if (e->pid == x)", ""),
            ("if (e->pid <= x)", ""),
            ("f(e->pid);", ""),
            ("1#f(e->pid);", ""),
            ("1#bpf_probe_read(&e->id.pid, sizeof(e->id.pid), &t->pid);", "e:pid"),
            ("1#if (bpf_probe_read((void *)e->path + n, 4, p) < 0)", "e:path"),
            ("2#bpf_d_path(&file->f_path, e.path, sizeof(e.path));", "e:path"),
            ("1#e->len = bpf_read(&e->buf[n & 7], g(a->x, b));", "e:len e:buf"),
            ("3#bpf_skb_load_bytes(skb,", ""),
            ("__builtin_memcpy(e.addr, x.addr, 16);", "e:addr"),
            ("memset(&e, 0, sizeof(e));", "e:-"),
            ("=", ""),
            ("] = 1", ""),
            ("[] = ä", ""),
            ("1#bpf_(((((", ""),
            ("9#bpf_f(ä", ""),
            ("1#bpf_f(ä", ""),
        ] {
            assert_eq!(target(line), expected, "{line}");
        }
    }

    #[test]
    fn structs_that_lines_make() {
        for (line, expected) in [
            ("struct event e = {};", &["event"][..]),
            (
                "const struct event *e = bpf_ringbuf_reserve(&rb, sizeof(struct event), 0);",
                &["event", "event"],
            ),
            ("*e = (struct event){ .pid = 1 };", &["event"]),
            ("int f(struct event *e)", &[]),
            ("if (((struct event *)e)->pid == 1)", &[]),
            ("struct ", &[]),
        ] {
            assert_eq!(made_structs(line), expected, "{line}");
        }
    }

    #[test]
    fn names_in_lines() {
        for line in ["f(&e, sizeof(e));", "*e = x;", "struct event e = {};", "f(e , 1)"] {
            assert!(mentions(line, "e"), "{line}");
        }
        for line in ["x->e = 1;", "x.e = 1;", "else", "the = 1;", "e->pid = 1", "e .x", "\"e\"", ""]
        {
            assert!(!mentions(line, "e"), "{line}");
        }
        assert!(!mentions("e", ""));
    }

    #[test]
    fn what_is_sent_is_neither_the_context_nor_the_map() {
        let sent = |line| sent_by(line).trim();
        assert_eq!(sent("bpf_perf_event_output(ctx, &m[f(a, b)], F, e, n);"), "F, e, n);");
        assert_eq!(sent("bpf_perf_event_output(ctx, &map, F,"), "F,");
        assert_eq!(sent("bpf_perf_event_output(ctx,"), "");
        assert_eq!(sent("bpf_seq_write(seq, &e, sizeof(e));"), "&e, sizeof(e));");
        assert_eq!(sent("SUBMIT(e);"), "SUBMIT(e);");
    }
}
