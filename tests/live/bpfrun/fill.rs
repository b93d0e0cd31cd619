//! Maps that an object's own loader would fill.

use super::*;

#[test]
fn maps_are_filled_before_anything_is_attached() {
    let _alone = alone();
    let flags = [
        "--map=conf[0].level=7",
        "--map=conf[0].limits={list=[1,2,0x10],name=\"a,b\"}",
        "--map=conf[0].mode=LONG_WINDED",
        "--map=conf[0].address=127.0.0.1",
        "--map=conf[1]={level=9}",
        "--map=each_cpu[0]=12",
        "--map=ports[{port=80,proto=6}]=-5",
        "--map=ports[{port=81}]=1",
        "--map=routes[10.1.0.0/16]=3",
        "--map=jobs[]=4",
        "--map=jobs[]=5",
        "--map=untyped[0x100000002]=hex:0102ff",
    ];
    let trace = trace("fill", &[&flags[..], &["--maps"]].concat(), &[&fixture("argv")]);
    let said = messages(&trace);
    for message in [
        "conf 7 2 9",
        "limits 1 16 a,b",
        "address 127 1",
        "cpu 12",
        "port -5",
        "route 3",
        "bytes 1 2 255",
        "job 4",
        "nothing is called",
    ] {
        assert!(said.contains(&message), "{message}: {said:?}");
    }
    assert!(!said.contains(&"filtered"), "{said:?}");
    // Each CPU has the value, whichever the program ran on.
    let maps = named(&trace, "bpf.map");
    let of_cpus = maps.iter().find(|map| map["bpf"]["map"] == "each_cpu").unwrap();
    let values = of_cpus["values"].as_array().unwrap();
    assert!(!values.is_empty(), "{of_cpus}");
    assert!(values.iter().all(|value| value.to_string().contains("12")), "{of_cpus}");
    let empty = self::trace("fill", &[], &[&fixture("argv")]);
    let said = messages(&empty);
    assert!(
        said.contains(&"conf 0 0 0") && !said.iter().any(|m| m.starts_with("port")),
        "{said:?}"
    );
}

#[test]
fn a_program_that_a_map_is_to_hold_is_called_and_not_attached() {
    let _alone = alone();
    let flags = ["--prog-array=calls[1]=called", "--set=targ_pid=3"];
    let trace = trace("fill", &flags, &[&fixture("argv")]);
    let said = messages(&trace);
    assert!(said.contains(&"called 3") && !said.contains(&"nothing is called"), "{said:?}");
    let called = program(&trace, "called");
    assert_eq!(called["state"], "loaded");
    assert_eq!(called["reason"], "called through the map calls");
    assert_eq!(program(&trace, "looks")["state"], "attached");
}

#[test]
fn who_calls_a_program_that_acts_acts_too() {
    let _alone = alone();
    let mut tool = BPFRUN.command(&["run", &object("fill"), "--prog-array=calls[1]=kills"]);
    let output = tool.args(["--", "true"]).output().unwrap();
    let stderr = lossy(&output.stderr);
    let line = |name: &str| {
        let line = stderr.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("{name}: {stderr}"))
    };
    for (name, advice) in [("looks", "not loaded"), ("kills", "loaded, not attached")] {
        assert!(line(name).contains(advice), "{stderr}");
    }
    assert!(line("looks").contains("acts on the system: send_signal"), "{stderr}");
}

#[test]
fn filters_are_named_once_with_their_flags() {
    let _alone = alone();
    let said = |flags: &[&str]| {
        let mut tool = BPFRUN.command(&["run", &object("fill")]);
        let output = tool.args(flags).args(["--", &fixture("argv")]).output().unwrap();
        let stderr = lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        let lines = stderr.lines().filter(|line| line.contains("filters of the object"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let all = "bpfrun: filters of the object, with their values: \
               --set targ_pid=0 --set filter_by_name=false --set targ_comm=''";
    assert_eq!(said(&[]), [all]);
    let rest = all.replace(" --set targ_pid=0", "");
    assert_eq!(said(&["--set", "targ_pid=1"]), [rest]);
    let set = ["--set=targ_pid=1", "--set=filter_by_name=1", "--set=targ_comm=x"];
    assert_eq!(said(&set), [""; 0]);
    let trace = trace("fill", &["--set", "targ_pid=1"], &[&fixture("argv")]);
    let expected = serde_json::json!([
        { "name": "filter_by_name", "value": "false" }, { "name": "targ_comm", "value": "''" }
    ]);
    assert_eq!(trace.start["object"]["filters"], expected);
}

#[test]
fn a_kernel_that_refuses_a_value_is_quoted() {
    let _alone = alone();
    // A queue of four takes no fifth; the check before loading knows that.
    let five = ["--map=jobs[]=1"; 5];
    let mut tool = BPFRUN.command(&["run", &object("fill")]);
    let output = tool.args(five).output().unwrap();
    assert_eq!(lossy(&output.stderr), "error: map jobs has room for 4 elements\n");
    // A prefix of a length that no address has, as raw bytes.
    let mut tool = BPFRUN.command(&["run", &object("fill")]);
    let output = tool.arg("--map=routes[{length=99}]=1").output().unwrap();
    let stderr = lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("cannot put a value into routes[{length=99}]: Invalid argument"),
        "{stderr}"
    );
}
