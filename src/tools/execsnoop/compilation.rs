//! `--compile-commands`: a compilation database of the compilers among the executions, as clangd and
//! others read it: <https://clang.llvm.org/docs/JSONCompilationDatabase.html>.
//!
//! A compiler that another one runs is no entry of its own: ccache runs gcc for what it was asked for.

mod compiler;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::unistd::{AccessFlags, access};
use serde::Serialize;

use self::compiler::Call;
use super::Exec;
use crate::host::errno::without_numbers;
use crate::output::escape::{Quote, push_shell_word};
use crate::output::json;
use crate::output::table::count;
use crate::skel::exec_flag;

/// The most bytes of all entries.
const MOST_BYTES: usize = 1 << 30;

/// The most processes that run a compiler at once.
const MOST_RUNNING: usize = 1 << 20;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Entry {
    directory: String,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    arguments: Vec<String>,
}

/// The database, which is written at the end.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    entries: Vec<Entry>,
    /// Folder, source and output of each entry
    known: HashSet<(String, String, Option<String>)>,
    bytes: usize,
    /// Processes that run compilers, by id, with their births
    running: HashMap<u32, u64>,
    /// Calls that are not complete, or not text
    left_out: u64,
}

impl Database {
    /// One that will be written to `path`.
    ///
    /// # Errors
    ///
    /// One line: it cannot be written there.
    pub fn new(path: &Path) -> Result<Self, String> {
        let database = Self {
            path: path.to_owned(),
            entries: Vec::new(),
            known: HashSet::new(),
            bytes: 0,
            running: HashMap::new(),
            left_out: 0,
        };
        let folder = database.folder();
        let can_write = access(folder, AccessFlags::W_OK | AccessFlags::X_OK);
        match (can_write, fs::metadata(folder), path.is_dir()) {
            (_, _, true) => Err(database.cannot_write("Is a directory")),
            (_, Ok(metadata), _) if !metadata.is_dir() => {
                Err(database.cannot_write("Not a directory"))
            }
            (Err(errno), _, _) => Err(database.cannot_write(errno.desc())),
            _ => Ok(database),
        }
    }

    fn folder(&self) -> &Path {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new("."))
    }

    fn cannot_write(&self, why: &str) -> String {
        let mut shown = String::new();
        let path = self.path.as_os_str().as_encoded_bytes();
        push_shell_word(&mut shown, path, false, Quote::WhereNeeded);
        format!("cannot write {shown}: {why}")
    }

    /// Takes in an execution.
    pub fn see(&mut self, exec: &Exec<'_>) {
        if exec.errno().is_some() {
            return;
        }
        let (pid, parent) = (exec.event.id.pid, exec.event.id.ppid);
        let Some(call) = Call::of(exec.args()) else {
            self.running.remove(&pid);
            return;
        };
        if self.running.len() >= MOST_RUNNING {
            self.running.clear();
        }
        self.running.insert(pid, exec.event.id.start_ns);
        if self.is_running(parent, exec.event.id.start_ns) || call.sources.is_empty() {
            return;
        }
        let is_whole = exec.cut(usize::MAX).is_none() && !exec.is(exec_flag::EXEC_CWD_CUT);
        let entries = is_whole.then(|| entries(exec, &call)).flatten();
        match entries.filter(|_| self.bytes < MOST_BYTES) {
            Some(entries) => entries.into_iter().for_each(|entry| self.add(entry)),
            None => self.left_out += 1,
        }
    }

    /// Whether this process runs a compiler, and is older than its child: ids are used again.
    fn is_running(&self, pid: u32, child_ns: u64) -> bool {
        self.running.get(&pid).is_some_and(|start_ns| *start_ns <= child_ns)
    }

    fn add(&mut self, entry: Entry) {
        let key = (entry.directory.clone(), entry.file.clone(), entry.output.clone());
        if self.known.insert(key) {
            let args: usize =
                entry.arguments.iter().map(|arg| arg.len() + size_of::<String>()).sum();
            self.bytes +=
                args + 2 * (entry.directory.len() + entry.file.len()) + size_of::<Entry>();
            self.entries.push(entry);
        }
    }

    /// Writes it, in one step: others see all of it, or what was there before. Returns what there is
    /// to say.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self) -> Result<Option<String>> {
        self.try_write().map_err(|error| {
            anyhow::Error::msg(self.cannot_write(&without_numbers(&error.to_string())))
        })?;
        let note = |calls| {
            format!("{} of compilers are cut or not UTF-8, and left out", count(calls, "call"))
        };
        Ok(Some(self.left_out).filter(|calls| *calls > 0).map(note))
    }

    fn try_write(&self) -> io::Result<()> {
        let exists_otherwise = fs::metadata(&self.path).is_ok_and(|found| !found.is_file());
        if exists_otherwise {
            // A pipe, or /dev/stdout.
            return self.write_to(OpenOptions::new().write(true).open(&self.path)?);
        }
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let draft = self.folder().join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&draft)?;
        let written = self.write_to(file).and_then(|()| fs::rename(&draft, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&draft); // the first error is the one to report
        }
        written
    }

    fn write_to(&self, file: File) -> io::Result<()> {
        let mut out = BufWriter::new(file);
        out.write_all(b"[")?;
        for (number, entry) in self.entries.iter().enumerate() {
            out.write_all(if number == 0 { b"\n" } else { b",\n" })?;
            json::write(&mut out, entry)?;
        }
        out.write_all(b"\n]\n")?;
        out.flush()
    }
}

