//! How a single field is known.

use std::fmt;

use crate::elf::names;

/// How a field of an inferred struct is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// A source line assigns to it
    Line,
    /// It is a copy of a kernel's member, which CO-RE names
    Member(String),
    /// It is a copy of a member of this map's values
    Value(String),
    /// This helper filled it, or gave its value; `None`: a difference of clocks
    Helper(Option<i32>),
    /// Only the place and width of a store
    Store,
    /// Nothing is stored there
    Nothing,
}

impl Evidence {
    /// One word, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Member(_) => "co-re",
            Self::Value(_) => "map",
            Self::Helper(_) => "helper",
            Self::Store => "store",
            Self::Nothing => "none",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line => f.write_str("source line"),
            Self::Member(member) => write!(f, "CO-RE: {member}"),
            Self::Value(map) => write!(f, "value of {map}"),
            Self::Helper(number) => {
                let number = number.and_then(|number| u32::try_from(number).ok());
                match number.and_then(names::helper) {
                    Some(name) => write!(f, "bpf_{name}()"),
                    None => f.write_str("a clock, less something"),
                }
            }
            Self::Store => f.write_str("width of a store"),
            Self::Nothing => f.write_str("nothing is stored here"),
        }
    }
}
