//! What fields of one struct tell about each other: versions of addresses, families, lengths, and keys
//! that are taken.

use std::collections::{HashMap, HashSet};

use super::meaning::{self, Meaning};
use super::shape::{Family, Field, Group, Length, Shape};

/// Of an address of 4 bytes and one of 16 in a union, the IP version tells which it is.
pub(super) fn versions_by_size(fields: &mut [Field], union: usize) {
    let version = |field: &Field| match field.shape {
        Shape::Ipv4 => Some(4),
        Shape::Number { meaning: Meaning::Ipv4 | Meaning::Ipv4Number, .. } => Some(4),
        Shape::Ipv6 { .. } => Some(6),
        _ => None,
    };
    let all: Vec<_> = fields.iter().map(version).collect();
    if !(all == [Some(4), Some(6)] || all == [Some(6), Some(4)]) {
        return;
    }
    for (field, version) in fields.iter_mut().zip(all) {
        let own = field.arms.iter_mut().filter(|arm| arm.union == union);
        own.for_each(|arm| arm.version = version);
    }
}

/// Relations between fields: families, lengths, keys that are taken.
pub(super) fn finish(group: &mut Group) {
    let names: HashSet<String> = group.fields.iter().map(|field| field.name.clone()).collect();
    let number = |field: &Field| match field.shape {
        Shape::Number { bytes, signed, .. } if field.bits.is_none() => {
            Some((field.at / 8, bytes, signed))
        }
        Shape::Enum { bytes, signed, .. } if field.bits.is_none() => {
            Some((field.at / 8, bytes, signed))
        }
        _ => None,
    };
    let family = group.fields.iter().find(|field| meaning::is_family(&field.name));
    group.family = family.and_then(|field| {
        let (at, bytes, _) = number(field)?;
        Some(Family { at, bytes, sure: meaning::is_only_family(&field.name) })
    });

    let numbers: HashMap<String, (u64, u32, bool)> = group
        .fields
        .iter()
        .filter_map(|field| Some((field.name.to_ascii_lowercase(), number(field)?)))
        .collect();
    // The same for fields of the same name: each may have to pass many other fields.
    let mut free: HashMap<String, String> = HashMap::new();
    for field in &mut group.fields {
        for key in [&mut field.text_key, &mut field.base64_key] {
            let next = || {
                let mut next = key.clone();
                while names.contains(&next) {
                    next.push('_');
                }
                next
            };
            if names.contains(key) {
                *key = free.entry(key.clone()).or_insert_with(next).clone();
            }
        }
        let (rest, wide) = match &field.shape {
            Shape::Text { bytes, .. } | Shape::Bytes { bytes } => (bytes.is_none(), false),
            Shape::Array { count, .. } => (count.is_none(), true),
            _ => continue,
        };
        let name = field.name.to_ascii_lowercase();
        let ending = |ends: &[&str]| ends.iter().map(|end| format!("{name}_{end}")).collect();
        let mut bytes: Vec<String> = ending(&["size", "sz", "bytes"]);
        // The length of an array of numbers or structs counts them.
        let mut counts: Vec<String> = ending(&["count", "cnt"]);
        counts.push(format!("nr_{name}"));
        let lengths: Vec<String> = ending(&["len", "length"]);
        if wide {
            counts.extend(lengths);
        } else {
            bytes.extend(lengths);
        }
        if rest {
            let plain =
                ["len", "size", "length", "data_len", "data_size", "payload_len", "buf_len"];
            bytes.extend(plain.map(str::to_owned));
        }
        let find = |keys: &[String], elements| {
            let &(at, bytes, signed) = keys.iter().find_map(|key| numbers.get(key))?;
            Some(Length { at, bytes, signed, elements })
        };
        field.length = find(&bytes, false).or_else(|| find(&counts, true).filter(|_| wide));
    }
}
