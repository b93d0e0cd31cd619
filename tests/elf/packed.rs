//! Numbers that compilers store byte by byte, since they lie anywhere in packed structs.

use snoop_tools::elf::object::Object;
use snoop_tools::elf::schema::{UserSchemas, schemas};

use crate::compile::{compile, strip, without_btf, without_lines};

fn declared(data: &[u8], map: &str) -> String {
    let object = Object::parse(data).unwrap();
    let user = UserSchemas::default();
    let found = schemas(&object, None, &user).unwrap().all;
    let schema = found.iter().find(|schema| schema.map == map).unwrap();
    schema.types.c_declaration(schema.ty.unwrap())
}

#[test]
fn an_array_that_is_copied_byte_by_byte() {
    let stripped = strip(&compile("packed", "bpfel", &[]));
    assert_eq!(
        declared(&without_lines(&stripped), "bytewise"),
        "struct inferred {\n\
         \t__u8 field_0; /* 0 */\n\
         \t__u64 time_1; /* 1 */\n\
         \t__u8 field_9[20]; /* 9 */\n\
         } /* 29 bytes */ __attribute__((packed));"
    );
}

#[test]
fn numbers_that_are_stored_byte_by_byte() {
    for target in ["bpfel", "bpfeb"] {
        let stripped = strip(&compile("packed", target, &[]));
        assert_eq!(
            declared(&stripped, "records"),
            "struct inferred {\n\
             \t__u8 kind; /* 0 */\n\
             \t__u64 entered; /* 1 */\n\
             \t__u32 process; /* 9 */\n\
             \t__u16 port; /* 13 */\n\
             \tchar name[16]; /* 15 */\n\
             \t__u64 span; /* 31 */\n\
             \t__u8 last; /* 39 */\n\
             } /* 40 bytes */ __attribute__((packed));",
            "{target}"
        );
        // Without lines the helpers still tell what they are.
        let bare = declared(&without_lines(&stripped), "records");
        for field in ["__u64 time_1; /* 1 */", "__u32 pid_9; /* 9 */", "__u16 field_13; /* 13 */"] {
            assert!(bare.contains(field), "{target}: {bare}");
        }
        let bare = declared(&without_btf(&stripped), "copied");
        for field in ["__u64 time_1; /* 1 */", "__u32 pid_9; /* 9 */"] {
            assert!(bare.contains(field), "{target}: {bare}");
        }
    }
}
