use serde_json::{Value, json};

use super::*;
use crate::skel::task_id;

struct Event<'a> {
    name: &'a [u8],
    size: Option<u32>,
}

type Put = fn(&Event<'_>, &mut Slot<'_, '_>);

const FIELDS: &[Field<Put>] = &[
    Field::PID,
    Field::COMM.in_column(Column::left("WHO", 4)),
    Field::right("SIZE", 5, "file.size", "its size", |event, slot| {
        slot.optional_number(event.size);
    }),
    // A mistake: a second cell would get under the next heading.
    Field::left("NAME", 8, "file.name", "its name", |event, slot| {
        slot.name(event.name);
        slot.text("twice");
    }),
    Field::json("process.extra", "in the object of the process", |_, slot| slot.flag(true)),
    Field::left("LAST", 0, "", "nothing", |_, _| {}),
];

fn shown(json: bool, event: &Event<'_>) -> String {
    let id =
        task_id { pid: 7, vpid: 7, comm: *b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0", ..task_id::default() };
    let common = Common { event: "file.seen", time: "now", cgroup: Some(b"/a"), ..Common::of(&id) };
    View::new(FIELDS.iter().copied(), |_| true).line(json, &common, event)
}

#[test]
fn each_cell_is_in_its_column() {
    let row = shown(false, &Event { name: b"a b", size: Some(12) });
    assert_eq!(row, "7       sh      12 a\\040b   -\n");
    let row = shown(false, &Event { name: b"x", size: None });
    assert_eq!(row, "7       sh       - x        -\n");
}

#[test]
fn members_stand_in_their_objects() {
    let line = shown(true, &Event { name: b"\xff", size: None });
    let value: Value = serde_json::from_str(&line).unwrap();
    let expected = json!({
        "timestamp": "now",
        "event": { "name": "file.seen" },
        "process": {
            "pid": 7, "parent_pid": 0, "comm": "sh", "user": { "id": 0 },
            "real_user": { "id": 0 }, "linux": { "cgroup": "/a" }, "extra": true
        },
        "file": { "name": "\u{fffd}", "name_base64": "/w==" }
    });
    assert_eq!(value, expected);
    assert_eq!(line.matches("\"process\"").count(), 1, "{line}");
}

#[test]
fn errors_and_durations_are_measured() {
    let fields: [Field<Put>; 2] = [
        Field::json("error.type", "", |event, slot| match event.size {
            Some(_) => slot.failure("ENOENT"),
            None => slot.error(None),
        }),
        Field::right("MS", 5, "process.duration_ns", "", |event, slot| {
            slot.optional_millis(event.size.map(u64::from));
        }),
    ];
    let view = View::new(fields, |_| true);
    let id = task_id::default();
    let common = Common::of(&id);
    let mut scratch = Vec::new();
    let failed = Event { name: b"", size: Some(7) };
    assert_eq!(view.measure(&common, &failed, &mut scratch), (Some("ENOENT"), Some(7)));
    let fine = Event { name: b"", size: None };
    assert_eq!(view.measure(&common, &fine, &mut scratch), (None, None));
}

#[test]
fn hidden_columns_stay_in_json() {
    let view = View::new(FIELDS.iter().copied(), |column| {
        column.width += 1;
        column.title != "SIZE"
    });
    let titles: Vec<_> = view.columns().iter().map(|column| column.title).collect();
    assert_eq!(titles, ["PID", "WHO", "NAME", "LAST"]);
    assert_eq!(view.columns()[0].width, 8);
    assert!(view.members.iter().any(|(key, _)| key.dotted == "file.size"));
}

#[test]
fn the_manual_says_each_field_once() {
    let docs = docs(FIELDS);
    let titles: Vec<_> = docs.iter().map(|doc| doc.title).take(5).collect();
    assert_eq!(titles, ["PID", "WHO", "SIZE", "NAME", "LAST"]);
    let pids = docs.iter().filter(|doc| doc.key == "process.pid");
    assert_eq!(pids.count(), 1);
    assert!(docs.iter().any(|doc| doc.key == "process.extra" && doc.title.is_empty()));
}