/// An entry for each source; `None`: something is not text.
fn entries(exec: &Exec<'_>, call: &Call<'_>) -> Option<Vec<Entry>> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let directory = text(exec.cwd).filter(|cwd| !cwd.is_empty())?;
    // Who reads it may have another PATH.
    let is_itself = exec.args().next() == call.args.first().copied();
    let filename = exec.filename();
    let program = Some(&*filename).filter(|name| is_itself && name.contains(&b'/'));
    let program = program.filter(|name| !name.starts_with(b"/dev/fd/"));
    let entry = |&source: &usize| {
        let mut arguments = call.args_for(source).map(text).collect::<Option<Vec<_>>>()?;
        if let (Some(program), Some(first)) = (program, arguments.first_mut()) {
            *first = text(program)?;
        }
        Some(Entry {
            directory: directory.clone(),
            file: text(call.args.get(source)?)?,
            output: match call.output {
                Some(output) => Some(text(output)?),
                None => None,
            },
            arguments,
        })
    };
    call.sources.iter().map(entry).collect()
}

/// For `Tool::finish` and the end of a recording.
///
/// # Errors
///
/// The database cannot be written.
pub fn finish(
    database: Option<&Database>,
    session: &mut crate::engine::session::Session,
) -> Result<()> {
    let Some(database) = database else { return Ok(()) };
    let note = database.write().context("compilation database")?;
    note.into_iter().for_each(|note| session.note(note));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{edit, in_place, record};
    use super::*;

    fn see(database: &mut Database, pid: u32, ppid: u32, line: &str) {
        let args: Vec<_> = line.split(' ').map(str::as_bytes).collect();
        let file = format!("/usr/bin/{}", args[0].escape_ascii());
        let mut record = in_place(&record(&file, &args), b"/src", b"");
        edit(&mut record, |event| {
            (event.id.pid, event.id.ppid, event.id.start_ns) = (pid, ppid, pid.into());
        });
        database.see(&Exec::decode(&record).unwrap());
    }

    #[test]
    fn one_entry_for_each_source() {
        let folder = std::env::temp_dir().join(format!("snoop-compilation-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("compile_commands.json");
        let mut database = Database::new(&path).unwrap();
        see(&mut database, 10, 1, "make");
        see(&mut database, 11, 10, "cc -c a.c -o a.o");
        see(&mut database, 12, 11, "cc1 a.c -o x.s");
        see(&mut database, 13, 10, "cc b.c d/c.c -o p");
        see(&mut database, 14, 10, "cc -c a.c -o a.o"); // once more
        see(&mut database, 15, 10, "ccache gcc -c e.c");
        see(&mut database, 16, 15, "gcc -c e.c -o /tmp/e.tmp");
        see(&mut database, 17, 10, "cc -c \u{fffd}.c");
        let mut odd = in_place(&record("/bin/cc", &[b"cc", b"\xff.c"]), b"/", b"");
        edit(&mut odd, |event| (event.id.pid, event.id.ppid) = (18, 10));
        database.see(&Exec::decode(&odd).unwrap());
        assert_eq!(
            database.write().unwrap().unwrap(),
            "1 call of compilers are cut or not UTF-8, and left out"
        );
        let text = fs::read_to_string(&path).unwrap();
        let read: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let files: Vec<_> = read.iter().map(|entry| entry["file"].as_str().unwrap()).collect();
        assert_eq!(files, ["a.c", "b.c", "d/c.c", "e.c", "\u{fffd}.c"]);
        let expected = serde_json::json!({
            "directory": "/src", "file": "a.c", "output": "a.o",
            "arguments": ["/usr/bin/cc", "-c", "a.c", "-o", "a.o"]
        });
        assert_eq!(read[0], expected);
        assert_eq!(read[2]["arguments"], serde_json::json!(["/usr/bin/cc", "d/c.c", "-o", "p"]));
        assert_eq!(read[3]["arguments"], serde_json::json!(["gcc", "-c", "e.c"]));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no draft is left");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_id_that_is_used_again_is_no_parent() {
        let folder = std::env::temp_dir();
        let mut database = Database::new(&folder.join("x")).unwrap();
        see(&mut database, 11, 1, "cc -c a.c");
        see(&mut database, 11, 1, "make");
        see(&mut database, 12, 11, "cc -c b.c");
        assert_eq!(database.entries.len(), 2);
    }

    #[test]
    fn where_it_cannot_be_written() {
        let said = |path: &str| Database::new(Path::new(path)).unwrap_err();
        assert_eq!(said("/no/such/x"), "cannot write /no/such/x: No such file or directory");
        assert_eq!(said("/tmp"), "cannot write /tmp: Is a directory");
        assert_eq!(said("/dev/null/x"), "cannot write /dev/null/x: Not a directory");
    }
}
