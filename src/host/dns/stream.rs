//! DNS over TCP: messages with their length in front (RFC 1035, 4.2.2), cut into segments at any
//! place.
//!
//! Only connections seen from the beginning are read: in the middle of one, two bytes of a message
//! could pass for a length. For the same reason a connection that lacks a piece (lost, or out of
//! order) is given up.

use std::collections::HashMap;

use super::packet::{Flow, Segment};

/// The most connections to follow at once; if there are more, the one that was silent for the
/// longest time is given up. A connection keeps at most a message and a segment, so all together
/// need at most 16 MiB.
const MAX_FLOWS: usize = 128;

/// The connections to DNS servers.
#[derive(Default)]
pub(super) struct Streams {
    flows: HashMap<Flow, Stream>,
    /// Counts segments: what a stream's `used` is compared with.
    clock: u64,
}

struct Stream {
    /// Sequence number of the SYN
    start: u32,
    /// Sequence number of the next byte
    next: u32,
    used: u64,
    /// The beginning of a message that is not complete yet
    rest: Vec<u8>,
}

impl Streams {
    /// Takes a segment; calls `message` for each message that ends in it.
    pub(super) fn take(&mut self, segment: &Segment<'_>, message: impl FnMut(&[u8])) {
        self.clock += 1;
        if segment.syn && !segment.rst {
            self.begin(segment);
        }
        let Some(stream) = self.flows.get_mut(&segment.flow) else { return };
        stream.used = self.clock;
        // A SYN counts as one byte. With TCP Fast Open it has data behind it.
        let seq = segment.seq.wrapping_add(segment.syn.into());
        let complete = !segment.rst && stream.take(seq, segment.payload, message);
        if !complete || segment.fin {
            self.flows.remove(&segment.flow);
        }
    }

    fn begin(&mut self, segment: &Segment<'_>) {
        match self.flows.get(&segment.flow) {
            // A retransmission, or the same segment on a second interface (bridge, VLAN).
            Some(known) if known.start == segment.seq => return,
            Some(_) => {}
            None if self.flows.len() < MAX_FLOWS => {}
            None => {
                let silent = self.flows.iter().min_by_key(|(_, stream)| stream.used);
                if let Some(flow) = silent.map(|(flow, _)| *flow) {
                    self.flows.remove(&flow);
                }
            }
        }
        let next = segment.seq.wrapping_add(1);
        let stream = Stream { start: segment.seq, next, used: self.clock, rest: Vec::new() };
        self.flows.insert(segment.flow, stream);
    }
}

impl Stream {
    /// False if a piece in front of this one is missing.
    fn take(&mut self, seq: u32, payload: &[u8], mut message: impl FnMut(&[u8])) -> bool {
        // Sequence numbers wrap around; the shorter distance counts (RFC 9293, 3.4).
        let known = self.next.wrapping_sub(seq);
        if known > u32::MAX / 2 {
            return false;
        }
        let Some(fresh) = payload.get(known as usize..) else { return true }; // all known
        self.next = self.next.wrapping_add(fresh.len() as u32);

        let joined;
        let mut left = if self.rest.is_empty() {
            fresh
        } else {
            self.rest.extend_from_slice(fresh);
            joined = std::mem::take(&mut self.rest);
            &joined
        };
        while let Some((one, behind)) = split_message(left) {
            message(one);
            left = behind;
        }
        self.rest = left.to_vec();
        true
    }
}

