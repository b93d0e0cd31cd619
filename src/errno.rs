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

/// The name of an error number, such as `ENOENT` for 2. The kernel's own numbers above 511,
/// which programs never see, are shown as numbers: `E512`.
pub fn name(number: i32) -> Cow<'static, str> {
    let known = usize::try_from(number).ok().and_then(|number| NAMES.get(number)?.as_deref());
    known.map_or_else(|| format!("E{number}").into(), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_names() {
        assert_eq!(name(2), "ENOENT");
        assert_eq!(name(111), "ECONNREFUSED");
        assert_eq!(name(11), "EAGAIN");
        assert_eq!(name(512), "E512");
        assert_eq!(name(i32::MIN), format!("E{}", i32::MIN));
    }
}
