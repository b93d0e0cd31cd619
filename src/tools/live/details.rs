//! The page about one life.

use unicode_width::UnicodeWidthChar as _;

use super::list::label;
use super::model::{Above, Id, Life, Model, words};
use crate::engine::context::place::Place;
use crate::host::proc::{Stat, ticks};
use crate::output::escape::{Quote, push_cell, push_shell_word, push_text, until_nul};
use crate::output::time::{Seconds, WallClock};

/// The most processes above one that are listed.
const MOST_ABOVE: usize = 64;

/// All that is known of a life, line by line. `place`: where it runs now, if it does; `is_recorded`:
/// nothing is looked up.
pub(super) fn details(
    model: &Model,
    id: Id,
    clock: &WallClock,
    place: Option<&Place>,
    is_recorded: bool,
) -> Vec<String> {
    let Some(life) = model.get(id) else { return vec![" It has left.".to_owned()] };
    let mut lines = Lines(Vec::new());
    let name = |bytes: &[u8]| {
        let mut text = String::new();
        push_text(&mut text, bytes);
        text
    };
    lines.add("command", label(life));
    lines.add("name", name(&life.comm));
    lines.add(
        "program",
        if life.path.is_empty() { "not known".to_owned() } else { name(&life.path) },
    );
    lines.add("process", format!("{}, parent {}", life.pid, life.ppid));
    let uid = life.uid.or_else(|| place.and_then(|place| place.uid));
    lines.add("user", uid.map_or_else(|| "not known".to_owned(), |uid| uid.to_string()));
    let cgroup = life.cgroup.as_deref().or_else(|| place.and_then(|place| place.cgroup.as_deref()));
    lines.add("cgroup", cgroup.map_or_else(|| "not known".to_owned(), name));
    let time = |ns: u64| clock.local_time_ms(ns);
    if life.start_ns != 0 {
        lines.add("born", time(life.start_ns));
    }
    if let Some(exec_ns) = life.exec_ns {
        lines.add("executed", format!("{}, {} in all", time(exec_ns), life.execs));
    }
    match &life.end {
        None if model.sees_ends => lines.add("state", "running".to_owned()),
        None if is_recorded => lines.add("state", "not known: this tool sees no ends".to_owned()),
        None if now(life).is_some() => lines.add("state", "running".to_owned()),
        None => lines.add("state", "it has ended, this tool does not see how".to_owned()),
        Some(end) => {
            lines.add("ended", time(end.time_ns));
            lines.add("status", end.status.clone());
            if !end.why.is_empty() {
                lines.add("why", end.why.clone());
            }
            if let Some(ns) = end.lived_ns {
                lines.add("lived", format!("{} s", Seconds(ns)));
            }
            if let Some(ns) = end.cpu_ns {
                lines.add("CPU", format!("{} s", Seconds(ns)));
            }
            if let Some(bytes) = end.max_rss_bytes {
                lines.add("memory", format!("{} KiB at most", bytes / 1024));
            }
        }
    }
    for (at, arg) in words(&life.args).enumerate() {
        let mut text = String::new();
        push_shell_word(&mut text, arg, false, Quote::WhereNeeded);
        lines.add(&format!("argument {at}"), text);
    }
    if life.args_cut {
        lines.add("", "more arguments are not kept".to_owned());
    }
    for (at, one) in above(model, life, is_recorded).into_iter().enumerate() {
        lines.add(if at == 0 { "below" } else { "" }, one);
    }
    if let Some(login) = &life.login {
        lines.add("login", login.clone());
    }
    let cwd = Some(life.cwd.as_slice()).filter(|cwd| !cwd.is_empty());
    let cwd = cwd.or_else(|| place.map(|place| place.cwd.as_slice()));
    lines.add("directory", cwd.map_or_else(|| "not known: see --cwd".to_owned(), name));
    match (&life.env, place) {
        (Some(env), _) => lines.environment(env, life.env_cut),
        (None, Some(place)) => lines.environment(&place.env, place.env_cut),
        (None, None) => lines.add("environment", "not known: see --env".to_owned()),
    }
    lines.0
}

