//! What is drawn at the end has all processes in it.

use super::*;

#[test]
fn tree_plot_and_trace() {
    each_backend(|setup| {
        let dir = TempDir::new();
        let (svg, json) = (dir.path("plot.svg"), dir.path("trace.json"));
        let script = format!("{} nested 5; sh -c 'kill -KILL $$'; exit 3", fixture("lives"));
        let mut tool = PROCSNOOP.command(&setup.flags());
        tool.args(["-q", "--tree-view", "--plot", &svg, "--perfetto", &json]);
        let output = tool.args(["--", "sh", "-c", &script]).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", lossy(&output.stderr));

        // sh, lives and its 5, sh
        let text = lossy(&output.stdout);
        assert_eq!(text.lines().count(), 1 + 8, "{text}");
        let statuses: Vec<_> =
            text.lines().skip(1).map(|line| line.split_whitespace().nth(2).unwrap()).collect();
        assert_eq!(statuses, ["3", "0", "1", "2", "3", "4", "5", "SIGKILL"], "{text}");
        assert!(text.lines().nth(7).unwrap().contains(" │         └ "), "nested: {text}");

        let svg = fs::read_to_string(svg).unwrap();
        assert_eq!(svg.matches("<title>").count(), 8);
        assert!(svg.contains("SIGKILL") && svg.ends_with("</svg>\n"));

        let trace: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
        let slices: Vec<_> =
            trace["traceEvents"].as_array().unwrap().iter().filter(|e| e["ph"] == "X").collect();
        assert_eq!(slices.len(), 8);
        let status = |slice: &Value| slice["args"]["status"].as_str().unwrap().to_owned();
        assert_eq!(slices.iter().filter(|slice| status(slice) == "SIGKILL").count(), 1);
        let root = slices[0];
        for slice in &slices[1..] {
            let end =
                |slice: &Value| slice["ts"].as_f64().unwrap() + slice["dur"].as_f64().unwrap();
            assert!(end(slice) <= end(root) + 1.0, "{slice}");
        }
    });
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let mut tool = PROCSNOOP.command(&setup.flags());
    let output = tool.args(["-q", "--plot", "/dev/full", "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(lossy(&output.stderr).contains("cannot write /dev/full"), "{output:?}");
}
