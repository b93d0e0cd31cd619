//! What events are, found in objects that say it and in objects that do not.

use snoop_tools::elf::dwarf::Dwarf;
use snoop_tools::elf::object::Object;
use snoop_tools::elf::schema::{UserSchemas, schemas};
use snoop_tools::elf::types::Kind;

use crate::compile::{compile, compile_own, run, scratch, strip, without_lines};

/// `MAP: TYPE by SOURCE from PROGRAM,…`, with `...` behind types that may have a tail.
fn found(data: &[u8], user: &UserSchemas) -> Result<Vec<String>, String> {
    let object = Object::parse(data).unwrap();
    let dwarf = Dwarf::parse(data).unwrap();
    let schemas = schemas(&object, dwarf.as_ref(), user);
    let schemas = schemas.map_err(|error| format!("{error:#}"))?.all;
    let mut shown: Vec<_> = schemas
        .iter()
        .map(|schema| {
            let ty = schema.type_name().unwrap_or_else(|| "bytes".to_owned());
            let tail = if schema.tail { "..." } else { "" };
            let (source, senders) = (schema.provenance.word(), schema.senders.join(","));
            format!("{}: {ty}{tail} by {source} from {senders}", schema.map)
        })
        .collect();
    shown.sort();
    Ok(shown)
}

fn check(data: &[u8], expected: &[&str]) {
    assert_eq!(found(data, &UserSchemas::default()).unwrap(), expected);
}

#[test]
fn records_in_place() {
    let expected = ["rb: struct event by dwarf from handle_exec,handle_exit"];
    let data = compile("records", "bpfel", &[]);
    check(&data, &expected);
    check(&strip(&data), &["rb: struct inferred by inferred from handle_exec,handle_exit"]);
    check(&compile("records", "bpfel", &["-gdwarf-4"]), &expected);
    check(&compile("records", "bpfel", &["-gdwarf-5"]), &expected);
    check(&compile("records", "bpfeb", &[]), &expected);
}

#[test]
fn copies() {
    let data = compile("copies", "bpfel", &[]);
    let typed = [
        "globals: struct total by dataflow from from_variable",
        "numbers: __u64 by scalar from number",
        "perf: struct opened by dwarf from to_perf",
        "stack: struct opened by dwarf from from_stack",
        "values: struct big... by dataflow from from_value",
    ];
    check(&data, &typed);
    // `stack`: a struct of the same size is in BTF, and is not taken.
    let stripped = strip(&data);
    check(
        &stripped,
        &[
            typed[0],
            typed[1],
            "perf: struct inferred by inferred from to_perf",
            "stack: struct inferred by inferred from from_stack",
            typed[4],
        ],
    );
}

#[test]
fn annotations() {
    let expected = [
        "named: struct tagged by annotation from send",
        "pointed: struct other by annotation from send",
        "typed: struct event by annotation from send",
    ];
    let data = compile("annotated", "bpfel", &[]);
    check(&data, &expected);
    check(&strip(&data), &expected);
    check(&strip(&compile("annotated", "bpfeb", &[])), &expected);
}

#[test]
fn several_kinds_in_one_map() {
    let data = compile("several", "bpfel", &[]);
    check(
        &data,
        &[
            "by_kind: struct close_event by dwarf from closes",
            "by_kind: struct open_event by dwarf from opens",
            "by_size: struct connect_event by dwarf from connects",
            "by_size: struct header by dwarf from exits",
            // A tie, which is not decided.
            "tied: bytes by unknown from ties",
        ],
    );
}

#[test]
fn long_ways() {
    let data = compile("places", "bpfel", &[]);
    check(
        &data,
        &[
            "dynamic: struct step by dwarf from by_dynptr",
            "filled: struct event by dataflow from by_function",
            "ring0: struct event by dwarf from nested",
            "ring1: struct event by dwarf from nested",
            "rings: struct event by dwarf from nested",
            "stepped: struct step by dwarf from in_loop",
            "tasks: struct task by dwarf from tasks",
        ],
    );
    // `tasks`: laid out like struct event, but the source assigns to other members.
    check(
        &strip(&data),
        &[
            "dynamic: struct inferred by inferred from by_dynptr",
            "filled: struct event by dataflow from by_function",
            "ring0: struct event by btf from nested",
            "ring1: struct event by btf from nested",
            "rings: struct event by btf from nested",
            "stepped: struct inferred by inferred from in_loop",
            "tasks: struct inferred by inferred from tasks",
        ],
    );
}

