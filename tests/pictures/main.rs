//! procsnoop's pictures, looked at with a real browser: that labels fit, that text can be read in
//! light and dark, that zoom and search do what they say, and that nothing in them runs that a
//! process chose.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod browser;
mod made;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use snoop_tools::tools::procsnoop::critical::{self, Path as CriticalPath};
use snoop_tools::tools::procsnoop::plot;

use browser::Browser;
use made::{HOSTILE, Made};

const WIDTHS: [u32; 3] = [600, 1280, 2560];

/// One start of the browser for all of it.
#[test]
fn pictures_in_a_browser() {
    let Some(program) = browser::find() else {
        skip("pictures_in_a_browser: no chromium");
        return;
    };
    let mut browser = Browser::start(&program);
    eprintln!("every size and colour scheme");
    every_look(&mut browser);
    eprintln!("zoom");
    zoom(&mut browser);
    eprintln!("search");
    search(&mut browser);
    eprintln!("thousands");
    thousands(&mut browser);
    eprintln!("hostile names");
    hostile(&mut browser);
    eprintln!("without scripts");
    without_scripts(&mut browser);
}

/// Where CI is set, nothing is skipped.
fn skip(what: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "cannot run here: {what}");
    eprintln!("skipped: {what}");
    if let Some(path) = std::env::var_os("SNOOP_SKIPPED") {
        let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
        file.write_all(format!("{what}\n").as_bytes()).unwrap();
    }
}

/// As the tool draws them.
fn svg(made: &[Made], title: &str) -> String {
    let history = made::history(made);
    let path = critical::root(&history).map(|root| CriticalPath::new(&history, root));
    let mut out = Vec::new();
    plot::write(&mut out, &history, title, path.as_ref()).unwrap();
    String::from_utf8(out).unwrap()
}

