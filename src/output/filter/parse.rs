//! The language of `--filter`: from text to a tree.

use regex::Regex;
use winnow::ascii::{digit1, multispace0};
use winnow::combinator::{
    alt, cut_err, delimited, dispatch, eof, fail, not, opt, peek, preceded, repeat, separated,
};
use winnow::error::{ContextError, ErrMode, ParseError, StrContext, StrContextValue};
use winnow::token::{any, none_of, one_of, take_till, take_while};
use winnow::{ModalResult, Parser};

use super::value::{Key, Literal, Number, Order, Test};
use crate::output::escape::one_line;

/// The most parentheses and `!`, since each may be inside of the one before.
const DEEPEST: usize = 200;

/// An expression as it was written.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    Any(Vec<Tree>),
    All(Vec<Tree>),
    Not(Box<Tree>),
    Test(Key, Test),
}

/// Reads a whole expression. The error is one line.
pub(super) fn parse(text: &str) -> Result<Tree, String> {
    if text.bytes().filter(|byte| b"(!".contains(byte)).count() > DEEPEST {
        return Err(format!("more than {DEEPEST} parentheses and negations"));
    }
    let end = cut_err((multispace0, eof)).context(wanted("an operator or the end"));
    (any_of, end).map(|(tree, _)| tree).parse(text).map_err(|error| explain(&error))
}

fn wanted(what: &'static str) -> StrContext {
    StrContext::Expected(StrContextValue::Description(what))
}

/// Where it is wrong, and what belongs there or why.
fn explain(error: &ParseError<&str, ContextError>) -> String {
    let (before, rest) = error.input().split_at(error.offset());
    let place = before.chars().count() + 1;
    let mut next: String = rest.chars().take(20).collect();
    if next.len() < rest.len() {
        next.push('…');
    }
    let place = match rest.is_empty() {
        true => "at the end".to_owned(),
        false => format!("at character {place}, '{}'", one_line(&next)),
    };
    let why = error.inner().cause().map(ToString::to_string);
    let wanted = error.inner().context().find_map(|context| match context {
        StrContext::Expected(what) => Some(format!("{what} is expected")),
        _ => None,
    });
    let words = why.or(wanted).unwrap_or_else(|| "this is no expression".to_owned());
    format!("{place}: {words}")
}

/// Words or signs, with the space before them.
fn sign<'i>(text: &'static str) -> impl Parser<&'i str, &'i str, ErrMode<ContextError>> {
    preceded(multispace0, text)
}

/// `a || b`
fn any_of(input: &mut &str) -> ModalResult<Tree> {
    separated(1.., all_of, sign("||")).map(|trees| joined(trees, Tree::Any)).parse_next(input)
}

/// `a && b`
fn all_of(input: &mut &str) -> ModalResult<Tree> {
    separated(1.., term, sign("&&")).map(|trees| joined(trees, Tree::All)).parse_next(input)
}

fn joined(mut trees: Vec<Tree>, join: impl Fn(Vec<Tree>) -> Tree) -> Tree {
    match trees.pop() {
        Some(only) if trees.is_empty() => only,
        last => {
            trees.extend(last);
            join(trees)
        }
    }
}

/// `!a`, `(a)` or a comparison.
fn term(input: &mut &str) -> ModalResult<Tree> {
    let term = dispatch! {peek(any);
        '!' => ('!', term).map(|(_, tree)| Tree::Not(Box::new(tree))),
        '(' => in_parentheses,
        _ => comparison,
    };
    cut_err(preceded(multispace0, term)).context(wanted("a key, ! or (")).parse_next(input)
}

fn in_parentheses(input: &mut &str) -> ModalResult<Tree> {
    let close = cut_err(sign(")")).context(wanted("an operator or )"));
    delimited('(', any_of, close).parse_next(input)
}

