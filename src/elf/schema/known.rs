//! The types that a schema refers to: of the object or of the user, or made for one schema.

use std::ops::Deref;
use std::sync::Arc;

use crate::elf::types::Types;

/// Where the type of a schema is.
#[derive(Clone, Debug)]
pub enum Known<'a> {
    /// In the object, or in a file of the user
    Borrowed(&'a Types),
    /// Made for this schema
    Own(Arc<Types>),
}

impl Deref for Known<'_> {
    type Target = Types;

    fn deref(&self) -> &Types {
        match self {
            Self::Borrowed(types) => types,
            Self::Own(types) => types,
        }
    }
}

impl<'a> From<&'a Types> for Known<'a> {
    fn from(types: &'a Types) -> Self {
        Self::Borrowed(types)
    }
}
