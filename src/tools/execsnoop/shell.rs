//! `--shell`: an execution as a line that a shell runs again. Any shell of POSIX takes it: bytes that
//! are no text are not in it, but in the format of a printf whose output is evaluated.
//!
//! env(1) sets the environment, and runs the program. It cannot give a program another name than its
//! file's (coreutils can, since 9.5), and a shell that does, such as bash, adds variables of its own.
//! So perl is needed where the two differ.

use std::borrow::Cow;

use anyhow::Result;

use super::environment::{Asked, Variables, split};
use super::{Exec, basename};
use crate::engine::session::Session;
use crate::output::escape::{Quote, command_line, is_plain};
use crate::skel::exec_flag;

/// What a line needs.
pub const NEEDS: Asked = Asked { cwd: true, env: Some(Vec::new()) };

/// Shows the line, or why there is none, as a comment.
///
/// # Errors
///
/// Stdout cannot be written.
pub fn show(exec: &Exec<'_>, session: &mut Session) -> Result<()> {
    if !session.is_quiet {
        let mut line = line(exec);
        line.push('\n');
        session.out.raw(&line)?;
    }
    session.shown()
}

/// The line without its end.
pub fn line(exec: &Exec<'_>) -> String {
    let script = match script(exec) {
        Ok(script) => script,
        Err(why) => {
            let command = command_line(exec.args().take(60), Quote::WhereNeeded);
            return format!("# {why}: {command}");
        }
    };
    let mut line = match std::str::from_utf8(&script).ok().filter(|text| text.chars().all(is_plain))
    {
        Some(text) => text.to_owned(),
        None => printed(&script),
    };
    if let Some(note) = super::environment::redacted_note(exec.event.redacted) {
        line.push_str("  # ");
        line.push_str(&note);
    }
    line
}

