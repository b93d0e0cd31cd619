//! The configuration of the programs: which flags ask for which events.

use super::args::Args;
use crate::host::memory::page_size;
use crate::skel::process_config;

/// The records that the programs are to send, and those to show. `drawn`: there will be a picture
/// of all lives at the end.
pub fn config(args: &Args, drawn: bool) -> process_config {
    let mut config = process_config {
        min_duration_ns: args.min_duration.map_or(0, |least| least.as_nanos() as u64),
        kernel_threads: args.kernel_threads.into(),
        drawn: drawn.into(),
        reaped: (drawn || args.usage || args.common.json.is_some()).into(),
        page_kib: (page_size() / 1024) as u32,
        ..process_config::default()
    };
    // The picture counts its processes.
    if args.common.quiet && drawn {
        return config;
    }
    config.threads = args.threads.into();
    config.signals = args.signal.iter().fold(0, |all, signals| all | signals);
    let mut add_code = |code: u8| {
        if let Some(word) = config.codes.get_mut(usize::from(code >> 6)) {
            *word |= 1 << (code & 63);
        }
    };
    args.exit_code.iter().for_each(|&code| add_code(code));
    let by_status = args.failed || !args.signal.is_empty() || !args.exit_code.is_empty();
    if args.failed {
        (1..=255).for_each(&mut add_code);
    }
    if !by_status {
        (0..=255).for_each(&mut add_code);
    }
    if args.failed || !by_status {
        config.signals = u64::MAX;
    }
    // A filter on ends hides everything else.
    let only_ends = by_status || args.min_duration.is_some();
    config.execs = (!only_ends).into();
    config.forks = args.fork.into();
    config
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{Args, process_config};

    fn config(flags: &[&str]) -> process_config {
        let words = ["procsnoop"].iter().chain(flags);
        let args = Args::try_parse_from(words).unwrap();
        super::config(&args, args.tree_view)
    }

    /// Whether an exit code or, above 255, a signal is to be shown.
    fn shows(config: &process_config, status: u32) -> bool {
        match status.checked_sub(256) {
            None => config.codes[status as usize / 64] >> (status % 64) & 1 == 1,
            Some(signal) => config.signals >> (signal - 1) & 1 == 1,
        }
    }

    #[test]
    fn flags_choose_what_is_shown() {
        const KILL: u32 = 256 + 9;
        const TERM: u32 = 256 + 15;
        for (flags, execs, shown, hidden) in [
            (&[][..], 1, &[0, 1, 255, KILL, TERM, 256 + 64][..], &[][..]),
            (&["-d", "5"], 0, &[0, 1, KILL], &[]),
            (&["--failed"], 0, &[1, 255, KILL], &[0]),
            (&["--signal", "kill"], 0, &[KILL], &[0, 1, TERM]),
            (&["--signal", "any"], 0, &[KILL, TERM], &[0, 1]),
            (&["--exit-code", "0", "--exit-code", "200"], 0, &[0, 200], &[1, KILL]),
            (&["--exit-code", "3", "--signal", "9"], 0, &[3, KILL], &[0, TERM]),
            (&["--quiet", "--tree-view", "--fork", "--threads"], 0, &[], &[0, 1, KILL]),
            (&["--quiet"], 1, &[0, 1, KILL], &[]),
        ] {
            let config = config(flags);
            assert_eq!(config.execs, execs, "{flags:?}");
            assert!(shown.iter().all(|&status| shows(&config, status)), "{flags:?}");
            assert!(!hidden.iter().any(|&status| shows(&config, status)), "{flags:?}");
        }
        assert_eq!(config(&["-d", "5"]).min_duration_ns, 5_000_000);
        assert_eq!(config(&["-d", "0.25"]).min_duration_ns, 250_000);
        assert_eq!(config(&[]).reaped, 0, "costs nothing where nobody sees it");
        assert_eq!(config(&["--json"]).reaped, 1);
        let quiet = config(&["-q", "--tree-view", "--fork", "--threads"]);
        assert_eq!((quiet.forks, quiet.threads), (0, 0));
    }
}
