//! Arguments without what differs from run to run: names that a program made up, and the folder of
//! the build.

use std::collections::HashMap;

/// What stands for a made-up name.
const ANY: u8 = b'*';

/// A folder of A that is another one in B.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rename {
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
}

impl Rename {
    /// `arg` of A as it would be in B.
    pub(super) fn apply(&self, arg: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(arg.len());
        let mut rest = arg;
        while let Some(at) = find(rest, &self.from) {
            let (before, behind) = rest.split_at(at);
            let behind = behind.get(self.from.len()..).unwrap_or_default();
            out.extend_from_slice(before);
            let is_whole = behind.first().is_none_or(|byte| *byte == b'/');
            out.extend_from_slice(if is_whole { &self.to } else { &self.from });
            rest = behind;
        }
        out.extend_from_slice(rest);
        out
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len().max(1)).position(|window| window == part)
}

/// The rename that most of these pairs of different arguments have in common.
pub(super) fn common_rename<'a>(
    pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Option<Rename> {
    let mut counts: HashMap<Rename, usize> = HashMap::new();
    let mut all = 0;
    for (a, b) in pairs {
        all += 1;
        if let Some(rename) = rename(a, b) {
            *counts.entry(rename).or_default() += 1;
        }
    }
    let (rename, count) = counts
        .into_iter()
        .max_by_key(|(rename, count)| (*count, std::cmp::Reverse(rename.from.clone())))?;
    (count >= 2 && count * 2 > all).then_some(rename)
}

/// From one path to the other: what is left of both without the common end, at a slash.
fn rename(a: &[u8], b: &[u8]) -> Option<Rename> {
    let (a, b) = (path(a)?, path(b)?);
    let same = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    // Only whole components.
    let end = a.get(a.len() - same..)?;
    let same = end.iter().position(|byte| *byte == b'/').map_or(0, |at| same - at);
    let (from, to) = (a.get(..a.len() - same)?, b.get(..b.len() - same)?);
    let is_folder = |path: &[u8]| path.len() > 1;
    (is_folder(from) && is_folder(to)).then(|| Rename { from: from.to_vec(), to: to.to_vec() })
}

/// The path in an argument such as `-I/usr/include`.
fn path(arg: &[u8]) -> Option<&[u8]> {
    arg.get(arg.iter().position(|byte| *byte == b'/')?..)
}

/// The argument with a `*` for each component of a path that looks made up.
pub(super) fn pattern(arg: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(arg.len());
    let mut is_below_tmp = false;
    for (at, part) in arg.split(|byte| *byte == b'/').enumerate() {
        if at > 0 {
            out.push(b'/');
        }
        let (stem, ending) = split_ending(part);
        if is_made_up(stem, is_below_tmp) {
            out.push(ANY);
            out.extend_from_slice(ending);
        } else {
            out.extend_from_slice(part);
        }
        // /tmp, /var/tmp and /dev/shm, also behind a flag: -o/tmp.
        is_below_tmp = part.ends_with(b"tmp") || part == b"shm";
    }
    out
}

/// `.s` of `ccb9gqWU.s`. A short ending only: `tmp.aB3dE5fG` has none.
fn split_ending(part: &[u8]) -> (&[u8], &[u8]) {
    let dot = part.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0);
    match dot {
        Some(at) if part.len() - at <= 4 => part.split_at(at),
        _ => (part, &[]),
    }
}

/// Whether mkstemp() or the like may have made this name: it ends in six letters and digits, mixed;
/// elsewhere than in a folder for such files it also begins with `tmp`.
fn is_made_up(stem: &[u8], is_below_tmp: bool) -> bool {
    let Some(last) = stem.len().checked_sub(6).and_then(|at| stem.get(at..)) else { return false };
    let is_random = last.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let has = |is: fn(&u8) -> bool| last.iter().any(is);
    let is_mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
        || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    is_random && is_mixed && (is_below_tmp || stem.starts_with(b"tmp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names() {
        let shown = |arg: &str| String::from_utf8(pattern(arg.as_bytes())).unwrap();
        assert_eq!(shown("/tmp/ccb9gqWU.s"), "/tmp/*.s");
        assert_eq!(shown("-o/tmp/ccb9gqWU.o"), "-o/tmp/*.o");
        assert_eq!(shown("--x=/var/tmp/tmp.aB3dE5fG7h/a.c"), "--x=/var/tmp/*/a.c");
        assert_eq!(shown("/home/u/tmpx8_k2w1z/out"), "/home/u/*/out");
        for plain in ["/tmp/main.c", "main.c", "/tmp/object.o", "/home/u/build12/x.o", "", "/", "é"]
        {
            assert_eq!(shown(plain), plain);
        }
    }

    #[test]
    fn a_folder_that_is_another_one() {
        let pairs: [(&[u8], &[u8]); 3] = [
            (b"/home/u/one/a.c", b"/home/u/two/a.c"),
            (b"-I/home/u/one/sub", b"-I/home/u/two/sub"),
            (b"-O2", b"-O3"),
        ];
        let rename = common_rename(pairs.into_iter()).unwrap();
        assert_eq!(rename.from, b"/home/u/one");
        assert_eq!(
            rename.apply(b"-L/home/u/one:/home/u/onex:/home/u/one/x"),
            b"-L/home/u/one:/home/u/onex:/home/u/two/x"
        );
        assert_eq!(rename.apply(b"/home/u/one"), b"/home/u/two");
        assert_eq!(common_rename([(&b"a"[..], &b"b"[..])].into_iter()), None);
    }
}
