//! Global variables of programs. libbpf finds out by a program and a map of its own whether the kernel
//! has them. If a policy refuses those, it goes on without, and the programs that use variables are
//! refused for want of their maps.

use libbpf_rs::MapType;

use super::kind::Kind;
use super::object::MapPlan;
use crate::engine::refusal::Refused;

/// What libbpf cannot find it out by, if that is so.
pub(crate) fn refused() -> Option<Refused> {
    let probe = Kind::socket_filter();
    if let Err(errno) = probe.try_out() {
        return Some(Refused::Kind { kind: probe.name(), errno });
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
