//! The types that a schema refers to: of the object or of the user, or made for one schema.

use std::ops::Deref;
use std::sync::Arc;

use super::evidence::Evidence;
use crate::elf::types::Types;

/// Where the type of a schema is.
#[derive(Clone, Debug)]
pub enum Known<'a> {
    /// In the object, or in a file of the user
    Borrowed(&'a Types),
    /// Made for this schema
    Own(Arc<Made>),
}

/// A type that was made of what is known about a record.
#[derive(Debug)]
pub struct Made {
    pub types: Types,
    /// How each member of the struct is known
    pub evidence: Vec<Evidence>,
}

impl Known<'_> {
    /// How the member number `index` of the struct is known by itself.
    pub fn evidence(&self, index: usize) -> Option<&Evidence> {
        match self {
            Self::Borrowed(_) => None,
            Self::Own(made) => made.evidence.get(index),
        }
    }
}

impl Deref for Known<'_> {
    type Target = Types;

    fn deref(&self) -> &Types {
        match self {
            Self::Borrowed(types) => types,
            Self::Own(made) => &made.types,
        }
    }
}

impl<'a> From<&'a Types> for Known<'a> {
    fn from(types: &'a Types) -> Self {
        Self::Borrowed(types)
    }
}
