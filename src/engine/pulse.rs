//! What is done at intervals beside reading events: the watchdog, the status, the budget.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, anyhow};

use crate::engine::cli::{Budget, Delivery};
use crate::engine::governor::Governor;
use crate::engine::service::Service;
use crate::engine::session::{Session, say};
use crate::host::errno::without_numbers;
use crate::host::usage::{Used, cpu};
use crate::output::metrics::MetricsFile;
use crate::output::time::boot_now_ns;

/// What a service manager shows to people is so old at most.
const SHOWN: Duration = Duration::from_secs(60);

/// The interval of `--metrics` without `--status`.
const MEASURED: Duration = Duration::from_secs(15);

/// `--metrics`
struct Metrics {
    file: MetricsFile,
    name: String,
    period: Duration,
    next: Instant,
    /// It cannot be written, which was said
    is_failing: bool,
}

/// A file of `--metrics` that nobody has written for so long is that of a tool that hangs.
const STALE: Duration = Duration::from_secs(60);

/// `--healthy`: why not, if so.
pub(crate) fn check_health(file: &Path) -> Result<(), String> {
    let name = file.display();
    let written = std::fs::metadata(file).and_then(|file| file.modified());
    let written =
        written.map_err(|error| format!("{name}: {}", without_numbers(&error.to_string())))?;
    // (A time in the future is that of a clock that was set back: nobody can tell then.)
    match SystemTime::now().duration_since(written) {
        Ok(age) if age > STALE => Err(format!("{name} was written {} s ago", age.as_secs())),
        _ => Ok(()),
    }
}

/// Refuses a file of `--metrics` that cannot be written, before anything is loaded.
pub(crate) fn check(budget: &Budget) -> Result<()> {
    let Some(path) = &budget.metrics else { return Ok(()) };
    let refused = |error: std::io::Error| {
        anyhow!("--metrics {}: {}", path.display(), without_numbers(&error.to_string()))
    };
    MetricsFile::new(path).try_out().map_err(refused)
}

/// The intervals.
pub(crate) struct Pulse {
    tool: &'static str,
    service: Service,
    /// Of `--status`
    period: Option<Duration>,
    next: Instant,
    /// At the last status
    at: Instant,
    cpu: Duration,
    governor: Option<Governor>,
    metrics: Option<Metrics>,
    /// What stderr was told that is left out: see [`Shed::kinds`]
    ///
    /// [`Shed::kinds`]: crate::engine::governor::Shed::kinds
    said: (bool, bool),
}

impl Pulse {
    /// The intervals begin now.
    pub(crate) fn new(tool: &'static str, place: &Delivery, budget: &Budget) -> Self {
        let (service, now, cpu) = (Service::new(), Instant::now(), cpu());
        let period = place.status_period();
        let by_service = service.is_one().then_some(SHOWN);
        let first = period.or(by_service).unwrap_or(SHOWN);
        let governor = budget.max_cpu.map(|most| Governor::new(most, now, cpu));
        let metrics = budget.metrics.as_deref().map(|path| {
            let period = place.status.filter(|period| !period.is_zero());
            Metrics {
                file: MetricsFile::new(path),
                name: path.display().to_string(),
                period: period.unwrap_or(MEASURED),
                next: now,
                is_failing: false,
            }
        });
        Self {
            metrics,
            tool,
            service,
            period,
            next: now + first,
            at: now,
            cpu,
            governor,
            said: (false, false),
        }
    }

    /// Tracing is on.
    pub(crate) fn begin(&self, backend: &str) {
        self.service.ready(&format!("traces by {backend}"));
    }

    /// The run ends.
    pub(crate) fn end(&self) {
        self.service.stopping();
    }

    /// After the last event.
    pub(crate) fn finish(&mut self, session: &Session) {
        if let Some(metrics) = &mut self.metrics {
            metrics.write(self.tool, session);
        }
    }

    /// How long until something is to be done.
    pub(crate) fn left(&self) -> Option<Duration> {
        let now = Instant::now();
        let of_status = || self.next.saturating_duration_since(now);
        let status = (self.period.is_some() || self.service.is_one()).then(of_status);
        let governor = self.governor.as_ref().map(|governor| governor.left(now));
        let metrics = self.metrics.as_ref().map(|it| it.next.saturating_duration_since(now));
        [status, self.service.left(now), governor, metrics].into_iter().flatten().min()
    }

    /// Does what is due. `lost`: how many events the kernel has lost so far.
    pub(crate) fn beat(
        &mut self,
        session: &mut Session,
        lost: &dyn Fn() -> Result<u64>,
    ) -> Result<()> {
        let now = Instant::now();
        self.service.beat(now);
        self.govern(session, now);
        self.measure(session, lost, now)?;
        if now < self.next || !(self.period.is_some() || self.service.is_one()) {
            return Ok(());
        }
        self.next = now + self.period.unwrap_or(SHOWN);
        session.note_lost(lost()?, boot_now_ns())?;
        if self.period.is_some() {
            self.report(session, now)?;
        }
        self.service.status(&session.standing_in_words());
        session.out.flush()
    }

    fn measure(
        &mut self,
        session: &mut Session,
        lost: &dyn Fn() -> Result<u64>,
        now: Instant,
    ) -> Result<()> {
        let Some(metrics) = self.metrics.as_mut().filter(|metrics| now >= metrics.next) else {
            return Ok(());
        };
        metrics.next = now + metrics.period;
        session.note_lost(lost()?, boot_now_ns())?;
        metrics.write(self.tool, session);
        Ok(())
    }

    fn report(&mut self, session: &mut Session, now: Instant) -> Result<()> {
        let used = Used::now();
        let cpu = Duration::from_nanos(used.cpu_ns);
        let passed = now.saturating_duration_since(self.at).as_secs_f64().max(0.001);
        let share = cpu.saturating_sub(self.cpu).as_secs_f64() / passed;
        (self.at, self.cpu) = (now, cpu);
        let shed = self.governor.as_ref().and_then(|governor| governor.shed().in_words());
        session.status(&used, share, shed)
    }

    fn govern(&mut self, session: &mut Session, now: Instant) {
        let Some(shed) = self.governor.as_mut().and_then(|governor| governor.step(now, cpu)) else {
            return;
        };
        if let Some(errands) = &mut session.errands {
            errands.pause(shed.detail());
        }
        session.shed(shed.rows());
        // Each step is in the status; here only what is new.
        if std::mem::replace(&mut self.said, shed.kinds()) != shed.kinds() {
            let words = shed.in_words();
            let words =
                words.map_or("shows all again".to_owned(), |what| format!("leaves out {what}"));
            say(self.tool, &format!("--max-cpu {words}"));
        }
    }
}

impl Metrics {
    /// A file that cannot be written is no reason to stop, and is said once.
    fn write(&mut self, tool: &str, session: &Session) {
        let Some(text) = session.metrics(Used::now()) else { return };
        let written = self.file.replace(&text);
        let was_failing = std::mem::replace(&mut self.is_failing, written.is_err());
        if let Err(error) = written {
            if !was_failing {
                let why = without_numbers(&error.to_string());
                say(tool, &format!("--metrics {}: {why}", self.name));
            }
        }
    }
}
