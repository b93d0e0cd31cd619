//! What an object expects of the kernel, which does not have it.

use super::*;

const MISSING: [(&str, &str); 4] = [
    ("wants_function", "this kernel has no function no_such_kfunc (kfunc)"),
    ("wants_function_too", "this kernel has no function no_such_kfunc (kfunc)"),
    (
        "wants_symbols",
        "/proc/kallsyms has no symbol no_such_symbol (ksym); \
         this kernel has no variable no_such_variable (ksym)",
    ),
    ("wants_option", "this kernel's configuration does not set CONFIG_NO_SUCH_OPTION"),
];

#[test]
fn only_the_programs_that_need_it_are_left_out() {
    let file = std::fs::read(object("externs")).unwrap();
    let trace = trace("externs", &[], &[&fixture("argv")]);
    for name in ["good", "good_with_weak"] {
        assert_eq!(program(&trace, name)["state"], "attached", "{trace:?}");
    }
    let said = messages(&trace);
    let version = kernel_release().0;
    assert!(said.contains(&&*format!("good since {version}: 1")), "{said:?}");
    assert!(said.contains(&"weak 0"), "{said:?}");
    for (name, reason) in MISSING {
        let program = program(&trace, name);
        assert_eq!(program["state"], "refused", "{program}");
        assert_eq!(program["reason"], reason, "{program}");
    }
    assert_eq!(std::fs::read(object("externs")).unwrap(), file);
}

#[test]
fn a_program_that_is_not_wanted_is_not_told_to_lack_something() {
    let trace = trace("externs", &["--prog", "good"], &["true"]);
    assert_eq!(program(&trace, "good")["state"], "attached");
    assert_eq!(program(&trace, "wants_function")["state"], "skipped");
}

#[test]
fn what_all_programs_need_ends_the_run_in_one_line() {
    let flags = ["--prog", "wants_function*", "--prog", "wants_option"];
    let output = BPFRUN.command(&[&object("externs")]).args(flags).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = "bpfrun: cannot load externs: this kernel has no function no_such_kfunc (kfunc), \
                    which wants_function and wants_function_too need; this kernel's configuration \
                    does not set CONFIG_NO_SUCH_OPTION, which wants_option needs\n";
    assert_eq!(lossy(&output.stderr), expected);
    assert_eq!(lossy(&output.stdout), "");
}
