//! The pictures at the end: on stdout as a tree, in files as a picture and as a trace.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::geteuid;

use super::args::Args;
use super::critical::Path as CriticalPath;
use super::history::{History, MAX_PROCESSES};
use super::{chrome, critical, perfetto, plot, tree};
use crate::engine::replay::Recording;
use crate::engine::session::{Session, say};
use crate::engine::tool::Refused;
use crate::host::errno::without_numbers;
use crate::output::escape::{Quote, command_line, push_shell_word};

/// The wanted pictures.
#[derive(Debug)]
pub struct Pictures {
    tree_view: bool,
    critical_path: bool,
    /// There is one family, whose time the critical path explains
    is_family: bool,
    files: Vec<(Kind, Target)>,
    title: String,
}

/// What is written into a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plot,
    Perfetto,
    Chrome,
}

impl Pictures {
    /// The pictures of the flags. A file that cannot be written is refused before a long run, not
    /// after it. No file is changed yet.
    pub fn new(args: &Args) -> Result<Self, Refused> {
        let wanted = [
            ("--plot", Kind::Plot, &args.plot),
            ("--perfetto", Kind::Perfetto, &args.perfetto),
            ("--chrome-trace", Kind::Chrome, &args.chrome_trace),
        ];
        let is_family = is_family(args);
        // Of a recording it is known later.
        if args.critical_path && !is_family && args.common.from.is_empty() {
            let message = "--critical-path is of all that COMMAND, or the process of --tree, has \
                brought forth: it needs one of these, and no other filter";
            return Err(Refused::Usage(message.to_owned()));
        }
        let mut drafts: Vec<(&str, Kind, Draft<'_>)> = Vec::new();
        for (flag, kind, path) in wanted {
            let Some(path) = path else { continue };
            let draft = Draft::open(path)?;
            if let Some((other, ..)) = drafts.iter().find(|(.., one)| one.is_same_file(&draft)) {
                return Err(Refused::Usage(format!("{other} and {flag} want the same file")));
            }
            drafts.push((flag, kind, draft));
        }
        Ok(Self {
            tree_view: args.tree_view,
            critical_path: args.critical_path,
            is_family,
            files: drafts.into_iter().map(|(_, kind, draft)| (kind, draft.keep())).collect(),
            title: title(args),
        })
    }

    /// Whether there are any.
    pub fn is_any(&self) -> bool {
        self.tree_view || self.critical_path || !self.files.is_empty()
    }

    /// Takes the title from a recorded COMMAND, and whether all processes descend from it.
    ///
    /// # Errors
    ///
    /// They do not, and the critical path is asked for.
    pub fn of_recording(&mut self, file: &Recording<'_>, args: &Args) -> Result<()> {
        let command = &file.start.command;
        if !command.is_empty() {
            self.title = command_line(command.iter().map(Vec::as_slice), Quote::WhereNeeded);
        }
        if args.common.tree.is_empty() {
            self.is_family =
                !command.is_empty() && file.start.had_none(&FILTERS) && !args.common.leaves_out();
        }
        if self.critical_path && !self.is_family {
            let shown = file.shown;
            bail!("{shown} is not of all that one COMMAND has brought forth: give --tree PID");
        }
        Ok(())
    }

    /// Draws all of them at the end of a run. `is_quiet`: there are no rows.
    pub fn finish(
        &self,
        history: &mut History,
        is_quiet: bool,
        session: &mut Session,
    ) -> Result<()> {
        history.until_ns = session.end_ns();
        let processes = history.processes().len() as u64;
        if is_quiet {
            session.instead_of_events = Some(match processes {
                1 => "1 process".to_owned(),
                number => format!("{number} processes"),
            });
        }
        if history.forgotten > 0 {
            let processes = match history.forgotten {
                1 => "1 more process was".to_owned(),
                number => format!("{number} more processes were"),
            };
            say("procsnoop", &format!("{processes} not drawn (limit {MAX_PROCESSES})"));
        }
        self.draw(history, session)
    }

    /// Draws all of them, even if one cannot be written. The error is the first one.
    pub fn draw(&self, history: &History, session: &mut Session) -> Result<()> {
        let root = critical::root(history).filter(|_| self.is_family);
        let path = root.map(|root| CriticalPath::new(history, root));
        let mut drawn = self.print(history, path.as_ref(), session);
        for (kind, target) in &self.files {
            let written = target.write(|out| match kind {
                Kind::Plot => plot::write(out, history, &self.title, path.as_ref()),
                Kind::Perfetto => perfetto::write(out, history, &self.title, path.as_ref()),
                Kind::Chrome => chrome::write(out, history, &self.title),
            });
            drawn = drawn.and(written);
        }
        drawn
    }

    /// What goes to stdout.
    fn print(
        &self,
        history: &History,
        path: Option<&CriticalPath>,
        session: &mut Session,
    ) -> Result<()> {
        let mut text = String::new();
        if self.tree_view {
            tree::draw(&mut text, history);
        }
        let Some(path) = path.filter(|_| self.critical_path) else {
            return session.out.raw(&text);
        };
        for doubt in &path.unsure {
            say("procsnoop", &format!("the critical path is unsure: {doubt}"));
        }
        if session.out.json {
            return critical::json::write(history, path, session);
        }
        if self.tree_view {
            text.push('\n');
        }
        critical::table::draw(&mut text, history, path);
        session.out.raw(&text)
    }
}

/// Flags that leave processes out, or add others than COMMAND's.
const FILTERS: [&str; 11] = [
    "pid",
    "ppid",
    "uid",
    "comm",
    "cgroup",
    "tree",
    "not-pid",
    "not-uid",
    "not-comm",
    "not-cgroup",
    "filter",
];

/// Whether all processes descend from one, and none of them is left out.
fn is_family(args: &Args) -> bool {
    let common = &args.common;
    let families = usize::from(!common.command.is_empty()) + common.tree.len();
    families == 1 && !common.leaves_out()
}

/// What was traced.
fn title(args: &Args) -> String {
    let words: Vec<_> = args.common.command.iter().map(|word| word.as_encoded_bytes()).collect();
    let words = args.common.redaction().words(&words);
    let title = command_line(words.iter().map(|word| &**word), Quote::WhereNeeded);
    if title.is_empty() { "procsnoop".to_owned() } else { title }
}

/// A file to be written at the end. Until then it stays unchanged, since the run may never begin.
#[derive(Debug)]
struct Target {
    path: PathBuf,
    /// If it existed already
    file: Option<File>,
}

impl Target {
    fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        let written = self.file().and_then(|file| {
            let mut out = BufWriter::new(file);
            write(&mut out)?;
            out.flush()
        });
        written
            .map_err(|error| anyhow::anyhow!(without_numbers(&error.to_string())))
            .with_context(|| format!("cannot write {}", shown(&self.path)))
    }

