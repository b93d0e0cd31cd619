//! Names for people: `--dns` and `--services`.

use anyhow::{Context as _, Result};
use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use super::{Connect, Endpoint};
use crate::host::dns::{Asker, Known, PassiveDns, Question};
use crate::host::services::Services;
use crate::output::time::boot_now_ns;
use crate::skel::tcpconnect::TcpconnectSkel;
use crate::skel::{decode, dns_asker, dns_question};

/// Calls of [`PassiveDns::drain`] in a row: a flood of answers must not stop the rows.
const MAX_DRAINS: usize = 4;

/// The known names. By default nothing is looked up.
#[derive(Default)]
pub struct Names {
    dns: Option<PassiveDns>,
    askers: Option<Askers>,
    services: Option<Services>,
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
        Ok(Self { dns, askers, services: services.then(Services::load) })
    }

    /// Reads the answers that have come in. An answer arrives here before it reaches the process
    /// that asked, so each row has every name that the process knew.
    pub fn update(&mut self) -> Result<()> {
        let Some(dns) = &mut self.dns else { return Ok(()) };
        let who = |question| self.askers.as_ref()?.of(question);
        for _ in 0..MAX_DRAINS {
            if dns.drain(boot_now_ns, who)? {
                break;
            }
        }
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
        self.dns.is_some()
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
        let netns = super::filter::netns("/proc/thread-self/ns/net").unwrap_or(0);
        Ok(Some(Self { map, netns }))
    }

    fn of(&self, question: Question) -> Option<Asker> {
        let protocol = if question.is_tcp { libc::IPPROTO_TCP } else { libc::IPPROTO_UDP };
        let key = dns_question {
            netns: self.netns,
            protocol: protocol as u32,
            port: question.client_port.to_be(),
            id: question.id.to_be(),
        };
        // SAFETY: integers without padding.
        let key = unsafe { plain::as_bytes(&key) };
        // Without an entry somebody has asked in a way that does not show who.
        let value = self.map.lookup(key, MapFlags::ANY).ok()??;
        let asker: dns_asker = decode(&value).ok()?;
        Some(Asker { pid: asker.pid, start_ns: asker.start_ns })
    }
}
