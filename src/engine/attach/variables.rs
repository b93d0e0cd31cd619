//! Global variables of programs. libbpf tries a program and a map of its own to see if the kernel
//! supports them. If a policy refuses those, libbpf goes on without variables, and the kernel
//! refuses the programs that use some, for lack of their maps.

use libbpf_rs::MapType;

use super::kind::Kind;
use super::object::MapPlan;
use crate::engine::refusal::Refused;

/// The refusal of libbpf's own trial, if the kernel refused it.
pub(crate) fn refused() -> Option<Refused> {
    if let Some(refused) = Kind::socket_filter().refused() {
        return Some(refused);
    }
    let map = MapPlan::array_of_variables();
    let errno = map.create().err()?;
    Some(Refused::Map { name: map.name, kind: "array".to_owned(), errno })
}

impl MapPlan {
    fn array_of_variables() -> Self {
        Self {
            name: "of variables".to_owned(),
            kind: MapType::Array,
            key_bytes: 4,
            value_bytes: 8,
            entries: 1,
            flags: 0,
        }
    }
}
