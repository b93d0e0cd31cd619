//! Names for people: `--dns` and `--services`.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Connect, Endpoint};
use crate::host::dns::PassiveDns;
use crate::host::services::Services;
use crate::output::time::boot_now_ns;

/// Calls of [`PassiveDns::drain`] in a row: a flood of answers must not stop the rows.
const MAX_DRAINS: usize = 4;

/// What is known of names. By default nothing is looked for.
#[derive(Default)]
pub struct Names {
    dns: Option<PassiveDns>,
    services: Option<Services>,
}

impl Names {
    /// Begins to listen for DNS answers, reads the names of services: what is wanted of it.
    ///
    /// # Errors
    ///
    /// As [`PassiveDns::open`].
    pub fn open(dns: bool, services: bool) -> Result<Self> {
        let dns = dns.then(PassiveDns::open).transpose()?;
        Ok(Self { dns, services: services.then(Services::load) })
    }

    /// Takes notice of the answers that have come in. An answer is here before the process
    /// that asked has it, so before each row everything is known that the process knew.
    pub fn update(&mut self) -> Result<()> {
        let Some(dns) = &mut self.dns else { return Ok(()) };
        for _ in 0..MAX_DRAINS {
            if dns.drain()? {
                break;
            }
        }
        Ok(())
    }

    /// The name by which the host was asked for, if that was good when the attempt began: by
    /// its end, some time to live may well be over.
    pub fn host(&self, connect: &Connect) -> Option<&str> {
        let dns = self.dns.as_ref()?;
        let began_ago = boot_now_ns().saturating_sub(connect.began_ns());
        let now = Instant::now();
        let began = now.checked_sub(Duration::from_nanos(began_ago)).unwrap_or(now);
        dns.name(connect.peer().address, began)
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