/// The same command, which may hold any bytes but NUL. The error says what is not known.
fn script(exec: &Exec<'_>) -> Result<Vec<u8>, &'static str> {
    check(exec)?;
    let file = file(exec)?;
    let args: Vec<_> = exec.args().collect();
    let (first, others) = args.split_first().ok_or("it has not even a name")?;
    let entries: Vec<_> = Variables::All.of(exec.env).collect();
    let mut script = b"(cd ".to_vec();
    push_word(&mut script, exec.cwd);
    script.extend_from_slice(b" && exec env -i --");
    entries.iter().for_each(|entry| push_next(&mut script, entry));
    if **first != *file {
        if entries.iter().any(|entry| entry.starts_with(b"PERL")) {
            return Err("it has another name than its file, and variables for perl");
        }
        script.extend_from_slice(br#" "$(command -v perl)" -e 'exec {shift} @ARGV' --"#);
        push_next(&mut script, &file);
    } else if first.contains(&b'=') {
        // env(1) would take it for a variable.
        script.extend_from_slice(br#" "$(command -v nice)" -n 0 --"#);
    }
    push_next(&mut script, first);
    others.iter().for_each(|arg| push_next(&mut script, arg));
    script.push(b')');
    Ok(script)
}

fn check(exec: &Exec<'_>) -> Result<(), &'static str> {
    let names: Option<Vec<_>> =
        Variables::All.of(exec.env).map(|entry| split(entry).map(|(name, _)| name)).collect();
    let mut sorted = names.clone().unwrap_or_default();
    sorted.sort_unstable();
    sorted.dedup();
    let problems = [
        (exec.errno().is_some(), "it failed"),
        (exec.cut(usize::MAX).is_some() || exec.args_unreadable(), "its arguments are cut"),
        (!exec.has_env(), "its environment is not known"),
        (exec.is(exec_flag::EXEC_ENV_PART), "its environment is known in part only"),
        (exec.env_cut().is_some(), "its environment is cut"),
        (names.is_none(), "its environment has an entry without ="),
        (names.is_some_and(|names| names.len() > sorted.len()), "its environment has a name twice"),
        (exec.cwd.is_empty() || exec.is(exec_flag::EXEC_CWD_CUT), "its directory is not known"),
        (exec.is(exec_flag::EXEC_CWD_DELETED), "its directory is deleted"),
    ];
    match problems.iter().find(|(is_so, _)| *is_so) {
        Some((_, why)) => Err(why),
        None => Ok(()),
    }
}

/// The file to execute, with a slash in its name, so that nobody searches for it.
fn file<'a>(exec: &Exec<'a>) -> Result<Cow<'a, [u8]>, &'static str> {
    // The arguments of a script are those of its interpreter.
    let name = if exec.interpreter.is_empty() { exec.filename() } else { exec.interpreter.into() };
    if name.starts_with(b"/dev/fd/") && name.len() != basename(&name).len() {
        // The descriptor is gone.
        let of_path = exec_flag::EXEC_PATH_CUT.0
            | exec_flag::EXEC_PATH_DELETED.0
            | exec_flag::EXEC_PATH_NO_MOUNT.0;
        return match exec.path {
            [] => Err("its file is not known"),
            _ if exec.event.flags.0 & of_path != 0 => Err("its file has no path"),
            path => Ok(path.into()),
        };
    }
    if name.is_empty() || exec.is(exec_flag::EXEC_FILENAME_FAULT) {
        return Err("its file is not known");
    }
    match name.contains(&b'/') {
        true => Ok(name),
        false => Ok([b"./", &*name].concat().into()),
    }
}

fn push_next(script: &mut Vec<u8>, word: &[u8]) {
    script.push(b' ');
    push_word(script, word);
}

/// Appends a word as any shell reads it.
fn push_word(script: &mut Vec<u8>, word: &[u8]) {
    let is_bare = |byte: &u8| byte.is_ascii_alphanumeric() || b"_@%+:,./-=".contains(byte);
    if !word.is_empty() && word.iter().all(is_bare) {
        return script.extend_from_slice(word);
    }
    script.push(b'\'');
    for (number, part) in word.split(|&byte| byte == b'\'').enumerate() {
        if number > 0 {
            script.extend_from_slice(br"'\''");
        }
        script.extend_from_slice(part);
    }
    script.push(b'\'');
}

/// The script as text: printf(1) makes its bytes, and the shell evaluates them.
fn printed(script: &[u8]) -> String {
    let mut line = r#"eval "$(printf '"#.to_owned();
    for chunk in script.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '%' => line.push_str("%%"),
                '\\' => line.push_str(r"\\"),
                '\'' => line.push_str(r"\047"),
                c if is_plain(c) => line.push(c),
                c => push_octal(&mut line, c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        push_octal(&mut line, chunk.invalid());
    }
    line.push_str(r#"')""#);
    line
}

fn push_octal(line: &mut String, bytes: &[u8]) {
    for byte in bytes {
        line.push_str(&format!(r"\{byte:03o}"));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::super::testing::{edit, in_place, record};
    use super::*;

    /// The line of an execution of `file` in `cwd`.
    fn shown(file: &str, args: &[&[u8]], cwd: &[u8], env: &[&[u8]]) -> String {
        let env: Vec<u8> = env.iter().flat_map(|entry| [entry, &b"\0"[..]].concat()).collect();
        let record = in_place(&record(file, args), cwd, &env);
        line(&Exec::decode(&record).unwrap())
    }

    #[test]
    fn lines_that_people_read() {
        assert_eq!(
            shown("/bin/ls", &[b"/bin/ls", b"-l", b"a b", b"it's"], b"/tmp/x", &[b"A=1", b"B=2 3"]),
            r"(cd /tmp/x && exec env -i -- A=1 'B=2 3' /bin/ls -l 'a b' 'it'\''s')"
        );
        assert_eq!(
            shown("/bin/ls", &[b"ls"], b"/", &[]),
            r#"(cd / && exec env -i -- "$(command -v perl)" -e 'exec {shift} @ARGV' -- /bin/ls ls)"#
        );
        assert_eq!(
            shown("./a=b", &[b"./a=b"], b"/", &[]),
            r#"(cd / && exec env -i -- "$(command -v nice)" -n 0 -- ./a=b)"#
        );
        assert_eq!(
            shown("/bin/x", &[b"/bin/x", b"a\n\xff%\\'"], b"/", &[]),
            r#"eval "$(printf '(cd / && exec env -i -- /bin/x \047a\012\377%%\\\047\\\047\047\047)')""#
        );
    }

    #[test]
    fn what_cannot_be_run_again_says_why() {
        let whole = in_place(&record("/bin/x", &[b"/bin/x", b"y"]), b"/", b"A=1\0");
        let said = |change: fn(&mut crate::skel::exec_event)| {
            let mut record = whole.clone();
            edit(&mut record, change);
            line(&Exec::decode(&record).unwrap())
        };
        assert!(said(|_| {}).starts_with('('));
        assert_eq!(said(|event| event.argc = 3), "# its arguments are cut: /bin/x y");
        assert_eq!(said(|event| event.env_total += 1), "# its environment is cut: /bin/x y");
        assert_eq!(said(|event| event.flags.0 = 0), "# its environment is not known: /bin/x y");
        let deleted =
            |event: &mut crate::skel::exec_event| event.flags.0 |= exec_flag::EXEC_CWD_DELETED.0;
        assert_eq!(said(deleted), "# its directory is deleted: /bin/x y");
        assert_eq!(
            said(|event| event.redacted = 2),
            "(cd / && exec env -i -- A=1 /bin/x y)  # redacted: 2 secrets"
        );
        let said = |env: &[&[u8]]| shown("/x", &[b"/x"], b"/", env);
        assert_eq!(said(&[b"A"]), "# its environment has an entry without =: /x");
        assert_eq!(said(&[b"A=1", b"A=2"]), "# its environment has a name twice: /x");
        assert_eq!(
            shown("/dev/fd/3", &[b"x"], b"/", &[]).split(':').next(),
            Some(
                "(cd / && exec env -i -- \"$(command -v perl)\" -e 'exec {shift} @ARGV' -- /bin/x x)"
            )
        );
    }

    /// Bytes of which a path, a name or an argument may consist.
    fn bytes(least: usize) -> impl Strategy<Value = Vec<u8>> {
        let any = prop::collection::vec(1u8.., least..9);
        let odd = prop::collection::vec(
            prop::sample::select(b"-=' \n\"\\$%`!#~a\xff\x1b".to_vec()),
            least..9,
        );
        prop_oneof![any, odd]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// cat shows its own arguments and environment, and a file of its directory.
        #[test]
        fn shells_run_the_same_again(
            name in bytes(1),
            folder in bytes(1),
            args in prop::collection::vec(bytes(0), 0..4),
            env in prop::collection::vec((bytes(0), bytes(0)), 0..4),
        ) {
            let folder = folder.iter().map(|&byte| if byte == b'/' { b'x' } else { byte });
            let folder = [b"d".to_vec(), folder.collect()].concat();
            let place = std::env::temp_dir().join(format!("snoop-shell-{}", std::process::id()));
            let cwd = place.join(std::ffi::OsStr::from_bytes(&folder));
            std::fs::create_dir_all(&cwd).unwrap();
            std::fs::write(cwd.join("here"), &folder).unwrap();
            let mut env: Vec<(Vec<u8>, Vec<u8>)> = env;
            env.iter_mut().for_each(|(name, _)| name.retain(|&byte| byte != b'='));
            env.sort();
            env.dedup_by(|a, b| a.0 == b.0);
            env.retain(|(name, _)| !name.starts_with(b"PERL") && !name.starts_with(b"LD_"));
            let entries: Vec<_> = env.iter().map(|(name, value)| [name, &b"="[..], value].concat()).collect();
            let entries: Vec<_> = entries.iter().map(Vec::as_slice).collect();
            let words: Vec<_> = args.iter().map(|arg| [b"/none/", &arg[..]].concat()).collect();
            let mut argv = vec![&name[..], b"/proc/self/cmdline", b"/proc/self/environ", b"here"];
            argv.extend(words.iter().map(Vec::as_slice));
            let line = shown("/bin/cat", &argv, cwd.as_os_str().as_bytes(), &entries);
            let block = |all: &[&[u8]]| all.iter().flat_map(|one| [one, &b"\0"[..]].concat()).collect::<Vec<u8>>();
            let expected = [block(&argv), block(&entries), folder].concat();
            for shell in ["sh", "bash"] {
                let ran = Command::new(shell).arg("-c").arg(&line).stderr(Stdio::null()).output().unwrap();
                prop_assert_eq!(&ran.stdout, &expected, "{}: {}", shell, line);
            }
            std::fs::remove_dir_all(&place).unwrap();
        }
    }
}
