//! A line of JSON whose objects open with their first member: one that has none is absent.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::output::json::{push_list, push_string};

/// `process.user.id`: `id` in the object `user` in the object `process`.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) dotted: &'static str,
    objects: Vec<&'static str>,
    name: &'static str,
}

impl Key {
    pub(super) fn new(dotted: &'static str) -> Self {
        let mut objects: Vec<_> = dotted.split('.').collect();
        let name = objects.pop().unwrap_or_default();
        Self { dotted, objects, name }
    }

    fn part(&self, depth: usize) -> &'static str {
        self.objects.get(depth).copied().unwrap_or(self.name)
    }
}

/// In an order in which all members of an object stand together, each object where its first one
/// was. `depth`: all are in the same object of so many.
pub(super) fn grouped<T>(members: Vec<(Key, T)>, depth: usize) -> Vec<(Key, T)> {
    let mut groups: Vec<(&'static str, Vec<(Key, T)>)> = Vec::new();
    for (key, value) in members {
        let part = key.part(depth);
        match groups.iter_mut().find(|(name, _)| *name == part) {
            Some((_, group)) => group.push((key, value)),
            None => groups.push((part, vec![(key, value)])),
        }
    }
    let is_object = |group: &[(Key, T)]| group.iter().any(|(key, _)| key.objects.len() > depth);
    let sorted = groups.into_iter().flat_map(|(name, group)| {
        let is_value = group.iter().any(|(key, _)| key.objects.len() <= depth);
        debug_assert!(!(is_value && group.len() > 1), "{name} is a value and an object");
        if is_object(&group) { grouped(group, depth + 1) } else { group }
    });
    sorted.collect()
}

/// The line, as far as it is written.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    open: &'o [&'static str],
}

impl<'o> Object<'o> {
    /// Begins a line at the end of `out`.
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, open: &[] }
    }

    /// Ends all objects.
    pub(super) fn end(mut self) {
        self.enter(&[]);
        self.out.push(b'}');
    }

    /// Writes the key; its value is to be appended.
    pub(super) fn member(&mut self, key: &'o Key) -> &mut Vec<u8> {
        self.enter(&key.objects);
        self.key(key.name, "");
        self.out
    }

    /// As a string; and where it is not UTF-8, exactly, in base64 under a second key.
    pub(super) fn name(&mut self, key: &'o Key, name: &[u8]) {
        let text = String::from_utf8_lossy(name);
        push_string(self.member(key), &text);
        if matches!(text, Cow::Owned(_)) {
            self.key(key.name, "_base64");
            push_string(self.out, &BASE64.encode(name));
        }
    }

    /// A list, likewise.
    pub(super) fn names<'b>(
        &mut self,
        key: &'o Key,
        names: impl Iterator<Item = &'b [u8]> + Clone,
    ) {
        let mut exact = true;
        let texts = names.clone().map(|name| {
            let text = String::from_utf8_lossy(name);
            exact &= matches!(text, Cow::Borrowed(_));
            text
        });
        push_list(self.member(key), texts, |out, text| push_string(out, &text));
        if !exact {
            self.key(key.name, "_base64");
            push_list(self.out, names, |out, name| push_string(out, &BASE64.encode(name)));
        }
    }

    fn enter(&mut self, objects: &'o [&'static str]) {
        let same = self.open.iter().zip(objects).take_while(|(open, next)| open == next).count();
        for _ in self.open.iter().skip(same) {
            self.out.push(b'}');
        }
        for name in objects.iter().skip(same) {
            self.key(name, "");
            self.out.push(b'{');
        }
        self.open = objects;
    }

    fn key(&mut self, name: &str, ending: &str) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(ending.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(members: &[(&'static str, Option<u32>)]) -> String {
        let members = members.iter().map(|(key, value)| (Key::new(key), *value)).collect();
        let members = grouped(members, 0);
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        for (key, value) in &members {
            if let Some(value) = value {
                object.member(key).extend_from_slice(value.to_string().as_bytes());
            }
        }
        object.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members_of_an_object_meet_in_it() {
        let members = [("a.b", Some(1)), ("c", Some(2)), ("a.d.e", Some(3)), ("a.f", Some(4))];
        assert_eq!(line(&members), r#"{"a":{"b":1,"d":{"e":3},"f":4},"c":2}"#);
    }

    #[test]
    fn objects_without_members_are_absent() {
        assert_eq!(line(&[("a.b.c", None), ("d", Some(1)), ("a.e", None)]), r#"{"d":1}"#);
        assert_eq!(line(&[("a.b.c", None), ("a.e", Some(1))]), r#"{"a":{"e":1}}"#);
        assert_eq!(line(&[]), "{}");
    }

    #[test]
    #[should_panic = "a is a value and an object"]
    fn a_key_has_one_meaning() {
        line(&[("a", Some(1)), ("a.b", Some(2))]);
    }

    #[test]
    fn names_are_exact() {
        let (one, list) = (Key::new("a.n"), Key::new("a.l"));
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        object.name(&one, b"\xff");
        object.names(&list, [&b"x"[..], b"\""].into_iter());
        object.end();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let expected =
            serde_json::json!({ "a": { "n": "\u{fffd}", "n_base64": "/w==", "l": ["x", "\""] } });
        assert_eq!(value, expected);
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        object.names(&list, [&b"x"[..], b"\xff"].into_iter());
        object.end();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["a"]["l_base64"], serde_json::json!(["eA==", "/w=="]));
    }
}
