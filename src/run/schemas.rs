//! What the events of each map are.

use std::collections::HashMap;

use crate::elf::object::Object;
use crate::elf::value::{Decoder, Options};
use crate::run::maps::EventMap;
use crate::run::row::Schema;

/// By map.
pub fn schemas(object: &Object, events: &[EventMap]) -> HashMap<String, Schema> {
    let mut schemas = HashMap::new();
    for event in events {
        let map = object.maps.iter().find(|map| map.name == event.name);
        let types = object.btf.as_ref().map(|btf| &btf.types);
        let typed = types.zip(map.and_then(|map| map.value));
        let schema = match typed {
            Some((types, ty)) => Schema {
                decoder: Some(Decoder::new(types, ty, Options::default())),
                provenance: "annotation".to_owned(),
                type_name: Some(types.c_name(ty)),
                senders: Vec::new(),
            },
            None => Schema { provenance: "none: shown as bytes".to_owned(), ..Schema::default() },
        };
        schemas.insert(event.name.clone(), schema);
    }
    schemas
}
