//! What people see: the default rows of each tracer on terminals of several widths, as they come
//! out of a pseudo-terminal. `tests/screens` has the captures; `SNOOP_BLESS=1` renews them.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::Read as _;
use std::path::Path;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use nix::pty::{Winsize, openpty};

use crate::engine::cli::CommonArgs;
use crate::output::color::Color;
use crate::output::escape::Quote;
use crate::output::row::{Common, Slot, View};
use crate::output::table::Output;
use crate::skel::{
    Event as _, connect_flag, connect_outcome, exec_flag, kill_event, mmap_event, mmap_kind,
    process_event, process_exit_event, process_flag, process_killer, task_id,
};
use crate::tools::execsnoop::search::Searched;
use crate::tools::execsnoop::{self, Exec};
use crate::tools::mmapsnoop::text::{Context, Options, Table};
use crate::tools::mmapsnoop::{self, Call};
use crate::tools::procsnoop::held::Ended;
use crate::tools::procsnoop::lives::Lives;
use crate::tools::procsnoop::row::What;
use crate::tools::procsnoop::usage::Usage;
use crate::tools::{procsnoop, tcpconnect};

#[path = "../bin/killsnoop.rs"]
#[allow(dead_code, reason = "its main() is for the program")]
mod killsnoop;

const WIDTHS: [u16; 4] = [60, 80, 100, 200];

/// What a terminal of this size gets.
fn screen(width: u16, height: u16, is_wide: bool, write: impl FnOnce(&mut Output)) -> String {
    let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).unwrap();
    let mut master = fs::File::from(pty.master);
    let reader = std::thread::spawn(move || {
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        // Ends with EIO once nobody has the other end.
        while let Ok(len @ 1..) = master.read(&mut buffer) {
            seen.extend_from_slice(&buffer[..len]);
        }
        seen
    });
    let mut out = Output::to(pty.slave, Color::Never);
    out.fit_terminal(is_wide);
    write(&mut out);
    out.flush().unwrap();
    drop(out);
    String::from_utf8(reader.join().unwrap()).unwrap().replace("\r\n", "\n")
}

fn default<A: Parser>(name: &str) -> A {
    A::parse_from([name])
}

fn common<'a>(id: &'a task_id, event: &'static str) -> Common<'a> {
    Common { event, time: "12:16:32.123", ..Common::of(id) }
}

/// Sets the members of a `task_id`, which is a type of its own in each skeleton.
macro_rules! set_id {
    ($id:expr, $pid:expr, $ppid:expr, $comm:expr) => {
        ($id.pid, $id.vpid, $id.tid, $id.ppid) = ($pid, $pid, $pid, $ppid);
        $id.start_ns = 1;
        for (at, byte) in $comm.bytes().enumerate().take(15) {
            ($id.comm[at], $id.thread_comm[at]) = (byte, byte);
        }
    };
}

fn id(pid: u32, ppid: u32, comm: &str) -> task_id {
    let mut id = task_id::default();
    set_id!(id, pid, ppid, comm);
    id
}

