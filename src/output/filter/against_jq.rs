//! The same answers as jq: random expressions, translated, over random lines.

use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::Expr;

/// An expression, and what it is in the language of jq.
#[derive(Clone, Debug)]
struct Both {
    ours: String,
    jq: String,
}

/// Names that are rows of one kind, objects or absent in the lines.
const KEYS: [&str; 7] = ["a", "b.c", "b.d.e", "b", "list", "flag", "\"x y\".z"];

/// The value under a key, or null, as also behind what has no members.
fn value_in_jq(key: &str) -> String {
    let parts: Vec<_> = key.split('.').map(|part| part.trim_matches('"')).collect();
    format!("([getpath({})?][0])", Value::from(parts))
}

/// A comparison of the value, or of one element of a list.
fn any_in_jq(key: &str, condition: &str) -> String {
    let value = value_in_jq(key);
    format!("any({value} | if type == \"array\" then .[] else . end; {condition})")
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{0,3}",
        "[a-cé日\"\\\\\n ]{0,3}",
        Just("\u{ffff}".to_owned()),
        Just("😀".to_owned())
    ]
}

/// Whole numbers up to 2^53, which are exact in every jq, and some fractions.
fn any_number() -> impl Strategy<Value = String> {
    let whole = prop_oneof![-3i64..3, Just(9_007_199_254_740_991), Just(-9_007_199_254_740_991)];
    let fraction = (-30i64..30).prop_map(|tenths| format!("{:.1}", tenths as f64 / 10.0));
    prop_oneof![whole.prop_map(|n| n.to_string()), fraction, Just("2e0".to_owned())]
}

fn any_literal() -> impl Strategy<Value = String> {
    let text = any_text().prop_map(|text| Value::from(text).to_string());
    prop_oneof![text, any_number(), Just("true".to_owned()), Just("false".to_owned())]
}

/// A pattern that means the same to both libraries: `$` also stands before a last newline in jq's.
fn any_pattern() -> impl Strategy<Value = String> {
    let patterns = ["", "a", "b", "^[a-c]", "^.", "é*", r"c+\z", r"[ab]+\z", "(a|bc)", "a?b"];
    prop::sample::select(patterns.map(str::to_owned).to_vec())
}

fn any_test() -> impl Strategy<Value = Both> {
    let key = || prop::sample::select(&KEYS[..]);
    let there = key().prop_map(|key| {
        let value = value_in_jq(key);
        Both { ours: key.to_owned(), jq: format!("({value} | . != null and . != false)") }
    });
    let is = (key(), any_literal(), any::<bool>()).prop_map(|(key, literal, is)| {
        let jq = any_in_jq(key, &format!(". == {literal}"));
        match is {
            true => Both { ours: format!("{key} == {literal}"), jq },
            false => Both { ours: format!("{key}!={literal}"), jq: format!("({jq} | not)") },
        }
    });
    let list = (key(), prop::collection::vec(any_literal(), 1..4)).prop_map(|(key, literals)| {
        let list = literals.join(", ");
        let jq = any_in_jq(key, &format!(". as $one | any([{list}][]; . == $one)"));
        Both { ours: format!("{key} in [{list}]"), jq }
    });
    let operator = prop::sample::select(&["<", "<=", ">", ">="][..]);
    let operand =
        prop_oneof![any_number(), any_text().prop_map(|text| Value::from(text).to_string())];
    let order = (key(), operator, operand).prop_map(|(key, operator, literal)| {
        let kind = if literal.starts_with('"') { "string" } else { "number" };
        let jq = any_in_jq(key, &format!("type == \"{kind}\" and . {operator} {literal}"));
        Both { ours: format!("{key} {operator} {literal}"), jq }
    });
    let matches = (key(), any_pattern(), any::<bool>()).prop_map(|(key, pattern, is)| {
        let quoted = Value::from(pattern.as_str()).to_string();
        let jq = any_in_jq(key, &format!("type == \"string\" and test({quoted})"));
        match is {
            true => Both { ours: format!("{key} ~ \"{pattern}\""), jq },
            false => Both { ours: format!("{key} !~ '{pattern}'"), jq: format!("({jq} | not)") },
        }
    });
    prop_oneof![there, is, list, order, matches]
}

