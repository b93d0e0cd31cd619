//! Metrics in Prometheus' text format, in a file for node_exporter's textfile collector:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The kind of a family of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows
    Counter,
    /// Goes up and down
    Gauge,
    /// See [`Histogram`]
    Histogram,
}

/// Names and values of labels.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// Upper ends of a histogram's buckets, in nanoseconds: from a microsecond to four minutes.
const ENDS: [u64; 15] = {
    const fn end(bucket: u32) -> u64 {
        1000 * 4u64.pow(bucket)
    }
    [
        end(0),
        end(1),
        end(2),
        end(3),
        end(4),
        end(5),
        end(6),
        end(7),
        end(8),
        end(9),
        end(10),
        end(11),
        end(12),
        end(13),
        end(14),
    ]
};

/// Durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// In each bucket alone
    counts: [u64; ENDS.len()],
    all: u64,
    sum_ns: u128,
}

impl Histogram {
    /// One more.
    pub fn add(&mut self, ns: u64) {
        let bucket = ENDS.partition_point(|end| *end < ns);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.all += 1;
        self.sum_ns += u128::from(ns);
    }
}

/// The text.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// Begins a family. All its metrics follow. `help`: one line.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One metric of a counter or gauge.
    pub fn value(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        self.line(name, labels, None, value);
    }

    /// One histogram, in seconds.
    pub fn histogram(&mut self, name: &str, labels: Labels<'_>, histogram: &Histogram) {
        let (bucket, mut below) = (format!("{name}_bucket"), 0);
        for (end, count) in ENDS.iter().zip(histogram.counts) {
            below += count;
            let end = format!("{}", *end as f64 / 1e9);
            self.line(&bucket, labels, Some(&end), below as f64);
        }
        self.line(&bucket, labels, Some("+Inf"), histogram.all as f64);
        self.line(&format!("{name}_sum"), labels, None, histogram.sum_ns as f64 / 1e9);
        self.line(&format!("{name}_count"), labels, None, histogram.all as f64);
    }

    fn line(&mut self, name: &str, labels: Labels<'_>, end: Option<&str>, value: f64) {
        self.0.push_str(name);
        let mut before = '{';
        for (label, text) in labels.iter().copied().chain(end.map(|end| ("le", end))) {
            self.0.push(before);
            self.0.push_str(label);
            self.0.push_str("=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
            before = ',';
        }
        if before == ',' {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The file, which a reader finds whole at any time.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    /// What is written before it gets the name; no `.prom`, so that nobody reads it
    draft: PathBuf,
}

impl MetricsFile {
    /// The file of this name.
    pub fn new(path: &Path) -> Self {
        let mut draft = path.as_os_str().to_owned();
        draft.push(".part");
        Self { path: path.to_owned(), draft: draft.into() }
    }

    /// Whether it can be written, as far as one knows before there is anything to write.
    ///
    /// # Errors
    ///
    /// Those of creating and removing a file beside it.
    pub fn try_out(&self) -> io::Result<()> {
        drop(self.begin()?);
        std::fs::remove_file(&self.draft)
    }

    /// Replaces the file.
    ///
    /// # Errors
    ///
    /// Those of creating, writing and renaming.
    pub fn replace(&self, text: &Text) -> io::Result<()> {
        let mut file = self.begin()?;
        let written = file.write_all(text.as_str().as_bytes());
        let replaced = written.and_then(|()| std::fs::rename(&self.draft, &self.path));
        if replaced.is_err() {
            let _ = std::fs::remove_file(&self.draft);
        }
        replaced
    }

    fn begin(&self) -> io::Result<File> {
        // What a crash has left, or what somebody else put there.
        if let Err(error) = std::fs::remove_file(&self.draft) {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o644).custom_flags(libc::O_NOFOLLOW);
        options.open(&self.draft)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_as_prometheus_reads_it() {
        let mut text = Text::default();
        text.family("a_total", Kind::Counter, "Some.");
        text.value("a_total", &[], 3.0);
        text.value("a_total", &[("tool", "x"), ("error", "a\"b\\c\nd")], 0.5);
        let wanted = "# HELP a_total Some.\n# TYPE a_total counter\na_total 3\n\
                      a_total{tool=\"x\",error=\"a\\\"b\\\\c\\nd\"} 0.5\n";
        assert_eq!(text.as_str(), wanted);
    }

    #[test]
    fn histograms_add_up() {
        let mut histogram = Histogram::default();
        for ns in [0, 1000, 1001, 5_000_000, u64::MAX] {
            histogram.add(ns);
        }
        let mut text = Text::default();
        text.histogram("a_seconds", &[("tool", "x")], &histogram);
        let lines: Vec<_> = text.as_str().lines().collect();
        assert_eq!(lines[0], "a_seconds_bucket{tool=\"x\",le=\"0.000001\"} 2");
        assert_eq!(lines[1], "a_seconds_bucket{tool=\"x\",le=\"0.000004\"} 3");
        assert_eq!(lines[14], "a_seconds_bucket{tool=\"x\",le=\"268.435456\"} 4");
        assert_eq!(lines[15], "a_seconds_bucket{tool=\"x\",le=\"+Inf\"} 5");
        assert_eq!(lines[17], "a_seconds_count{tool=\"x\"} 5");
        assert_eq!(lines.len(), 18);
    }

    #[test]
    fn the_file_is_replaced_whole() {
        let folder = std::env::temp_dir().join(format!("snoop-metrics-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("a.prom");
        let file = MetricsFile::new(&path);
        let mut text = Text::default();
        std::os::unix::fs::symlink("/dev/null", folder.join("a.prom.part")).unwrap();
        for value in [1.0, 2.0] {
            text.value("a", &[], value);
            file.try_out().unwrap();
            file.replace(&text).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text.as_str());
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(file.replace(&text).is_err() && file.try_out().is_err());
    }
}