/// `key == value`, or a key alone.
fn comparison(input: &mut &str) -> ModalResult<Tree> {
    let key = key.parse_next(input)?;
    let operator = opt(preceded(multispace0, operator)).parse_next(input)?;
    let test = match operator {
        None => return Ok(Tree::Test(key, Test::There)),
        Some("==" | "!=") => Test::Is(value(input)?),
        Some("~" | "!~") => Test::Matches(pattern(input)?),
        Some("in") => Test::In(list(input)?),
        Some("<=") => Test::Order(Order::LessOrEqual, value_in_order(input)?),
        Some(">=") => Test::Order(Order::GreaterOrEqual, value_in_order(input)?),
        Some("<") => Test::Order(Order::Less, value_in_order(input)?),
        Some(_) => Test::Order(Order::Greater, value_in_order(input)?),
    };
    let test = Tree::Test(key, test);
    let is_negated = matches!(operator, Some("!=" | "!~"));
    Ok(if is_negated { Tree::Not(Box::new(test)) } else { test })
}

fn operator<'i>(input: &mut &'i str) -> ModalResult<&'i str> {
    let word = ("in", not(one_of(is_of_name))).take();
    alt(("==", "!=", "<=", ">=", "!~", "<", ">", "~", word)).parse_next(input)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// `process.user.id`; parts with other characters are in quotes.
fn key(input: &mut &str) -> ModalResult<Key> {
    let name = take_while(1.., is_of_name).map(str::to_owned);
    separated(1.., alt((name, string)), '.').map(|parts| Key { parts }).parse_next(input)
}

/// A string, a number, `true` or `false`.
fn value(input: &mut &str) -> ModalResult<Literal> {
    let flag = |text, flag| (text, not(one_of(is_of_name))).value(Literal::Flag(flag));
    let value = alt((
        string.map(Literal::Text),
        number.map(Literal::Number),
        flag("true", true),
        flag("false", false),
    ));
    cut_err(preceded(multispace0, value))
        .context(wanted("a string in quotes, a number, true or false"))
        .parse_next(input)
}

/// A string or a number.
fn value_in_order(input: &mut &str) -> ModalResult<Literal> {
    let value = alt((string.map(Literal::Text), number.map(Literal::Number)));
    cut_err(preceded(multispace0, value))
        .context(wanted("a string in quotes or a number"))
        .parse_next(input)
}

/// `[a, b]`
fn list(input: &mut &str) -> ModalResult<Vec<Literal>> {
    let open = cut_err(sign("[")).context(wanted("a list such as [1, 2]"));
    let close = cut_err(sign("]")).context(wanted("a comma or ]"));
    delimited(open, separated(1.., value, sign(",")), close).parse_next(input)
}

/// As in JSON; in single quotes as it is.
fn string(input: &mut &str) -> ModalResult<String> {
    dispatch! {peek(any);
        '"' => cut_err(quoted.try_map(serde_json::from_str)),
        '\'' => literally,
        _ => fail,
    }
    .parse_next(input)
}

/// `"…"`, with the quotes.
fn quoted<'i>(input: &mut &'i str) -> ModalResult<&'i str> {
    let part = alt((none_of(['"', '\\']).void(), ('\\', any).void()));
    let inside = repeat::<_, _, (), _, _>(0.., part);
    let close = cut_err('"').context(wanted("a closing \""));
    ('"', inside, close).take().parse_next(input)
}

/// `'…'`
fn literally(input: &mut &str) -> ModalResult<String> {
    let close = cut_err('\'').context(wanted("a closing '"));
    delimited('\'', take_till(0.., '\''), close).map(str::to_owned).parse_next(input)
}

/// A regular expression in quotes. In double ones only `\"` is not what it is elsewhere.
fn pattern(input: &mut &str) -> ModalResult<Regex> {
    let text = dispatch! {peek(any);
        '"' => quoted.map(without_quotes),
        '\'' => literally,
        _ => fail,
    };
    cut_err(preceded(multispace0, text.try_map(|text| regex(&text))))
        .context(wanted("a regular expression in quotes"))
        .parse_next(input)
}

fn without_quotes(text: &str) -> String {
    let mut chars =
        text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text).chars();
    let mut out = String::new();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next() } else { None };
        if escaped != Some('"') {
            out.push(c);
        }
        out.extend(escaped);
    }
    out
}

