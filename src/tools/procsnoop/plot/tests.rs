use super::super::history::testing::{Life, commands, execute, history};
use super::*;

fn drawn(history: &History) -> String {
    let mut out = Vec::new();
    let root = super::super::critical::root(history);
    let path = root.map(|root| Path::new(history, root));
    write(&mut out, history, "a <b> & c", path.as_ref()).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn one_bar_for_each_process() {
    let history =
        history(&[(1, 0, 0, 900, 0, 450), (2, 1, 100, 200, 256, 0), (3, 1, 300, 400, 9, 0)]);
    let svg = drawn(&history);
    assert_eq!(svg.matches("<title>").count(), 3);
    assert!(svg.contains(">a &lt;b&gt; &amp; c</text>") && svg.contains(">3 processes, "), "{svg}");
    assert_eq!(svg.matches("class=\"c\"").count(), 2, "legend, and the one that used a CPU");
    for class in ["ok", "bad", "sig"] {
        assert_eq!(svg.matches(&format!("<g class=\"b {class}\"")).count(), 1, "{class}");
    }
    assert!(svg.contains("exit code 1</title>") && svg.contains("SIGKILL</title>"), "{svg}");
    assert!(svg.contains(">critical path: 3 of 3 processes, "), "{svg}");
    assert_eq!(svg.matches("<rect class=\"k\"").count(), 5 + 1, "steps, and the legend");
    assert_eq!(svg.matches(" data-b=\"").count(), 3, "the longest");
}

#[test]
fn nothing_at_all() {
    assert!(drawn(&History::default()).ends_with("</svg>\n"));
}

/// What could end an attribute, an element or the script, or begin one.
const HOSTILE: &str =
    "'\"><script>alert(1)</script>]]>--><img src=x onerror=alert(2)>&#0;\u{1b}[31m";

/// Processes whose names and arguments try to be more than text.
fn hostile(count: u32) -> History {
    let mut history = History::default();
    for pid in 1..=count {
        let name = format!("/bin/{HOSTILE}{}", "\"".repeat(300));
        let own = format!("{HOSTILE}{pid}");
        let args = [name.as_bytes(), own.as_bytes(), b"\xff\xfe"];
        execute(&mut history, (pid, u64::from(pid) * 1000), u64::from(pid) * 1000 + 1, &args);
    }
    history.until_ns = u64::from(count) * 1000;
    history
}

#[test]
fn what_a_process_chose_is_only_text() {
    let history = hostile(3);
    let mut out = Vec::new();
    write(&mut out, &history, HOSTILE, None).unwrap();
    let svg = String::from_utf8(out).unwrap();
    assert_eq!(svg.matches("<script").count(), 1);
    assert_eq!(svg.matches("</script").count(), 1);
    assert_eq!(svg.matches("]]>").count(), 1);
    assert!(!svg.contains("<img") && svg.contains("&lt;img"), "{svg}");
    assert!(svg.chars().all(|c| c == '\n' || !c.is_control()), "{svg}");
    // Nor anything from elsewhere, nor what a policy would have to allow for all.
    let before_script = svg.split("<script>").next().unwrap();
    for forbidden in ["href", "url(", "@import", " style=", "javascript:", " src=\""] {
        assert!(!before_script.contains(forbidden), "{forbidden}");
    }
    for forbidden in ["eval", "Function(", "innerHTML", "setTimeout", "fetch", "import"] {
        assert!(!SCRIPT.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn its_size_is_bounded() {
    let svg = drawn(&hostile(6000));
    assert!(svg.len() < 8 << 20, "{} bytes", svg.len());
    let lives: Vec<Life> =
        (1..20_000).map(|pid| (pid, pid / 2, u64::from(pid), 99_999, 0, 0)).collect();
    let svg = drawn(&history(&lives));
    assert!(svg.len() < 2 << 20, "{} bytes", svg.len());
}

#[test]
fn labels_say_what_differs() {
    let svg = drawn(&commands(&["cc1 -quiet -O1 a.c -o a.s", "cc1 -quiet -O1 b.c -o b.s"]));
    assert!(svg.contains("data-l=\"cc1 … a.c\"") && svg.contains("data-l=\"cc1 … b.c\""), "{svg}");
}
