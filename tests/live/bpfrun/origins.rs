//! Names and members that only the instructions tell, with the values that they really have.

use std::path::PathBuf;
use std::process::Command;

use super::*;

/// The first argument of prctl() that the fixture looks for.
const MAGIC: i32 = 0x6f72_6967;

const FLAGS: u64 = 0x1234;
const MODE: u64 = 0o644;

fn trace(object: &str) -> Trace {
    let tool = BPFRUN.start(&["--json", object]);
    // SAFETY: the kernel knows no such option, and refuses.
    unsafe { libc::prctl(MAGIC, FLAGS, MODE) };
    tool.stop()
}

/// The object after `llvm-strip` or `llvm-objcopy`. Gone with the test, which ends at once where
/// there are no such tools.
struct Copy(PathBuf);

impl Copy {
    fn new(tool: &str, flags: &[&str]) -> Option<Self> {
        let name = format!("snoop-{}-{}.bpf.o", std::process::id(), flags.len());
        let copy = Self(std::env::temp_dir().join(name));
        std::fs::copy(object("origins"), &copy.0).unwrap();
        let status = Command::new(tool).args(flags).arg(&copy.0).status();
        status.is_ok_and(|status| status.success()).then_some(copy)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn of<'a>(trace: &'a Trace, map: &str) -> Vec<&'a Value> {
    let events = named(trace, "bpf.event").into_iter();
    events.filter(|event| event["bpf"]["map"] == map).map(|event| &event["data"]).collect()
}

#[test]
fn fields_of_a_stripped_object_have_the_kernels_names() {
    let Some(stripped) = Copy::new("llvm-strip", &["-g"]) else { return };
    let trace = trace(stripped.path());
    let kind = &trace.start["maps"]["tasks"][0];
    assert_eq!(kind["provenance"], "inferred", "{kind}");
    let how = kind["how"].as_str().unwrap();
    assert!(how.contains("0 named by source lines") && how.contains(" 3 by CO-RE"), "{how}");
    let all = of(&trace, "tasks");
    let data = all.first().unwrap_or_else(|| panic!("{trace:?}"));
    let me = std::process::id();
    // SAFETY: it only asks.
    let uid = unsafe { libc::getuid() };
    assert_eq!((&data["pid_8"], &data["tgid"]), (&me.into(), &me.into()), "{data}");
    assert_eq!(data["val"], uid, "cred.uid.val: {data}");
    // A thread's is none, the process's own is SIGCHLD.
    assert!(data["exit_signal"] == libc::SIGCHLD || data["exit_signal"] == u32::MAX, "{data}");
    assert!(data["time_0_text"].as_str().unwrap().starts_with("20"), "{data}");
    let thread = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
    assert_eq!(data["comm_24"], thread.trim_end(), "{data}");
}

#[test]
fn a_constant_tells_the_member_of_a_union() {
    let trace = trace(&object("origins"));
    let all = of(&trace, "acts");
    let kind = |what: u64| {
        let mut found = all.iter().filter(|data| data["what"] == what);
        found.next().unwrap_or_else(|| panic!("{what}: {trace:?}"))
    };
    let opened = kind(7);
    let expected = serde_json::json!({ "flags": FLAGS, "mode": MODE });
    assert_eq!(opened["opened"]["flags"], expected["flags"], "{opened}");
    assert_eq!(opened["opened"]["mode"], expected["mode"], "{opened}");
    assert!(opened.get("closed").is_none() && opened.get("fields_either").is_none(), "{opened}");
    let closed = kind(9);
    assert_eq!(closed["closed"]["bytes"], FLAGS, "{closed}");
    assert!(closed.get("opened").is_none() && closed.get("fields_either").is_none(), "{closed}");
}

#[test]
fn an_object_without_any_types_has_roles_but_does_not_load() {
    let flags = ["--remove-section=.BTF", "--remove-section=.BTF.ext", "--strip-debug"];
    let Some(plain) = Copy::new("llvm-objcopy", &flags) else { return };
    let inspected = BPFRUN.command(&["inspect", "--schema", plain.path()]).output().unwrap();
    let shown = lossy(&inspected.stdout);
    assert_eq!(inspected.status.code(), Some(0), "{}", lossy(&inspected.stderr));
    for field in ["__u64 time_0;", "__u32 pid_8;", "char comm_24[16];"] {
        assert!(shown.contains(field), "{field}: {shown}");
    }
    assert!(shown.contains("the object has no BTF, so there are no names"), "{shown}");
    // libbpf takes the definitions of maps from BTF.
    let run = BPFRUN.command(&["run", plain.path()]).output().unwrap();
    let stderr = lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("BTF"), "{stderr}");
}
