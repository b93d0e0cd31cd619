//! Names for people: `--dns` and `--services`.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use super::{Connect, Endpoint};
use crate::engine::allowance::Allowance;
use crate::host::dns::{Asked, Asker, Known, PassiveDns, Question};
use crate::host::services::Services;
use crate::output::time::boot_now_ns;
use crate::skel::tcpconnect::TcpconnectSkel;
use crate::skel::{connect_address, decode, dns_asker, dns_question};

/// One part in so many of the time the processor may work on answers, in the long run: a flood of them must not
/// stop the rows. Names may then be missing.
const PART: u32 = 4;

/// The most time at once. Rows wait in their buffer for longer.
const MOST: Duration = Duration::from_millis(100);

/// The known names. By default nothing is looked up.
pub struct Names {
    dns: Option<PassiveDns>,
    askers: Option<Askers>,
    services: Option<Services>,
    /// Names of hosts are wanted
    has_hosts: bool,
    allowance: Allowance,
}

impl Default for Names {
    fn default() -> Self {
        let allowance = Allowance::new(PART, MOST, Instant::now());
        Self { dns: None, askers: None, services: None, has_hosts: false, allowance }
    }
}

impl Names {
    /// Begins to listen for DNS answers, and reads the names of services, as wanted.
    ///
    /// # Errors
    ///
    /// As [`PassiveDns::open`].
    pub fn open(dns: bool, services: bool, object: &TcpconnectSkel<'_>) -> Result<Self> {
        let dns = dns.then(PassiveDns::open).transpose()?;
        let askers = dns.is_some().then(|| Askers::new(object)).transpose()?.flatten();
        let has_hosts = dns.is_some();
        let services = services.then(Services::load);
        Ok(Self { dns, askers, services, has_hosts, ..Self::default() })
    }

    /// Names of services only; those of hosts were recorded.
    pub fn recorded(has_hosts: bool, services: bool) -> Self {
        Self { has_hosts, services: services.then(Services::load), ..Self::default() }
    }

    /// Reads the answers that have come in, if there is time. An answer arrives here before it
    /// reaches the process that asked, so each row has every name that the process knew, but in a
    /// flood of answers.
    pub fn update(&mut self) -> Result<()> {
        let Some(dns) = &mut self.dns else { return Ok(()) };
        let asked = |question: Question| match &self.askers {
            Some(askers) => askers.of(question),
            None => Asked::Unseen,
        };
        let left = self.allowance.left(Instant::now());
        while !left.is_zero() && !dns.drain(boot_now_ns, asked, left)? {}
        Ok(())
    }

    /// The last host name before the attempt began: of what the application asked for or, if that
    /// is not known, of where the socket connected to.
    pub fn host(&self, connect: &Connect) -> Option<Known<'_>> {
        let dns = self.dns.as_ref()?;
        let of = |end: Endpoint| dns.name(end.address, connect.began_ns(), connect.process());
        connect.asked().and_then(of).or_else(|| of(connect.peer()))
    }

    /// Whether names of hosts are wanted.
    pub fn has_hosts(&self) -> bool {
        self.has_hosts
    }

    /// Whether another address of the same name may be tried.
    pub fn has_several_addresses(&self, name: &str) -> bool {
        self.dns.as_ref().is_some_and(|dns| dns.has_several_addresses(name))
    }

    /// The name of the port.
    pub fn service(&self, end: Endpoint) -> Option<&str> {
        self.services.as_ref()?.name(end.port)
    }

    /// DNS answers that found no room.
    pub fn lost(&mut self) -> u64 {
        self.dns.as_mut().map_or(0, PassiveDns::lost)
    }
}

/// Which process asked: the map of the programs that see questions.
struct Askers {
    map: MapHandle,
    /// Inode number of our network namespace, the one whose answers are seen
    netns: u32,
}

impl Askers {
    /// `None`: the kernel refused the programs, which was said.
    fn new(object: &TcpconnectSkel<'_>) -> Result<Option<Self>> {
        if !object.progs.asker_btf.autoload() && !object.progs.asker_raw.autoload() {
            return Ok(None);
        }
        let map = MapHandle::try_from(&object.maps.dns_askers).context("share a map")?;
        let netns = super::filter::netns("/proc/thread-self/ns/net").map_or(0, |netns| netns.inode);
        Ok(Some(Self { map, netns }))
    }

    fn of(&self, question: Question) -> Asked {
        let protocol = if question.is_tcp { libc::IPPROTO_TCP } else { libc::IPPROTO_UDP };
        let key = dns_question {
            netns: self.netns,
            protocol: protocol as u32,
            port: question.client_port.to_be(),
            id: question.id.to_be(),
            client: address(question.client),
            server: address(question.server),
            beginning: question.beginning,
        };
        // SAFETY: integers without padding.
        let key = unsafe { plain::as_bytes(&key) };
        let value = self.map.lookup(key, MapFlags::ANY).ok().flatten();
        let Some(value) = value.and_then(|value| decode::<dns_asker>(&value).ok()) else {
            return Asked::No;
        };
        let asker = Asker { pid: value.pid, start_ns: value.start_ns };
        Asked::Yes {
            asker: Some(asker).filter(|asker| asker.pid != 0),
            name: value.name.to_vec(),
            first_seq: value.first_seq,
        }
    }
}

/// IPv4 in the first four bytes.
fn address(address: IpAddr) -> connect_address {
    let mut bytes = [0; 16];
    match address {
        IpAddr::V4(four) => bytes.iter_mut().zip(four.octets()).for_each(|(to, from)| *to = from),
        IpAddr::V6(six) => bytes = six.octets(),
    }
    connect_address { bytes }
}
