//! Runs clang on a header of the user's. It has limits: a header can include a pipe, which never
//! ends, or a million lines of macros.

use std::ffi::OsString;
use std::io::{Read, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// The whole of vmlinux.h takes two seconds.
const DEADLINE: Duration = Duration::from_secs(30);
/// The most bytes of memory; vmlinux.h takes a quarter of it.
const MEMORY: u64 = 1 << 30;
/// The most bytes of an object.
const OBJECT: usize = 64 << 20;
/// The most bytes of messages, of which the first error is shown.
const MESSAGES: usize = 1 << 20;

/// Compiles a header, with its debug information. The inner error is the compiler's.
pub(super) fn compile(path: &Path, prelude: &str) -> Result<Result<Vec<u8>, String>> {
    let clang = std::env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    compile_with(&clang, path, prelude, DEADLINE)
}

fn compile_with(
    clang: &OsString,
    path: &Path,
    prelude: &str,
    deadline: Duration,
) -> Result<Result<Vec<u8>, String>> {
    let mut command = command(clang, path);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let clang = Path::new(clang).display();
            bail!("{clang}, which is needed for C headers, is not installed");
        }
        Err(error) => {
            return Err(error).with_context(|| format!("run {}", Path::new(clang).display()));
        }
    };
    if let Some(mut stdin) = child.stdin.take() {
        // Shorter than the room in a pipe. If clang does not read it all, it reports why.
        _ = stdin.write_all(prelude.as_bytes());
    }
    let collected = collect(&mut child, Instant::now() + deadline);
    // Whatever it does, it ends here, with all that it has started.
    _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
    let status = child.wait()?;
    let [object, words] = collected?;
    if status.success() {
        return Ok(Ok(object));
    }
    let words = String::from_utf8_lossy(&words);
    let first = words.lines().find(|line| line.contains("error")).unwrap_or("it failed");
    Ok(Err(format!("clang: {first}")))
}

fn command(clang: &OsString, path: &Path) -> Command {
    let mut command = Command::new(clang);
    command.args(["-target", "bpf", "-g", "-O0", "-c", "-x", "c", "-fms-extensions", "-w"]);
    // Nothing uses the structs.
    command.arg("-fno-eliminate-unused-debug-types");
    // The distribution's folder of asm/types.h, which clang does not search when it compiles for
    // BPF.
    let arch = std::env::consts::ARCH;
    command.arg("-idirafter").arg(format!("/usr/include/{arch}-linux-gnu"));
    // The header is the main file, so that errors tell its own lines.
    command.args(["-include", "/dev/stdin", "-o", "-"]);
    // A file name that begins with - is not a flag.
    command.arg(if path.is_absolute() { path.to_owned() } else { Path::new(".").join(path) });
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0);
    let limit = || {
        // If we are killed, nobody else ends it.
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        setrlimit(Resource::RLIMIT_DATA, MEMORY, MEMORY)?;
        setrlimit(Resource::RLIMIT_CPU, DEADLINE.as_secs(), DEADLINE.as_secs())?;
        Ok(())
    };
    // SAFETY: three system calls, nothing else, between fork and exec.
    unsafe { command.pre_exec(limit) };
    command
}

/// All that the child writes to stdout and stderr, until it closes both.
fn collect(child: &mut Child, deadline: Instant) -> Result<[Vec<u8>; 2]> {
    let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        bail!("no pipes");
    };
    let (mut object, mut words) = (Vec::new(), Vec::new());
    let mut open = [true, true];
    while open.contains(&true) {
        let ready = wait([stdout.as_fd(), stderr.as_fd()], open, deadline)?;
        if ready[0] {
            open[0] = take(&mut stdout, &mut object)?;
        }
        if ready[1] {
            open[1] = take(&mut stderr, &mut words)?;
        }
        if object.len() > OBJECT || words.len() > MESSAGES {
            bail!("clang writes too much");
        }
    }
    Ok([object, words])
}

/// Which of the open pipes can be read.
fn wait(pipes: [BorrowedFd<'_>; 2], open: [bool; 2], deadline: Instant) -> Result<[bool; 2]> {
    let flags = |open| if open { PollFlags::POLLIN } else { PollFlags::empty() };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut polled =
            [PollFd::new(pipes[0], flags(open[0])), PollFd::new(pipes[1], flags(open[1]))];
        match poll(&mut polled, timeout) {
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
            Ok(0) => bail!("clang has not ended in time: does the header include a pipe?"),
            Ok(_) => {}
        }
        let ready = polled.map(|pipe| pipe.any().unwrap_or(false));
        return Ok([ready[0] && open[0], ready[1] && open[1]]);
    }
}

/// Appends what there is. False: there will be no more.
fn take(pipe: &mut impl Read, to: &mut Vec<u8>) -> Result<bool> {
    let mut piece = [0; 1 << 16];
    let bytes = pipe.read(&mut piece)?;
    to.extend_from_slice(piece.get(..bytes).unwrap_or_default());
    Ok(bytes > 0)
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;

    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("snoop-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_header_with_a_pipe_in_it_does_not_hang() {
        let (pipe, header) = (scratch("pipe.h"), scratch("includes.h"));
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        std::fs::write(&header, format!("#include \"{}\"\n", pipe.display())).unwrap();
        let result = compile_with(&"clang".into(), &header, "", Duration::from_secs(2));
        for path in [&pipe, &header] {
            std::fs::remove_file(path).unwrap();
        }
        assert!(result.unwrap_err().to_string().contains("not ended in time"));
    }

    #[test]
    fn what_never_ends_is_ended() {
        // Instead of clang: one that writes for ever, and one that closes nothing.
        let (fast, slow) = (scratch("yes"), scratch("sleep"));
        for (path, text) in [(&fast, "exec yes"), (&slow, "sleep 1000 & exec sleep 1000")] {
            std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        let header = scratch("none.h");
        let run = |path: &Path, seconds| {
            compile_with(&path.into(), &header, "", Duration::from_secs(seconds)).unwrap_err()
        };
        assert_eq!(run(&fast, 100).to_string(), "clang writes too much");
        assert!(run(&slow, 1).to_string().contains("not ended in time"));
        for path in [&fast, &slow] {
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn endless_macros_end() {
        let header = scratch("macros.h");
        let mut text = "#define A0 int x\n".to_owned();
        for number in 1..40 {
            text += &format!("#define A{number} A{0}; A{0}\n", number - 1);
        }
        std::fs::write(&header, text + "struct s { A39; };\n").unwrap();
        let result = compile_with(&"clang".into(), &header, "", Duration::from_secs(60));
        std::fs::remove_file(&header).unwrap();
        assert!(!matches!(result, Ok(Ok(_))), "it cannot succeed");
    }
}
