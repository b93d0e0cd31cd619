//! The terminal of a full-screen view. However the tool ends, it is left as it was.

use std::fs::File;
use std::io::{self, IsTerminal as _, Stdout};
use std::os::fd::AsFd;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use crate::output::status;

/// The terminal, in its other screen.
pub(super) struct Screen {
    pub(super) terminal: Terminal<CrosstermBackend<Stdout>>,
}

/// Whether the terminal is ours now.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);
/// SIGTSTP has come,
static IS_TO_STOP: AtomicBool = AtomicBool::new(false);
/// or SIGCONT.
static HAS_GONE_ON: AtomicBool = AtomicBool::new(false);
/// There is no terminal any more.
static IS_GONE: AtomicBool = AtomicBool::new(false);

/// The time to end in order after the terminal is gone.
const TO_LEAVE: Duration = Duration::from_secs(5);

impl Screen {
    /// Takes the terminal.
    pub(super) fn open() -> Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let then = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                give_back();
                then(info);
            }));
        });
        take()?;
        watch();
        for (signal, handler) in [
            (Signal::SIGTSTP, on_stop as extern "C" fn(libc::c_int)),
            (Signal::SIGCONT, on_continue),
        ] {
            handle(signal, SigHandler::Handler(handler))?;
        }
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout())).context("terminal")?;
        Ok(Self { terminal })
    }

    /// Does what signals ask for: stops, and takes the terminal again. True: all must be drawn anew.
    pub(super) fn obey_signals(&mut self) -> Result<bool> {
        if IS_TO_STOP.swap(false, Ordering::Relaxed) {
            self.stop()?;
            return Ok(true);
        }
        if HAS_GONE_ON.swap(false, Ordering::Relaxed) {
            // After SIGSTOP, which nobody sees: the shell has had the terminal meanwhile.
            give_back();
            take()?;
            self.terminal.clear().context("terminal")?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Stops as Ctrl-Z does, and takes the terminal again when it goes on.
    pub(super) fn stop(&mut self) -> Result<()> {
        give_back();
        handle(Signal::SIGTSTP, SigHandler::SigDfl)?;
        raise(Signal::SIGTSTP).context("stop")?;
        handle(Signal::SIGTSTP, SigHandler::Handler(on_stop))?;
        HAS_GONE_ON.store(false, Ordering::Relaxed);
        take()?;
        self.terminal.clear().context("terminal")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Whether the terminal is gone.
pub(super) fn is_gone() -> bool {
    IS_GONE.load(Ordering::Relaxed)
}

/// Notices that the terminal goes. What reads keys does not: it may read the end of them for ever,
/// and then nothing ends the tool, since SIGHUP may be ignored.
fn watch() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        thread::spawn(|| {
            let stdin = io::stdin();
            if stdin.is_terminal() {
                wait_for_hangup(&stdin);
            } else if let Ok(terminal) = File::open("/dev/tty") {
                wait_for_hangup(&terminal);
            }
            // Neither is a terminal: it has gone before this thread came to look, since take() had it.
            IS_GONE.store(true, Ordering::Relaxed);
            thread::sleep(TO_LEAVE);
            std::process::exit(1);
        });
    });
}

fn wait_for_hangup(terminal: &impl AsFd) {
    let mut ends = [PollFd::new(terminal.as_fd(), PollFlags::empty())];
    while poll(&mut ends, PollTimeout::NONE) == Err(Errno::EINTR) {}
}

fn take() -> Result<()> {
    enable_raw_mode().context("the terminal cannot be used")?;
    IS_TAKEN.store(true, Ordering::Relaxed);
    status::keep();
    execute!(io::stdout(), EnterAlternateScreen).context("the terminal cannot be used")
}

fn give_back() {
    if IS_TAKEN.swap(false, Ordering::Relaxed) {
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show); // it may be gone
        let _ = disable_raw_mode();
        status::release();
    }
}

fn handle(signal: Signal, handler: SigHandler) -> Result<()> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handlers do nothing but store a flag.
    unsafe { sigaction(signal, &action) }.context("handle signals")?;
    Ok(())
}

extern "C" fn on_stop(_: libc::c_int) {
    IS_TO_STOP.store(true, Ordering::Relaxed);
}

extern "C" fn on_continue(_: libc::c_int) {
    HAS_GONE_ON.store(true, Ordering::Relaxed);
}