#[test]
fn lookalikes() {
    let data = compile("lookalikes", "bpfel", &[]);
    check(
        &data,
        &[
            "context_bytes: struct inferred by inferred from sends_bytes",
            "context_heap: bytes by unknown from sends_heap",
            "context_numbers: bytes by unknown from sends_numbers",
            "context_registers: struct inferred by inferred from sends_registers",
            "filled: struct ended by dwarf from fills",
            "initialised: struct ended by dwarf from initialises",
            "merged: struct closed by dwarf from does_not_merge",
            "merged: struct opened by dwarf from merges",
            "numbers: struct inferred by inferred from sends_pair",
            "text: struct inferred by inferred from sends_text",
            "totals: struct total by dwarf from sums_up",
            "unnamed: bytes by unknown from sends_unnamed",
            "walked: struct hops_event by dwarf from walks",
        ],
    );
    // Values of maps are no events for their size: only where the source says so.
    let stripped = found(&strip(&data), &UserSchemas::default()).unwrap();
    let known = stripped
        .iter()
        .filter(|line| !line.contains(": bytes by ") && !line.contains(" by inferred "));
    let known: Vec<_> = known.collect();
    assert_eq!(known, ["totals: struct total by btf from sums_up"]);
    assert_eq!(stripped.len(), 13);
}

#[test]
fn enums_below_zero() {
    // Clang 14 does not mark them in BTF.
    let object = Object::parse(&compile("lookalikes", "bpfel", &[])).unwrap();
    let types = object.btf.unwrap().types;
    let ty = types.by_c_name("enum outcome").unwrap();
    let Kind::Enum { signed: true, values, .. } = types.kind(ty) else { panic!("no signed enum") };
    assert_eq!(values[0], ("OUTCOME_FAILED".into(), -3));
}

#[test]
fn reasons_name_the_variable_that_is_sent() {
    let data = compile("lookalikes", "bpfel", &[]);
    let object = Object::parse(&data).unwrap();
    let dwarf = Dwarf::parse(&data).unwrap();
    let user = UserSchemas::default();
    let schemas = schemas(&object, dwarf.as_ref(), &user).unwrap().all;
    let reason = |map: &str| {
        let schema = schemas.iter().find(|schema| schema.map == map).unwrap();
        schema.provenance.to_string()
    };
    assert_eq!(reason("totals"), "debug information: the variable e of sums_up");
    assert_eq!(
        reason("numbers"),
        "inferred from its stores: 2 fields, 0 named by source lines, 1 by helpers"
    );
    assert_eq!(
        reason("unnamed"),
        "not known: struct file_key fits, but no line of the source sends or fills it"
    );
}

#[test]
fn right_or_silent() {
    let data = compile("doubtful", "bpfel", &[]);
    check(
        &data,
        &[
            "drained: struct called by dwarf from drains",
            "dummies: struct ended by dataflow from sends_ended",
            "founds: struct found by dataflow from sends_found",
            "heads: struct head by dwarf from sends_head",
            "packets: struct packet by dwarf from sends_packet",
            "shared: struct found by dataflow from sends_kept,sends_words",
            "smalls: struct small by dwarf from sends_small",
            "spans: struct span by dwarf from sends_span",
            "texts: struct inferred by inferred from sends_text",
            "ticks: struct called by dwarf from starts_timer",
            "unions: union scratch by dwarf from sends_either",
            "unpaddeds: struct unpadded by dwarf from sends_unpadded",
        ],
    );
    // Without debug information, what the stores tell is better than a struct that only looks like it.
    check(
        &strip(&data),
        &[
            "drained: struct inferred by inferred from drains",
            "dummies: struct ended by dataflow from sends_ended",
            "founds: struct found by dataflow from sends_found",
            "heads: struct inferred by inferred from sends_head",
            "packets: struct inferred by inferred from sends_packet",
            "shared: struct found by dataflow from sends_kept,sends_words",
            "smalls: struct inferred by inferred from sends_small",
            "spans: struct inferred by inferred from sends_span",
            "texts: struct inferred by inferred from sends_text",
            "ticks: struct inferred by inferred from starts_timer",
            // Either of its members would be a guess.
            "unions: bytes by unknown from sends_either",
            "unpaddeds: struct inferred by inferred from sends_unpadded",
        ],
    );
}

