//! Records of each tool: decoded, as a line of a table, and as a line of JSON.

use clap::Parser as _;
use snoop_tools::engine::tracer;
use snoop_tools::output::escape::Quote;
use snoop_tools::output::otlp::Encoder;
use snoop_tools::output::row::{Common, Slot, View};
use snoop_tools::output::table::Line;
use snoop_tools::skel::{Event as _, kill_event, task_id};
use snoop_tools::tools::execsnoop::search::Searched;
use snoop_tools::tools::{execsnoop, mmapsnoop, procsnoop, tcpconnect};

/// A program that is one file, with its fields in it.
#[path = "../../src/bin/killsnoop.rs"]
#[expect(dead_code, reason = "it is not run")]
mod killsnoop;

/// The first byte says whose record the others are.
pub(crate) fn all(data: &[u8]) {
    let Some((&which, record)) = data.split_first() else { return };
    match which % 5 {
        0 => exec(record),
        1 => connect(record),
        2 => map(record),
        3 => process(record),
        _ => kill(record),
    }
}

/// One line, which a terminal only shows.
fn check(line: &[u8], json: bool) {
    let text = std::str::from_utf8(line).unwrap();
    let line = text.strip_suffix('\n').unwrap_or(text);
    assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    if json {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
        let mut otlp = Vec::new();
        Encoder::new("x")
            .lines(&mut otlp, |out| out.extend_from_slice(format!("{line}\n").as_bytes()));
        check(&otlp, false);
        let text = String::from_utf8(otlp).unwrap();
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        let record = &record["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
        assert!(record["eventName"].is_string(), "{text}");
    }
}

/// A row as a line of the table, and as one of JSON.
fn show<F: Copy, E>(table: &View<F>, json: &View<F>, common: &Common<'_>, row: &E)
where
    F: Fn(&E, &mut Slot<'_, '_>),
{
    let mut out = Vec::new();
    table.cells(Line::new(&mut out, table.columns()), common, row);
    check(&out, false);
    out.clear();
    json.object(&mut out, common, row);
    check(&out, true);
}

fn common<'a>(id: &'a task_id, event: &'static str) -> Common<'a> {
    Common { event, time: "now", cgroup: Some(b"/x\x1b"), ..Common::of(id) }
}

fn exec(record: &[u8]) {
    use execsnoop::args::Args;
    use execsnoop::fields::{Row, view};
    let Some(exec) = execsnoop::Exec::decode(record) else { return };
    let searched = Searched::default();
    let row = Row {
        exec: &exec,
        interpreter: None,
        is_unseen: false,
        searched: &searched,
        max_args: 60,
        quote: Quote::WhereNeeded,
        has_exe_column: true,
        variables: &execsnoop::environment::Variables::All,
        shows_env: true,
    };
    let view = |flag| view(&Args::parse_from(["execsnoop", flag])).expect("columns of its own");
    show(&view("-x"), &view("--json"), &common(&exec.event.id, "process.exec"), &row);
}

fn connect(record: &[u8]) {
    use tcpconnect::args::Args;
    use tcpconnect::fields::{Row, view};
    let Ok(connect) = tcpconnect::Connect::decode(record) else { return };
    let row = Row {
        connect: &connect,
        host: None,
        service: None,
        asked_service: None,
        is_superseded: false,
    };
    let view = |flag| view(&Args::parse_from(["tcpconnect", flag])).expect("columns of its own");
    show(&view("-T"), &view("--json"), &common(&connect.id, "network.connect"), &row);
}

fn map(record: &[u8]) {
    use mmapsnoop::text::{Context, Options, Table};
    let Some(call) = mmapsnoop::Call::decode(record) else { return };
    let options = Options { calls: true, vma: true, latency: true, ..Options::default() };
    let table = Table::new(options);
    let mut out = Vec::new();
    table.row(&mut Line::new(&mut out, &table.columns), &call, &Context::default());
    check(&out, false);
    out.clear();
    mmapsnoop::json::Lines::default().push(&mut out, &call, &mmapsnoop::json::Context::default());
    check(&out, true);
}

fn process(record: &[u8]) {
    use procsnoop::args::Args;
    use procsnoop::fields::view;
    use procsnoop::row::{Row, What};
    let Ok(procsnoop::Record::ThreadExit(event)) = procsnoop::Record::decode(record) else {
        return;
    };
    let id = task_id::from(event.process.id);
    let row = Row {
        id: &id,
        what: What::ThreadExit(&event),
        max_args: 60,
        quote: Quote::WhereNeeded,
        shows_usage: true,
        variables: None,
    };
    let view = |flag| view(&Args::parse_from(["procsnoop", flag])).expect("columns of its own");
    show(&view("--usage"), &view("--json"), &common(&id, row.what.name()), &row);
}

fn kill(record: &[u8]) {
    let Ok((id, event)) = kill_event::decode(record) else { return };
    let view = |flag| {
        let common = execsnoop::args::Args::parse_from(["killsnoop", flag]).common;
        tracer::view::<killsnoop::Killsnoop>(&common).expect("columns of its own")
    };
    show(&view("-t"), &view("--json"), &common(&id, "signal.sent"), &event);
}
