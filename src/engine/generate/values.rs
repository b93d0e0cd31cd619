//! Values of flags, by the ids of the flags: of this machine, and of now.

use std::fs;

use crate::engine::manual::{Candidate, Given, Page};
use crate::host::cgroup::below;
use crate::host::proc::pids;
use crate::host::signal;
use crate::output::escape::{is_plain_cell, one_line};

/// The most candidates of one kind.
const MOST: usize = 2000;

/// The ending of the names of files that a flag takes, if it takes files.
pub(super) fn file_ending(id: &str) -> Option<&'static str> {
    match id {
        "file" => Some(".o"),
        "compile_commands" | "diff" | "from" | "plot" | "perfetto" | "chrome_trace" | "schema"
        | "type_from" | "path" | "output" | "btf" | "against" => Some(""),
        "metrics" => Some(".prom"),
        _ => None,
    }
}

/// Whether commas join several values.
pub(super) fn is_list(id: &str) -> bool {
    ["columns", "prot", "flags", "port"].contains(&id)
}

/// Values that begin with `start`, and perhaps others.
pub(super) fn of(page: &Page, id: &str, start: &str, given: &Given<'_>) -> Vec<Candidate> {
    if let Some(mut values) = (page.values)(id, given) {
        // They may be from a file that is anybody's.
        values.retain(|(word, _)| is_bare(word.trim_end_matches('=')));
        values.truncate(MOST);
        return values.into_iter().map(|(word, about)| (word, one_line(&about))).collect();
    }
    match id {
        "pid" | "ppid" | "tree" | "target" | "not_pid" => processes().collect(),
        "comm" | "not_comm" => names(),
        "ancestor" => names().into_iter().chain(processes()).collect(),
        "uid" | "run_as" | "not_uid" => users(),
        "signal" => signals(start),
        "cgroup" | "not_cgroup" => cgroups(start),
        "columns" => columns(page),
        "rotate" => examples(&[
            ("100M", "at this size, with 10 old files"),
            ("1G,5,zstd", "with 5 old files, compressed"),
            ("16M/10s,1000", "or with a row that is 10 seconds old"),
        ]),
        "status" => examples(&[("10", "seconds"), ("60", "seconds"), ("0", "never")]),
        "rate_limit" => examples(&[
            ("100/s", "rows in all"),
            ("10/s:comm", "rows of each program"),
            ("10/s:pid", "rows of each process"),
            ("10/s:uid", "rows of each user"),
        ]),
        "sample" => examples(&[("10", "one of 10 processes"), ("100", "one of 100")]),
        "max_cpu" => examples(&[("1", "percent of one CPU"), ("5", "percent of one CPU")]),
        "filter" => keys(page, start),
        _ => Vec::new(),
    }
}

/// Values of which there is no list.
fn examples(values: &[(&str, &str)]) -> Vec<Candidate> {
    values.iter().map(|(value, what)| ((*value).to_owned(), (*what).to_owned())).collect()
}

/// Processes with their names.
fn processes() -> impl Iterator<Item = Candidate> {
    let name = |pid: u32| fs::read(format!("/proc/{pid}/comm")).ok();
    let text = |name: Vec<u8>| String::from_utf8_lossy(name.trim_ascii_end()).into_owned();
    let known = pids().take(MOST).filter_map(move |pid| Some((pid.to_string(), text(name(pid)?))));
    known.map(|(pid, name)| (pid, one_line(&name)))
}

/// Names of processes that need no quotes in a shell.
fn names() -> Vec<Candidate> {
    let mut names: Vec<_> =
        processes().map(|(_, name)| name).filter(|name| is_bare(name)).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(|name| (name, String::new())).collect()
}

/// Whether no shell sees anything special in it.
fn is_bare(word: &str) -> bool {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "_@%+:./-".contains(c);
    is_plain_cell(word.as_bytes()) && word.chars().all(is_safe)
}

/// passwd(5): `name:password:uid:gid:comment:…`
fn users() -> Vec<Candidate> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = |line: &str| {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next()?, fields.nth(1)?);
        is_bare(name).then(|| (name.to_owned(), format!("uid {uid}")))
    };
    passwd.lines().take(MOST).filter_map(user).collect()
}

/// With SIG or without, as the word begins.
fn signals(start: &str) -> Vec<Candidate> {
    let all = (1..=signal::LAST).map(|number| (signal::name(number), number));
    let shown = all.map(|(name, number)| match start.starts_with("SIG") {
        true => (name.into_owned(), number),
        false => (name.trim_start_matches("SIG").to_owned(), number),
    });
    shown.map(|(name, number)| (name, format!("signal {number}"))).collect()
}

/// The folders of one level of the hierarchy, as for paths of files: by the path in
/// `/proc/PID/cgroup`, or where the hierarchy is mounted.
fn cgroups(start: &str) -> Vec<Candidate> {
    let folder = start.rsplit_once('/').map_or("", |(folder, _)| folder);
    let paths = below(folder).into_iter().take(MOST).map(|name| format!("{folder}/{name}"));
    // Both, so that no shell takes a folder with others in it for complete.
    let both = |path: String| {
        let inner = (!below(&path).is_empty()).then(|| format!("{path}/"));
        [Some(path), inner].into_iter().flatten()
    };
    paths.filter(|path| is_bare(path)).flat_map(both).map(|path| (path, String::new())).collect()
}

/// Keys of JSON, behind what an expression has so far.
fn keys(page: &Page, start: &str) -> Vec<Candidate> {
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
    let before = start.trim_end_matches(is_of_key);
    let fields = page.manual.fields.map_or_else(Vec::new, |fields| fields());
    let keys = fields.into_iter().filter(|field| !field.key.is_empty());
    keys.map(|field| (format!("{before}{}", field.key), field.about.to_owned())).collect()
}

/// Headings without their units, as -o takes them.
fn columns(page: &Page) -> Vec<Candidate> {
    let fields = page.manual.fields.map_or_else(Vec::new, |fields| fields());
    let columns = fields.into_iter().filter(|field| !field.title.is_empty());
    let name = |title: &str| match title {
        "TIME(s)" => "time(s)".to_owned(),
        title => crate::output::row::without_unit(title).to_ascii_lowercase(),
    };
    columns.map(|field| (name(field.title), field.about.to_owned())).collect()
}
