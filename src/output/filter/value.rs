//! Values of keys, and the tests that they can pass.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use regex::Regex;

/// The name of a member: `process.user.id` in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) parts: Vec<String>,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts.join("."))
    }
}

/// What an event has under a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// No such member
    Absent,
    Flag(bool),
    Number(Number),
    Text(Cow<'a, str>),
    /// Its elements; those that are lists themselves are no value here
    List(Vec<Value<'a>>),
    /// Members of their own
    Object,
}

/// A number, exact if it is a whole one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Whole(i128),
    Float(f64),
}

impl Number {
    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(&b)),
            (a, b) => a.float().partial_cmp(&b.float()),
        }
    }

    fn float(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.compare(*other) == Some(Ordering::Equal)
    }
}

/// A value in an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Flag(bool),
    Number(Number),
    Text(String),
}

/// What is asked of the value of a key.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// The key alone: it is there, and not `false`
    There,
    /// `==`
    Is(Literal),
    /// `in`
    In(Vec<Literal>),
    /// `<` and the like
    Order(Order, Literal),
    /// `~`
    Matches(Regex),
}

/// A comparison by order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Test {
    /// Whether a value passes. Of a list, one element must.
    pub(super) fn holds(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::There, value) => !matches!(value, Value::Absent | Value::Flag(false)),
            (_, Value::List(values)) => values.iter().any(|value| self.holds_of(value)),
            (_, value) => self.holds_of(value),
        }
    }

    fn holds_of(&self, value: &Value<'_>) -> bool {
        match self {
            Self::There => false, // never asked of elements
            Self::Is(literal) => literal.is(value),
            Self::In(literals) => literals.iter().any(|literal| literal.is(value)),
            Self::Order(order, literal) => {
                literal.compared(value).is_some_and(|ordering| order.accepts(ordering))
            }
            Self::Matches(regex) => matches!(value, Value::Text(text) if regex.is_match(text)),
        }
    }
}

impl Literal {
    fn is(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Flag(asked), Value::Flag(flag)) => asked == flag,
            (Self::Number(asked), Value::Number(number)) => asked == number,
            (Self::Text(asked), Value::Text(text)) => asked == text,
            _ => false,
        }
    }

    /// How `value` compares with this; `None`: they are of different kinds.
    fn compared(&self, value: &Value<'_>) -> Option<Ordering> {
        match (self, value) {
            (Self::Number(asked), Value::Number(number)) => number.compare(*asked),
            (Self::Text(asked), Value::Text(text)) => Some(text.as_ref().cmp(asked.as_str())),
            _ => None,
        }
    }
}
