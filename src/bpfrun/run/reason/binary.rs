//! Why a probe on a program's file failed.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use nix::errno::Errno;

use crate::bpfrun::run::hook::Kind;
use crate::bpfrun::run::reason::Reason;

/// The reason, as far as the file shows it. `words`: libbpf's; `name`: the program's; `errno`: from
/// the failed call.
pub(super) fn of_file(
    words: &str,
    name: &str,
    kind: Kind,
    target: &str,
    errno: Option<Errno>,
) -> Option<Reason> {
    let (file, place) = target.split_once(':')?;
    // Without a slash libbpf searches the folders of programs and libraries.
    if file.contains('/') {
        if let Some(what) = no_program(Path::new(file)) {
            return Some(Reason::new(what));
        }
    }
    if kind == Kind::Usdt {
        let advice = format!("readelf -n {file} lists its probes");
        return (errno == Some(Errno::ENOENT))
            .then(|| Reason::new(format!("there is no probe {place} in {file}")).advice(advice));
    }
    let is_unknown = words.lines().any(|line| {
        // The second form: the function belongs to another file, and this one only calls it.
        line.contains("failed to find symbol") || line.contains("is 0 in symtab")
    });
    if matches!(kind, Kind::UprobeMulti { .. }) {
        return (is_unknown || errno == Some(Errno::ENOENT))
            .then(|| Reason::new(format!("no function of {file} is like {place}")));
    }
    if !is_unknown {
        return None;
    }
    let function = place.split('+').next().unwrap_or(place);
    let advice = format!("--attach {name}={file}:0xOFFSET for a place without a name");
    Some(Reason::new(format!("there is no function {function} in {file}")).advice(advice))
}

/// Why this file has no program or library.
fn no_program(path: &Path) -> Option<String> {
    let file = path.display();
    let mut begin = [0; 4];
    let is_elf = match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Some(format!("there is no file {file}"));
        }
        // Opening a pipe would block.
        Ok(metadata) if !metadata.is_file() => Ok(false),
        Ok(_) => File::open(path)
            .map(|mut file| file.read_exact(&mut begin).is_ok() && begin == *b"\x7fELF"),
        Err(error) => Err(error),
    };
    match is_elf {
        Ok(true) => None,
        Ok(false) => Some(format!("{file} is neither a program nor a library")),
        Err(error) => Some(format!("cannot read {file}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(words: &str, kind: Kind, target: &str, errno: Option<Errno>) -> String {
        of_file(words, "p", kind, target, errno).unwrap().to_string()
    }

    #[test]
    fn what_is_not_in_a_file_is_said() {
        let uprobe = Kind::Uprobe { ret: false };
        let own = std::env::current_exe().unwrap();
        let own = own.to_str().unwrap();
        let words = [
            format!("libbpf: elf: 'nope' is 0 in symtab for '{own}': should not be 0 in a shared"),
            format!("libbpf: elf: failed to find symbol 'nope' in '{own}'"),
        ];
        for words in words {
            assert_eq!(
                reason(&words, uprobe, &format!("{own}:nope+0x4"), None),
                format!(
                    "there is no function nope in {own}; --attach p={own}:0xOFFSET for a place \
                     without a name"
                )
            );
        }
        let said = reason("", Kind::Usdt, &format!("{own}:prov:nope"), Some(Errno::ENOENT));
        assert!(said.starts_with(&format!("there is no probe prov:nope in {own}; ")), "{said}");
        let multi = Kind::UprobeMulti { ret: false, session: false };
        let said = reason("", multi, &format!("{own}:x_*"), Some(Errno::ENOENT));
        assert_eq!(said, format!("no function of {own} is like x_*"));
        assert_eq!(of_file("", "p", uprobe, &format!("{own}:f"), Some(Errno::EACCES)), None);
    }

    #[test]
    fn what_is_no_program_is_said() {
        let uprobe = Kind::Uprobe { ret: false };
        for (target, expected) in [
            ("/no/such/file:f", "there is no file /no/such/file"),
            ("/:f", "/ is neither a program nor a library"),
            ("/proc/self/status:f", "/proc/self/status is neither a program nor a library"),
        ] {
            assert_eq!(reason("", uprobe, target, Some(Errno::EBADF)), expected);
            assert_eq!(reason("", Kind::Usdt, &format!("{target}:x"), None), expected);
        }
    }
}
