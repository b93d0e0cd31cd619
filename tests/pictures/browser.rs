//! A real browser without a window, by the `DevTools` protocol over its pipe: JSON that ends with NUL.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// How long one answer may take; nothing depends on how long it really takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// Names of the program, as distributions have it.
const PROGRAMS: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "chromium-headless-shell",
    "chrome-headless-shell",
    "google-chrome",
    "google-chrome-stable",
];

pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Value,
    number: u64,
    has_scripts: bool,
    /// Events that came while an answer was awaited
    pub(crate) events: Vec<Value>,
    profile: PathBuf,
}

/// The browser's program, if there is one.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let files = PROGRAMS.iter().flat_map(|name| folders.iter().map(move |dir| dir.join(name)));
    files.into_iter().find(|file| file.is_file())
}

impl Browser {
    pub(crate) fn start(program: &std::path::Path) -> Self {
        let profile = std::env::temp_dir().join(format!("snoop-browser-{}", std::process::id()));
        let mut shell = Command::new("sh");
        // It reads from descriptor 3 and writes to 4.
        shell.args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh"]).arg(program);
        shell.args([
            "--headless",
            "--remote-debugging-pipe",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-extensions",
            "--no-first-run",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
        ]);
        if nix::unistd::geteuid().is_root() {
            shell.arg("--no-sandbox"); // it refuses root's own
        }
        shell.arg(format!("--user-data-dir={}", profile.display())).arg("about:blank");
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let to = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, from) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while stdout.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else { return };
                if send.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let (session, events) = (Value::Null, Vec::new());
        let (number, has_scripts) = (0, true);
        let mut browser = Self { child, to, from, session, number, has_scripts, events, profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", attach)["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        // Whatever a page asks for comes to `open`, also from the network.
        browser.call("Fetch.enable", json!({ "patterns": [{ "urlPattern": "*" }] }));
        browser
    }

    /// Calls a method of the protocol, and returns its result.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let number = self.number;
        let mut message = json!({ "id": number, "method": method });
        message["params"] = params;
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut message = self.next();
            if message["id"] == number {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    fn next(&mut self) -> Value {
        self.from.recv_timeout(PATIENCE).expect("the browser answers")
    }

    /// The next event of one of these names, which may have come already.
    fn wait_for(&mut self, methods: &[&str]) -> Value {
        let is_one = |event: &Value| event["method"].as_str().is_some_and(|m| methods.contains(&m));
        loop {
            if let Some(at) = self.events.iter().position(is_one) {
                return self.events.remove(at);
            }
            let event = self.next();
            self.events.push(event);
        }
    }

    /// Opens the picture, as a server with this policy would give it. Returns what else it asks for.
    pub(crate) fn open(&mut self, svg: &str, policy: &str) -> Vec<String> {
        self.events.clear();
        let url = "https://pictures.test/picture.svg";
        let navigate = json!({ "url": url });
        // It is answered when there is something to show.
        self.number += 1;
        let message = json!({ "id": self.number, "method": "Page.navigate", "params": navigate,
            "sessionId": self.session });
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        let mut others = Vec::new();
        loop {
            let event = self.wait_for(&["Fetch.requestPaused", "Page.loadEventFired"]);
            if event["method"] == "Page.loadEventFired" {
                return others;
            }
            let request = &event["params"];
            let asked = request["request"]["url"].as_str().unwrap().to_owned();
            let id = request["requestId"].clone();
            if asked == url {
                self.call("Fetch.fulfillRequest", response(&id, svg, policy));
            } else {
                self.call("Fetch.failRequest", json!({ "requestId": id, "errorReason": "Failed" }));
                others.push(asked);
            }
        }
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let evaluate =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut result = self.call("Runtime.evaluate", evaluate);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        if self.has_scripts {
            // The page is told of it before it is drawn the next time.
            self.value("new Promise(f => requestAnimationFrame(() => requestAnimationFrame(f)))");
        }
    }

    pub(crate) fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    pub(crate) fn with_scripts(&mut self, enabled: bool) {
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": !enabled }));
        self.has_scripts = enabled;
    }

    /// A PNG, in base64.
    pub(crate) fn screenshot(&mut self) -> String {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        shot["data"].as_str().unwrap().to_owned()
    }

    /// Clicks where a person would, on the middle of what the expression gives.
    pub(crate) fn click(&mut self, element: &str) {
        let place = format!(
            "(function (e) {{ e.scrollIntoView({{ block: 'center' }}); \
             var r = e.getBoundingClientRect(); \
             var left = Math.max(r.left, 0), right = Math.min(r.right, innerWidth); \
             return [(left + right) / 2, (r.top + r.bottom) / 2]; }})({element})"
        );
        let place = self.value(&place);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left",
                "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    pub(crate) fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    pub(crate) fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({ "type": kind, "key": key }));
        }
    }
}

fn response(id: &Value, svg: &str, policy: &str) -> Value {
    json!({
        "requestId": id,
        "responseCode": 200,
        "responseHeaders": [
            { "name": "Content-Type", "value": "image/svg+xml" },
            { "name": "Content-Security-Policy", "value": policy },
        ],
        "body": BASE64.encode(svg),
    })
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