/// Shows one row, as the main loop does.
fn show<F, E>(out: &mut Output, view: &View<F>, common: &Common<'_>, event: &E)
where
    F: Copy + Fn(&E, &mut Slot<'_, '_>),
{
    view.row(out, common, event);
    out.end_row();
}

fn executions(out: &mut Output) {
    let view = execsnoop::fields::view(&default("execsnoop")).unwrap();
    out.heading(view.columns());
    let cc1 = "/usr/libexec/gcc/x86_64-linux-gnu/12/cc1 -quiet -imultiarch x86_64-linux-gnu good.c \
               -quiet -dumpbase good.c -dumpbase-ext .c -mtune=generic -o /tmp/ccb9gqWU.s";
    for (line, comm) in [
        ("make -s", "make"),
        (cc1, "cc1"),
        (
            "grep -c needle \u{1b}[31m\u{202e} 日本語日本語日本語日本語日本語日本語日本語日本語",
            "grep",
        ),
    ] {
        let args: Vec<_> = line.split(' ').map(str::as_bytes).collect();
        let mut record = execsnoop::testing::record("/bin/x", &args);
        execsnoop::testing::edit(&mut record, |event| {
            event.id = id(1_234_567, 9829, comm);
            event.caller_tid = event.id.pid;
        });
        let exec = Exec::decode(&record).unwrap();
        let nowhere = Searched::default();
        let row = execsnoop::fields::Row {
            exec: &exec,
            interpreter: None,
            is_unseen: false,
            searched: &nowhere,
            max_args: 60,
            quote: Quote::WhereNeeded,
            has_exe_column: true,
            variables: &execsnoop::environment::Variables::All,
            shows_env: false,
        };
        show(out, &view, &common(&exec.event.id, "process.exec"), &row);
    }
}

fn connections(out: &mut Output) {
    use tcpconnect::testing::{attempt, end, endpoint};
    let view = tcpconnect::fields::view(&default("tcpconnect")).unwrap();
    out.heading(view.columns());
    for (comm, from, to, error) in [
        ("curl", "192.168.178.123", "203.0.113.200", 0),
        ("systemd-resolve", "192.168.178.123", "192.168.178.1", libc::ECONNREFUSED),
        ("firefox", "2001:db8:85a3::8a2e", "2001:db8:4001:82b::200e", libc::ETIMEDOUT),
    ] {
        let connect = attempt(endpoint(to, 443), |event| {
            set_id!(event.id, 1_234_567, 1, comm);
            event.local = end(endpoint(from, 41344));
            event.flags = connect_flag(0);
            event.outcome = match error {
                0 => connect_outcome::CONNECT_ESTABLISHED,
                _ => connect_outcome::CONNECT_FAILED,
            };
            event.error = error as u32;
            event.duration_ns = 1_208_822_000;
        });
        let row = tcpconnect::fields::Row {
            connect: &connect,
            host: None,
            service: None,
            asked_service: None,
            is_superseded: false,
        };
        show(out, &view, &common(&connect.id, "network.connect"), &row);
    }
}

fn mappings(out: &mut Output, options: Options) {
    let table = Table::new(options);
    out.heading(&table.columns);
    let mut anonymous = mmap_event {
        kind: mmap_kind::MMAP_MAP,
        len: 24 << 10,
        prot: 3,
        flags: 0x22,
        fd: -1,
        ret: 0x7fdf_2dbc_9000,
        ..mmap_event::default()
    };
    set_id!(anonymous.id, 1_234_567, 1, "python3");
    let file = mmap_event { flags: 0x812, prot: 5, fd: 3, offset: 155_648, ..anonymous };
    let library = b"/usr/lib/x86_64-linux-gnu/libffi.so.8.1.2";
    for record in [
        mmapsnoop::testing::record(anonymous),
        mmapsnoop::testing::with_path(file, library),
        mmapsnoop::testing::record(mmap_event { ret: -12, len: 2 << 20, ..anonymous }),
    ] {
        let call = Call::decode(&record).unwrap();
        table.row(&mut out.line(&table.columns), &call, &Context::default());
        out.end_row();
    }
}

fn lives(out: &mut Output) {
    let args = default("procsnoop");
    let view = procsnoop::fields::view(&args).unwrap();
    out.heading(view.columns());
    let mut lives = Lives::default();
    for (comm, line, status) in [
        ("as", "as --64 -o good.o /tmp/ccb9gqWU.s", 0),
        ("gcc", "gcc -c bad.c", 1 << 8),
        ("sleep", "sleep 10", libc::SIGKILL),
    ] {
        let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
        let mut record = execsnoop::testing::record("/bin/x", &words);
        let id = id(1_234_567, 9829, comm);
        execsnoop::testing::edit(&mut record, |event| {
            event.id = id;
            event.caller_tid = id.tid;
            event.flags = exec_flag(0);
        });
        let exec = Exec::decode(&record).unwrap();
        lives.exec(&exec);
        let mut event = process_exit_event {
            status,
            killer: process_killer { pid: 19843, ..process_killer::default() },
            ..process_exit_event::default()
        };
        event.killer.comm[..7].copy_from_slice(b"timeout");
        set_id!(event.process.id, id.pid, id.ppid, comm);
        event.process.id.time_ns = 302_000_000;
        if status == libc::SIGKILL {
            event.process.flags = process_flag::PROCESS_KILLER;
        }
        let life = lives.exit(&event.process);
        let ended = Ended { event, life, usage: Usage::default() };
        for what in [What::Exec(&exec), What::Exit(&ended, true)] {
            let row = procsnoop::row::Row {
                id: &id,
                what,
                max_args: 60,
                quote: Quote::WhereNeeded,
                shows_usage: false,
                variables: None,
            };
            show(out, &view, &common(&id, what.name()), &row);
        }
    }
}

fn signals(out: &mut Output) {
    let matches = execsnoop::args::Args::command().get_matches_from(["killsnoop"]);
    let args = CommonArgs::from_arg_matches(&matches).unwrap();
    let view = crate::engine::tracer::view::<killsnoop::Killsnoop>(&args).unwrap();
    out.heading(view.columns());
    for (signal, result, target) in [(15, 0, "sleep"), (42, 4, "x"), (9, -3, "")] {
        let mut event =
            kill_event { signal, result, target_pid: 1_234_568, ..kill_event::default() };
        set_id!(event.id, 1_234_567, 1, "timeout");
        target.bytes().zip(&mut event.target_comm).for_each(|(from, to)| *to = from);
        // SAFETY: plain integers without padding.
        let record = unsafe { plain::as_bytes(&event) };
        let (id, event) = kill_event::decode(record).unwrap();
        show(out, &view, &common(&id, "signal.sent"), &event);
    }
}

fn is_as_captured(tool: &str, write: impl Fn(&mut Output)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screens");
    for width in WIDTHS {
        let seen = screen(width, 24, false, &write);
        let widest = seen.lines().map(unicode_width::UnicodeWidthStr::width).max().unwrap();
        assert!(widest <= usize::from(width), "{widest} of {width}:\n{seen}");
        let file = folder.join(format!("{tool}-{width}.txt"));
        if std::env::var_os("SNOOP_BLESS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &seen).unwrap();
        }
        let captured = fs::read_to_string(&file).unwrap_or_default();
        assert!(seen == captured, "{tool}, {width} columns; captured:\n{captured}\nnow:\n{seen}");
    }
}

#[test]
fn execsnoop_at_each_width() {
    is_as_captured("execsnoop", executions);
}

#[test]
fn tcpconnect_at_each_width() {
    is_as_captured("tcpconnect", connections);
}

#[test]
fn mmapsnoop_at_each_width() {
    is_as_captured("mmapsnoop", |out| mappings(out, Options::default()));
}

#[test]
fn procsnoop_at_each_width() {
    is_as_captured("procsnoop", lives);
}

#[test]
fn killsnoop_at_each_width() {
    is_as_captured("killsnoop", signals);
}

/// Ordinary rows are whole at 100 columns: command lines and paths of ordinary length too.
#[test]
fn ordinary_rows_fit_100_columns() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screens");
    for (tool, whole) in [
        ("execsnoop", "make -s"),
        ("tcpconnect", "1208.822"),
        ("mmapsnoop", "/usr/lib/x86_64-linux-gnu/libffi.so.8"),
        ("procsnoop", "as --64 -o good.o /tmp/ccb9gqWU.s"),
        ("killsnoop", "without information"),
    ] {
        let seen = fs::read_to_string(folder.join(format!("{tool}-100.txt"))).unwrap();
        assert!(seen.lines().any(|line| line.contains(whole)), "{tool}:\n{seen}");
    }
}

