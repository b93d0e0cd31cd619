//! What the service manager is told: sd_notify(3). Without one nothing happens.

use std::time::{Duration, Instant};

use sd_notify::{NotifyState, notify, watchdog_enabled};

/// The service that this process is, if it is one.
pub(crate) struct Service {
    is_one: bool,
    /// How often to say that the main loop runs
    watchdog: Option<Duration>,
    next: Instant,
}

impl Service {
    pub(crate) fn new() -> Self {
        let is_one = std::env::var_os("NOTIFY_SOCKET").is_some();
        // Twice in the time after which it would be ended.
        let watchdog = watchdog_enabled().filter(|_| is_one).map(|period| period / 2);
        Self { is_one, watchdog, next: Instant::now() }
    }

    pub(crate) fn is_one(&self) -> bool {
        self.is_one
    }

    /// Tracing is on.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// The run ends.
    pub(crate) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// One line for people.
    pub(crate) fn status(&self, status: &str) {
        self.tell(&[NotifyState::Status(status)]);
    }

    /// The main loop runs.
    pub(crate) fn beat(&mut self, now: Instant) {
        let Some(period) = self.watchdog else { return };
        if now >= self.next {
            self.next = now + period;
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    /// How long until the next beat is due.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        self.watchdog.map(|_| self.next.saturating_duration_since(now))
    }

    /// A manager that does not listen is no reason to stop.
    fn tell(&self, state: &[NotifyState<'_>]) {
        if self.is_one {
            let _ = notify(state);
        }
    }
}
