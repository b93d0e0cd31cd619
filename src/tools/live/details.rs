//! The page about one life.

use super::list::label;
use super::model::{Id, Model, words};
use crate::output::escape::{Quote, push_shell_word, push_text};
use crate::output::time::{Seconds, WallClock};

/// All that is known of a life, line by line.
pub(super) fn details(model: &Model, id: Id, clock: &WallClock) -> Vec<String> {
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
    lines.add("user", life.uid.map_or_else(|| "not known".to_owned(), |uid| uid.to_string()));
    lines.add("cgroup", life.cgroup.as_deref().map_or_else(|| "not known".to_owned(), name));
    let time = |ns: u64| clock.local_time_ms(ns);
    if life.start_ns != 0 {
        lines.add("born", time(life.start_ns));
    }
    if let Some(exec_ns) = life.exec_ns {
        lines.add("executed", format!("{}, {} in all", time(exec_ns), life.execs));
    }
    match &life.end {
        None if model.sees_ends => lines.add("state", "running".to_owned()),
        None => lines.add("state", "not known: this tool sees no ends".to_owned()),
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
    let mut above = life.parent;
    for _ in 0..64 {
        let Some(parent) = above.and_then(|id| model.get(id)) else { break };
        lines.add("below", format!("{} {}", parent.pid, label(parent)));
        above = parent.parent;
    }
    let cwd = Some(life.cwd.as_slice()).filter(|cwd| !cwd.is_empty());
    lines.add("directory", cwd.map_or_else(|| "not recorded: see --cwd".to_owned(), name));
    let Some(env) = &life.env else {
        lines.add("environment", "not recorded: see --env".to_owned());
        return lines.0;
    };
    for (at, entry) in words(env).enumerate() {
        let mut text = String::new();
        push_shell_word(&mut text, entry, false, Quote::WhereNeeded);
        lines.add(if at == 0 { "environment" } else { "" }, text);
    }
    if env.is_empty() {
        lines.add("environment", "empty".to_owned());
    }
    if life.env_cut {
        lines.add("", "more variables are not kept".to_owned());
    }
    lines.0
}

/// Lines of a page.
struct Lines(Vec<String>);

impl Lines {
    fn add(&mut self, name: &str, mut value: String) {
        value.insert_str(0, &format!(" {name:>12}  "));
        self.0.push(value);
    }
}