/// A policy that allows only the picture's own style and script, by their hashes.
fn policy() -> String {
    let hash = |text: &str| {
        let mut sum =
            Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        sum.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
        let byte = |at: usize| u8::from_str_radix(&output[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..64).step_by(2).map(byte).collect();
        format!("'sha256-{}'", BASE64.encode(bytes))
    };
    let script = hash(&format!("//\n{}//", plot::SCRIPT));
    format!("default-src 'none'; style-src {}; script-src {script}", hash(plot::STYLE))
}

/// Opens the picture. It asks for nothing else, and breaks no policy.
fn open(browser: &mut Browser, svg: &str) {
    let others = browser.open(svg, &policy());
    let others: Vec<_> = others.iter().filter(|url| !url.ends_with("/favicon.ico")).collect();
    assert!(others.is_empty(), "{others:?}");
    let logged: Vec<_> =
        browser.events.iter().filter(|e| e["method"] == "Log.entryAdded").collect();
    let logged: Vec<_> =
        logged.into_iter().filter(|e| !e.to_string().contains("favicon.ico")).collect();
    assert!(logged.is_empty(), "{logged:?}");
    browser.value(include_str!("page.js"));
}

fn no_wrong(browser: &mut Browser, question: &str, context: &str) {
    let wrong = browser.value(&format!("page.{question}()"));
    assert_eq!(wrong, json!([]), "{question}, {context}");
}

/// Saves a picture of the page, and returns it.
fn shot(browser: &mut Browser, name: &str) -> String {
    let png = browser.screenshot();
    save(&format!("{name}.png"), &BASE64.decode(&png).unwrap());
    png
}

/// For people: in target/tmp/pictures.
fn save(name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

/// What the picture is made of: its width, the number of colours, how bright it is.
fn pixels(browser: &mut Browser, png: &str) -> (u64, u64, f64) {
    browser.call("Page.setBypassCSP", json!({ "enabled": true }));
    let blank = browser.open("<svg xmlns='http://www.w3.org/2000/svg'/>", "img-src data:");
    drop(blank);
    browser.value(include_str!("page.js"));
    let pixels = browser.value(&format!("page.pixels(\"{png}\")"));
    browser.call("Page.setBypassCSP", json!({ "enabled": false }));
    let number = |key: &str| pixels[key].as_u64().unwrap();
    (number("width"), number("colours"), pixels["bright"].as_f64().unwrap())
}

fn every_look(browser: &mut Browser) {
    let svg = svg(&made::build(), "make -j2 all check");
    save("build.svg", svg.as_bytes());
    let mut shots: Vec<(String, u32, &str)> = Vec::new();
    open(browser, &svg);
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        for width in WIDTHS {
            browser.resize(width, 900);
            let context = format!("{scheme}, {width} pixels");
            for question in ["overflowing", "colliding", "pale"] {
                no_wrong(browser, question, &context);
            }
            let labels = browser.value("page.labels().length").as_u64().unwrap();
            assert!(labels >= 5 + u64::from(width) / 100, "{labels} labels, {context}");
            shots.push((shot(browser, &format!("build-{scheme}-{width}")), width, scheme));
        }
    }
    let different: BTreeSet<_> = shots.iter().map(|(png, ..)| png).collect();
    assert_eq!(different.len(), 6, "no two are the same");
    for (png, width, scheme) in &shots {
        let (wide, colours, bright) = pixels(browser, png);
        assert_eq!(wide, u64::from(*width));
        assert!(colours > 50, "{colours} colours, {scheme}, {width}");
        assert_eq!(bright > 128.0, *scheme == "light", "{bright}, {scheme}, {width}");
    }
    browser.prefer("light");
}

fn zoom(browser: &mut Browser) {
    browser.resize(1280, 900);
    open(browser, &svg(&made::build(), "make -j2"));
    let before = browser.value("page.places()");
    let parser = "page.bar('cc1 … parser.c')";
    let share = browser.value(&format!("page.share({parser})")).as_f64().unwrap();
    assert!(share < 0.4, "{share}");
    assert_eq!(browser.value("page.isShown(document.querySelector('button'))"), false);
    browser.click(parser);
    let share = browser.value(&format!("page.share({parser})")).as_f64().unwrap();
    assert!((0.9..=1.0).contains(&share), "{share}");
    assert_eq!(browser.value("page.isShown(page.bar('cc1 … tables.c'))"), false, "that was later");
    let label = browser.value(&format!("{parser}.querySelector('text').textContent"));
    assert_eq!(label, "cc1 … parser.c");
    // The times are those of the bar.
    let tip = browser.value(&format!("{parser}.querySelector('title').textContent"));
    let number = |text: &str| text.parse::<f64>().unwrap();
    let tip = tip.as_str().unwrap().lines().nth(1).unwrap().to_owned();
    let words: Vec<_> = tip.split([' ', ',']).collect();
    let at = words.iter().position(|word| *word == "from").unwrap();
    let from = number(words[at + 1]);
    let until = from + number(words[at + 4]);
    let times = browser.value("page.times()");
    let times: Vec<f64> = times.as_array().unwrap().iter().map(|t| t.as_f64().unwrap()).collect();
    assert!(times.len() >= 4, "{times:?}");
    let margin = (until - from) / 10.0;
    let is_within = |time: &f64| (from - margin..=until + margin).contains(time);
    assert!(times.iter().all(is_within), "{times:?} of {from} to {until}");
    assert!(times.windows(2).all(|two| two[0] < two[1]), "{times:?}");
    for question in ["overflowing", "colliding", "pale"] {
        no_wrong(browser, question, "zoomed");
    }
    shot(browser, "build-zoomed");
    browser.resize(600, 900);
    no_wrong(browser, "overflowing", "zoomed, in a smaller window");
    no_wrong(browser, "colliding", "zoomed, in a smaller window");
    browser.resize(1280, 900);
    browser.click("document.querySelector('button')");
    assert_eq!(browser.value("page.places()"), before, "as it was");
    // A line of the list does the same.
    browser.click("page.all('[data-b] text').filter(t => t.textContent.includes('parser.c'))[0]");
    let share = browser.value(&format!("page.share({parser})")).as_f64().unwrap();
    assert!((0.9..=1.0).contains(&share), "{share}");
    browser.press("Escape");
    assert_eq!(browser.value("page.places()"), before, "as it was");
}

fn search(browser: &mut Browser) {
    open(browser, &svg(&made::build(), "make -j2"));
    browser.click("document.querySelector('input')");
    browser.type_text("Parser.c");
    let hits = browser.value("page.hits()");
    let hits: Vec<_> = hits.as_array().unwrap().iter().map(|tip| tip.as_str().unwrap()).collect();
    assert_eq!(hits.len(), 2, "{hits:?}");
    assert!(hits.iter().all(|tip| tip.contains("src/parser.c")), "{hits:?}");
    let found = browser.value("document.querySelector('.o').textContent");
    assert_eq!(found, "2 found");
    let opacity = |browser: &mut Browser, bar: &str| {
        browser.value(&format!("getComputedStyle(page.bar('{bar}').querySelector('rect')).opacity"))
    };
    assert_eq!(opacity(browser, "cc1 … parser.c"), "1");
    let other = opacity(browser, "cc1 … lexer.c");
    assert!(other.as_str().unwrap().parse::<f64>().unwrap() < 0.5, "{other}");
    no_wrong(browser, "colliding", "searched");
    shot(browser, "build-searched");
    browser.press("Escape");
    assert_eq!(browser.value("page.hits().length"), 0);
    assert_eq!(opacity(browser, "cc1 … lexer.c"), "1");
}

fn thousands(browser: &mut Browser) {
    let svg = svg(&made::thousands(), "./configure");
    save("thousands.svg", svg.as_bytes());
    assert!(svg.len() < 1 << 20, "{} bytes", svg.len());
    open(browser, &svg);
    for (width, scheme) in [(600, "dark"), (1280, "light")] {
        browser.resize(width, 900);
        browser.prefer(scheme);
        for question in ["overflowing", "colliding", "pale"] {
            no_wrong(browser, question, &format!("thousands, {width}"));
        }
        shot(browser, &format!("thousands-{width}"));
    }
    let count = "page.all('.b').reduce((n, b) => n + Number(b.getAttribute('data-n') || 1), 0)";
    assert_eq!(browser.value(count), 5005, "each is in a bar");
    let failed = "page.all('.m title').map(t => Number((t.textContent.match(/, (\\d+) failed/) || [])[1]) || 0)\
        .reduce((a, b) => a + b, 0)";
    assert_eq!(browser.value(failed), 10);
    let labels = browser.value("page.labels().map(t => t.textContent)");
    let gathered = |label: &&Value| {
        let label = label.as_str().unwrap();
        label.contains(" × ") || label.parse::<u32>().is_ok()
    };
    assert!(labels.as_array().unwrap().iter().filter(gathered).count() > 10, "{labels}");
    let listed = browser.value("page.all('.t[data-b]').length");
    assert_eq!(listed, 10);
}

fn hostile(browser: &mut Browser) {
    let svg = svg(&made::hostile(), HOSTILE);
    open(browser, &svg);
    let dialogs = browser.events.iter().filter(|e| e["method"] == "Page.javascriptDialogOpening");
    assert_eq!(dialogs.count(), 0);
    assert_eq!(browser.value("document.documentElement.nodeName"), "svg", "well formed");
    assert_eq!(browser.value("page.all('script').length"), 1);
    assert_eq!(browser.value("page.all('image, img, a, iframe').length"), 0);
    let title = browser.value("document.querySelector('.h').full");
    assert_eq!(title, HOSTILE, "as it is");
    let tips = browser.value("page.all('.b title').map(t => t.textContent)");
    for tip in tips.as_array().unwrap() {
        assert!(tip.as_str().unwrap().contains("<script>alert(1)</script>]]>"), "{tip}");
    }
    browser.click("document.querySelector('input')");
    browser.type_text("<script>");
    assert_eq!(browser.value("page.hits().length"), 3);
    no_wrong(browser, "overflowing", "hostile names");
}

fn without_scripts(browser: &mut Browser) {
    browser.with_scripts(false);
    open(browser, &svg(&made::build(), "make -j2"));
    assert_eq!(browser.value("page.all('input, button').length"), 0);
    for (width, scheme) in [(600, "light"), (1280, "dark")] {
        browser.resize(width, 900);
        browser.prefer(scheme);
        no_wrong(browser, "pale", "without scripts");
        let labels = browser.value("page.labels().length").as_u64().unwrap();
        assert!(labels >= 10, "{labels} labels at {width}");
        // They end at the edges of their boxes, which are those of the bars.
        let outside = "page.all('.b svg').filter(function (box) {
            var bar = box.parentNode.querySelector('rect').getBoundingClientRect();
            var own = [box.x.baseVal, box.width.baseVal].map(l => l.value);
            return getComputedStyle(box).overflow !== 'hidden' ||
                Math.abs(own[0] - bar.left) > 1 || Math.abs(own[1] - bar.width) > 1.5;
        }).map(box => box.textContent)";
        assert_eq!(browser.value(outside), json!([]), "{width}");
        shot(browser, &format!("without-scripts-{width}"));
    }
    browser.with_scripts(true);
}