/// The last line of the library's error says what is wrong.
fn regex(text: &str) -> Result<Regex, BadRegex> {
    Regex::new(text).map_err(|error| {
        let words = error.to_string();
        let last = words.lines().last().unwrap_or_default();
        BadRegex(last.trim_start_matches("error: ").to_owned())
    })
}

#[derive(Debug)]
struct BadRegex(String);

impl std::fmt::Display for BadRegex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "this is no regular expression: {}", self.0)
    }
}

impl std::error::Error for BadRegex {}

/// As in JSON. A whole one is exact.
fn number(input: &mut &str) -> ModalResult<Number> {
    let fraction = opt(('.', digit1));
    let exponent = opt((one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1));
    let text = (opt('-'), digit1, fraction, exponent).take();
    let finite = |text: &str| {
        let float = || text.parse().ok().filter(|number: &f64| number.is_finite());
        let whole = text.parse().ok().map(Number::Whole);
        whole.or_else(|| float().map(Number::Float))
    };
    let number = text.verify_map(finite);
    (number, not(one_of(is_of_name))).map(|(number, _)| number).parse_next(input)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        parse(text).unwrap_err()
    }

    #[test]
    fn errors_say_where_and_what() {
        for (text, expected) in [
            ("", "at the end: a key, ! or ( is expected"),
            ("  ", "at the end: a key, ! or ( is expected"),
            ("a ==", "at the end: a string in quotes, a number, true or false is expected"),
            (
                "a == b",
                "at character 6, 'b': a string in quotes, a number, true or false is expected",
            ),
            ("a = 1", "at character 3, '= 1': an operator or the end is expected"),
            ("a && || b", "at character 6, '|| b': a key, ! or ( is expected"),
            ("(a", "at the end: an operator or ) is expected"),
            ("(a && b c)", "at character 9, 'c)': an operator or ) is expected"),
            ("a)", "at character 2, ')': an operator or the end is expected"),
            ("a < true", "at character 5, 'true': a string in quotes or a number is expected"),
            ("a in 1", "at character 6, '1': a list such as [1, 2] is expected"),
            (
                "a in []",
                "at character 7, ']': a string in quotes, a number, true or false is expected",
            ),
            ("a in [1 2]", "at character 9, '2]': a comma or ] is expected"),
            ("é", "at character 1, 'é': a key, ! or ( is expected"),
            ("a == \"x", "at the end: a closing \" is expected"),
            ("a ~ 'x", "at the end: a closing ' is expected"),
            ("a ~ 1", "at character 5, '1': a regular expression in quotes is expected"),
            ("a ~ \"(\"", "at character 5, '\"(\"': this is no regular expression: unclosed group"),
            (
                "a == 1 nd and so on and on and on",
                "at character 8, 'nd and so on and on …': an operator or the end is expected",
            ),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
        assert!(error(r#"a == "\x""#).starts_with(r#"at character 6, '"\x"': invalid escape"#));
        assert!(error(&"(".repeat(1_000_000)).contains("more than 200"));
        assert!(parse(&format!("{}a{}", "(".repeat(200), ")".repeat(200))).is_ok());
    }

    #[test]
    fn a_pattern_is_as_it_is_written() {
        let pattern = |text: &str| match parse(text).unwrap() {
            Tree::Test(_, Test::Matches(regex)) => regex.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(pattern(r#"a ~ "\.so\\$""#), r"\.so\\$");
        assert_eq!(pattern(r#"a ~ "\"x\"""#), "\"x\"");
        assert_eq!(pattern(r"a ~ '\d'"), r"\d");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"(a|b\.c|==|<=|~|in|\[|\]|,|"[^"]{0,3}"?|'|\(|\)|!|&&|\|\||-?[0-9.e]{1,5}| |\\|é){0,20}"#) {
            let _ = parse(&text);
        }

        #[test]
        fn nor_do_any_characters(text: String) {
            let _ = parse(&text);
        }
    }
}
