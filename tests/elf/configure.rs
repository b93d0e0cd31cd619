//! Values on the command line of `bpfrun run` that an object has no place for: refused before
//! anything is loaded.

use std::process::Command;

use crate::command::File;
use crate::compile::compile_fixture;

#[test]
fn values_without_a_place_are_refused() {
    let file = File::new(&compile_fixture("fill"));
    let maps = "conf[__u32] (struct conf), each_cpu[__u32] (__u64), ports[struct pair] (__s32), \
                routes[struct route] (__u32), untyped[8 bytes] (3 bytes), jobs[] (4 bytes)";
    for (flag, reason) in [
        ("--map=x", "give a map, a key and a value, as NAME[KEY]=VALUE"),
        ("--map=nope[0]=1", &*format!("no map nope: those that take values are {maps}")),
        (
            "--map=ring[0]=1",
            &*format!("map ring (ringbuf) takes no values: those that do are {maps}"),
        ),
        (
            "--map=calls[0]=called",
            "calls holds programs: --prog-array calls[N]=PROG puts them there",
        ),
        ("--map=conf[2].level=1", "conf[2]: has 2 elements"),
        ("--map=conf[0]=1", "conf[0]: is struct conf: set its members, or give {MEMBER=VALUE,...}"),
        ("--map=conf[0].nope=1", "conf[0].nope: struct conf has no member nope"),
        ("--map=conf[0].limits.list[3]=1", "conf[0].limits.list[3]: has 3 elements"),
        (
            "--map=conf[0].mode=SOME",
            "\"SOME\" is neither a number nor one of OFF, BRIEF, LONG_WINDED",
        ),
        ("--map=conf[0].limits.name=too-long", "conf[0].limits.name: has room for 7 bytes"),
        ("--map=conf[-1].level=1", "conf[-1]: the key -1 is not from 0 to 4294967295"),
        ("--map=ports[{port=65536}]=1", "ports[{port=65536}]: the key port: 65536 is not from 0"),
        ("--map=routes[10.0.0.0/40]=1", "40 is not the length of a prefix, from 0 to 32"),
        ("--map=untyped[1]=1", "untyped[1]: has 3 bytes of unknown type: give them as hex:"),
        ("--map=jobs[0]=1", "jobs[0]: has no keys: --map jobs[]=VALUE"),
        ("--prog-array=conf[0]=called", "no map of programs conf: there are calls"),
        ("--prog-array=calls[3]=called", "calls[3]: has 3 elements"),
        ("--prog-array=calls[0]=nope", "calls[0]: no program nope: there are looks, called, kills"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bpfrun"));
        let output = command.arg("run").arg(&file.0).arg(flag).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{flag}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(reason), "{flag}: {stderr}");
        assert_eq!(
            stderr.lines().count(),
            if flag == "--map=x" { stderr.lines().count() } else { 1 }
        );
    }
}