#[test]
fn stores_make_a_struct() {
    let declaration = |data: &[u8], map: &str| {
        let object = Object::parse(data).unwrap();
        let user = UserSchemas::default();
        let schemas = schemas(&object, None, &user).unwrap();
        let schema = schemas.all.iter().find(|schema| schema.map == map).unwrap();
        schema.types.c_declaration(schema.ty.unwrap())
    };
    let stripped = strip(&compile("doubtful", "bpfel", &[]));
    assert_eq!(
        declaration(&stripped, "drained"),
        "struct inferred {\n\
         \t__u32 pid; /* 0 */\n\
         \tchar comm[16]; /* 4 */\n\
         } /* 20 bytes */;"
    );
    // The line with the copy names the member that it fills, all of it.
    assert_eq!(
        declaration(&stripped, "spans"),
        "struct inferred {\n\
         \t__u8 parent[24]; /* 0 */\n\
         \t__u64 id; /* 24 */\n\
         \t__u64 at; /* 32 */\n\
         \t__u64 took; /* 40 */\n\
         } /* 48 bytes */;"
    );
    // What a line clears is one member, whatever a loop puts into it.
    assert_eq!(
        declaration(&stripped, "heads"),
        "struct inferred {\n\
         \t__u32 size; /* 0 */\n\
         \t__u8 bytes[24]; /* 4 */\n\
         \t__u32 pid; /* 28 */\n\
         } /* 32 bytes */;"
    );
    // Without the lines only roles and places are left.
    let bare = without_lines(&stripped);
    assert_eq!(
        declaration(&bare, "drained"),
        "struct inferred {\n\
         \t__u32 pid_0; /* 0 */\n\
         \tchar comm_4[16]; /* 4 */\n\
         } /* 20 bytes */;"
    );
}

#[test]
fn schemas_tell_program_and_line() {
    let data = strip(&compile("doubtful", "bpfel", &[]));
    let object = Object::parse(&data).unwrap();
    let user = UserSchemas::default();
    let schemas = schemas(&object, None, &user).unwrap();
    let shared = schemas.all.iter().find(|schema| schema.map == "shared").unwrap();
    let source = std::fs::read_to_string("tests/elf/sources/doubtful.bpf.c").unwrap();
    let texts: Vec<_> = shared
        .sites
        .iter()
        .map(|site| {
            assert!(site.file.ends_with("doubtful.bpf.c"), "{}", site.file);
            let line = source.lines().nth(site.line as usize - 1).unwrap().trim();
            format!("{}: {line}", site.program)
        })
        .collect();
    assert_eq!(
        texts,
        [
            "sends_kept: bpf_ringbuf_output(&shared, f, sizeof(*f), 0);",
            "sends_words: bpf_ringbuf_submit(words, 0);"
        ]
    );
}

/// Map, type and source of each schema.
fn short(data: &[u8]) -> Vec<String> {
    let shown = found(data, &UserSchemas::default()).unwrap();
    shown.iter().filter_map(|line| Some(line.split_once(" from ")?.0.to_owned())).collect()
}

/// What every tracer may send besides its own events.
const OF_ALL_TRACERS: [&str; 3] = [
    "events: struct cgroup_born... by dataflow",
    "events: struct context_link by annotation",
    "events: struct context_login by annotation",
];

#[test]
fn own_objects() {
    for (name, expected) in [
        ("execve", &["events: struct exec_event... by annotation"][..]),
        ("mmap", &["events: struct mmap_event... by annotation"]),
        ("tcpconnect", &["events: struct connect_event by annotation"]),
        (
            "bootstrap",
            &[
                "events: struct exec_event... by annotation",
                "events: struct process_birth_event by annotation",
                "events: struct process_exit_event by annotation",
                "events: struct process_reaped_event by annotation",
                "older: struct process_ids by annotation",
            ],
        ),
    ] {
        let data = compile_own(name);
        // The rings that may stand in for `events` get the same records, at the same places.
        let of_events = |data: &[u8]| {
            let mut lines = short(data);
            lines.retain(|line| !line.starts_with("event_rings: "));
            for common in OF_ALL_TRACERS {
                let at = lines.iter().position(|line| line == common);
                lines.remove(at.unwrap_or_else(|| panic!("{name}: no {common}: {lines:?}")));
            }
            lines
        };
        assert_eq!(of_events(&data), expected, "{name}");
        assert_eq!(of_events(&strip(&data)), expected, "{name}, stripped");
    }
}

