//! Histories of processes, made by hand.

use snoop_tools::skel::{
    process_birth_event, process_event, process_exit_event, process_kind, task_id,
};
use snoop_tools::tools::execsnoop::Exec;
use snoop_tools::tools::execsnoop::testing::{edit, record};
use snoop_tools::tools::procsnoop::Record;
use snoop_tools::tools::procsnoop::history::History;

pub(crate) const MS: u64 = 1_000_000;

/// A process: its times are milliseconds, its status is wait()'s.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) cpu: u64,
    pub(crate) status: i32,
    pub(crate) command: String,
}

/// One thing that happens.
enum Happens {
    Record(Box<Record>),
    Exec(Vec<u8>),
}

/// The history of these processes.
pub(crate) fn history(made: &[Made]) -> History {
    let start_ns =
        |pid: u32| made.iter().find(|made| made.pid == pid).map_or(0, |made| 1 + made.start * MS);
    let mut all = Vec::new();
    for made in made {
        let (begin, end) = (start_ns(made.pid), 1 + made.end * MS);
        let mut process = process_event { kind: process_kind::PROCESS_EXIT, ..Default::default() };
        (process.id.pid, process.id.ppid) = (made.pid, made.parent);
        (process.id.start_ns, process.id.time_ns) = (begin, begin);
        process.id.parent_start_ns = start_ns(made.parent);
        let name = made.command.split(' ').next().unwrap().rsplit('/').next().unwrap();
        process.id.comm.iter_mut().zip(name.bytes().take(15)).for_each(|(to, from)| *to = from);
        let birth = process_birth_event { process, ..Default::default() };
        all.push((begin, Happens::Record(Box::new(Record::Fork(birth)))));
        if made.command.contains(' ') {
            let args: Vec<_> = made.command.split(' ').map(str::as_bytes).collect();
            let mut exec = record("/bin/x", &args);
            edit(&mut exec, |event| {
                let task_id { pid, start_ns, comm, .. } = task_id::from(process.id);
                event.id = task_id { pid, start_ns, time_ns: begin + 1, comm, ..event.id };
            });
            all.push((begin + 1, Happens::Exec(exec)));
        }
        process.id.time_ns = end;
        let mut exit = process_exit_event { process, begin_ns: begin, ..Default::default() };
        (exit.status, exit.usage.runtime_ns) = (made.status, made.cpu * MS);
        all.push((end, Happens::Record(Box::new(Record::Exit(exit)))));
    }
    all.sort_by_key(|(time, _)| *time);
    let mut history = History::default();
    for (_, happens) in &all {
        match happens {
            Happens::Record(record) => history.see(record, None),
            Happens::Exec(exec) => history.see(&Record::Exec, Exec::decode(exec).as_ref()),
        }
    }
    history
}

/// A build with two jobs at once: a generator, compilations of different lengths, a linker, tests of
/// which two fail.
pub(crate) fn build() -> Vec<Made> {
    let mut all = Vec::new();
    let mut add = |pid, parent, start, end, cpu, status, command: &str| {
        let command = command.to_owned();
        all.push(Made { pid, parent, start, end, cpu, status, command });
    };
    add(100, 1, 0, 9000, 90, 512, "make -j2 all check");
    add(101, 100, 40, 900, 700, 0, "python3 tools/tables.py --unicode 16.0 -o tables.h");
    let sources = [
        ("main", 300),
        ("lexer", 900),
        ("parser", 2600),
        ("types", 700),
        ("values", 400),
        ("symbols", 350),
        ("emit", 1100),
        ("errors", 150),
        ("files", 200),
        ("options", 250),
        ("numbers", 180),
        ("strings", 330),
        ("tables", 1500),
        ("hash", 120),
        ("io", 140),
    ];
    let (mut pid, mut jobs) = (110, [920u64, 925]);
    for (name, ms) in sources {
        let job = usize::from(jobs[1] < jobs[0]);
        let start = jobs[job];
        let end = start + ms;
        add(pid, 100, start, end, 2, 0, &format!("gcc -O2 -Wall -c src/{name}.c -o {name}.o"));
        let cc1 = format!(
            "/usr/lib/gcc/cc1 -quiet -imultiarch x86_64-linux-gnu src/{name}.c -quiet \
             -dumpbase {name}.c -mtune=generic -O2 -Wall -o /tmp/cc{pid}aB.s"
        );
        add(pid + 1, pid, start + 3, end - ms / 10 - 4, ms * 8 / 10, 0, &cc1);
        let assembler = format!("as --64 -o {name}.o /tmp/cc{pid}aB.s");
        add(pid + 2, pid, end - ms / 10 - 3, end - 1, ms / 12, 0, &assembler);
        jobs[job] = end + 2;
        pid += 3;
    }
    let linked = jobs[0].max(jobs[1]) + 300;
    add(300, 100, linked - 295, linked, 3, 0, "gcc -o prog main.o lexer.o parser.o");
    add(301, 300, linked - 290, linked - 2, 250, 0, "collect2 -o prog main.o lexer.o parser.o");
    let mut at = linked + 5;
    for (number, (ms, status)) in
        [(200, 0), (450, 256), (300, 0), (520, 11), (90, 0)].iter().enumerate()
    {
        let (number, command) = (number as u32, format!("./prog --check tests/case{number}.txt"));
        add(310 + number, 100, at, at + ms, ms / 3, *status, &command);
        at += ms + 4;
    }
    add(330, 100, at, 8990, 1, 0, "sleep 1");
    add(340, 100, 30, 8800, 0, 0, "watcher");
    all
}

/// Five thousand short processes of a configure script, and some that take long.
pub(crate) fn thousands() -> Vec<Made> {
    let mut all = vec![Made {
        pid: 10,
        parent: 1,
        start: 0,
        end: 60_000,
        cpu: 900,
        status: 0,
        command: "sh ./configure".to_owned(),
    }];
    let programs = ["sed", "cat", "expr", "grep", "rm"];
    for number in 0..5000u32 {
        let start = 5 + u64::from(number) * 11;
        let program = programs[number as usize % 5];
        let (end, status) = (start + 8, if number % 500 == 7 { 256 } else { 0 });
        let command = format!("{program} -e pattern conftest{number}.c");
        all.push(Made { pid: 100 + number, parent: 10, start, end, cpu: 4, status, command });
    }
    for number in 0..4u32 {
        let start = 55_010 + u64::from(number) * 1000;
        let command = format!("cc -O2 -c long{number}.c");
        let made = Made {
            pid: 9000 + number,
            parent: 10,
            start,
            end: start + 990,
            cpu: 900,
            status: 0,
            command,
        };
        all.push(made);
    }
    all
}

/// What could end an attribute, an element or the script, or begin one.
pub(crate) const HOSTILE: &str = "'\"><script>alert(1)</script>]]>--><image/href=https://pictures.test/evil.png/onload=alert(2)/>&lt;&#60;";

/// Processes with names that try to be more than text.
pub(crate) fn hostile() -> Vec<Made> {
    let made = |pid: u32, parent, start: u64, end| Made {
        pid,
        parent,
        start,
        end,
        cpu: 5,
        status: 0,
        command: format!("/bin/{HOSTILE} {HOSTILE}{pid}"),
    };
    vec![made(10, 1, 0, 100), made(11, 10, 10, 60), made(12, 10, 70, 90)]
}
