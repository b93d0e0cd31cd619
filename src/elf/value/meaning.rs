//! The meaning of a number or an array for people, from its name and the names of its type: an
//! address, a port, a time. Decided once, from the type, never from a value.

use super::{Clock, Hint, Order};

/// The meaning of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Plain,
    /// Hexadecimal
    Hex,
    /// Octal
    Mode,
    /// Four bytes in network order
    Ipv4,
    /// An address that the program swapped, as a number
    Ipv4Number,
    /// A number in network order: ports
    BigEndian,
    /// Its first bytes are a number in network order, which is shorter
    BigEndianPart(u32),
    /// An error number, negative or not
    Errno,
    /// A result: an error if negative
    Result,
    Signal,
    Uid,
    Gid,
    /// `AF_INET`
    Family,
    /// A clock, in units of this many nanoseconds
    Time(Clock, u64),
}

impl Meaning {
    /// Whether people may read another form than the number.
    pub(super) fn is_readable(self) -> bool {
        !matches!(self, Self::Plain | Self::BigEndian | Self::BigEndianPart(_))
    }

    /// Whether people read that form alone, without the number.
    pub(super) fn replaces(self) -> bool {
        use Meaning as M;
        matches!(self, M::Hex | M::Mode | M::Ipv4 | M::Ipv4Number | M::Time(..))
    }
}

/// A name in lower case and its words.
struct Words<'a> {
    all: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn new(name: &'a str) -> Self {
        Self { all: name.split('_').filter(|word| !word.is_empty()).collect() }
    }

    fn last(&self) -> &str {
        self.all.last().copied().unwrap_or_default()
    }

    fn any(&self, list: &[&str]) -> bool {
        self.all.iter().any(|word| list.contains(word))
    }
}

/// Is this the name of an IP address? `parent`: the name of the enclosing struct or union.
pub(super) fn is_address(name: &str, parent: &str) -> bool {
    const NAMES: [&str; 12] = [
        "addr", "address", "ip", "ip4", "ip6", "ipv4", "ipv6", "ipaddr", "addr4", "addr6", "saddr",
        "daddr",
    ];
    const VERSIONS: [&str; 6] = ["v4", "v6", "in4", "in6", "u4", "u6"];
    let name = name.to_ascii_lowercase();
    let words = Words::new(&name);
    let last = words.last();
    if NAMES.contains(&last) || last.ends_with("addr") || words.any(&["saddr", "daddr"]) {
        return true;
    }
    if VERSIONS.contains(&last) {
        return words.all.len() == 1 || words.any(&NAMES) || is_address_stem(&words);
    }
    // `union { … } daddr` with the members `bytes`, `words`
    let members = ["bytes", "b", "u8", "u32", "words", "raw", "val"];
    !parent.is_empty() && members.contains(&last) && is_address(parent, "")
}

/// `src_v4`
fn is_address_stem(words: &Words<'_>) -> bool {
    words.any(&["src", "dst", "source", "dest", "local", "remote", "peer"])
}

/// The IP version of a member of a union: 4 or 6.
pub(super) fn ip_version(name: &str) -> Option<u8> {
    let name = name.to_ascii_lowercase();
    let ends = |list: &[&str]| list.iter().any(|end| name.ends_with(end));
    if ends(&["v6", "ip6", "addr6", "in6", "_6"]) || name == "u6" {
        Some(6)
    } else if ends(&["v4", "ip4", "addr4", "in4", "_4"]) || name == "u4" {
        Some(4)
    } else {
        None
    }
}

/// Is this the name of a field with an address family?
pub(super) fn is_family(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(
        &*name,
        "af" | "family" | "ip_version" | "ipver" | "ip_ver" | "ipv" | "ver" | "version"
    ) || name.ends_with("_family")
        || name.ends_with("_af")
}

/// Does a family field of this name mean nothing else?
pub(super) fn is_only_family(name: &str) -> bool {
    !matches!(&*name.to_ascii_lowercase(), "ver" | "version")
}

/// Is an array of plain bytes of this name a string?
pub(super) fn is_text(name: &str) -> bool {
    const NAMES: [&str; 26] = [
        "comm", "pcomm", "task", "name", "fname", "filename", "file", "path", "pathname", "dir",
        "cmd", "cmdline", "command", "args", "argv", "str", "string", "msg", "message", "text",
        "func", "funcname", "host", "hostname", "disk", "exe",
    ];
    let name = name.to_ascii_lowercase();
    let words = Words::new(&name);
    let last = words.last();
    NAMES.contains(&last) || ["comm", "name", "path", "str"].iter().any(|end| last.ends_with(end))
}

/// Is an array of characters of this name a list of strings, each with its NUL?
pub(super) fn is_text_list(name: &str) -> bool {
    matches!(&*name.to_ascii_lowercase(), "args" | "argv" | "cmdline" | "environ" | "envp")
}

