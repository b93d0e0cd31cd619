//! What the senders of a map tell about each other's records.

use std::collections::{BTreeMap, HashMap};

use super::group::made_bytes;
use super::infer::{self, Sender};
use super::layout::{begins, is_exact};
use super::lines::Lines;
use super::{Found, LINES_STEPS, Provenance, Sources, only_size, type_name};
use crate::elf::dataflow::Emission;

impl<'a> Sources<'a> {
    /// Gives a record of unknown type the type that another sender of the same map has, if only one
    /// fits and no source line contradicts it.
    pub(super) fn share(&self, found: &mut [(Found<'a>, &Emission)]) {
        let known = self.known(found);
        for (found, sent) in found.iter_mut().filter(|(found, _)| found.ty.is_none()) {
            if self.is_search_cut() || !self.steps.take(LINES_STEPS + known.len()) {
                return;
            }
            let lines = Lines::new(self.object, sent);
            let mut fitting = known.iter().filter(|known| {
                let fits = |ty| match known.tail {
                    true => begins(&known.types, ty, sent),
                    false => is_exact(&known.types, ty, sent),
                };
                let named = |ty| lines.for_struct(&known.types, ty).is_some();
                known.ty.is_some_and(|ty| fits(ty) && named(ty))
            });
            if let (Some(only), None) = (fitting.next(), fitting.next()) {
                // A search that was cut has not seen the others.
                if !self.is_search_cut() {
                    *found = only.clone();
                }
            }
        }
    }

    /// The structs that are all of some sender's record, or its header: each once.
    fn known(&self, found: &[(Found<'a>, &Emission)]) -> Vec<Found<'a>> {
        let mut known: Vec<Found<'a>> = Vec::new();
        let mut by_name = HashMap::new();
        if found.iter().all(|(found, _)| found.ty.is_some()) {
            return known;
        }
        for (found, sent) in found {
            // An annotated type that other records surely go on behind is a header.
            let header = found.tail && matches!(found.how, Provenance::Annotation(_));
            let exact = |ty| {
                let whole = header || is_exact(&found.types, ty, sent);
                whole && found.types.composite(ty).is_some()
            };
            if !found.ty.is_some_and(exact) {
                continue;
            }
            let next = known.len();
            match known.get_mut(*by_name.entry(type_name(found)).or_insert(next)) {
                Some(known) => known.tail |= header,
                None => known.push(found.clone()),
            }
        }
        known
    }

    /// Makes structs for the records that are still unknown: one for all senders of a size, unless
    /// they fill it in different ways.
    pub(super) fn infer(&self, found: &mut [(Found<'a>, &Emission)]) {
        let mut by_size: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, (found, sent)) in found.iter().enumerate() {
            if let (None, Some(size)) = (found.ty, only_size(sent)) {
                by_size.entry(size).or_default().push(index);
            }
        }
        for (size, indices) in by_size {
            let sent = |index: &usize| found.get(*index).map(|&(_, sent)| sent);
            let senders = indices.iter().filter_map(sent).map(|sent| self.sender(sent));
            // Without some of them, a contradiction may be overlooked.
            let Some(senders) = senders.collect::<Option<Vec<_>>>() else { return };
            let each = |one| self.made(std::slice::from_ref(one), size);
            let made: Vec<_> = match self.made(&senders, size) {
                Some(one) => vec![Some(one); senders.len()],
                None => senders.iter().map(each).collect(),
            };
            for (index, made) in indices.into_iter().zip(made) {
                if let (Some((found, _)), Some(made)) = (found.get_mut(index), made) {
                    *found = made;
                }
            }
        }
    }

    /// A sender, with the names in its lines. `None`: there is too much to read.
    fn sender<'e>(&self, sent: &'e Emission) -> Option<Sender<'e>> {
        if self.is_search_cut() || !self.steps.take(LINES_STEPS + 2 * sent.writes.len()) {
            return None;
        }
        let lines = Lines::with_neighbours(self.object, sent, &self.assignments, &self.steps);
        (!self.is_search_cut()).then(|| Sender::new(sent, &lines))
    }

    /// A struct for these senders, if there is room for it.
    fn made(&self, senders: &[Sender<'_>], size: u64) -> Option<Found<'a>> {
        let found = infer::by_stores(self.object, senders, size)?;
        self.copied.take(made_bytes(&found.types, found.ty?)).then_some(found)
    }
}