    /// Empty.
    fn file(&self) -> io::Result<File> {
        let Some(file) = &self.file else {
            return open(&self.path, OpenOptions::new().create(true).truncate(true));
        };
        if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        file.try_clone()
    }
}

/// Opens a file for writing, without waiting for anybody: a FIFO needs a reader, and must be ours,
/// since another user's reader may never read.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let metadata = file.metadata()?;
    if metadata.file_type().is_fifo() && metadata.uid() != geteuid().as_raw() {
        return Err(Errno::EPERM.into());
    }
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?; // writes to a FIFO of ours may wait
    Ok(file)
}

/// A file opened to see whether it can be written; removed again if it did not exist.
struct Draft<'a> {
    path: &'a Path,
    file: File,
    is_new: bool,
}

impl<'a> Draft<'a> {
    fn open(path: &'a Path) -> Result<Self, Refused> {
        let mut options = OpenOptions::new();
        let (file, is_new) = match open(path, options.create_new(true)) {
            Ok(file) => (Ok(file), true),
            // Or a link to a file that does not exist.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (open(path, options.create_new(false).create(true)), false)
            }
            Err(error) => (Err(error), false),
        };
        let failed = |error: io::Error| {
            let error = without_numbers(&error.to_string());
            Refused::Work(format!("cannot create {}: {error}", shown(path)))
        };
        Ok(Self { path, file: file.map_err(failed)?, is_new })
    }

    /// Whether both are the same file. Devices and pipes do not count.
    fn is_same_file(&self, other: &Self) -> bool {
        let (Ok(one), Ok(two)) = (self.file.metadata(), other.file.metadata()) else {
            return false;
        };
        one.is_file() && (one.dev(), one.ino()) == (two.dev(), two.ino())
    }

    fn keep(self) -> Target {
        let file = if self.is_new { None } else { self.file.try_clone().ok() };
        Target { path: self.path.to_owned(), file }
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if self.is_new {
            let _ = fs::remove_file(self.path); // an empty one: does no harm
        }
    }
}

