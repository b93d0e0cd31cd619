//! From a DNS message to the addresses of the name that was asked for.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, RCODE, header_buffer};

use super::answer::Answer;

/// The most records of a message to look at: more than any real answer has, and few enough that a
/// forged message, where every record refers to a long name, costs little time.
const MAX_RECORDS: u16 = 256;

/// The most aliases to follow; BIND itself gives up after 16.
const MAX_ALIASES: usize = 16;

/// A name has at most 253 characters. With many escaped bytes its text may be longer, and is then
/// useless.
const MAX_TEXT: usize = 255;

/// The answer in a DNS message; `None` if the message has no addresses.
pub(super) fn parse(message: &[u8]) -> Option<Answer> {
    let is_answer = header_buffer::has_flags(message, PacketFlag::RESPONSE).ok()?
        && header_buffer::opcode(message).ok()? == OPCODE::StandardQuery
        && header_buffer::rcode(message).ok()? == RCODE::NoError
        && header_buffer::questions(message).ok()? == 1;
    let records = header_buffer::answers(message).ok()?;
    if !is_answer || records == 0 {
        return None;
    }
    // Pretend that there are no sections behind the answers: so a truncated answer (TC) counts as
    // far as it goes, and OPT cannot make it fail.
    let mut message = message.to_vec();
    let counts = [records.min(MAX_RECORDS), 0, 0].map(u16::to_be_bytes);
    message.get_mut(6..12)?.copy_from_slice(counts.as_flattened());
    let packet = Packet::parse(&message).ok()?;

    let question = packet.questions.first()?;
    if question.qclass != QCLASS::CLASS(CLASS::IN) {
        return None;
    }
    let name = text(&question.qname)?;
    let addresses = Records::of(&packet).addresses(&name);
    if addresses.is_empty() || !is_a_name(&name) {
        return None;
    }
    Some(Answer { name, addresses })
}

/// What an answer says of one name.
#[derive(Default)]
struct Owned {
    addresses: Vec<(IpAddr, u32)>,
    /// The last alias, with its time to live
    alias: Option<(Arc<str>, u32)>,
}

/// The records of an answer by the text of their owner, each of which is made once: forged names
/// are long, and share their parts.
struct Records(HashMap<Arc<str>, Owned>);

impl Records {
    fn of(packet: &Packet<'_>) -> Self {
        let mut all: HashMap<_, Owned> = HashMap::new();
        for record in packet.answers.iter().filter(|record| record.class == CLASS::IN) {
            if !matches!(record.rdata, RData::A(_) | RData::AAAA(_) | RData::CNAME(_)) {
                continue;
            }
            let Some(owner) = text(&record.name) else { continue };
            let owned = all.entry(owner).or_default();
            // RFC 2181, 8: with the first bit set the time to live is 0.
            let ttl = i32::try_from(record.ttl).map_or(0, i32::unsigned_abs);
            match &record.rdata {
                RData::A(a) => owned.addresses.push((IpAddr::V4(a.address.into()), ttl)),
                RData::AAAA(aaaa) => owned.addresses.push((IpAddr::V6(aaaa.address.into()), ttl)),
                RData::CNAME(target) => owned.alias = text(&target.0).map(|name| (name, ttl)),
                _ => {}
            }
        }
        Self(all)
    }

    /// The addresses of `name` itself, or of the name for which it is an alias. Records of other
    /// names do not belong into an answer and are skipped.
    fn addresses(mut self, name: &Arc<str>) -> Vec<(IpAddr, u32)> {
        let mut name = Arc::clone(name);
        let mut alias_ttl = u32::MAX;
        for _ in 0..=MAX_ALIASES {
            let Some(owned) = self.0.remove(&name) else { break };
            match owned.alias {
                Some((target, ttl)) if owned.addresses.is_empty() => {
                    (name, alias_ttl) = (target, alias_ttl.min(ttl));
                }
                _ => {
                    let least = |(address, ttl): (_, u32)| (address, ttl.min(alias_ttl));
                    return owned.addresses.into_iter().map(least).collect();
                }
            }
        }
        Vec::new()
    }
}

/// Whether people cannot take it for something else: an address (colons, or a number in the
/// place of a top-level domain), or the dash of a row without a name.
fn is_a_name(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    !(is_number || text == "-" || text.contains(':'))
}