/// The first message and the rest, if the first is complete.
fn split_message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, behind) = bytes.split_first_chunk()?;
    behind.split_at_checked(u16::from_be_bytes(*len).into())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn flow(client_port: u16) -> Flow {
        let address = Ipv4Addr::LOCALHOST.into();
        Flow { server: address, client: address, client_port }
    }

    fn segment(seq: u32, payload: &[u8]) -> Segment<'_> {
        Segment { flow: flow(1), seq, ack: None, syn: false, fin: false, rst: false, payload }
    }

    fn syn(seq: u32) -> Segment<'static> {
        Segment { syn: true, ..segment(seq, b"") }
    }

    fn read(streams: &mut Streams, segment: &Segment<'_>) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        streams.take(segment, |message| messages.push(message.to_vec()));
        messages
    }

    #[test]
    fn several_messages_in_a_segment_and_one_in_several() {
        let mut streams = Streams::default();
        assert!(read(&mut streams, &syn(99)).is_empty());
        let two = b"\0\x03one\0\x03two\0";
        assert_eq!(read(&mut streams, &segment(100, two)), [b"one", b"two"]);
        assert!(read(&mut streams, &segment(111, b"\x05th")).is_empty());
        assert_eq!(read(&mut streams, &segment(114, b"ree")), [b"three"]);
    }

    #[test]
    fn without_its_beginning_or_a_piece_nothing_is_read() {
        let whole = b"\0\x03one";
        let mut streams = Streams::default();
        assert!(read(&mut streams, &segment(100, whole)).is_empty());

        read(&mut streams, &syn(99));
        assert!(read(&mut streams, &segment(101, whole)).is_empty(), "a byte is missing");
        assert!(read(&mut streams, &segment(100, whole)).is_empty(), "it was given up");
        assert!(streams.flows.is_empty());

        for end in [Segment { fin: true, ..segment(100, b"") }, Segment { rst: true, ..syn(99) }] {
            read(&mut streams, &syn(99));
            read(&mut streams, &end);
            assert!(streams.flows.is_empty(), "{end:?}");
        }
    }

    #[test]
    fn the_last_segment_may_hold_data_and_so_may_the_first() {
        let mut streams = Streams::default();
        let open = Segment { payload: b"\0\x03one", ..syn(99) };
        assert_eq!(read(&mut streams, &open), [b"one"]);
        let last = Segment { fin: true, ..segment(105, b"\0\x03two") };
        assert_eq!(read(&mut streams, &last), [b"two"]);
        assert!(streams.flows.is_empty());
    }

    #[test]
    fn what_comes_again_is_read_once() {
        let mut streams = Streams::default();
        read(&mut streams, &syn(99));
        assert!(read(&mut streams, &segment(100, b"\0\x03o")).is_empty());
        assert!(read(&mut streams, &syn(99)).is_empty());
        assert!(read(&mut streams, &segment(100, b"\0\x03o")).is_empty());
        assert_eq!(read(&mut streams, &segment(101, b"\x03one")), [b"one"]);
        assert!(read(&mut streams, &segment(100, b"\0\x03one")).is_empty());
        // A connection between the same ends, later.
        read(&mut streams, &syn(7));
        assert_eq!(read(&mut streams, &segment(8, b"\0\x03new")), [b"new"]);
    }

    #[test]
    fn the_most_silent_connection_is_given_up() {
        let mut streams = Streams::default();
        for port in 0..MAX_FLOWS as u16 {
            streams.take(&Segment { flow: flow(port), ..syn(0) }, |_| {});
        }
        streams.take(&Segment { flow: flow(0), ..segment(1, b"\0") }, |_| {});
        streams.take(&Segment { flow: flow(u16::MAX), ..syn(0) }, |_| {});
        assert_eq!(streams.flows.len(), MAX_FLOWS);
        assert!(streams.flows.contains_key(&flow(0)), "it was not silent");
        assert!(!streams.flows.contains_key(&flow(1)));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut streams = Streams::default();
        read(&mut streams, &syn(u32::MAX));
        let mut seq = 0u32;
        for _ in 0..100 {
            let empty = [0; 65_000];
            let mut count = 0;
            streams.take(&segment(seq, &empty), |_| count += 1);
            assert_eq!(count, empty.len() / 2);
            seq = seq.wrapping_add(empty.len() as u32);
            let long = [0xff; 65_001];
            streams.take(&segment(seq, &long), |_| panic!("it is not complete"));
            seq = seq.wrapping_add(long.len() as u32);
            assert!(streams.flows[&flow(1)].rest.len() <= 2 + 65_535);
            let fill = [0xff; 65_537 - 65_001];
            assert_eq!(read(&mut streams, &segment(seq, &fill)).len(), 1);
            seq = seq.wrapping_add(fill.len() as u32);
        }
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_messages(
            messages: Vec<Vec<u8>>,
            start: u32,
            cuts in proptest::collection::vec((1usize..20, 0usize..5), 1..50),
        ) {
            let stream: Vec<u8> = messages
                .iter()
                .flat_map(|m| [&(m.len() as u16).to_be_bytes()[..], m].concat())
                .collect();
            let mut streams = Streams::default();
            let mut read_all = read(&mut streams, &syn(start.wrapping_sub(1)));
            let mut at = 0;
            for (len, again) in cuts.into_iter().cycle() {
                if at == stream.len() {
                    break;
                }
                // Some bytes come a second time with the new ones.
                let from = at.saturating_sub(again);
                let to = (at + len).min(stream.len());
                let piece = segment(start.wrapping_add(from as u32), &stream[from..to]);
                read_all.extend(read(&mut streams, &piece));
                at = to;
            }
            prop_assert_eq!(read_all, messages);
        }

        #[test]
        fn no_segments_break_it(segments: Vec<(u16, u32, u8, Vec<u8>)>) {
            let mut streams = Streams::default();
            for (port, seq, flags, payload) in &segments {
                let [syn, fin, rst] = [1, 2, 4].map(|flag| flags & flag != 0);
                let flow = flow(port % 4);
                let seq = seq % 64;
                let bytes = payload.len();
                let mut read = 0;
                streams.take(&Segment { flow, seq, ack: None, syn, fin, rst, payload }, |m| read += m.len());
                prop_assert!(read <= 65_537 + bytes);
            }
        }
    }
}
