//! A destination as it is shown: an address is never replaced by what it may mean.

use super::{Connect, Endpoint};
use crate::host::dns::Known;

/// A name for a destination, and how good it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The name
    pub name: Box<str>,
    /// How old the answer with that name was when the attempt began
    pub age_ns: u64,
    /// Whether its time to live was over
    pub has_expired: bool,
    /// Whether the process itself had asked
    pub by_process: bool,
}

impl From<Known<'_>> for Host {
    fn from(known: Known<'_>) -> Self {
        let Known { name, age_ns, has_expired, by_process } = known;
        Self { name: name.into(), age_ns, has_expired, by_process }
    }
}

/// What totals are by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// Where the socket connected to
    pub peer: Endpoint,
    /// What the application asked for, if that is another destination
    pub asked: Option<Endpoint>,
    /// Name of the interface of a link-local address
    pub interface: Option<Box<[u8]>>,
    /// Name of the host, with `--dns`
    pub host: Option<Box<str>>,
}

impl Destination {
    /// That of an attempt.
    pub fn new(connect: &Connect, host: Option<&str>) -> Self {
        Self {
            peer: connect.peer(),
            asked: connect.asked(),
            interface: connect.interface_name().map(Into::into),
            host: host.map(Into::into),
        }
    }

    /// See [`addresses`].
    pub fn addresses(&self) -> Vec<u8> {
        addresses(self.peer, self.asked, self.interface.as_deref())
    }

    /// See [`ports`].
    pub fn ports<'a>(&self, service: impl Fn(Endpoint) -> Option<&'a str>) -> String {
        ports(self.peer, self.asked, service)
    }
}

/// The address, and in front of it the one that was asked for: `10.88.0.1->127.0.0.1`.
pub fn addresses(peer: Endpoint, asked: Option<Endpoint>, interface: Option<&[u8]>) -> Vec<u8> {
    let mut text = Vec::new();
    let asked = asked.filter(|asked| asked.address != peer.address);
    for (end, arrow) in asked.map(|end| (end, "->")).into_iter().chain([(peer, "")]) {
        text.extend(zoned(end, interface.filter(|_| end.interface == peer.interface)));
        text.extend_from_slice(arrow.as_bytes());
    }
    text
}

/// The address; a link-local one with its interface: `fe80::1%eth0`, or the interface's index where
/// its name is not known.
pub fn zoned(end: Endpoint, interface: Option<&[u8]>) -> Vec<u8> {
    let mut text = end.address.to_string().into_bytes();
    if end.interface != 0 {
        text.push(b'%');
        match interface {
            Some(name) => text.extend_from_slice(name),
            None => text.extend(end.interface.to_string().into_bytes()),
        }
    }
    text
}

/// The port, or the name of its service, and in front of it the one that was asked for:
/// `443->8443`.
pub fn ports<'a>(
    peer: Endpoint,
    asked: Option<Endpoint>,
    service: impl Fn(Endpoint) -> Option<&'a str>,
) -> String {
    let text = |end: Endpoint| match (service(end), end.known_port()) {
        (Some(name), _) => name.to_owned(),
        (None, Some(port)) => port.to_string(),
        (None, None) => "-".to_owned(),
    };
    match asked.filter(|asked| asked.port != peer.port) {
        Some(asked) => format!("{}->{}", text(asked), text(peer)),
        None => text(peer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::tcpconnect::testing::endpoint;

    fn text(peer: Endpoint, asked: Option<Endpoint>, interface: Option<&[u8]>) -> String {
        String::from_utf8(addresses(peer, asked, interface)).unwrap()
    }

    #[test]
    fn both_ends_where_they_differ() {
        let (peer, asked) = (endpoint("127.0.0.1", 8443), endpoint("10.88.0.1", 443));
        let service = |end: Endpoint| (end.port == 443).then_some("https");
        assert_eq!(text(peer, None, None), "127.0.0.1");
        assert_eq!(text(peer, Some(asked), None), "10.88.0.1->127.0.0.1");
        assert_eq!(ports(peer, Some(asked), |_| None), "443->8443");
        assert_eq!(ports(peer, Some(asked), service), "https->8443");
        // Only one of both is another one.
        let asked = endpoint("127.0.0.1", 443);
        assert_eq!(text(peer, Some(asked), None), "127.0.0.1");
        let asked = endpoint("0.0.0.0", 8443);
        assert_eq!(ports(peer, Some(asked), |_| None), "8443");
        assert_eq!(ports(Endpoint { port: 0, ..peer }, None, |_| None), "-");
    }

    #[test]
    fn link_local_addresses_have_their_interface() {
        let peer = Endpoint { interface: 3, ..endpoint("fe80::1", 80) };
        assert_eq!(text(peer, None, Some(b"eth0")), "fe80::1%eth0");
        assert_eq!(text(peer, None, None), "fe80::1%3");
        let asked = endpoint("10.88.0.1", 443);
        assert_eq!(text(peer, Some(asked), Some(b"eth0")), "10.88.0.1->fe80::1%eth0");
    }
}
