//! What an answer of a DNS server says.

use std::net::IpAddr;
use std::sync::Arc;

/// The addresses of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The name in the question, not the canonical one: in lower case, without the last
    /// dot, other characters than visible ASCII as `\DDD` (RFC 1035, 5.1)
    pub(super) name: Arc<str>,
    /// With their times to live in seconds; none is missing, but some may come twice
    pub(super) addresses: Vec<(IpAddr, u32)>,
}