/// Are six bytes of this name a hardware address?
pub(super) fn is_mac(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = Words::new(&name);
    words.any(&["mac", "hwaddr", "eth", "smac", "dmac", "lladdr", "ether"])
        || matches!(&*name, "h_source" | "h_dest")
}

/// Are numbers of 8 bytes in an array of this name addresses of code?
pub(super) fn is_stack(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["stack", "stacktrace", "trace", "callchain", "ips"].contains(&Words::new(&name).last())
        || name.ends_with("stack")
}

/// Is a whole number of this name the number of a stack in a map?
pub(super) fn is_stack_id(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = Words::new(&name);
    match words.all[..] {
        [.., before, "id"] => before.ends_with("stack") || before.ends_with("stk"),
        _ => ["stackid", "kstackid", "ustackid"].contains(&words.last()),
    }
}

/// Whether a stack of this name is the program's, or the kernel's.
pub(super) fn is_user_stack(name: &str) -> Option<bool> {
    let name = name.to_ascii_lowercase();
    let words = Words::new(&name);
    let begins = |list: &[&str]| words.all.iter().any(|w| list.iter().any(|p| w.starts_with(p)));
    if begins(&["user", "ustack", "ustk", "usr"]) {
        Some(true)
    } else if begins(&["kern", "kstack", "kstk"]) {
        Some(false)
    } else {
        None
    }
}

/// How well a number of this name names the process: the best is the least.
pub(super) fn process_rank(name: &str) -> Option<u8> {
    let name = name.to_ascii_lowercase();
    match *Words::new(&name).all.first()? {
        "tgid" => Some(0),
        "pid" => Some(1),
        "tid" => Some(2),
        _ => None,
    }
}

/// The meaning of a whole number. `types`: its typedefs, outermost first.
pub(super) fn of_number(name: &str, types: &[&str], bytes: u32, signed: bool) -> Meaning {
    let name = name.to_ascii_lowercase();
    let words = Words::new(&name);
    let last = words.last();
    let typed = |list: &[&str]| types.iter().any(|ty| list.contains(ty));
    let network = typed(&["__be16", "__be32", "__be64"]);

    if bytes == 4 && !signed && is_address(&name, "") && (network || last != "address") {
        return Meaning::Ipv4;
    }
    if bytes == 4 && network && is_address_stem(&words) {
        return Meaning::Ipv4;
    }
    if network {
        return Meaning::BigEndian;
    }
    if typed(&["uid_t", "kuid_t", "__kernel_uid32_t", "gadget_uid"]) || is_id(last, 'u') {
        return if bytes == 4 { Meaning::Uid } else { Meaning::Plain };
    }
    if typed(&["gid_t", "kgid_t", "__kernel_gid32_t", "gadget_gid"]) || is_id(last, 'g') {
        return if bytes == 4 { Meaning::Gid } else { Meaning::Plain };
    }
    if typed(&["sa_family_t", "__kernel_sa_family_t"]) || matches!(&*name, "family" | "af") {
        return Meaning::Family;
    }
    if typed(&["umode_t", "mode_t", "__kernel_mode_t"]) {
        return Meaning::Mode;
    }
    if bytes >= 2 {
        if ["errno", "err", "error"].contains(&last) || typed(&["gadget_errno"]) {
            return Meaning::Errno;
        }
        if signed && ["ret", "retval", "rc", "result", "res"].contains(&last) {
            return Meaning::Result;
        }
    }
    if ["sig", "signal", "signo", "signum"].contains(&last)
        || typed(&["gadget_signal"])
        || matches!(&*name, "sig_num" | "signal_number")
    {
        return Meaning::Signal;
    }
    if bytes == 8 {
        if typed(&["ktime_t", "gadget_timestamp"]) {
            return Meaning::Time(Clock::Monotonic, 1);
        }
        if let Some(unit) = time_unit(&words) {
            return Meaning::Time(Clock::Monotonic, unit);
        }
        const ADDRESSES: [&str; 11] = [
            "addr", "address", "ptr", "pointer", "ip", "sp", "pc", "rip", "cookie", "vaddr",
            "caller",
        ];
        if ADDRESSES.contains(&last) || last.ends_with("addr") {
            return Meaning::Hex;
        }
    }
    if ["flags", "flag", "mask"].contains(&last) {
        return Meaning::Hex;
    }
    Meaning::Plain
}

/// The meaning of a number whose program tells its byte order, from the meaning by its names.
/// `types`: its typedefs.
pub(super) fn in_order(by_name: Meaning, types: &[&str], bytes: u32, hint: Hint) -> Meaning {
    let typed = types.iter().any(|ty| ["__be16", "__be32", "__be64"].contains(ty));
    let is_network = matches!(by_name, Meaning::Ipv4 | Meaning::BigEndian);
    match (hint, by_name) {
        (Hint::AnyOrder, _) if is_network => Meaning::Plain,
        (Hint::Order { order: Order::Network, bytes: used, .. }, _) => match by_name {
            Meaning::Ipv4 => Meaning::Ipv4,
            _ if u32::from(used) < bytes => Meaning::BigEndianPart(used.into()),
            _ => Meaning::BigEndian,
        },
        // The type knows better than what is only likely.
        (Hint::Order { order: Order::Host, sure: false, .. }, _) if typed => by_name,
        (Hint::Order { order: Order::Host, .. }, Meaning::Ipv4) => Meaning::Ipv4Number,
        (Hint::Order { order: Order::Host, .. }, Meaning::BigEndian) => Meaning::Plain,
        _ => by_name,
    }
}

