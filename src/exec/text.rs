//! What stands behind a command line.

use super::Cut;
use crate::out::count;
use crate::skel::task_id;

/// What of the arguments is missing. `at_least`: more may be, unknown how many.
pub fn cut_note(cut: Option<Cut>, at_least: bool) -> Option<String> {
    let cut = cut?;
    let at_least = if at_least { "at least " } else { "" };
    let arguments = count(cut.args, "argument");
    let bytes = match cut.bytes {
        Some(bytes) => count(bytes, "byte"),
        None => "bytes unknown".to_owned(),
    };
    Some(format!("cut: {at_least}{arguments} ({bytes}) not shown"))
}

/// The process's id in its own PID namespace, if that is another one.
pub fn namespace_note(id: &task_id) -> Option<String> {
    (id.vpid != id.pid).then(|| format!("pid {} in its namespace", id.vpid))
}
