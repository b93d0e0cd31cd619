//! The signals that were ignored when this program was started. A command that it runs gets them
//! back as they were: a service, nohup(1) or a script in the background may want them ignored.

use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::Signal;

/// By signal: bit N-1 for signal N.
static IGNORED: AtomicU32 = AtomicU32::new(0);

/// Those of signal(7) but the real-time signals, which we leave alone.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=31;

/// Runs before main(), since Rust's runtime ignores SIGPIPE.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = note;

extern "C" fn note() {
    let ignored = SIGNALS.filter(|&signal| {
        // SAFETY: zeros are a value of it.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel only writes to our own variable.
        unsafe { libc::sigaction(signal, null(), &raw mut action) };
        action.sa_sigaction == libc::SIG_IGN
    });
    IGNORED.store(ignored.fold(0, |all, signal| all | bit(signal)), Ordering::Relaxed);
}

fn bit(signal: i32) -> u32 {
    1 << (signal - 1)
}

/// Whether this signal was ignored when we were started, as SIGHUP is by nohup(1).
pub(crate) fn was_ignored(signal: Signal) -> bool {
    IGNORED.load(Ordering::Relaxed) & bit(signal as i32) != 0
}

/// Makes all signals as they were when we were started, for a program that this process is going
/// to execute. For use between fork() and exec().
pub(crate) fn restore() {
    let ignored = IGNORED.load(Ordering::Relaxed);
    for signal in SIGNALS {
        // SAFETY: zeros are the default action with an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        if ignored & bit(signal) != 0 {
            action.sa_sigaction = libc::SIG_IGN;
        }
        // SAFETY: no handler. SIGKILL and SIGSTOP are refused.
        unsafe { libc::sigaction(signal, &raw const action, null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_is_not_the_starter() {
        // `cargo test` and shells leave it to its default.
        assert!(!was_ignored(Signal::SIGSEGV));
        note();
        assert!(was_ignored(Signal::SIGPIPE), "by Rust's runtime, from main() on");
    }
}
