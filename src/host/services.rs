//! Names of services by port, from `/etc/services`.

use std::collections::HashMap;
use std::path::Path;

use crate::host::chosen;

/// The file of services(5).
const FILE: &str = "/etc/services";

/// The longest file that is read: many times the longest known one.
const MOST_BYTES: u64 = 4 << 20;

/// Names of TCP services.
#[derive(Clone, Debug, Default)]
pub struct Services {
    tcp: HashMap<u16, String>,
    /// By official name and by alias
    ports: HashMap<String, u16>,
}

impl Services {
    /// Reads `/etc/services`. Without that file, as in a small container, no port has a name.
    pub fn load() -> Self {
        Self::load_from(Path::new(FILE))
    }

    fn load_from(file: &Path) -> Self {
        let file = chosen::read(file, MOST_BYTES);
        file.map_or_else(|_| Self::default(), |file| Self::parse(&file))
    }

    /// Lines of `NAME PORT/PROTOCOL ALIAS... # COMMENT`. Other lines are skipped, as by
    /// getservbyport(3). Of several lines for a port or a name the first counts, there and here.
    fn parse(file: &[u8]) -> Self {
        let mut services = Self::default();
        for (port, names) in file.split(|&byte| byte == b'\n').filter_map(parse_line) {
            let official = names.first().copied().unwrap_or_default();
            services.tcp.entry(port).or_insert_with(|| official.to_owned());
            for name in names {
                services.ports.entry(name.to_owned()).or_insert(port);
            }
        }
        services
    }

    /// The official name of the TCP service at `port`: visible ASCII.
    pub fn name(&self, port: u16) -> Option<&str> {
        self.tcp.get(&port).map(String::as_str)
    }

    /// All official names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tcp.values().map(String::as_str)
    }

    /// The port of the TCP service with this name or alias.
    pub fn port(&self, name: &str) -> Option<u16> {
        self.ports.get(name).copied()
    }
}

/// A port, and the names of its TCP service, the official one first.
fn parse_line(line: &[u8]) -> Option<(u16, Vec<&str>)> {
    let line = line.split(|&byte| byte == b'#').next()?;
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    // Names are printed unescaped, so they must be printable.
    let is_fit = |word: &&str| word.bytes().all(|byte| byte.is_ascii_graphic());
    let mut words = words.map(|word| std::str::from_utf8(word).ok().filter(is_fit));
    let name = words.next()??;
    let (port, protocol) = words.next()??.split_once('/')?;
    // parse() would accept a sign.
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_number && protocol == "tcp")?;
    Some((port, std::iter::once(name).chain(words.flatten()).collect()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_as_they_are_in_the_file() {
        let services = Services::parse(
            b"# Network services\n\
            ssh\t\t22/tcp\t\t\t\t# SSH Remote Login Protocol\n\
            domain 53/tcp nameserver\n\
            domain 53/udp\n\
            tftp\t69/udp\n\
            http 80/tcp www\r\n\
            \x20 https 443/tcp#no space\n\
            last 65535/tcp",
        );
        let known = [22, 53, 69, 80, 443, 65_535].map(|port| services.name(port));
        let names = ["ssh", "domain", "", "http", "https", "last"];
        assert_eq!(known, names.map(|name| (!name.is_empty()).then_some(name)));
        assert_eq!(services.tcp.len(), 5);
    }

    #[test]
    fn ports_by_name_and_alias() {
        let services =
            Services::parse(b"http 80/tcp www\nalt 8080/tcp www http-alt\nntp 123/udp\n");
        let names = ["http", "www", "http-alt", "ntp", "80", ""];
        let ports = [Some(80), Some(80), Some(8080), None, None, None];
        assert_eq!(names.map(|name| services.port(name)), ports);
    }

    #[test]
    fn the_first_name_of_a_port_counts() {
        let services = Services::parse(b"one 1/udp\ntwo 1/tcp other\nthree 1/tcp\n");
        assert_eq!(services.name(1), Some("two"));
    }

    #[test]
    fn garbage_is_passed_over() {
        let garbage: &[u8] = b"name\nname 1\nname /tcp\nname tcp/1\nname 65536/tcp\nname +1/tcp\n\
            name -1/tcp\nname 1/tcp/udp\nname 1/TCP\n1/tcp name\n#name 1/tcp\nname 1 /tcp\n\n \t\n\
            \xff 1/tcp\nb\xc3\xbc 1/tcp\nesc\x1b[2J 1/tcp\nname 1\xff/tcp\nname 0x1/tcp\n";
        let services = Services::parse(garbage);
        assert_eq!(services.tcp, HashMap::new());
    }

    #[test]
    fn a_fifo_in_its_place_is_not_waited_for() {
        let fifo = std::env::temp_dir().join(format!("snoop-services-{}", std::process::id()));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(Services::load_from(&fifo).tcp, HashMap::new());
        fs::remove_file(fifo).unwrap();
    }

    #[test]
    fn the_file_of_this_machine_is_read_if_it_has_one() {
        let services = Services::load();
        if fs::read_to_string(FILE).is_ok_and(|file| file.contains("\nhttps")) {
            assert_eq!(services.name(443), Some("https"));
        } else {
            assert_eq!(services.name(443), None);
        }
    }

    proptest! {
        #[test]
        fn no_file_breaks_it(file: Vec<u8>, port: u16) {
            Services::parse(&file);
            let line = [format!("name {port}/tcp ").as_bytes(), &file].concat();
            let services = Services::parse(&line);
            prop_assert_eq!(services.name(port), Some("name"));
        }
    }
}