#[test]
fn the_users_word() {
    let header = scratch("event.h");
    // As headers for BPF are: counting on vmlinux.h.
    let text =
        "struct opened { __u64 ts; pid_t pid; uid_t uid; int ret; int flags; char comm[16]; };
                struct small { u32 a; };\n";
    std::fs::write(&header, text).unwrap();
    let stripped = strip(&compile("copies", "bpfel", &[]));
    let none: &[&str] = &[];

    // Named, and its header.
    let wanted = ["perf=struct opened".to_owned()];
    let user = UserSchemas::new(&wanted, &[&header]).unwrap();
    let shown = found(&stripped, &user).unwrap();
    assert!(shown.contains(&"perf: struct opened by user from to_perf".to_owned()), "{shown:?}");
    // The header alone: what fits there.
    let user = UserSchemas::new(&[], &[&header]).unwrap();
    let shown = found(&stripped, &user).unwrap();
    assert!(
        shown.contains(&"stack: struct opened by user from from_stack".to_owned()),
        "{shown:?}"
    );
    // An object with debug information instead of a header.
    let object = scratch("copies.bpf.o");
    std::fs::write(&object, compile("copies", "bpfel", &[])).unwrap();
    let user = UserSchemas::new(&wanted, &[&object]).unwrap();
    let shown = found(&stripped, &user).unwrap();
    assert!(shown.contains(&"perf: struct opened by user from to_perf".to_owned()), "{shown:?}");

    // It has structs of the kernel's, too, one of which is as large.
    let data = compile("records", "bpfel", &[]);
    std::fs::write(&object, &data).unwrap();
    let user = UserSchemas::new(&[], &[&object]).unwrap();
    assert_eq!(
        found(&strip(&data), &user).unwrap(),
        ["rb: struct event by user from handle_exec,handle_exit"]
    );

    let user = |text: &str| UserSchemas::new(&[text.to_owned()], none);
    assert!(format!("{:#}", user("events").unwrap_err()).contains("MAP=STRUCT"));
    let error = found(&stripped, &user("nomap=struct total").unwrap()).unwrap_err();
    assert!(error.contains("no such map") && error.contains("perf"), "{error}");
    let error = found(&stripped, &user("perf=struct nothing").unwrap()).unwrap_err();
    assert!(error.contains("no such type"), "{error}");
    std::fs::write(&header, "struct opened { unknown_t x; };\n").unwrap();
    let error = format!("{:#}", UserSchemas::new(&[], &[&header]).unwrap_err());
    assert!(error.contains("unknown_t") && !error.contains('\n'), "{error}");
    let error = format!("{:#}", UserSchemas::new(&[], &[scratch("missing.h")]).unwrap_err());
    assert!(error.contains("missing.h") && !error.contains('\n'), "{error}");
    std::fs::remove_file(header).unwrap();
    std::fs::remove_file(object).unwrap();
}

#[test]
fn shown_c_compiles_to_the_same_layout() {
    let data = compile("doubtful", "bpfel", &[]);
    for data in [&data, &strip(&data)] {
        let object = Object::parse(data).unwrap();
        let dwarf = Dwarf::parse(data).unwrap();
        let user = UserSchemas::default();
        for schema in schemas(&object, dwarf.as_ref(), &user).unwrap().all {
            let Some(ty) = schema.ty.filter(|&ty| schema.types.composite(ty).is_some()) else {
                continue;
            };
            let body = schema.types.composite(ty).unwrap();
            let nested = body.members.iter().any(|m| schema.types.composite(m.ty).is_some());
            if nested {
                continue; // declared apart
            }
            let name = schema.type_name().unwrap();
            let mut text = String::from(
                "typedef unsigned char __u8; typedef unsigned short __u16;\n\
                 typedef unsigned int __u32; typedef unsigned long long __u64;\n",
            );
            text += &schema.types.c_declaration(ty);
            text += &format!("\n_Static_assert(sizeof({name}) == {}, \"size\");\n", body.bytes);
            for member in &body.members {
                let (member, at) = (member.name.as_deref().unwrap(), member.bit_offset / 8);
                text += &format!(
                    "_Static_assert(__builtin_offsetof({name}, {member}) == {at}, \"{member}\");\n"
                );
            }
            let header = scratch("layout.h");
            std::fs::write(&header, &text).unwrap();
            run(std::process::Command::new("clang")
                .args(["-target", "bpf", "-fsyntax-only", "-Werror", "-x", "c"])
                .arg(&header));
            std::fs::remove_file(header).unwrap();
        }
    }
}
