//! How processes ended, as the picture tells it: by colour.

use crate::tools::procsnoop::history::Past;
use crate::tools::procsnoop::status::Status;

/// The end of a process, from good to bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    #[default]
    Ok,
    /// It still lives, or its end is unknown
    Running,
    /// An exit code other than 0
    Code,
    Signal,
}

impl Outcome {
    /// All of them, with the words of the legend.
    pub(super) const ALL: [(Self, &'static str); 4] = [
        (Self::Ok, "exit code 0"),
        (Self::Code, "other exit code"),
        (Self::Signal, "signal"),
        (Self::Running, "still there"),
    ];

    pub(super) fn of(past: &Past) -> Self {
        match past.end.map(|end| end.status) {
            None => Self::Running,
            Some(Status::Code(0)) => Self::Ok,
            Some(Status::Code(_)) => Self::Code,
            Some(Status::Signal { .. }) => Self::Signal,
        }
    }

    pub(super) fn is_failure(self) -> bool {
        matches!(self, Self::Code | Self::Signal)
    }

    /// The class of its bars: see style.css.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Running => "run",
            Self::Code => "bad",
            Self::Signal => "sig",
        }
    }
}