fn any_expression() -> impl Strategy<Value = Both> {
    any_test().prop_recursive(4, 12, 3, |inner| {
        let not = inner.clone().prop_map(|Both { ours, jq }| Both {
            ours: format!("!({ours})"),
            jq: format!("({jq} | not)"),
        });
        // Without parentheses: && joins more closely than ||, in both languages.
        let join = |sign, word| {
            move |(a, b): (Both, Both)| Both {
                ours: format!("{} {sign} {}", a.ours, b.ours),
                jq: format!("{} {word} {}", a.jq, b.jq),
            }
        };
        let grouped = inner.clone().prop_map(|Both { ours, jq }| Both {
            ours: format!("( {ours} )"),
            jq: format!("({jq})"),
        });
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            not,
            grouped,
            pair.clone().prop_map(join("&&", "and")),
            pair.prop_map(join("||", "or"))
        ]
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let number = any_number().prop_map(|text| serde_json::from_str(&text).unwrap());
    let scalar = prop_oneof![
        4 => any_text().prop_map(Value::from),
        4 => number,
        2 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    let list = prop::collection::vec(scalar.clone(), 0..3).prop_map(Value::from);
    prop_oneof![6 => scalar, 1 => list]
}

fn any_line() -> impl Strategy<Value = String> {
    let maybe = || prop::option::weighted(0.8, any_value());
    (maybe(), maybe(), maybe(), maybe(), maybe(), maybe(), any_value()).prop_map(
        |(a, c, e, list, flag, z, other)| {
            let mut line = serde_json::Map::new();
            let mut set = |path: &[&str], value: Option<Value>| {
                let Some(value) = value else { return };
                let mut object = &mut line;
                let (last, objects) = path.split_last().unwrap();
                for name in objects {
                    let inner =
                        object.entry(*name).or_insert_with(|| Value::Object(Default::default()));
                    object = inner.as_object_mut().unwrap();
                }
                object.insert((*last).to_owned(), value);
            };
            set(&["other"], Some(other));
            set(&["a"], a);
            set(&["b", "c"], c);
            set(&["b", "d", "e"], e);
            set(&["list"], list.map(|value| Value::from(vec![value])));
            set(&["flag"], flag);
            set(&["x y", "z"], z);
            Value::from(line).to_string()
        },
    )
}

fn sample<S: Strategy>(runner: &mut TestRunner, strategy: &S, count: usize) -> Vec<S::Value> {
    (0..count).map(|_| strategy.new_tree(runner).unwrap().current()).collect()
}

/// Each expression's answer, for each line.
fn answers_of_jq(expressions: &[Both], lines: &[String]) -> Option<Vec<Vec<bool>>> {
    let all: Vec<_> = expressions.iter().map(|both| format!("({})", both.jq)).collect();
    let folder = std::env::temp_dir().join(format!("snoop-jq-{}", std::process::id()));
    std::fs::write(&folder, format!("[{}]", all.join(",\n"))).unwrap();
    let mut jq = Command::new("jq");
    jq.args(["-c", "-f"]).arg(&folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut jq = jq.spawn().ok()?;
    let mut stdin = jq.stdin.take().unwrap();
    let text = lines.join("\n");
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let out = jq.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    std::fs::remove_file(folder).unwrap();
    assert!(out.status.success(), "jq failed");
    let rows = String::from_utf8(out.stdout).unwrap();
    Some(rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect())
}

#[test]
fn jq_gives_the_same_answers() {
    let mut runner = TestRunner::new(Config::default());
    let expressions = sample(&mut runner, &any_expression(), 300);
    let lines = sample(&mut runner, &any_line(), 300);
    let Some(answers) = answers_of_jq(&expressions, &lines) else {
        eprintln!("skipped: no jq");
        return;
    };
    let exprs: Vec<_> = expressions.iter().map(|both| Expr::parse(&both.ours).unwrap()).collect();
    assert_eq!(answers.len(), lines.len());
    let mut seen = [0; 2];
    for (line, answers) in lines.iter().zip(&answers) {
        assert_eq!(answers.len(), exprs.len());
        for ((expr, both), answer) in exprs.iter().zip(&expressions).zip(answers) {
            assert_eq!(expr.is_true_of(line.as_bytes()), *answer, "{both:?} of {line}");
            seen[usize::from(*answer)] += 1;
        }
    }
    assert!(seen.iter().all(|&count| count > 9000), "{seen:?}");
}
