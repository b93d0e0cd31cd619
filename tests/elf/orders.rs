//! Values whose byte order and names only the instructions tell.

use snoop_tools::elf::dwarf::Dwarf;
use snoop_tools::elf::object::Object;
use snoop_tools::elf::schema::{EventDecoder, UserSchemas, schemas};
use snoop_tools::elf::value::Clocks;

use crate::compile::{compile, strip, without_lines};

/// An event of a map, decoded.
pub(crate) fn shown(object: &[u8], map: &str, data: &[u8]) -> String {
    let dwarf = Dwarf::parse(object).unwrap();
    let object = Object::parse(object).unwrap();
    let user = UserSchemas::default();
    let found = schemas(&object, dwarf.as_ref(), &user).unwrap().all;
    let kinds = found.iter().filter(|schema| schema.map == map);
    let decoder = EventDecoder::new(kinds, object.endian, &Clocks::default());
    let mut out = String::new();
    decoder.pick(data).unwrap().decoder.as_ref().unwrap().text(data, &mut out);
    out
}

/// `struct ends`: 10.0.0.1 to 10.0.0.2, port 443 to 80.
fn ends(network: bool) -> Vec<u8> {
    let order = |mut bytes: Vec<u8>| {
        if !network {
            bytes.reverse();
        }
        bytes
    };
    let port = |port: u16| order(port.to_be_bytes().to_vec());
    let (source, target) = (order(vec![10, 0, 0, 1]), order(vec![10, 0, 0, 2]));
    let wide = [port(80), vec![0, 0]].concat();
    let all =
        [source, target.clone(), port(443), port(80), wide, target.clone(), target, vec![0; 8]];
    all.concat()
}

const ENDS: &str = "saddr=10.0.0.1 daddr=10.0.0.2 sport=443 dport=80 wide_port=80";

#[test]
fn addresses_and_ports_in_the_order_of_the_program() {
    let whole = compile("orders", "bpfel", &[]);
    for (form, data) in [("with types", whole.clone()), ("stripped", strip(&whole))] {
        for (map, network) in [("swapped", false), ("kept", true)] {
            let text = shown(&data, map, &ends(network));
            assert!(text.starts_with(ENDS), "{form}, {map}: {text}");
            assert!(text.contains(" typed_addr=10.0.0.2 "), "{form}, {map}: {text}");
        }
    }
    // With the type, the four bytes are an address, too.
    for (map, network) in [("swapped", false), ("kept", true)] {
        let text = shown(&whole, map, &ends(network));
        assert!(text.contains(" bytes_addr=10.0.0.2 "), "{map}: {text}");
    }
}

#[test]
fn an_address_in_either_order_is_a_number() {
    let data = ends(true);
    let text = shown(&compile("orders", "bpfel", &[]), "mixed", &data);
    let number = u32::from_le_bytes([10, 0, 0, 2]);
    assert!(text.contains(&format!(" daddr={number} ")), "{text}");
}

#[test]
fn swapped_numbers_of_packets_are_numbers() {
    let whole = compile("orders", "bpfel", &[]);
    let mut data = ends(false);
    data[4..8].copy_from_slice(&[10, 0, 0, 2]);
    data[10..12].copy_from_slice(&80_u16.to_be_bytes());
    for data_of in [&whole, &strip(&whole)] {
        let text = shown(data_of, "guessed", &data);
        let expected = "saddr=10.0.0.1 daddr=10.0.0.2 sport=443 dport=80 ";
        assert!(text.starts_with(expected), "{text}");
    }
}

#[test]
fn halves_of_a_result_that_changed_places_are_two_numbers() {
    let object = strip(&compile("orders", "bpfel", &[]));
    let object = Object::parse(&object).unwrap();
    let user = UserSchemas::default();
    let found = schemas(&object, None, &user).unwrap().all;
    let schema = found.iter().find(|schema| schema.map == "exchanged").unwrap();
    assert_eq!(
        schema.types.c_declaration(schema.ty.unwrap()),
        "struct inferred {\n\
         \t__u32 pid_0; /* 0 */\n\
         \t__u32 tid_4; /* 4 */\n\
         \t__u64 gid_uid_8; /* 8 */\n\
         \t__u32 gid_16; /* 16 */\n\
         \t__u32 uid_20; /* 20 */\n\
         } /* 24 bytes */;"
    );
}

#[test]
fn fields_without_lines_have_the_names_of_their_sources() {
    let stripped = strip(&compile("orders", "bpfel", &[]));
    let declared = |data: &[u8]| {
        let object = Object::parse(data).unwrap();
        let user = UserSchemas::default();
        let found = schemas(&object, None, &user).unwrap().all;
        let schema = found.iter().find(|schema| schema.map == "named").unwrap();
        let how = schema.provenance.to_string();
        (schema.types.c_declaration(schema.ty.unwrap()), how)
    };
    let (c, how) = declared(&stripped);
    assert_eq!(
        c,
        "struct inferred {\n\
         \t__u32 tgid; /* 0 */\n\
         \t__u32 pid; /* 4 */\n\
         \t__u64 entered; /* 8 */\n\
         \t__u32 depth; /* 16 */\n\
         \t__u32 pid_20; /* 20 */\n\
         \t__u32 tid_24; /* 24 */\n\
         \t__u32 uid_28; /* 28 */\n\
         \t__u64 time_32; /* 32 */\n\
         \t__u64 duration_40; /* 40 */\n\
         \t__u64 cgroup_id_48; /* 48 */\n\
         \tchar comm_56[16]; /* 56 */\n\
         } /* 72 bytes */;"
    );
    let words =
        "from its stores: 11 fields, 0 named by source lines, 2 by CO-RE, 2 by values of maps";
    assert!(how.contains(words), "{how}");
    // Without .BTF.ext the instructions still tell what helpers and maps give.
    let (c, _) = declared(&without_lines(&stripped));
    assert!(c.contains("__u32 field_0; ") && c.contains("__u64 entered; "), "{c}");
    let (c, how) = declared(&crate::compile::without_btf(&stripped));
    assert!(c.contains("__u64 field_8; ") && c.contains("__u64 time_32; "), "{c}");
    assert!(how.contains("the object has no BTF"), "{how}");
}
