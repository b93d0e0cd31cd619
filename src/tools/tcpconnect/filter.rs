//! Filters on destinations and network namespaces: `--port`, `--cidr`, `--netns`.

use std::cell::LazyCell;
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

use crate::host::chosen;
use crate::host::proc::pids;
use crate::host::services::Services;
use crate::skel::{connect_address, network_key};

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// `80`, `8000-8999` or the name of a service.
    fn parse(text: &str, services: &LazyCell<Services>) -> Result<Self, String> {
        Self::parse_numbers(text).or_else(|why| {
            let port = services.port(text).ok_or(why)?;
            Ok(Self { first: port, last: port })
        })
    }

    fn parse_numbers(text: &str) -> Result<Self, String> {
        let port = |text: &str| match text.parse::<u16>() {
            Ok(port @ 1..) => Ok(port),
            _ => Err("a port is a number from 1 to 65535, a range such as 8000-8999, or a name \
                      in /etc/services"
                .to_owned()),
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let ports = Self { first: port(first)?, last: port(last)? };
        if ports.first > ports.last {
            return Err("a range of ports begins with the smaller one".to_owned());
        }
        Ok(ports)
    }

    /// A list of ports, ranges and services, separated by commas.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let services: LazyCell<Services> = LazyCell::new(Services::load);
        text.split(',').map(|text| Self::parse(text, &services)).collect()
    }

    /// Whether the port is one of these.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// Sets the bit of each port in `connect_ports`.
    pub fn set_bits(self, bits: &mut [u64]) {
        for port in self.first..=self.last {
            if let Some(word) = bits.get_mut(usize::from(port / 64)) {
                *word |= 1 << (port % 64);
            }
        }
    }
}

/// A network of destinations: `10.0.0.0/8`, `2001:db8::/32`, or a single address.
pub fn network(text: &str) -> Result<IpNet, String> {
    let net = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text
            .parse::<IpNet>()
            .map_err(|_| "a network is written as 10.0.0.0/8 or 2001:db8::/32".to_owned())?,
    };
    Ok(unmapped(net).trunc())
}

/// IPv4 written as IPv6 (`::ffff:10.0.0.0/104`) is IPv4, as in the rows.
fn unmapped(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let v4 = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    v4.and_then(|(address, bits)| Ipv4Net::new(address, bits).ok()).map_or(net, IpNet::V4)
}

/// The key of a network in the trie of the BPF programs.
pub fn network_entry(net: &IpNet) -> network_key {
    let mut address = connect_address::default();
    let family = match net.addr() {
        IpAddr::V4(v4) => {
            for (byte, octet) in address.bytes.iter_mut().zip(v4.octets()) {
                *byte = octet;
            }
            libc::AF_INET
        }
        IpAddr::V6(v6) => {
            address.bytes = v6.octets();
            libc::AF_INET6
        }
    };
    let prefix_bits = 32 + u32::from(net.prefix_len());
    network_key { prefix_bits, family: family as u32, address }
}

/// A network namespace. It is held open, since the kernel gives its number to the next one as soon as
/// nobody has it any more.
#[derive(Clone, Debug)]
pub struct Netns {
    /// Its inode number
    pub inode: u32,
    /// `None`: nobody was found who has it
    _held: Option<Arc<File>>,
}

/// A network namespace by its inode number, its name in /run/netns, or a path such as
/// /proc/PID/ns/net.
pub fn netns(text: &str) -> Result<Netns, String> {
    match text.parse::<u32>() {
        Ok(0) => return Err(NO_NETNS.to_owned()),
        Ok(inode) => {
            let held = pids()
                .find_map(|pid| open_netns(Path::new(&format!("/proc/{pid}/ns/net")), Some(inode)));
            return Ok(held.unwrap_or(Netns { inode, _held: None }));
        }
        Err(_) => {}
    }
    let path = if text.contains('/') {
        Path::new(text).to_owned()
    } else {
        Path::new("/run/netns").join(text)
    };
    open_netns(&path, None).ok_or_else(|| NO_NETNS.to_owned())
}

