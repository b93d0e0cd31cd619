//! Flags for runs without an end: where events go, how many of them, and what is said about the run.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::{bytes, seconds};
use crate::engine::limit::RateLimit;
use crate::output::file::Rotate;

/// The heading of these flags in `--help`.
const HEADING: &str = "Long runs";

/// Where rows go, and what is said of the run.
#[derive(Args, Clone, Debug, Default)]
pub struct Delivery {
    /// Append to FILE instead of stdout, whole lines only; SIGHUP opens it again. FILE.zst is
    /// compressed
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub output: Option<PathBuf>,

    /// Begin a new FILE at this size, or when its first row or status is so old, and keep KEEP old
    /// ones (10), called FILE.000001 and so on; compressed with zstd at the end
    #[arg(
        long,
        value_name = "SIZE[/TIME][,KEEP[,zstd]]",
        value_parser = rotate,
        requires = "output",
        help_heading = HEADING
    )]
    pub rotate: Option<Rotate>,

    /// How the run stands, so often: events, losses, CPU time and memory. By default once a minute
    /// with --output; 0: never
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = period,
        help_heading = HEADING
    )]
    pub status: Option<Duration>,

    /// host.name in JSON, for a container, whose own name says little. By default SNOOP_HOST_NAME in
    /// the environment, or the name of this machine
    #[arg(long, value_name = "NAME", value_parser = name, help_heading = HEADING)]
    pub host_name: Option<String>,
}

/// How many rows there are, and what is counted besides.
#[derive(Args, Clone, Debug, Default)]
pub struct Budget {
    /// Keep FILE.prom up to date, for the textfile collector of Prometheus' node_exporter: events,
    /// losses, failures by error, durations. As often as --status, or every 15 seconds
    #[arg(
        long,
        value_name = "FILE.prom",
        value_parser = prom,
        help_heading = HEADING
    )]
    pub metrics: Option<PathBuf>,

    /// Trace nothing: only say whether another process has written FILE.prom of --metrics in the
    /// last minute, with the exit status: for a liveness probe
    #[arg(
        long,
        value_name = "FILE.prom",
        value_parser = prom,
        exclusive = true,
        help_heading = HEADING
    )]
    pub healthy: Option<PathBuf>,

    /// At most so many rows, such as 100/s, 6000/m, or 10/s:comm, 10/s:pid, 10/s:uid for each
    /// program, process or user (repeatable). The others are dropped and counted
    #[arg(long, value_name = "N/s[:KEY]", help_heading = HEADING)]
    pub rate_limit: Vec<RateLimit>,

    /// Only rows of one of N processes: of each process all rows or none, and of the same processes
    /// in each tool. The others are dropped and counted
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = HEADING)]
    pub sample: Option<u32>,

    /// Use at most this much of one CPU: first without what takes time to look up, then with rows of
    /// fewer processes, as with --sample
    #[arg(
        long,
        value_name = "PERCENT",
        value_parser = percent,
        help_heading = HEADING
    )]
    pub max_cpu: Option<f64>,
}

/// The interval of `--status` with `--output`.
const MINUTE: Duration = Duration::from_secs(60);

impl Delivery {
    /// The interval of `--status`; `None`: nothing is said.
    pub fn status_period(&self) -> Option<Duration> {
        let by_default = self.output.is_some().then_some(MINUTE);
        self.status.or(by_default).filter(|period| !period.is_zero())
    }

    /// The name that is given for the machine.
    pub fn given_host_name(&self) -> Option<String> {
        let of_environment = || std::env::var("SNOOP_HOST_NAME").ok();
        self.host_name.clone().or_else(of_environment).filter(|name| !name.is_empty())
    }
}

/// Old files, if their number is not given.
const KEEP: u32 = 10;

/// The most old files.
const MOST_KEPT: u32 = 100_000;

/// The smallest file that is rotated: a few rows.
const LEAST: u64 = 4096;