/// The name for people; `None` for the root, and for a text that is too long.
fn text(name: &Name<'_>) -> Option<Arc<str>> {
    let mut text = String::new();
    for label in name.as_bytes() {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label {
            match byte {
                b'.' | b'\\' => text.extend(['\\', char::from(*byte)]),
                _ if byte.is_ascii_graphic() => text.push(char::from(byte.to_ascii_lowercase())),
                _ => write!(text, "\\{byte:03}").ok()?,
            }
        }
    }
    (!text.is_empty() && text.len() <= MAX_TEXT).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message written out by hand: `dig www.example.org` with an alias, names compressed.
    const MESSAGE: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x03\0\0\0\x01\
        \x03wWw\x07eXaMpLe\x03org\0\0\x01\0\x01\
        \xc0\x0c\0\x05\0\x01\0\0\x01\x2c\0\x06\x03cdn\xc0\x10\
        \xc0\x2d\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01\
        \xc0\x2d\0\x01\0\x01\0\0\x0e\x10\0\x04\xc0\0\x02\x02\
        \0\0\x29\x04\xd0\0\0\0\0\0\0";

    fn edited(edit: impl FnOnce(&mut Vec<u8>)) -> Option<Answer> {
        let mut message = MESSAGE.to_vec();
        edit(&mut message);
        parse(&message)
    }

    /// A message with one question and these answers.
    fn message(question: &[u8], records: &[(&[u8], u16, u32, &[u8])]) -> Vec<u8> {
        let mut message = b"\0\0\x80\0\0\x01".to_vec();
        message.extend((records.len() as u16).to_be_bytes());
        message.extend([0; 4]);
        message.extend([question, b"\0\x01\0\x01"].concat());
        for (name, kind, ttl, data) in records {
            message.extend_from_slice(name);
            message.extend(kind.to_be_bytes());
            message.extend([0, 1]);
            message.extend(ttl.to_be_bytes());
            message.extend((data.len() as u16).to_be_bytes());
            message.extend_from_slice(data);
        }
        message
    }

    fn name_of(question: &[u8]) -> Option<String> {
        let message = message(question, &[(b"\xc0\x0c", 1, 1, &[192, 0, 2, 1])]);
        parse(&message).map(|answer| answer.name.to_string())
    }

    #[test]
    fn the_name_asked_for_is_given_through_an_alias() {
        let answer = parse(MESSAGE).unwrap();
        assert_eq!(&*answer.name, "www.example.org");
        let addresses = [([192, 0, 2, 1].into(), 60), ([192, 0, 2, 2].into(), 300)];
        assert_eq!(answer.addresses, addresses, "no longer than the alias");
    }

    #[test]
    fn only_answers_are_read() {
        assert_eq!(edited(|m| m[2] &= !0x80), None, "a question");
        assert_eq!(edited(|m| m[2] |= 0x08), None, "another opcode");
        assert_eq!(edited(|m| m[3] |= 3), None, "NXDOMAIN");
        assert_eq!(edited(|m| m[5] = 0), None, "no question");
        assert_eq!(edited(|m| m[5] = 2), None, "two questions");
        assert_eq!(edited(|m| m[7] = 0), None, "no answer");
        assert_eq!(edited(|m| m[32] = 3), None, "class CHAOS");
        assert_eq!(edited(|m| m[7] = 4), parse(MESSAGE), "OPT has no address");
        assert_eq!(edited(|m| m[11] = 200), parse(MESSAGE), "nobody looks there");
        assert_eq!(edited(|m| m[2] |= 0x02), parse(MESSAGE), "truncated");
    }

    #[test]
    fn six_and_four() {
        let six = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let message = message(
            b"\x01a\0",
            &[(b"\x01A\0", 28, u32::MAX, &six), (b"\xc0\x0c", 1, 7, &[192, 0, 2, 1])],
        );
        let answer = parse(&message).unwrap();
        let expected = [(IpAddr::from(six), 0), ([192, 0, 2, 1].into(), 7)];
        assert_eq!(answer.addresses, expected);
    }

    #[test]
    fn records_of_other_names_are_passed_over() {
        let (a, b) = (b"\x01a\0", b"\x01b\0");
        let address = [192, 0, 2, 1];
        assert_eq!(parse(&message(a, &[(b, 1, 9, &address)])), None);
        assert_eq!(parse(&message(a, &[(b, 5, 9, b"\x01a\0"), (b, 1, 9, &address)])), None);
        // In any order.
        let turned = message(a, &[(b, 1, 9, &address), (a, 5, 3, b)]);
        assert_eq!(parse(&turned).unwrap().addresses, [(address.into(), 3)]);
    }

    #[test]
    fn loops_come_to_an_end() {
        let (a, b) = (b"\x01a\0", b"\x01b\0");
        assert_eq!(parse(&message(a, &[(a, 5, 9, a)])), None);
        assert_eq!(parse(&message(a, &[(a, 5, 9, b), (b, 5, 9, a)])), None);
        // A compressed name that refers to itself, or forward.
        assert_eq!(name_of(b"\xc0\x0c"), None);
        assert_eq!(name_of(b"\x01a\xc0\x0c"), None);
        assert_eq!(name_of(b"\xc0\x20"), None);
    }

    #[test]
    fn long_chains_of_aliases() {
        let chain = |len: u8| {
            let names: Vec<[u8; 3]> = (0..=len).map(|i| [1, b'a' + i, 0]).collect();
            let mut records: Vec<(&[u8], u16, u32, &[u8])> =
                names.windows(2).map(|two| (&two[0][..], 5, 9, &two[1][..])).collect();
            records.push((names.last().unwrap(), 1, 9, &[192, 0, 2, 1]));
            parse(&message(&names[0], &records))
        };
        assert_eq!(&*chain(16).unwrap().name, "a");
        assert_eq!(chain(17), None);
    }

    #[test]
    fn what_looks_like_an_address_is_no_name() {
        for wire in [
            &b"\x03192\x010\x012\x017\0"[..],
            b"\x072130706\0",
            b"\x04host\x030x7\0",
            b"\x03::1\0",
            b"\x09host:8080\0",
            b"\x01-\0",
        ] {
            assert_eq!(name_of(wire), None, "{wire:?}");
        }
        for wire in [&b"\x011\x02de\0"[..], b"\x041and\x041and\0", b"\x02--\0", b"\x030xg\0"] {
            assert!(name_of(wire).is_some(), "{wire:?}");
        }
    }

    /// Each name is made into text once, however many records and aliases there are.
    #[test]
    fn names_that_share_their_labels() {
        let shared = [b"\x01a".repeat(120), vec![0]].concat();
        let alias: Vec<[u8; 4]> = (0..200u8).map(|n| [1, n, 0xc0, 0x0c]).collect();
        let mut records: Vec<(&[u8], u16, u32, &[u8])> =
            alias.windows(2).map(|two| (&two[0][..], 5, 9, &two[1][..])).collect();
        records.push((b"\xc0\x0c", 5, 9, &alias[0]));
        assert_eq!(parse(&message(&shared, &records)), None, "too many aliases");
    }

    #[test]
    fn names_as_text() {
        assert_eq!(name_of(b"\x0bxn--Mnchen-3ya\0").as_deref(), None, "the length is wrong");
        assert_eq!(name_of(b"\x0exn--Mnchen-3ya\x02DE\0").unwrap(), "xn--mnchen-3ya.de");
        assert_eq!(name_of(b"\x06_a b.\x1b\0").unwrap(), r"_a\032b\.\027");
        assert_eq!(name_of(b"\x02\xc3\xbc\0").unwrap(), r"\195\188");
        assert_eq!(name_of(b"\0"), None, "the root");
        let long = |byte: u8| [&[63][..], &[byte; 63]].concat();
        let longest = [long(b'a'), long(b'b'), long(b'c'), vec![0]].concat();
        assert_eq!(name_of(&longest).unwrap().len(), 191);
        assert_eq!(name_of(&[long(1), long(2), vec![0]].concat()), None, "504 characters");
    }

    #[test]
    fn a_forged_answer_costs_little() {
        // Thousands of records, each with the longest name there is.
        let name = [b"\x01a".repeat(126), vec![0]].concat();
        let record: (&[u8], u16, u32, &[u8]) = (b"\xc0\x0c", 5, 9, b"\xc0\x0c");
        let many = vec![record; 4_600];
        assert_eq!(parse(&message(&name, &many)), None);
        let many = vec![(&b"\xc0\x0c"[..], 1, 9, &[192u8, 0, 2, 1][..]); 4_000];
        let answer = parse(&message(&name, &many)).unwrap();
        assert_eq!(answer.addresses.len(), usize::from(MAX_RECORDS));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(message: Vec<u8>) {
            parse(&message);
            parse(&[&b"\0\0\x80\0\0\x01\0\x05\0\0\0\0"[..], &message].concat());
        }

        #[test]
        fn no_damage_breaks_it(
            edits in proptest::collection::vec((0..MESSAGE.len(), any::<u8>()), 1..8),
            len in 0..=MESSAGE.len(),
        ) {
            let mut message = MESSAGE.to_vec();
            for (at, value) in edits {
                message[at] = value;
            }
            if let Some(answer) = parse(&message[..len]) {
                prop_assert!(!answer.addresses.is_empty());
                prop_assert!(answer.name.len() <= MAX_TEXT);
                prop_assert!(answer.name.bytes().all(|b| b.is_ascii_graphic()));
                prop_assert!(!answer.name.bytes().any(|b| b.is_ascii_uppercase()));
            }
        }
    }
}