fn shown(path: &Path) -> String {
    let mut text = String::new();
    push_shell_word(&mut text, path.as_os_str().as_encoded_bytes(), false, Quote::WhereNeeded);
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("snoop-{name}-{}", std::process::id()));
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }

        fn path(&self, name: &str) -> String {
            self.0.join(name).to_str().unwrap().to_owned()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn pictures(flags: &[&str]) -> Result<Pictures, Refused> {
        let words = ["procsnoop"].iter().chain(flags);
        Pictures::new(&Args::try_parse_from(words).unwrap())
    }

    #[test]
    fn files_are_as_they_were_until_they_are_written() {
        let folder = Folder::new("pictures");
        let (old, new) = (folder.path("old"), folder.path("new"));
        fs::write(&old, "keep ".repeat(1000)).unwrap();
        let pictures = pictures(&["--plot", &old, "--perfetto", &new]).unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap().len(), 5000);
        assert!(!Path::new(&new).exists());
        let mut session = Session::begin("procsnoop", false, None);
        pictures.draw(&History::default(), &mut session).unwrap();
        assert!(fs::read_to_string(&old).unwrap().ends_with("</svg>\n"), "nothing of what it was");
        assert!(!fs::read(&new).unwrap().is_empty());
    }

    #[test]
    fn one_file_is_not_for_two_pictures() {
        let folder = Folder::new("one-file");
        let (path, other) = (folder.path("x"), folder.path("y"));
        let refused = Refused::Usage("--plot and --perfetto want the same file".to_owned());
        let both = |one: &str, two: &str| pictures(&["--plot", one, "--perfetto", two]);
        assert_eq!(both(&path, &path).unwrap_err(), refused);
        assert!(!Path::new(&path).exists());
        fs::write(&path, "").unwrap();
        fs::hard_link(&path, &other).unwrap();
        assert_eq!(both(&path, &other).unwrap_err(), refused);
        assert!(both("/dev/null", "/dev/null").is_ok());
        let refused = Refused::Usage("--perfetto and --chrome-trace want the same file".to_owned());
        let both = pictures(&["--perfetto", &path, "--chrome-trace", &other]);
        assert_eq!(both.unwrap_err(), refused);
    }

    #[test]
    fn a_critical_path_is_of_one_whole_family() {
        for (flags, is_family) in [
            (&["--", "make"][..], true),
            (&["--tree", "7"], true),
            (&[], false),
            (&["--tree", "7", "--tree", "8"], false),
            (&["--comm", "cc", "--", "make"], false),
            (&["--pid", "7"], false),
        ] {
            let flags = [&["--critical-path"], flags].concat();
            assert_eq!(pictures(&flags).is_ok(), is_family, "{flags:?}");
        }
    }

    #[test]
    fn nobody_waits_for_the_reader_of_a_fifo() {
        let folder = Folder::new("fifo");
        let path = folder.path("fifo");
        nix::unistd::mkfifo(path.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let refused = |path: &str| pictures(&["--plot", path]).unwrap_err();
        let cannot = |why: &str| Refused::Work(format!("cannot create {path}: {why}"));
        assert_eq!(refused(&path), cannot("No such device or address"));
        let options = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).clone();
        let _reader = options.open(&path).unwrap();
        assert!(pictures(&["--plot", &path]).is_ok());
        if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
            assert_eq!(refused(&path), cannot("Operation not permitted"));
        }
    }

    #[test]
    fn one_planted_after_the_start_is_not_waited_for() {
        let folder = Folder::new("planted");
        let path = folder.path("x");
        let pictures = pictures(&["--plot", &path]).unwrap();
        nix::unistd::mkfifo(path.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut session = Session::begin("procsnoop", false, None);
        assert!(pictures.draw(&History::default(), &mut session).is_err());
    }

    #[test]
    fn one_that_cannot_be_written_does_not_keep_the_other() {
        let folder = Folder::new("full");
        let trace = folder.path("trace");
        let pictures = pictures(&["--plot", "/dev/full", "--chrome-trace", &trace]).unwrap();
        let mut session = Session::begin("procsnoop", false, None);
        let error = pictures.draw(&History::default(), &mut session).unwrap_err();
        assert_eq!(format!("{error:#}"), "cannot write /dev/full: No space left on device");
        assert!(fs::read_to_string(&trace).unwrap().ends_with("]}\n"));
    }
}