fn rotate(text: &str) -> Result<Rotate, String> {
    let mut parts = text.split(',');
    let size = parts.next().unwrap_or_default();
    let (size, age) = match size.split_once('/') {
        None => (size, None),
        Some((size, age)) => (size, Some(seconds(age)?)),
    };
    let bytes = large_bytes(size)?;
    if bytes < LEAST {
        return Err(format!("a file has at least {LEAST} bytes"));
    }
    let keep =
        match parts.next() {
            None => KEEP,
            Some(keep) => keep.parse().ok().filter(|keep| *keep <= MOST_KEPT).ok_or_else(|| {
                format!("'{keep}' is not a number of old files up to {MOST_KEPT}")
            })?,
        };
    let is_compressed = match (parts.next(), parts.next()) {
        (None, _) => false,
        (Some("zstd"), None) => true,
        _ => return Err("SIZE, SIZE,KEEP or SIZE,KEEP,zstd is needed, such as 100M,10,zstd".into()),
    };
    Ok(Rotate { bytes, age, keep, is_compressed })
}

/// A size that may be larger than what goes into memory.
fn large_bytes(text: &str) -> Result<u64, String> {
    let terabytes = text.strip_suffix(['t', 'T']).and_then(|number| number.parse::<u64>().ok());
    if let Some(bytes) = terabytes.and_then(|number| number.checked_mul(1 << 40)) {
        return Ok(bytes);
    }
    if let Some(gigabytes) = text.strip_suffix(['g', 'G']).and_then(|n| n.parse::<u64>().ok()) {
        return gigabytes.checked_mul(1 << 30).filter(|bytes| *bytes > 0).ok_or_else(too_large);
    }
    bytes(text)
}

fn too_large() -> String {
    "that is no size of a file".to_owned()
}

fn period(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { seconds(text) }
}

fn name(text: &str) -> Result<String, String> {
    let is_name = (1..=255).contains(&text.len()) && !text.chars().any(char::is_control);
    is_name.then(|| text.to_owned()).ok_or_else(|| "a name has 1 to 255 bytes".to_owned())
}

/// The collector reads no others.
fn prom(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().is_some_and(|extension| extension == "prom") {
        true => Ok(path),
        false => Err("node_exporter reads only files whose name ends in .prom".to_owned()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    let number = number.filter(|number| (0.1..=10_000.0).contains(number));
    number.ok_or_else(|| "a percentage of one CPU is a number from 0.1 up, such as 5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_files() {
        let ten =
            |bytes| Ok::<_, String>(Rotate { bytes, age: None, keep: KEEP, is_compressed: false });
        assert_eq!(rotate("4096"), ten(4096));
        assert_eq!(rotate("100M"), ten(100 << 20));
        assert_eq!(rotate("20G"), ten(20 << 30));
        assert_eq!(rotate("1T"), ten(1 << 40));
        assert_eq!(rotate("1M,0"), Ok(Rotate { keep: 0, ..ten(1 << 20).unwrap() }));
        let three = Rotate { keep: 3, is_compressed: true, ..ten(1 << 20).unwrap() };
        assert_eq!(rotate("1M,3,zstd"), Ok(three));
        let age = Some(Duration::from_secs(60));
        assert_eq!(rotate("1M/1m,3,zstd"), Ok(Rotate { age, ..three }));
        for wrong in [
            "",
            "0",
            "10",
            "x",
            "1M,",
            "1M/",
            "1M/0",
            "/10",
            "1M,x",
            "1M,-1",
            "1M,100001",
            "1M,1,gzip",
            "1M,1,zstd,",
            "99999999999G",
        ] {
            assert!(rotate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_values() {
        assert_eq!(period("0"), Ok(Duration::ZERO));
        assert_eq!(period("5m"), Ok(Duration::from_secs(300)));
        assert!(period("-1").is_err());
        assert_eq!(percent("5"), Ok(5.0));
        assert_eq!(percent("0.5%"), Ok(0.5));
        for wrong in ["0", "-1", "nan", "inf", "x", "%"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
        assert!(name("node-7").is_ok());
        for wrong in ["", "a\nb", &"x".repeat(256)] {
            assert!(name(wrong).is_err(), "{wrong:?}");
        }
    }
}