/// Values for completions of `--port` and `--netns`.
pub fn values(id: &str) -> Option<Vec<String>> {
    let mut values: Vec<_> = match id {
        "port" => Services::load().names().map(str::to_owned).collect(),
        "netns" => {
            let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
        }
        _ => return None,
    };
    values.sort();
    Some(values)
}

/// The error for anything else.
const NO_NETNS: &str = "there is no such network namespace";

/// Opens a network namespace. `wanted`: only if it has this inode number.
fn open_netns(path: &Path, wanted: Option<u32>) -> Option<Netns> {
    /// `linux/nsfs.h`: returns the `CLONE_NEW...` flag of a namespace.
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    let found = chosen::find(path).ok()?;
    let inode = u32::try_from(found.metadata().ok()?.ino()).ok()?;
    // On other files that ioctl number might mean anything.
    if wanted.is_some_and(|wanted| wanted != inode)
        || fstatfs(&found).ok()?.filesystem_type() != NSFS_MAGIC
    {
        return None;
    }
    let (file, _) = chosen::open(&found).ok()?;
    // SAFETY: the call has no argument.
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE) };
    (kind == libc::CLONE_NEWNET).then(|| Netns { inode, _held: Some(Arc::new(file)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges() {
        let mut bits = [0; 1024];
        for ports in Ports::parse_list("80,443,8000-8002,65535").unwrap() {
            ports.set_bits(&mut bits);
        }
        let set: Vec<_> = (0..=65535u16)
            .filter(|port| bits[usize::from(port / 64)] & (1 << (port % 64)) != 0)
            .collect();
        assert_eq!(set, [80, 443, 8000, 8001, 8002, 65535]);
        for wrong in [
            "0",
            "65536",
            "",
            "80,",
            "9-8",
            "1-",
            "-1",
            "0-5",
            "no-such-service",
            "1-65536",
            "1-2-3",
        ] {
            assert!(Ports::parse_list(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn networks() {
        let text = |text| network(text).unwrap().to_string();
        assert_eq!(text("10.1.2.3/8"), "10.0.0.0/8");
        assert_eq!(text("10.1.2.3"), "10.1.2.3/32");
        assert_eq!(text("0.0.0.0/0"), "0.0.0.0/0");
        assert_eq!(text("2001:db8::1/32"), "2001:db8::/32");
        assert_eq!(text("::1"), "::1/128");
        assert_eq!(text("::ffff:10.1.2.3"), "10.1.2.3/32");
        assert_eq!(text("::ffff:10.1.2.3/104"), "10.0.0.0/8");
        assert_eq!(text("::/0"), "::/0");
        for wrong in ["", "10", "10.0.0.0/33", "10.0.0.0/", "::/129", "example.org", "10.0.0.0/-1"]
        {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn entries_of_the_trie() {
        let key = network_entry(&network("10.0.0.0/8").unwrap());
        assert_eq!((key.prefix_bits, key.family, key.address.bytes[0]), (40, 2, 10));
        let key = network_entry(&network("2001:db8::/32").unwrap());
        assert_eq!((key.prefix_bits, key.family, key.address.bytes[1]), (64, 10, 1));
    }

    #[test]
    fn namespaces() {
        let own = std::fs::metadata("/proc/self/ns/net").unwrap().ino() as u32;
        let by_path = netns("/proc/self/ns/net").unwrap();
        assert_eq!((by_path.inode, by_path._held.is_some()), (own, true));
        let by_number = netns(&own.to_string()).unwrap();
        assert_eq!((by_number.inode, by_number._held.is_some()), (own, true));
        let nobodys = netns("4026530000").unwrap();
        assert_eq!((nobodys.inode, nobodys._held.is_some()), (4_026_530_000, false));
        assert!(netns("/proc/self/ns/mnt").is_err(), "another kind");
        assert!(netns("no-such-namespace").is_err());
        assert!(netns("").is_err() || Path::new("/run/netns").exists());
    }
}