#[test]
fn each_screenful_has_the_heading() {
    let many = |height, is_wide| {
        screen(80, height, is_wide, |out| {
            let view = procsnoop::fields::view(&default("procsnoop")).unwrap();
            out.heading(view.columns());
            let id = id(7, 1, "x");
            let event = process_event::default();
            for number in 0..50 {
                let row = procsnoop::row::Row {
                    id: &id,
                    what: What::Fork(&event),
                    max_args: 60,
                    quote: Quote::WhereNeeded,
                    shows_usage: false,
                    variables: None,
                };
                show(out, &view, &common(&id, "process.fork"), &row);
                if number % 7 == 0 {
                    out.flush().unwrap();
                }
            }
        })
    };
    for is_wide in [false, true] {
        let lines = many(12, is_wide);
        let lines: Vec<_> = lines.lines().collect();
        assert_eq!(lines.iter().filter(|line| line.contains("EVENT")).count(), 5);
        // Wherever one looks: with the cursor's line it is one screenful.
        for screenful in lines.windows(11) {
            assert!(screenful.iter().any(|line| line.contains("EVENT")), "{screenful:?}");
        }
    }
    assert_eq!(many(0, false).matches("EVENT").count(), 1, "no size");
    assert_eq!(many(2, false).matches("EVENT").count(), 1, "no room");
}

#[test]
fn wide_rows_are_whole() {
    let seen = screen(60, 24, true, executions);
    assert!(seen.contains("-o /tmp/ccb9gqWU.s"), "{seen}");
    assert!(!seen.contains('…'), "{seen}");
}
