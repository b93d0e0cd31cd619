//! Types that `inspect --schema --json` writes, a person corrects, and `run --schema` takes back.

use std::path::Path;

use serde_json::{Value, json};
use snoop_tools::bpfrun::inspect::{self, Args};
use snoop_tools::elf::dwarf::Dwarf;
use snoop_tools::elf::object::Object;
use snoop_tools::elf::schema::{UserSchemas, schemas};

use crate::compile::{compile, scratch, strip};

/// What `inspect --schema --json` shows.
fn document(data: &[u8]) -> Value {
    let args = Args {
        file: "x.bpf.o".into(),
        object: None,
        objects: false,
        against: None,
        disasm: false,
        prog: Vec::new(),
        types: None,
        schema: true,
        wanted: Vec::new(),
        type_from: Vec::new(),
        json: true,
    };
    inspect::describe(&args, data).unwrap()
}

/// For each kind of event that the file describes: map, size and fields, and whether they are the
/// user's.
fn taken(data: &[u8], document: &Value) -> Result<Vec<(Value, bool)>, String> {
    let file = scratch("schema.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let user = UserSchemas::default().with_schema(&[Path::new(&file)]);
    std::fs::remove_file(&file).unwrap();
    let user = user.map_err(|error| format!("{error:#}"))?;
    let object = Object::parse(data).unwrap();
    let dwarf = Dwarf::parse(data).unwrap();
    let found = schemas(&object, dwarf.as_ref(), &user).map_err(|error| format!("{error:#}"))?;
    let kinds = found.all.iter().filter_map(|schema| {
        let fields = plain(schema.fields()?);
        let size = schema.types.size(schema.ty?);
        let kind = json!({"map": schema.map, "size": size, "fields": fields});
        Some((kind, schema.provenance.word() == "user"))
    });
    Ok(kinds.collect())
}

/// Fields without the words that say how they are known.
fn plain(mut fields: Value) -> Value {
    for field in fields.as_array_mut().unwrap() {
        let field = field.as_object_mut().unwrap();
        for key in ["known", "how", "value"] {
            field.remove(key);
        }
    }
    fields
}

/// The same from the file.
fn expected(document: &Value) -> Vec<Value> {
    let events = document["events"].as_array().unwrap();
    let typed = events.iter().filter(|event| event.get("fields").is_some());
    let kind = |event: &Value| {
        let map = event.get("map").or(event.get("iterator")).unwrap();
        json!({"map": map, "size": event["size_bytes"], "fields": plain(event["fields"].clone())})
    };
    typed.map(kind).collect()
}

#[test]
fn what_is_written_is_read() {
    for name in ["arms", "orders", "doubtful", "several", "kinds", "lookalikes", "annotated"] {
        let whole = compile(name, "bpfel", &[]);
        for data in [&whole, &strip(&whole)] {
            let document = document(data);
            let wanted = expected(&document);
            assert!(!wanted.is_empty(), "{name}");
            let taken = taken(data, &document).unwrap();
            for kind in &wanted {
                let found = taken.iter().find(|(found, _)| found == kind);
                let (_, is_users) = found.unwrap_or_else(|| panic!("{name}: {kind} of {taken:#?}"));
                assert!(is_users, "{name}: {kind}");
            }
        }
    }
}

#[test]
fn each_field_says_how_it_is_known() {
    let known = |data: &[u8], map: &str| -> Vec<String> {
        let document = document(data);
        let events = document["events"].as_array().unwrap();
        let event = events.iter().find(|event| event["map"] == map).unwrap();
        let fields = event["fields"].as_array().unwrap().iter();
        let words = fields.map(|field| {
            let value = field.get("value").map_or(String::new(), |value| format!(" {value}"));
            let name = field["name"].as_str().unwrap();
            format!("{name}: {}{value}", field["known"].as_str().unwrap())
        });
        words.collect()
    };
    let whole = compile("orders", "bpfel", &[]);
    let stripped = strip(&whole);
    assert_eq!(
        known(&stripped, "named"),
        [
            "tgid: co-re",
            "pid: co-re",
            "entered: map",
            "depth: map",
            "pid_20: helper",
            "tid_24: helper",
            "uid_28: helper",
            "time_32: helper \"boot clock\"",
            "duration_40: helper",
            "cgroup_id_48: helper",
            "comm_56: helper \"text\"",
        ]
    );
    assert_eq!(
        known(&whole, "swapped")[..2],
        ["saddr: dwarf \"host order\"", "daddr: dwarf \"host order\""]
    );
    assert_eq!(known(&stripped, "guessed")[4], "gap_12: none");
}

#[test]
fn corrections_are_used_and_contradictions_refused() {
    let data = strip(&compile("orders", "bpfel", &[]));
    let whole = document(&data);
    let index = |map: &str| {
        let events = whole["events"].as_array().unwrap();
        events.iter().position(|event| event["map"] == map).unwrap()
    };
    let named = index("named");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = whole.clone();
        change(&mut changed["events"][named]);
        taken(&data, &changed)
    };
    // Another name, a sign, and the members of what was a gap.
    let changed = with(&|event| {
        event["fields"][0]["name"] = "process".into();
        event["fields"][1]["type"] = "s32".into();
    });
    let changed = changed.unwrap();
    let (kind, is_users) = changed.iter().find(|(kind, _)| kind["map"] == "named").unwrap();
    assert!(is_users);
    assert_eq!(kind["fields"][0], json!({"name": "process", "offset": 0, "type": "u32"}));
    assert_eq!(kind["fields"][1]["type"], "s32");

    let refused = |change: &dyn Fn(&mut Value), words: &str| {
        let error = with(change).unwrap_err();
        assert!(error.contains(words) && !error.contains('\n'), "{error}");
    };
    refused(
        &|event| {
            let fields = event["fields"].as_array_mut().unwrap();
            fields[1]["type"] = "u64".into();
            fields.remove(2);
        },
        "names stores 4 bytes at offset 4, where no such field is",
    );
    let longer = |event: &mut Value| {
        let more = json!({"name": "more", "offset": 72, "type": "u64"});
        event["fields"].as_array_mut().unwrap().push(more);
        event["size_bytes"] = 80.into();
    };
    refused(&longer, "it has 80 bytes, and names sends 72");
    refused(&|event| event["size_bytes"] = 64.into(), "ends behind the 64 bytes");
    refused(&|event| event["map"] = "other".into(), "no map other takes events");
    refused(&|event| event["programs"] = json!(["other"]), "there is no program other");
    refused(&|event| event["sent_at"] = json!(["names:1"]), "nothing is sent at names:1");
    refused(&|event| event["fields"][0]["offset"] = 1.into(), "overlap");
}
