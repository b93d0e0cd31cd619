//! The values of a few keys, from a line of JSON: all else in it is passed over, and no tree is
//! built of it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::value::{Key, Number, Value};

/// The value of each key in an object.
pub(super) fn values<'line>(line: &'line [u8], keys: &[Key]) -> Vec<Value<'line>> {
    let mut values = vec![Value::Absent; keys.len()];
    let wanted = u64::MAX.checked_shr(64 - keys.len() as u32).unwrap_or(0);
    let members = Members { keys, depth: 0, wanted, values: &mut values };
    let read = members.deserialize(&mut serde_json::Deserializer::from_slice(line));
    debug_assert!(read.is_ok(), "{read:?} in {}", String::from_utf8_lossy(line));
    values
}

/// A value at some depth of the line.
struct Members<'v, 'line> {
    keys: &'v [Key],
    /// Parts of the keys that lead here
    depth: usize,
    /// The keys that do, as bits
    wanted: u64,
    values: &'v mut [Value<'line>],
}

impl<'line> Members<'_, 'line> {
    /// Keeps the value if it is that of a key, which is one at most: each key is there once.
    fn keep(self, value: Value<'line>) {
        let ends_here = |(number, key): &(usize, &Key)| {
            self.wanted >> number & 1 != 0 && key.parts.len() == self.depth
        };
        if let Some((number, _)) = self.keys.iter().enumerate().find(ends_here) {
            if let Some(place) = self.values.get_mut(number) {
                *place = value;
            }
        }
    }
}

impl<'line> DeserializeSeed<'line> for Members<'_, 'line> {
    type Value = ();

    fn deserialize<D: Deserializer<'line>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'line> Visitor<'line> for Members<'_, 'line> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        self.keep(Value::Flag(flag));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.keep(Value::Number(Number::Whole(number.into())));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.keep(Value::Number(Number::Whole(number.into())));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.keep(Value::Number(Number::Float(number)));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'line str) -> Result<(), E> {
        self.keep(Value::Text(Cow::Borrowed(text)));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.keep(Value::Text(Cow::Owned(text.to_owned())));
        Ok(())
    }

    /// `null`
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'line>>(self, mut items: A) -> Result<(), A::Error> {
        let mut values = Vec::new();
        while let Some(Item(value)) = items.next_element()? {
            values.push(value);
        }
        self.keep(Value::List(values));
        Ok(())
    }

    fn visit_map<A: MapAccess<'line>>(self, mut members: A) -> Result<(), A::Error> {
        let Members { keys, depth, wanted, values } = self;
        let name = || Name { keys, depth, wanted };
        while let Some(wanted) = members.next_key_seed(name())? {
            if wanted == 0 {
                members.next_value::<IgnoredAny>()?;
            } else {
                let values = &mut *values;
                members.next_value_seed(Members { keys, depth: depth + 1, wanted, values })?;
            }
        }
        Members { keys, depth, wanted, values }.keep(Value::Object);
        Ok(())
    }
}

/// The name of a member; its value: the keys that lead on through it, as bits.
struct Name<'v> {
    keys: &'v [Key],
    depth: usize,
    wanted: u64,
}

impl<'line> DeserializeSeed<'line> for Name<'_> {
    type Value = u64;

    fn deserialize<D: Deserializer<'line>>(self, json: D) -> Result<u64, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<u64, E> {
        let leads_on = |(number, key): &(usize, &Key)| {
            self.wanted >> number & 1 != 0
                && key.parts.get(self.depth).is_some_and(|part| part == name)
        };
        let leading = self.keys.iter().enumerate().filter(leads_on);
        Ok(leading.fold(0, |all, (number, _)| all | 1 << number))
    }
}

/// An element of a list.
struct Item<'line>(Value<'line>);

impl<'line> Deserialize<'line> for Item<'line> {
    fn deserialize<D: Deserializer<'line>>(json: D) -> Result<Self, D::Error> {
        // A key without parts ends here.
        let keys = [Key { parts: Vec::new() }];
        let mut values = [Value::Absent];
        Members { keys: &keys, depth: 0, wanted: 1, values: &mut values }.deserialize(json)?;
        let [value] = values;
        Ok(Self(value))
    }
}
