//! Names of signals.

use std::borrow::Cow;

use nix::sys::signal::Signal;

/// The first real-time signal that programs may use; glibc keeps 32 and 33 for itself.
const SIGRTMIN: u32 = 34;

/// `_NSIG`: the last one.
pub const LAST: u32 = 64;

/// The name of a signal's number, such as `SIGKILL` for 9, and `SIGRTMIN+1` for 35, as
/// programs built with glibc count them.
pub fn name(number: u32) -> Cow<'static, str> {
    if let Some(signal) = i32::try_from(number).ok().and_then(|n| Signal::try_from(n).ok()) {
        return signal.as_str().into();
    }
    match number.checked_sub(SIGRTMIN) {
        Some(0) => "SIGRTMIN".into(),
        Some(above) if number <= LAST => format!("SIGRTMIN+{above}").into(),
        _ => format!("SIG{number}").into(),
    }
}

/// The number of a signal given by name, with or without `SIG`, or by number.
pub fn parse(text: &str) -> Result<u32, String> {
    let upper = text.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = match short.parse::<u32>() {
        Ok(number) => Some(number),
        Err(_) => by_name(short),
    };
    number.filter(|number| (1..=LAST).contains(number)).ok_or_else(|| {
        "no such signal: give a name such as KILL or RTMIN+1, or a number".to_owned()
    })
}

/// The number for a name without `SIG`, in capital letters, including the aliases that kill(1)
/// knows.
fn by_name(short: &str) -> Option<u32> {
    if let Some(below) = short.strip_prefix("RTMAX") {
        let below = match below {
            "" => 0,
            below => below.strip_prefix('-')?.parse().ok()?,
        };
        return LAST.checked_sub(below).filter(|&number| number >= SIGRTMIN);
    }
    let first = match short {
        "IOT" => "ABRT",
        "POLL" => "IO",
        "CLD" => "CHLD",
        other => other,
    };
    (1..=LAST).find(|&number| name(number).strip_prefix("SIG") == Some(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_has_a_name_that_is_understood() {
        for number in 1..=LAST {
            let name = name(number);
            assert_eq!(parse(&name), Ok(number), "{name}");
            assert_eq!(parse(name.trim_start_matches("SIG")), Ok(number), "{name}");
            assert_eq!(parse(&number.to_string()), Ok(number));
        }
        assert_eq!(
            (name(9), name(34), name(64)),
            ("SIGKILL".into(), "SIGRTMIN".into(), "SIGRTMIN+30".into())
        );
        assert_eq!(parse("term"), Ok(15));
        for (other, number) in
            [("IOT", 6), ("SIGPOLL", 29), ("cld", 17), ("RTMAX", 64), ("SIGRTMAX-30", 34)]
        {
            assert_eq!(parse(other), Ok(number), "{other}");
        }
        for wrong in [
            "",
            "SIG",
            "0",
            "65",
            "-1",
            "NOPE",
            "RTMIN+31",
            "99999999999",
            "RTMAX-31",
            "RTMAX-",
            "RTMAX1",
            "RTMAX+1",
            "RTMAX-99",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