/// `uid`, `euid`; `loginuid` and `auid` too.
fn is_id(word: &str, kind: char) -> bool {
    let Some(prefix) = word.strip_suffix("id").and_then(|word| word.strip_suffix(kind)) else {
        return false;
    };
    matches!(prefix, "" | "e" | "s" | "r" | "fs" | "login" | "a" | "k" | "new" | "old")
}

/// Nanoseconds per unit, if the words name a moment and not a duration.
fn time_unit(words: &Words<'_>) -> Option<u64> {
    const DURATIONS: [&str; 26] = [
        "delta", "dur", "duration", "lat", "latency", "elapsed", "diff", "age", "runtime",
        "period", "cpu", "user", "system", "wait", "total", "sum", "avg", "min", "max", "timeout",
        "interval", "idle", "blocked", "delay", "spent", "run",
    ];
    const MOMENTS: [&str; 20] = [
        "ts",
        "time",
        "timestamp",
        "ktime",
        "tstamp",
        "start",
        "begin",
        "end",
        "enter",
        "exit",
        "now",
        "boot",
        "starttime",
        "boottime",
        "event",
        "when",
        "wakeup",
        "stamp",
        "at",
        "issue",
    ];
    if words.any(&DURATIONS) {
        return None;
    }
    let (unit, rest) = match words.all.split_last()? {
        (&"ns", rest) => (1, rest),
        (&"us", rest) => (1000, rest),
        (&"ms", rest) => (1_000_000, rest),
        _ => {
            let time = ["ts", "time", "timestamp", "ktime", "tstamp", "starttime", "boottime"];
            return time.contains(&words.last()).then_some(1);
        }
    };
    MOMENTS.contains(rest.last()?).then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(name: &str, bytes: u32) -> Meaning {
        of_number(name, &[], bytes, false)
    }

    #[test]
    fn addresses() {
        for name in ["saddr", "daddr", "saddr_v4", "daddr_v6", "dst_ip", "addr", "v4", "src_v6"] {
            assert!(is_address(name, ""), "{name}");
        }
        for name in ["ts", "skip", "zip", "address_space_id", "level_v4", "addr_len", "add"] {
            assert!(!is_address(name, ""), "{name}");
        }
        assert!(is_address("bytes", "daddr"));
        assert_eq!(number("saddr", 4), Meaning::Ipv4);
        assert_eq!(number("addr", 8), Meaning::Hex);
        assert_eq!(of_number("remote", &["__be32", "__u32"], 4, false), Meaning::Ipv4);
        assert_eq!(of_number("dport", &["__be16"], 2, false), Meaning::BigEndian);
        assert_eq!(number("dport", 2), Meaning::Plain);
    }

    #[test]
    fn times_and_durations() {
        for (name, unit) in [
            ("ts", 1),
            ("time", 1),
            ("timestamp", 1),
            ("time_ns", 1),
            ("start_ns", 1),
            ("start_time", 1),
            ("ts_us", 1000),
        ] {
            assert_eq!(number(name, 8), Meaning::Time(Clock::Monotonic, unit), "{name}");
        }
        for name in
            ["duration_ns", "delta_us", "latency", "runtime_ns", "ns", "cpu_time_ns", "bits"]
        {
            assert_eq!(number(name, 8), Meaning::Plain, "{name}");
        }
        assert_eq!(number("ts", 4), Meaning::Plain);
    }

    #[test]
    fn results_ids_and_signals() {
        assert_eq!(of_number("ret", &[], 4, true), Meaning::Result);
        assert_eq!(number("ret", 4), Meaning::Plain);
        assert_eq!(number("errno", 4), Meaning::Errno);
        assert_eq!(number("uid", 4), Meaning::Uid);
        assert_eq!(number("new_euid", 4), Meaning::Uid);
        assert_eq!(number("guid", 4), Meaning::Plain);
        assert_eq!(number("gid", 4), Meaning::Gid);
        assert_eq!(number("tgid", 4), Meaning::Plain);
        assert_eq!(number("sig", 4), Meaning::Signal);
        assert_eq!(number("flags", 4), Meaning::Hex);
    }

    #[test]
    fn strings() {
        for name in ["comm", "fname", "filename", "task", "COMM", "disk_name"] {
            assert!(is_text(name), "{name}");
        }
        for name in ["data", "buf", "hash", "pad", "bytes"] {
            assert!(!is_text(name), "{name}");
        }
    }
}