/// Columns in front of values.
const INDENT: usize = 15;

/// A line in so many columns: what does not fit stands below.
pub(super) fn wrapped(line: &str, width: usize) -> Vec<String> {
    // On a screen that narrow, nobody reads a page.
    let width = width.max(2 * INDENT);
    let (mut lines, mut text, mut columns) = (Vec::new(), String::new(), 0);
    for c in line.chars() {
        let wide = c.width().unwrap_or(0);
        if columns + wide > width {
            lines.push(std::mem::replace(&mut text, " ".repeat(INDENT)));
            columns = INDENT;
        }
        text.push(c);
        columns += wide;
    }
    lines.push(text);
    lines
}

/// A process that runs, as /proc has it; `None`: it has ended.
pub(super) fn now(life: &Life) -> Option<Stat> {
    let is_same =
        |stat: &Stat| life.start_ns == 0 || stat.start_ticks() == Some(ticks(life.start_ns));
    Stat::read(life.pid).filter(is_same)
}

/// The processes above one, the parent first: as they were at its last event with `--ancestors`,
/// otherwise as the rows have them, and above those as /proc has them now.
fn above(model: &Model, life: &Life, is_recorded: bool) -> Vec<String> {
    if let Some(Above { chain, more }) = &life.above {
        let known = chain.iter().map(|(pid, comm)| process(model, *pid, until_nul(comm)));
        return known.chain(more.then(|| "…".to_owned())).collect();
    }
    let (mut all, mut top) = (Vec::new(), life);
    while let Some(parent) = top.parent.and_then(|id| model.get(id)) {
        if all.len() >= MOST_ABOVE {
            return all;
        }
        all.push(format!("{} {}", parent.pid, label(parent)));
        top = parent;
    }
    let mut next = Some((top.ppid, ticks(top.start_ns)));
    while let Some((pid, born)) = next.filter(|(pid, _)| *pid != 0 && !is_recorded) {
        // A younger one has only the number of a parent that has ended.
        let is_older = |stat: &Stat| stat.start_ticks().is_some_and(|ticks| ticks <= born);
        let Some(stat) = Stat::read(pid).filter(is_older) else { break };
        if all.len() >= MOST_ABOVE {
            break;
        }
        all.push(process(model, pid, stat.name()));
        next = stat.ppid().zip(stat.start_ticks());
    }
    all
}

/// A process with its command line, if a row has it, or else its name.
fn process(model: &Model, pid: u32, comm: &[u8]) -> String {
    match model.living(pid).filter(|life| life.comm == comm && !life.args.is_empty()) {
        Some(life) => format!("{pid} {}", label(life)),
        None => {
            let mut text = format!("{pid} [");
            push_cell(&mut text, comm);
            text + "]"
        }
    }
}

/// Lines of a page.
struct Lines(Vec<String>);

impl Lines {
    fn environment(&mut self, env: &[u8], is_cut: bool) {
        for (at, entry) in words(env).enumerate() {
            let mut text = String::new();
            push_shell_word(&mut text, entry, false, Quote::WhereNeeded);
            self.add(if at == 0 { "environment" } else { "" }, text);
        }
        if env.is_empty() {
            self.add("environment", "empty, or not for us to read".to_owned());
        }
        if is_cut {
            self.add("", "more variables are not kept".to_owned());
        }
    }

    fn add(&mut self, name: &str, mut value: String) {
        value.insert_str(0, &format!(" {name:>12}  "));
        self.0.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_go_on_below() {
        let line = format!(" {:>12}  {}", "argument 0", "日本".repeat(20));
        let lines = wrapped(&line, 40);
        assert_eq!(lines.len(), 4, "{lines:?}");
        let value = lines.iter().map(|line| line.trim_start_matches(' ')).collect::<String>();
        assert_eq!(value, line.trim_start());
        assert!(lines[1..].iter().all(|line| line.starts_with(&" ".repeat(INDENT))));
        assert_eq!(wrapped("short", 1), ["short"]);
        assert_eq!(wrapped("", 80), [""]);
    }
}
