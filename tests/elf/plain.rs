//! What `build.rs` makes of the structs in an object.

use std::collections::BTreeSet;

use libbpf_rs::Btf;

use super::compile::compile;

#[path = "../../build/skeletons.rs"]
mod skeletons;

use skeletons::{Skeletons, defined_in};

const SOURCE: &str = include_str!("sources/structs.bpf.c");

/// The text for objects of the source, each with these definitions.
fn skeletons(objects: &[(&str, &[&str])]) -> anyhow::Result<String> {
    let own: BTreeSet<_> =
        defined_in(SOURCE).filter(|name| *name != "kernels").map(str::to_owned).collect();
    let mut skeletons = Skeletons::default();
    for (name, flags) in objects {
        let object = compile("structs", "bpfel", flags);
        skeletons.add(name, &Btf::from_raw(name, &object)?.unwrap(), &own, &[])?;
    }
    skeletons.finish()
}

fn refusal(flag: &str) -> String {
    skeletons(&[("one", &[flag])]).unwrap_err().to_string()
}

#[test]
fn own_types_are_those_of_the_source() {
    let source = "struct a {\nenum b {\nstruct c___old {\nstruct d;\nstruct {\n\tstruct e {\n";
    assert_eq!(defined_in(source).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn padding_is_refused() {
    assert_eq!(refusal("-DINSIDE"), "struct step_event has 1 bytes of padding at 53");
    assert_eq!(refusal("-DAT_THE_END"), "struct step_event has 2 bytes of padding at 54");
}

#[test]
fn what_has_only_integers_is_plain() {
    let text = skeletons(&[("one", &[])]).unwrap();
    for (name, bytes) in [("task_id", 24), ("pair", 8), ("step_event", 56), ("late", 32)] {
        assert!(text.contains(&format!("plain!({name}, {bytes});")), "{name}: {text}");
    }
    for name in ["internal", "kernels"] {
        assert!(!text.contains(name), "{name}: {text}");
    }
}

#[test]
fn what_begins_with_a_task_id_is_an_event() {
    let text = skeletons(&[("one", &[])]).unwrap();
    assert!(text.contains("impl super::Event for types::step_event {}"), "{text}");
    assert_eq!(text.matches("impl super::Event").count(), 1, "{text}");
}

#[test]
fn common_types_are_those_of_the_first_object() {
    let text = skeletons(&[("one", &[]), ("two", &["-DLARGE"])]).unwrap();
    assert!(text.contains("pub use one::types::step;"), "{text}");
    assert!(text.contains("pub use one::types::task_id;"), "{text}");
    assert!(!text.contains("pub use two"), "{text}");
    let (one, two) = text.split_once("pub mod two {").unwrap();
    assert!(!one.contains("copied_task_id!"), "{text}");
    assert!(two.contains("copied_task_id!(time_ns, comm);"), "{text}");
}

#[test]
fn a_type_that_objects_have_in_two_sizes_is_named_with_its_object() {
    let text = skeletons(&[("one", &[]), ("two", &["-DLARGE"]), ("three", &[])]).unwrap();
    assert!(text.contains("plain!(room, 8);"), "{text}");
    assert!(text.contains("plain!(room, 32);"), "{text}");
    assert!(!text.contains("::types::room;"), "{text}");
}
