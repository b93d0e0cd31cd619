//! Headers of the types in a small object, as clang makes it of C.

use std::fs;
use std::process::Command;

use libbpf_rs::Btf;

use super::kernel::Kernel;
use super::select::Selection;
use super::sources::Names;
use super::write::header;

const KERNEL: &str = "
typedef unsigned int u32;
enum { OFF, ON };
typedef enum { FREE, BUSY } state_t;
enum color { RED, GREEN = 5 };
struct list { struct list *next; struct other *unused; };
struct element { u32 a; char b; };
struct other { int x; };
typedef void (*callback_t)(struct other *, ...);
struct task {
	int before;
	union { u32 one; struct { u32 two : 3; u32 three : 5; }; };
	struct element elements[2];
	int (*ops)(struct other *);
	callback_t call;
	const char *const name;
	struct list list;
	enum color color;
	state_t state;
	int (*table)[4];
};
struct task task;
int switch_it(void) { return ON; }
";

/// The types of `KERNEL`.
fn kernel() -> Kernel {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("xtask-test-{}-{number}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let (source, object) = (folder.join("kernel.c"), folder.join("kernel.o"));
    fs::write(&source, KERNEL).unwrap();
    let clang = std::env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let mut command = Command::new(clang);
    command.args(["-g", "-O2", "-target", "bpf", "-c"]).arg(&source).arg("-o").arg(&object);
    assert!(command.status().unwrap().success());
    let btf = Btf::from_path(&object).unwrap();
    fs::remove_dir_all(folder).unwrap();
    Kernel::new(btf)
}

/// What is between the beginning and the end, which all headers have.
fn small(source: &str) -> String {
    let (kernel, mut names) = (kernel(), Names::default());
    names.add(source);
    let text = header(&kernel, &Selection::of(&kernel, &names));
    let (_, text) = text.split_once("#endif\n").unwrap();
    text.split_once("\n#ifndef").unwrap().0.to_owned()
}

#[test]
fn members_that_are_named() {
    let expected = "
struct list;

struct list {
\tstruct list *next;
};

struct task {
\tunion {
\t\tstruct {
\t\t\tu32 three : 5;
\t\t};
\t};
\tvoid (*ops)(void);
\tconst char *const name;
\tstruct list list;
};
";
    let text =
        small("f(struct task *task) { task->three, task->ops, task->name, task->list.next }");
    assert_eq!(text, format!("\ntypedef unsigned int u32;\n{expected}"));
}

#[test]
fn elements_of_arrays_and_variables_are_whole() {
    let text = small("f(struct task *task) { task->elements }");
    assert!(text.contains("struct element {\n\tu32 a;\n\tchar b;\n};"), "{text}");
    let text = small("struct element element;");
    assert!(text.contains("\tchar b;\n"), "{text}");
    assert!(!small("struct element *element;").contains("\tchar b;\n"));
}

#[test]
fn enums_have_the_values_that_are_named() {
    assert!(small("enum color *color; GREEN").contains("enum color {\n\tGREEN = 5,\n};"));
    // One must have some.
    assert!(small("enum color *color;").contains("enum color {\n\tRED = 0,\n};"));
    assert_eq!(small("nothing"), "");
    // What a member is stays an enum, whoever names its values.
    let text = small("f(struct task *task) { task->state == BUSY }");
    assert!(text.contains("typedef enum {\n\tBUSY = 1,\n} state_t;"), "{text}");
}

#[test]
fn everything_is_valid() {
    let kernel = kernel();
    let text = header(&kernel, &Selection::all(&kernel));
    for line in [
        "typedef void (*callback_t)(struct other *, ...);",
        "\tint (*table)[4];",
        "\tstruct other *unused;",
        "\tstruct element elements[2];",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
    }
}
