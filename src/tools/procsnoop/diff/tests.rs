use super::commands::{Command, Commands};
use super::report::{Row, What, rows};
use super::*;
use crate::tools::procsnoop::status::Status;

fn command(line: &str, millis: u64, status: i32) -> Command {
    let args: Vec<_> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    let program = crate::tools::execsnoop::basename(&args[0]).to_vec();
    Command {
        program,
        args,
        duration_ns: millis * 1_000_000,
        status: Status::from_wait(status << 8),
    }
}

fn run_of(commands: &[(&str, u64, i32)]) -> Commands {
    let all = commands.iter().map(|&(line, millis, status)| command(line, millis, status));
    Commands { all: all.collect(), left_out: 0 }
}

fn compared(a: &[(&str, u64, i32)], b: &[(&str, u64, i32)]) -> Vec<Row> {
    let (a, b) = (run_of(a), run_of(b));
    rows(&a, &b, &pairs::match_all(&a.all, &b.all), LEAST_NS)
}

/// What is different, and the command line of A, or of B.
fn said(rows: &[Row]) -> Vec<(What, u64, String)> {
    let line = |row: &Row| {
        let side = row.a.as_ref().or(row.b.as_ref()).unwrap();
        String::from_utf8(side.args.join(&b' ')).unwrap()
    };
    rows.iter().map(|row| (row.what, row.count, line(row))).collect()
}

#[test]
fn the_same_build_has_no_difference() {
    let a = [("cc -c a.c", 100, 0), ("cc -c b.c", 90, 0), ("ls", 1, 0), ("ls", 1, 2)];
    let b = [("cc -c b.c", 90, 0), ("ls", 1, 0), ("cc -c a.c", 101, 0), ("ls", 1, 2)];
    assert_eq!(compared(&a, &b), []);
}

#[test]
fn made_up_names_and_folders_are_no_difference() {
    let a = [
        ("as -o /tmp/ccb9gqWU.o /tmp/ccAAb1cd.s", 5, 0),
        ("cc -I/home/u/one -c /home/u/one/x.c", 5, 0),
        ("cc -I/home/u/one -c /home/u/one/y.c", 5, 0),
    ];
    let b = [
        ("as -o /tmp/ccQ1w2E3.o /tmp/ccz9Y8x7.s", 5, 0),
        ("cc -I/home/u/two -c /home/u/two/x.c", 5, 0),
        ("cc -I/home/u/two -c /home/u/two/y.c", 5, 0),
    ];
    assert_eq!(compared(&a, &b), []);
}

#[test]
fn what_is_different() {
    let a = [
        ("cc -O2 -c a.c", 100, 0),
        ("cc -O2 -c b.c", 100, 0),
        ("ld -o x a.o", 50, 0),
        ("test -f x", 1, 1),
        ("strip x", 3, 0),
        ("sleep 1", 10, 0),
        ("sleep 1", 10, 0),
    ];
    let b = [
        ("cc -O3 -c a.c", 100, 0),
        ("cc -O2 -c b.c", 150, 0),
        ("ld -o x a.o", 50, 1),
        ("test -f x", 1, 0),
        ("install x", 2, 0),
        ("sleep 1", 20, 0),
        ("sleep 1", 20, 0),
    ];
    let line = |text: &str| text.to_owned();
    let expected = [
        (What::FailsInB, 1, line("ld -o x a.o")),
        (What::FailsInA, 1, line("test -f x")),
        (What::OnlyInB, 1, line("install x")),
        (What::OnlyInA, 1, line("strip x")),
        (What::Arguments, 1, line("cc -O2 -c a.c")),
        (What::Slower, 1, line("cc -O2 -c b.c")),
        (What::Slower, 2, line("sleep 1")),
    ];
    assert_eq!(said(&compared(&a, &b)), expected);
}

#[test]
fn a_command_has_one_partner() {
    let a = [("cc -c a.c", 10, 0), ("cc -c a.c", 10, 0), ("cc -c a.c", 10, 0)];
    let b = [("cc -c a.c", 10, 0)];
    assert_eq!(said(&compared(&a, &b)), [(What::OnlyInA, 2, "cc -c a.c".to_owned())]);
    assert_eq!(said(&compared(&b, &a)), [(What::OnlyInB, 2, "cc -c a.c".to_owned())]);
}

#[test]
fn the_most_similar_arguments_meet() {
    let a = [("cc -O2 -g -c a.c -o a.o", 5, 0), ("cc -O2 -g -c b.c -o b.o", 5, 0)];
    let b =
        [("cc -O2 -c b.c -o b.o", 5, 0), ("cc -O2 -c a.c -o a.o", 5, 0), ("cc --version", 5, 0)];
    let rows = compared(&a, &b);
    assert_eq!(rows.iter().filter(|row| row.what == What::Arguments).count(), 2);
    for row in rows.iter().filter(|row| row.what == What::Arguments) {
        let file =
            |side: &Option<report::Side>| side.as_ref().unwrap().args.last().unwrap().clone();
        assert_eq!(file(&row.a), file(&row.b));
    }
    assert_eq!(rows.iter().filter(|row| row.what == What::OnlyInB).count(), 1);
}

#[test]
fn many_commands_of_one_program_end_in_time() {
    let line = |number: u32, run: &str| format!("cc -c {run}{number}.c -o {run}{number}.o");
    let lines = |run: &str| (0..3000).map(|number| line(number, run)).collect::<Vec<_>>();
    let (a, b) = (lines("a"), lines("b"));
    let with = |lines: &[String]| Commands {
        all: lines.iter().map(|line| command(line, 1, 0)).collect(),
        left_out: 0,
    };
    // Too many to compare each with each.
    assert_eq!(pairs::match_all(&with(&a).all, &with(&b).all), []);
}
