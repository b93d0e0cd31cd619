//! Names of errors.

use std::borrow::Cow;
use std::sync::LazyLock;

use nix::errno::Errno;

/// The names of the numbers that programs see, made once: errors may come by the million.
static NAMES: LazyLock<Vec<Option<String>>> = LazyLock::new(|| {
    (0..512)
        .map(|number| match Errno::from_raw(number) {
            Errno::UnknownErrno => None,
            known => Some(format!("{known:?}")),
        })
        .collect()
});

/// `ERRNO_SIGSYS` of `seccomp.bpf.h`: not an errno, but the signal with which a seccomp filter
/// answered the call.
const SIGSYS: i32 = 4095;

/// The name of an error number, such as `ENOENT` for 2. The kernel's own numbers above 511,
/// which programs never see, are shown as numbers: `E512`.
pub fn name(number: i32) -> Cow<'static, str> {
    if number == SIGSYS {
        return "SIGSYS".into();
    }
    let known = usize::try_from(number).ok().and_then(|number| NAMES.get(number)?.as_deref());
    known.map_or_else(|| format!("E{number}").into(), Cow::Borrowed)
}

/// The kernel's own `ENOTSUPP`, which some of its calls return all the same.
const ENOTSUPP: i32 = 524;

/// An error of a system call: `EOPNOTSUPP` also where the kernel returns its own number for it.
pub fn from_kernel(number: i32) -> Errno {
    if number == ENOTSUPP { Errno::EOPNOTSUPP } else { Errno::from_raw(number) }
}

/// The error of the last system call.
pub fn last() -> Errno {
    from_kernel(Errno::last_raw())
}

/// The number of an error's name, as [`name`] has it.
pub fn number(name: &str) -> Option<i32> {
    if name == "SIGSYS" {
        return Some(SIGSYS);
    }
    let known = NAMES.iter().position(|known| known.as_deref() == Some(name));
    let digits = || name.strip_prefix('E').filter(|digits| !digits.starts_with('+'));
    let number = known.and_then(|at| i32::try_from(at).ok());
    number.or_else(|| digits()?.parse().ok()).filter(|number| *number > 0)
}

/// The errno of the system call behind an error, however deep. libbpf-rs does not reveal the errno
/// of its own errors.
pub fn of(error: &anyhow::Error) -> Option<Errno> {
    error.chain().find_map(|cause| {
        let number = cause.downcast_ref::<std::io::Error>();
        let number = number.and_then(std::io::Error::raw_os_error);
        cause.downcast_ref::<Errno>().copied().or(number.map(Errno::from_raw))
    })
}

/// Texts of the standard library without the redundant numbers behind errors: ` (os error 2)`.
pub fn without_numbers(words: &str) -> String {
    let mut parts = words.split(" (os error ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|b| b.is_ascii_digit()) => text += rest,
            _ => text = text + " (os error " + part,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_need_no_numbers() {
        let error = std::io::Error::from_raw_os_error(1);
        let words = format!("attach: {error}: no; {error}");
        let expected = "attach: Operation not permitted: no; Operation not permitted";
        assert_eq!(without_numbers(&words), expected);
        for same in ["", "a", "a (os error x) b", "a (os error 1"] {
            assert_eq!(without_numbers(same), same);
        }
    }

    #[test]
    fn errors_have_names() {
        assert_eq!(name(2), "ENOENT");
        assert_eq!(name(111), "ECONNREFUSED");
        assert_eq!(name(11), "EAGAIN");
        assert_eq!(name(512), "E512");
        assert_eq!(from_kernel(524), Errno::EOPNOTSUPP);
        assert_eq!(from_kernel(12), Errno::ENOMEM);
        assert_eq!(name(4095), "SIGSYS");
        assert_eq!(name(i32::MIN), format!("E{}", i32::MIN));
    }
}
