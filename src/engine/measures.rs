//! `--metrics`: what is counted about events, for a file in Prometheus' format.

use std::collections::BTreeMap;

use crate::engine::limit::Counts;
use crate::host::usage::Used;
use crate::output::metrics::{Histogram, Kind, Text};

/// The most names of errors of one kind of event; the others are `other`.
const MOST_ERRORS: usize = 64;

/// What a tool says of the events of one name.
#[derive(Debug, Default)]
struct Measure {
    events: u64,
    failures: BTreeMap<String, u64>,
    durations: Histogram,
    has_durations: bool,
}

/// Of all events.
#[derive(Debug, Default)]
pub struct Measures(BTreeMap<&'static str, Measure>);

/// How a run stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// Events that were lost
    pub lost: u64,
    /// Rows that limits dropped
    pub dropped: Counts,
    /// What the tool needs
    pub used: Used,
    /// When the run began, seconds since 1970
    pub began_s: f64,
    /// Bytes that wait for the file of `--output`, and whether it fails
    pub output: Option<(usize, bool)>,
}

impl Measures {
    /// One more event.
    pub fn add(&mut self, event: &'static str, error: Option<&str>, duration_ns: Option<u64>) {
        let measure = self.0.entry(event).or_default();
        measure.events += 1;
        if let Some(error) = error {
            let is_known = measure.failures.contains_key(error);
            let is_full = measure.failures.len() >= MOST_ERRORS;
            let error = if is_known || !is_full { error } else { "other" };
            match measure.failures.get_mut(error) {
                Some(count) => *count += 1,
                None => drop(measure.failures.insert(error.to_owned(), 1)),
            }
        }
        if let Some(ns) = duration_ns {
            measure.durations.add(ns);
            measure.has_durations = true;
        }
    }

    /// All of it as text. Families of the same name in other tools' files have the same help, as
    /// node_exporter wants it.
    pub fn text(&self, tool: &str, standing: &Standing) -> Text {
        let (mut text, tool) = (Text::default(), ("tool", tool));
        text.family("snoop_events_total", Kind::Counter, "Events, shown or dropped by limits.");
        for (event, measure) in &self.0 {
            text.value("snoop_events_total", &[tool, ("event", event)], measure.events as f64);
        }
        text.family(
            "snoop_failures_total",
            Kind::Counter,
            "Events that are failures, by the error.",
        );
        for (event, measure) in &self.0 {
            for (error, count) in &measure.failures {
                let labels = [tool, ("event", event), ("error", error)];
                text.value("snoop_failures_total", &labels, *count as f64);
            }
        }
        let name = "snoop_event_duration_seconds";
        text.family(name, Kind::Histogram, "How long what an event reports has taken.");
        for (event, measure) in self.0.iter().filter(|(_, measure)| measure.has_durations) {
            text.histogram(name, &[tool, ("event", event)], &measure.durations);
        }
        run(&mut text, tool, standing);
        text
    }
}

/// What is said of the run itself.
fn run(text: &mut Text, tool: (&'static str, &str), standing: &Standing) {
    let mut one = |name: &str, kind, help: &str, value: f64| {
        text.family(name, kind, help);
        text.value(name, &[tool], value);
    };
    one("snoop_lost_events_total", Kind::Counter, "Events that were lost.", standing.lost as f64);
    let cpu = standing.used.cpu_ns as f64 / 1e9;
    one("snoop_cpu_seconds_total", Kind::Counter, "CPU time of the tool.", cpu);
    let memory = standing.used.memory_bytes as f64;
    one("snoop_resident_memory_bytes", Kind::Gauge, "Memory of the tool.", memory);
    let began = standing.began_s;
    one("snoop_start_time_seconds", Kind::Gauge, "When the run began, since 1970.", began);
    if let Some((waiting, is_failing)) = standing.output {
        let help = "Bytes that wait for the file of --output.";
        one("snoop_output_waiting_bytes", Kind::Gauge, help, waiting as f64);
        let help = "1 if the file of --output cannot be written.";
        one("snoop_output_failing", Kind::Gauge, help, f64::from(u8::from(is_failing)));
    }
    let name = "snoop_dropped_rows_total";
    text.family(name, Kind::Counter, "Rows that were dropped, by the flag that did it.");
    let Counts { rate_limit, sample, max_cpu, .. } = standing.dropped;
    for (flag, count) in [("rate-limit", rate_limit), ("sample", sample), ("max-cpu", max_cpu)] {
        text.value(name, &[tool, ("flag", flag)], count as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded() {
        let mut measures = Measures::default();
        for number in 0..1000 {
            measures.add("a.b", Some(&format!("E{number}")), None);
        }
        measures.add("a.b", Some("E5"), None);
        measures.add("a.b", None, Some(5));
        let text = measures.text("x", &Standing::default());
        let failures =
            text.as_str().lines().filter(|line| line.starts_with("snoop_failures_total"));
        assert_eq!(failures.count(), MOST_ERRORS + 1);
        let has = |line: &str| assert!(text.as_str().lines().any(|it| it == line), "{line}");
        has("snoop_events_total{tool=\"x\",event=\"a.b\"} 1002");
        has("snoop_failures_total{tool=\"x\",event=\"a.b\",error=\"E5\"} 2");
        has("snoop_failures_total{tool=\"x\",event=\"a.b\",error=\"other\"} 936");
        has("snoop_event_duration_seconds_count{tool=\"x\",event=\"a.b\"} 1");
        has("snoop_lost_events_total{tool=\"x\"} 0");
    }
}
