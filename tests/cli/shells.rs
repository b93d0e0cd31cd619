//! Completions in real shells: what a person gets who presses Tab. A shell that is not installed is
//! skipped by name; with CI set that is a failure.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::text;

/// A folder with the programs and the scripts of a shell; gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(shell: &str) -> Self {
        let name = format!("snoop-shell-{shell}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(folder.join("site")).unwrap();
        for program in super::generate::programs() {
            let path = Path::new(env!("CARGO_BIN_EXE_execsnoop")).with_file_name(&program);
            let kind = format!("complete-{shell}");
            let output = Command::new(&path).args(["--generate", &kind]).output().unwrap();
            assert!(output.status.success(), "{program}");
            fs::write(folder.join("site").join(format!("_{program}")), output.stdout).unwrap();
            // Only Tab runs the program; Enter shows the words of the line.
            let shown = format!(
                "#!/bin/sh\n[ \"$1\" != --generate ] || exec '{}' \"$@\"\nprintf '<%s>' \"$@\"\necho\n",
                path.display()
            );
            let script = folder.join(&program);
            fs::write(&script, shown).unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let object = concat!(env!("OUT_DIR"), "/killsnoop.bpf.o");
        fs::copy(object, folder.join("lesson.bpf.o")).unwrap();
        fs::write(folder.join("lesson.bpf.c"), "").unwrap();
        Self(folder)
    }

    /// Runs a script of the shell here, with the programs in front on PATH.
    fn run(&self, command: &mut Command) -> Output {
        let path = format!("{}:{}", self.0.display(), std::env::var("PATH").unwrap());
        let command = command.current_dir(&self.0).env("PATH", path).env("HOME", &self.0);
        command.env("TERM", "dumb").stdin(std::process::Stdio::null()).output().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether the shell is there. The test ends if it is not.
fn has(shell: &str) -> bool {
    let found = Command::new(shell).args(["-c", "exit 0"]).output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "{shell} is missing: install-deps.sh test");
    if !found {
        eprintln!("skipped: there is no {shell}");
    }
    found
}

/// Lines up to the cursor, and a word that has to be among the candidates.
fn cases(place: &Places) -> Vec<(String, String)> {
    let own = std::process::id();
    let of_place =
        place.netns.iter().map(|name| ("tcpconnect --netns snoop-".to_owned(), name.clone()));
    let of_place: Vec<_> = of_place.chain(place.cgroups()).collect();
    [
        ("execsnoop --js", "--json"),
        ("killsnoop --signal KIL", "KILL"),
        ("killsnoop -s SIGKIL", "SIGKILL"),
        ("execsnoop --uid roo", "root"),
        ("execsnoop --not-uid roo", "root"),
        ("execsnoop --run-as roo", "root"),
        ("execsnoop --backend raw", "raw_tp"),
        ("mmapsnoop --prot REA", "READ"),
        ("mmapsnoop --flags PRIVATE,ANONY", "PRIVATE,ANONYMOUS"),
        ("tcpconnect --port htt", "http"),
        ("procsnoop -o pid,stat", "pid,status"),
        ("tcpconnect --color al", "always"),
        ("bpfrun ins", "inspect"),
        ("bpfrun inspect less", "lesson.bpf.o"),
        ("bpfrun less", "lesson.bpf.o"),
        ("procsnoop --plot lesson.bpf.c", "lesson.bpf.c"),
        ("execsnoop -T -- printen", "printenv"),
        ("bpfrun lesson.bpf.o --att", "--attach"),
        ("bpfrun lesson.bpf.o --attach sent_r", "sent_raw"),
        ("bpfrun run --prog failed_kil lesson.bpf.o --prog failed_tk", "failed_tkill"),
        ("bpfrun inspect lesson.bpf.o --prog failed_tgk", "failed_tgkill"),
        ("bpfrun lesson.bpf.o event_r", "event_rings"),
        ("bpfrun lesson.bpf.o --events event_r", "event_rings"),
        ("bpfrun lesson.bpf.o --map filter_pi", "filter_pids"),
        ("bpfrun lesson.bpf.o --set only_fail", "only_failed="),
    ]
    .map(|(line, word)| (line.to_owned(), word.to_owned()))
    .into_iter()
    .chain([(format!("execsnoop --pid {own}"), own.to_string())])
    .chain([(format!("execsnoop --not-pid {own}"), own.to_string())])
    .chain(of_place)
    .collect()
}

/// Places of this machine that are there to be named.
struct Places {
    /// A network namespace, where it can be named
    netns: Option<String>,
}

impl Places {
    fn new(shell: &str) -> Self {
        let name = format!("snoop-{shell}-{}", std::process::id());
        let file = Path::new("/run/netns").join(&name);
        let _ = fs::create_dir_all("/run/netns"); // only root can
        Self { netns: fs::write(file, "").is_ok().then_some(name) }
    }

    /// The first cgroup, by its path and by its folder.
    fn cgroups(&self) -> impl Iterator<Item = (String, String)> {
        let root = Path::new("/sys/fs/cgroup");
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        let first = folders.filter_map(|entry| entry.file_name().into_string().ok()).min();
        let is_v2 = root.join("cgroup.procs").exists();
        first.filter(|_| is_v2).into_iter().flat_map(|name| {
            let but_last = &name[..name.len() - 1];
            ["/", "/sys/fs/cgroup/"].map(|before| {
                (format!("execsnoop --cgroup {before}{but_last}"), format!("{before}{name}"))
            })
        })
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        if let Some(name) = &self.netns {
            let _ = fs::remove_file(Path::new("/run/netns").join(name));
        }
    }
}

#[test]
fn bash_completes() {
    if !has("bash") {
        return;
    }
    let folder = Folder::new("bash");
    let places = Places::new("bash");
    for (line, word) in cases(&places) {
        let program = line.split(' ').next().unwrap();
        let script = r#"
            source "site/_$1"
            read -ra COMP_WORDS <<<"$2"
            COMP_LINE=$2 COMP_POINT=${#2} COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            "_$1" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            printf '%s\n' "${COMPREPLY[@]}"
        "#;
        let mut bash = Command::new("bash");
        let output = folder.run(bash.args(["--norc", "-c", script, "bash", program, &line]));
        let seen = text(&output.stdout);
        assert!(seen.lines().any(|seen| seen == word), "{line}: {seen}{}", text(&output.stderr));
        assert!(!seen.contains("lesson.bpf.c") || line.contains("--plot"), "{line}: {seen}");
    }
}

#[test]
fn fish_completes() {
    if !has("fish") {
        return;
    }
    let folder = Folder::new("fish");
    let places = Places::new("fish");
    for (line, word) in cases(&places) {
        let program = line.split(' ').next().unwrap();
        let script = format!("source site/_{program}; complete -C '{line}'");
        let output = folder.run(Command::new("fish").args(["--no-config", "-c", &script]));
        let seen = text(&output.stdout);
        let mut words = seen.lines().map(|line| line.split('\t').next().unwrap());
        assert!(words.any(|seen| seen == word), "{line}: {seen}{}", text(&output.stderr));
    }
    // A process has its name.
    let own = std::process::id();
    let script = format!("source site/_execsnoop; complete -C 'execsnoop --pid {own}'");
    let output = folder.run(Command::new("fish").args(["--no-config", "-c", &script]));
    assert!(text(&output.stdout).contains(&format!("{own}\t")), "{}", text(&output.stdout));
}

/// zsh completes only in its line editor, so this presses Tab in a terminal: the line that runs then
/// has the whole word.
#[test]
fn zsh_completes() {
    if !has("zsh") {
        return;
    }
    let folder = Folder::new("zsh");
    let places = Places::new("zsh");
    for (line, word) in cases(&places) {
        let typed = line.rsplit_once(' ').unwrap().1;
        // What has several candidates stays as it is.
        if typed == word || word == "http" || line.contains("--cgroup") {
            continue;
        }
        let script = r#"
            zmodload zsh/zpty
            zpty terminal env TERM=dumb zsh -f -i
            zpty -w terminal 'PS1=; setopt no_beep; fpath=($PWD/site $fpath)'
            zpty -w terminal 'autoload -Uz compinit; compinit -u -D; echo REA""DY'
            zpty -r terminal seen '*READY*' || exit 1
            zpty -w -n terminal "$1"$'\t\n'
            zpty -w terminal 'echo DO""NE'
            zpty -r terminal seen '*DONE*'
            print -r -- "$seen"
        "#;
        let output = folder.run(Command::new("zsh").args(["-f", "-c", script, "zsh", &line]));
        let seen = text(&output.stdout);
        assert!(seen.contains(&format!("<{word}>")), "{line}: {seen}{}", text(&output.stderr));
    }
}
