//! Names for people: `--dns` and `--services`.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Connect, Endpoint};
use crate::host::dns::PassiveDns;
use crate::host::services::Services;
use crate::output::time::boot_now_ns;

/// Calls of [`PassiveDns::drain`] in a row: a flood of answers must not stop the rows.
const MAX_DRAINS: usize = 4;

/// The known names. By default nothing is looked up.
#[derive(Default)]
pub struct Names {
    dns: Option<PassiveDns>,
    services: Option<Services>,
}

impl Names {
    /// Begins to listen for DNS answers, and reads the names of services, as wanted.
    ///
    /// # Errors
    ///
    /// As [`PassiveDns::open`].
    pub fn open(dns: bool, services: bool) -> Result<Self> {
        let dns = dns.then(PassiveDns::open).transpose()?;
        Ok(Self { dns, services: services.then(Services::load) })
    }

    /// Reads the answers that have come in. An answer arrives here before it reaches the process
    /// that asked, so each row has every name that the process knew.
    pub fn update(&mut self) -> Result<()> {
        let Some(dns) = &mut self.dns else { return Ok(()) };
        for _ in 0..MAX_DRAINS {
            if dns.drain()? {
                break;
            }
        }
        Ok(())
    }

    /// The host name, if it was valid when the attempt began: it may expire before the end.
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
