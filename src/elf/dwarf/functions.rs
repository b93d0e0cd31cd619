//! The variables of functions, from entries that refer to each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Result;

use super::{MAX_VARIABLES, Offset, Variable, take};
use crate::elf::budget::Budget;
use crate::elf::types::Name;

/// A function, as the entries describe it.
#[derive(Default)]
pub(super) struct Function {
    pub(super) name: Option<Name>,
    /// Has code of its own
    pub(super) emitted: bool,
    pub(super) variables: Vec<Variable>,
    /// The entry with the rest of the facts
    pub(super) origin: Option<Offset>,
    /// The entries of functions that were inlined into it
    pub(super) inlined: BTreeSet<Offset>,
}

/// Joins functions with their origins and their inlined functions.
pub(super) fn joined(all: &HashMap<Offset, Function>) -> Result<BTreeMap<Name, Vec<Variable>>> {
    let mut functions: BTreeMap<Name, Vec<Variable>> = BTreeMap::new();
    let left = Budget::new(MAX_VARIABLES);
    let mut emitted: Vec<_> = all.iter().filter(|(_, function)| function.emitted).collect();
    emitted.sort_by_key(|(offset, _)| **offset);
    for (_, function) in emitted {
        let origin = function.origin.and_then(|origin| all.get(&origin));
        let name = function.name.as_ref().or_else(|| origin?.name.as_ref());
        let Some(name) = name else { continue };
        let known = functions.entry(name.clone()).or_default();
        let inlined = function.inlined.iter().filter_map(|origin| all.get(origin));
        let parts = [Some((function, false)), origin.map(|origin| (origin, false))];
        for (part, is_inlined) in
            parts.into_iter().flatten().chain(inlined.map(|part| (part, true)))
        {
            let inlined_from = part.name.clone().filter(|_| is_inlined);
            for variable in &part.variables {
                take(&left, "variables of inlined functions")?;
                let inlined_from = inlined_from.clone();
                known.push(Variable { inlined_from, ..variable.clone() });
            }
        }
    }
    Ok(functions)
}
