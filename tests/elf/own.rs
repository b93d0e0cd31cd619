//! The objects of the project's own tools.

use snoop_tools::elf::object::Object;

/// Those that the build has made.
pub(crate) const OWN: [(&str, &[u8]); 4] = [
    ("bootstrap", include_bytes!(concat!(env!("OUT_DIR"), "/bootstrap.bpf.o"))),
    ("execve", include_bytes!(concat!(env!("OUT_DIR"), "/execve.bpf.o"))),
    ("mmap", include_bytes!(concat!(env!("OUT_DIR"), "/mmap.bpf.o"))),
    ("tcpconnect", include_bytes!(concat!(env!("OUT_DIR"), "/tcpconnect.bpf.o"))),
];

#[test]
fn all_of_them_are_read() {
    for (name, data) in OWN {
        let object = Object::parse(data).unwrap();
        assert_eq!(object.damage, [""; 0], "{name}");
        assert!(!object.programs.is_empty() && !object.maps.is_empty(), "{name}");
        assert!(object.programs.iter().all(|program| program.hook.program_type.is_some()));
        assert!(object.maps.iter().all(|map| map.kind != 0));
    }
}
