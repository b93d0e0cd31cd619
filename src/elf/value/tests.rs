use serde_json::json;

use super::super::types::{Composite, Encoding, Kind, Member, Type};
use super::*;

/// Types made by hand.
#[derive(Default)]
struct C(Types);

impl C {
    fn push(&mut self, name: &str, kind: Kind) -> TypeId {
        let name = (!name.is_empty()).then(|| name.into());
        self.0.push(Type { name, kind }).unwrap()
    }

    fn int(&mut self, name: &str, bytes: u32, encoding: Encoding) -> TypeId {
        self.push(name, Kind::Int { bytes, encoding, bits: bytes * 8, bit_offset: 0 })
    }

    fn unsigned(&mut self, bytes: u32) -> TypeId {
        self.int("unsigned", bytes, Encoding::Unsigned)
    }

    fn signed(&mut self, bytes: u32) -> TypeId {
        self.int("int", bytes, Encoding::Signed)
    }

    fn array(&mut self, element: TypeId, count: u64) -> TypeId {
        self.push("", Kind::Array { element, count })
    }

    fn chars(&mut self, count: u64) -> TypeId {
        let char = self.int("char", 1, Encoding::Signed);
        self.array(char, count)
    }

    fn composite(&self, members: &[(&str, TypeId)], is_union: bool) -> Composite {
        let mut body = Composite::default();
        for &(name, ty) in members {
            let at = if is_union { 0 } else { body.bytes };
            body.members.push(Member {
                name: (!name.is_empty()).then(|| name.into()),
                ty,
                bit_offset: u32::try_from(at * 8).unwrap(),
                bit_size: None,
            });
            body.bytes = body.bytes.max(at + self.0.size(ty).unwrap());
        }
        body
    }

    /// A packed struct.
    fn record(&mut self, name: &str, members: &[(&str, TypeId)]) -> TypeId {
        let body = self.composite(members, false);
        self.push(name, Kind::Struct(body))
    }

    fn union(&mut self, members: &[(&str, TypeId)]) -> TypeId {
        let body = self.composite(members, true);
        self.push("", Kind::Union(body))
    }

    fn text(&self, ty: TypeId, data: &[u8]) -> String {
        self.text_with(ty, data, Options::default())
    }

    fn text_with(&self, ty: TypeId, data: &[u8], options: Options) -> String {
        let mut out = String::new();
        Decoder::new(&self.0, ty, options).text(data, &mut out);
        out
    }

    fn json(&self, ty: TypeId, data: &[u8]) -> serde_json::Value {
        Decoder::new(&self.0, ty, Options::default()).json(data)
    }
}

/// `data!(1_u32, *b"ab", …)`: bytes in little-endian order.
macro_rules! data {
    ($($value:expr),* $(,)?) => {{
        let mut data = Vec::new();
        $(data.extend_from_slice(&$value.bytes());)*
        data
    }};
}

trait Bytes {
    fn bytes(&self) -> Vec<u8>;
}

macro_rules! little_endian {
    ($($ty:ty)*) => {$(
        impl Bytes for $ty {
            fn bytes(&self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }
        }
    )*};
}
little_endian!(u8 u16 u32 u64 i32 i64 f64);

impl<const N: usize> Bytes for [u8; N] {
    fn bytes(&self) -> Vec<u8> {
        self.to_vec()
    }
}

#[test]
fn numbers_strings_and_results() {
    let mut c = C::default();
    let (u32_, u64_, i32_) = (c.unsigned(4), c.unsigned(8), c.signed(4));
    let (comm, pointer) = (c.chars(16), c.push("", Kind::Pointer(TypeId::VOID)));
    let event = c.record(
        "event",
        &[
            ("pid", u32_),
            ("ret", i32_),
            ("duration_ns", u64_),
            ("comm", comm),
            ("sk", pointer),
            ("sig", i32_),
            ("uid", u32_),
        ],
    );
    let data = data!(7_u32, -2_i32, 5_u64, *b"a b\0garbage.....", 0x1000_u64, 9_i32, 0_u32);
    assert_eq!(
        c.text(event, &data),
        "pid=7 ret=ENOENT(-2) duration_ns=5 comm='a b' sk=0x1000 sig=SIGKILL(9) uid=root(0)"
    );
    assert_eq!(
        c.json(event, &data),
        json!({"pid": 7, "ret": -2, "ret_text": "ENOENT", "duration_ns": 5, "comm": "a b",
               "sk": "0x1000", "sig": 9, "sig_text": "SIGKILL", "uid": 0, "uid_text": "root"})
    );
    // Short records: the fields that they contain.
    assert_eq!(c.text(event, &data[..8]), "pid=7 ret=ENOENT(-2)");
    assert_eq!(c.text(event, &data[..7]), "pid=7");
    assert_eq!(c.text(event, &[]), "");
    assert_eq!(
        c.json(event, &data[..18]),
        json!({"pid": 7, "ret": -2, "ret_text": "ENOENT",
        "duration_ns": 5, "comm": "a "})
    );
}

#[test]
fn hostile_strings_are_escaped_and_kept() {
    let mut c = C::default();
    let comm = c.chars(8);
    let event = c.record("event", &[("comm", comm)]);
    let data = *b"\xff\x1b[31m\n ";
    assert_eq!(c.text(event, &data), r"comm=$'\377\033[31m\n '");
    assert_eq!(
        c.json(event, &data),
        json!({"comm": "\u{fffd}\u{1b}[31m\n ", "comm_base64": "/xtbMzFtCiA="})
    );
}

#[test]
fn bytes_are_strings_by_name_only() {
    let mut c = C::default();
    let byte = c.unsigned(1);
    let bytes = c.array(byte, 4);
    let event = c.record("event", &[("comm", bytes), ("hash", bytes), ("pad", bytes)]);
    let data = *b"ab\0\0abcd\0\0\0\0";
    assert_eq!(c.text(event, &data), "comm=ab hash=61626364");
    assert_eq!(c.json(event, &data), json!({"comm": "ab", "hash": "61626364", "pad": "00000000"}));
    let hints = vec![(4, Hint::Text)];
    let options = Options { hints, ..Options::default() };
    assert_eq!(c.text_with(event, &data, options), "comm=ab hash=abcd");
}

#[test]
fn enums_and_flags() {
    let mut c = C::default();
    let values = |list: &[(&str, i64)]| list.iter().map(|&(n, v)| (n.into(), v)).collect();
    let kinds = values(&[("EXEC", 1), ("EXIT", 2)]);
    let kind = c.push("kind", Kind::Enum { bytes: 4, signed: false, values: kinds });
    let flags = values(&[("A", 1), ("B", 2), ("C", 4)]);
    let flags = c.push("flags", Kind::Enum { bytes: 4, signed: false, values: flags });
    let minus = values(&[("BAD", -1)]);
    let minus = c.push("minus", Kind::Enum { bytes: 4, signed: true, values: minus });
    let high = values(&[("HIGH", i64::from(i32::MIN))]);
    let high = c.push("high", Kind::Enum { bytes: 4, signed: false, values: high });
    let event = c.record("event", &[("kind", kind), ("other", kind), ("flags", flags)]);
    let data = data!(2_u32, 3_u32, 0x15_u32);
    assert_eq!(c.text(event, &data), "kind=EXIT(2) other=3 flags=A|C|0x10(21)");
    assert_eq!(
        c.json(event, &data),
        json!({"kind": 2, "kind_text": "EXIT", "other": 3, "flags": 21, "flags_text": "A|C|0x10"})
    );
    let event = c.record("event", &[("minus", minus), ("high", high)]);
    let data = data!(-1_i32, 0x8000_0000_u32);
    assert_eq!(c.text(event, &data), "minus=BAD(-1) high=HIGH(2147483648)");
}

#[test]
fn addresses_and_ports() {
    let mut c = C::default();
    let (u16_, u32_, byte) = (c.unsigned(2), c.unsigned(4), c.unsigned(1));
    let be16 = c.push("__be16", Kind::Typedef(u16_));
    let be32 = c.push("__be32", Kind::Typedef(u32_));
    let v6 = c.array(byte, 16);
    let address = c.union(&[("daddr_v4", u32_), ("daddr_v6", v6)]);
    let mac = c.array(byte, 6);
    let event = c.record(
        "event",
        &[
            ("saddr", be32),
            ("", address),
            ("dport", be16),
            ("lport", u16_),
            ("family", u16_),
            ("mac", mac),
            ("seq", be32),
        ],
    );
    let mut v6 = [0; 16];
    v6[0] = 0xfe;
    v6[1] = 0x80;
    v6[15] = 1;
    let mac = [2, 0, 0, 0, 0xab, 1];
    let data = data!([10_u8, 0, 0, 1], v6, [0_u8, 80], 443_u16, 10_u16, mac, [0_u8, 0, 0, 1]);
    assert_eq!(
        c.text(event, &data),
        "saddr=10.0.0.1 daddr_v6=fe80::1 dport=80 lport=443 family=AF_INET6(10) \
         mac=02:00:00:00:ab:01 seq=1"
    );
    let mut v4 = [0; 16];
    v4[0] = 127;
    v4[3] = 1;
    let data = data!([10_u8, 0, 0, 1], v4, [0_u8, 80], 443_u16, 2_u16);
    assert_eq!(
        c.text(event, &data),
        "saddr=10.0.0.1 daddr_v4=127.0.0.1 dport=80 lport=443 family=AF_INET(2)"
    );
    let json = c.json(event, &data);
    assert_eq!(json["saddr"], 0x0100_000a);
    assert_eq!(json["saddr_text"], "10.0.0.1");
    assert_eq!(json["daddr_v4_text"], "127.0.0.1");
    assert_eq!(json.get("daddr_v6"), None, "it has one member, not both");
    assert_eq!(json["dport"], 80);
}

#[test]
fn structs_that_are_addresses() {
    let mut c = C::default();
    let (byte, u16_, u32_) = (c.unsigned(1), c.unsigned(2), c.unsigned(4));
    let bytes = c.array(byte, 16);
    let words = c.array(u32_, 4);
    let inner = c.union(&[("u6_addr8", bytes), ("u6_addr32", words)]);
    let in6 = c.record("in6_addr", &[("in6_u", inner)]);
    let own = c.record("connect_address", &[("bytes", bytes)]);
    let event = c.record("event", &[("peer", own), ("a", in6), ("family", u16_)]);
    let mut v4 = [0; 16];
    v4[..4].copy_from_slice(&[192, 0, 2, 7]);
    let mut data = data!(v4, [0_u8; 15], 1_u8, 2_u16);
    assert_eq!(c.text(event, &data), "peer=192.0.2.7 a=::1 family=AF_INET(2)");
    data[32] = 10;
    assert_eq!(c.text(event, &data), "peer=c000:207:: a=::1 family=AF_INET6(10)");
}

#[test]
fn nested_structs_arrays_and_unions() {
    let mut c = C::default();
    let (byte, u16_, u32_) = (c.unsigned(1), c.unsigned(2), c.unsigned(4));
    let point = c.record("point", &[("x", u16_), ("y", u16_)]);
    let points = c.array(point, 2);
    let slots = c.array(u32_, 8);
    let raw = c.array(byte, 4);
    let named = c.union(&[("number", u32_), ("data", raw)]);
    let inner = c.record("", &[("first", point), ("points", points), ("u", named)]);
    let name = c.chars(3);
    let names = c.array(name, 2);
    let event =
        c.record("event", &[("in", inner), ("", point), ("slots", slots), ("names", names)]);
    let mut data = data!(1_u16, 2_u16, 3_u16, 4_u16, 5_u16, 6_u16, 0x0403_0201_u32, 7_u16, 8_u16);
    data.extend([1_u32, 1, 2, 0, 0, 0, 0, 0].map(u32::to_le_bytes).concat());
    data.extend(b"ab\0abc");
    assert_eq!(
        c.text(event, &data),
        "in.first.x=1 in.first.y=2 in.points=[{x=3,y=4},{x=5,y=6}] in.u.number?=67305985 \
         in.u.data?=01020304 x=7 y=8 slots=[1,1,2,0*5] names=[ab,abc]"
    );
    assert_eq!(
        c.json(event, &data),
        json!({"in": {"first": {"x": 1, "y": 2}, "points": [{"x": 3, "y": 4}, {"x": 5, "y": 6}],
                      "u": {"number": 67_305_985, "data": "01020304",
                            "fields_either": ["number", "data"]}},
               "x": 7, "y": 8, "slots": [1, 1, 2, 0, 0, 0, 0, 0], "names": ["ab", "abc"]})
    );
}

#[test]
fn bitfields_in_both_byte_orders() {
    let mut c = C::default();
    let (u32_, i32_) = (c.unsigned(4), c.signed(4));
    let field = |name: &str, ty, bit_offset, bits| Member {
        name: Some(name.into()),
        ty,
        bit_offset,
        bit_size: Some(bits),
    };
    let members = vec![field("a", u32_, 0, 3), field("b", i32_, 3, 7), field("c", u32_, 10, 22)];
    let event = c.push("event", Kind::Struct(Composite { bytes: 4, members }));
    let (a, b, rest) = (5_u32, 0x7e_u32, 9_u32);
    let little = (a | b << 3 | rest << 10).to_le_bytes();
    assert_eq!(c.text(event, &little), "a=5 b=-2 c=9");
    let big = (a << 29 | b << 22 | rest).to_be_bytes();
    let options = Options { big_endian: true, ..Options::default() };
    assert_eq!(c.text_with(event, &big, options), "a=5 b=-2 c=9");
}

#[test]
fn lengths_tails_and_lists() {
    let mut c = C::default();
    let (byte, u32_) = (c.unsigned(1), c.unsigned(4));
    let (rest, fixed) = (c.array(byte, 0), c.array(byte, 4));
    let event = c.record("event", &[("buf_len", u32_), ("buf", fixed), ("data", rest)]);
    let data = data!(2_u32, [1_u8, 2, 3, 4], [5_u8, 6, 7]);
    assert_eq!(c.text(event, &data), "buf_len=2 buf=0102 data=0506");
    let event = c.record("event", &[("len", u32_), ("data", rest)]);
    assert_eq!(c.text(event, &data!(2_u32, [5_u8, 6, 7])), "len=2 data=0506");
    assert_eq!(c.text(event, &data!(99_u32, [5_u8, 6, 7])), "len=99 data=050607");

    // Of numbers `len` counts elements, and `size` bytes.
    let numbers = c.array(u32_, 4);
    let event = c.record("event", &[("ids_len", u32_), ("ids", numbers)]);
    let data = data!(2_u32, 7_u32, 8_u32, 0_u32, 0_u32);
    assert_eq!(c.text(event, &data), "ids_len=2 ids=[7,8]");
    let event = c.record("event", &[("ids_size", u32_), ("ids", numbers)]);
    let data = data!(8_u32, 7_u32, 8_u32, 0_u32, 0_u32);
    assert_eq!(c.text(event, &data), "ids_size=8 ids=[7,8]");

    // Unless a helper gave it: those count bytes. An error is no length.
    let event = c.record("event", &[("ids_len", u32_), ("ids", numbers)]);
    let data = data!(8_u32, 7_u32, 8_u32, 9_u32, 0_u32);
    let options = Options { hints: vec![(0, Hint::Bytes)], ..Options::default() };
    assert_eq!(c.text_with(event, &data, options), "ids_len=8 ids=[7,8]");
    let pair = c.record("pair", &[("a", u32_), ("b", u32_)]);
    let pairs = c.array(pair, 2);
    let i32_ = c.signed(4);
    let event = c.record("event", &[("pairs_len", i32_), ("pairs", pairs)]);
    let data = data!(1_i32, 1_u32, 2_u32, 3_u32, 4_u32);
    assert_eq!(c.text(event, &data), "pairs_len=1 pairs=[{a=1,b=2}]");
    let data = data!(-14_i32, 1_u32, 2_u32, 3_u32, 4_u32);
    assert_eq!(c.text(event, &data), "pairs_len=-14 pairs=[]");

    let args = c.chars(16);
    let event = c.record("event", &[("args_size", u32_), ("args", args)]);
    let data = data!(9_u32, *b"ls\0-l a\0\0stale..");
    assert_eq!(c.text(event, &data), "args_size=9 args=[ls,'-l a']");
    assert_eq!(c.json(event, &data), json!({"args_size": 9, "args": ["ls", "-l a"]}));

    let event = c.record("event", &[("pid", u32_)]);
    let data = data!(1_u32, *b"/bin/true\0\0");
    assert_eq!(c.text(event, &data), "pid=1");
    let options = Options { tail: true, ..Options::default() };
    assert_eq!(c.text_with(event, &data, options), "pid=1 tail=/bin/true");
}

#[test]
fn times() {
    let mut c = C::default();
    let u64_ = c.unsigned(8);
    let event = c.record("event", &[("ts", u64_), ("ts_us", u64_), ("at", u64_)]);
    let hints = vec![(16, Hint::Time(Clock::Boot))];
    let options = Options { hints, ..Options::default() };
    let clocks = options.clocks.clone();
    let at = clocks.wall.rfc3339(1000 + clocks.suspended_ns);
    let data = data!(1000_u64, 1_u64, 1000_u64);
    let boot = clocks.wall.rfc3339(1000);
    let shown = c.text_with(event, &data, options.clone());
    assert_eq!(shown, format!("ts={at} ts_us={at} at={boot}"));
    let decoder = Decoder::new(&c.0, event, options.clone());
    let json = decoder.json(&data);
    // Only what a program surely read from a clock is the time of the event.
    assert_eq!(decoder.time_ns(&data), Some(1000));
    assert_eq!(decoder.time_ns(&data!(1000_u64, 1_u64, 0_u64)), None);
    assert_eq!(decoder.time_ns(&data!(1000_u64, 1_u64, u64::MAX)), None);
    assert_eq!(decoder.time_ns(&data[..20]), None);
    let hints = vec![(0, Hint::Time(Clock::Boot)), (16, Hint::Time(Clock::Boot))];
    let both = Decoder::new(&c.0, event, Options { hints, ..options.clone() });
    assert_eq!(both.time_ns(&data!(7_u64, 1_u64, 5_u64)), Some(7), "the latest");
    assert_eq!(json["ts"], 1000);
    assert_eq!(json["ts_text"], at);
    // A value that cannot be a time is a number.
    let data = data!(0_u64, u64::MAX, 1_u64 << 62);
    let shown = c.text_with(event, &data, options);
    assert_eq!(shown, "ts=0 ts_us=18446744073709551615 at=4611686018427387904");
}

#[test]
fn scalars_floats_and_wide_numbers() {
    let mut c = C::default();
    let (u64_, wide) = (c.unsigned(8), c.unsigned(16));
    let double = c.push("double", Kind::Float { bytes: 8 });
    let bool_ = c.int("_Bool", 1, Encoding::Bool);
    assert_eq!(c.text(u64_, &data!(7_u64)), "value=7");
    let event = c.record("event", &[("d", double), ("wide", wide), ("ok", bool_)]);
    let data = data!(1.5_f64, [0xff_u8; 16], 1_u8);
    assert_eq!(c.text(event, &data), "d=1.5 wide=340282366920938463463374607431768211455 ok=true");
    assert_eq!(
        c.json(event, &data),
        json!({"d": 1.5, "wide": "340282366920938463463374607431768211455", "ok": true})
    );
}

#[test]
fn keys_do_not_collide() {
    let mut c = C::default();
    let i32_ = c.signed(4);
    let event = c.record("event", &[("ret", i32_), ("ret_text", i32_)]);
    assert_eq!(
        c.json(event, &data!(-2_i32, 7_i32)),
        json!({"ret": -2, "ret_text_": "ENOENT", "ret_text": 7})
    );
}

#[test]
fn absurd_types_end() {
    let mut c = C::default();
    let byte = c.unsigned(1);
    let empty = c.record("empty", &[]);
    let many_empty = c.array(empty, u64::MAX);
    let huge = c.array(byte, u64::MAX);
    // A struct of itself, several times.
    let next = u32::try_from(c.0.len()).unwrap();
    let own = Member { name: Some("x".into()), ty: TypeId(next), bit_offset: 0, bit_size: None };
    let members = vec![own; 10];
    let own = c.push("own", Kind::Struct(Composite { bytes: 8, members }));
    let bits = Member { name: Some("b".into()), ty: byte, bit_offset: 3, bit_size: Some(9999) };
    let odd = Member { name: Some("o".into()), ty: byte, bit_offset: u32::MAX, bit_size: None };
    let members = vec![bits, odd];
    let odd = c.push("odd", Kind::Struct(Composite { bytes: u64::MAX, members }));
    let odds = c.array(odd, 3);
    for ty in [many_empty, huge, own, odd, odds, TypeId(u32::MAX), TypeId::VOID] {
        let data = [1; 64];
        assert!(c.text(ty, &data).len() < 1 << 22);
        c.json(ty, &data);
    }
}

#[test]
fn long_events_are_cut() {
    let mut c = C::default();
    let u32_ = c.unsigned(4);
    let all = c.array(u32_, 0);
    let data: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let shown = c.text(all, &data);
    assert!(shown.ends_with(",…]"), "{}", &shown[shown.len() - 20..]);
    assert!(c.json(all, &data)["value"].as_array().unwrap().len() <= MAX_VALUES);
}

#[test]
fn numbers_that_readers_round_are_strings_too() {
    let mut c = C::default();
    let (wide, signed) = (c.unsigned(8), c.signed(8));
    let list = c.array(wide, 2);
    let event = c.record("event", &[("number", wide), ("least", signed), ("list", list)]);
    let exact = 1_u64 << 53;
    assert_eq!(
        c.json(event, &data!(exact, -1_i64, 1_u64, 2_u64)),
        json!({"number": exact, "least": -1, "list": [1, 2]})
    );
    assert_eq!(
        c.json(event, &data!(exact + 1, i64::MIN, 1_u64, u64::MAX)),
        json!({"number": exact + 1, "number_text": "9007199254740993",
               "least": i64::MIN, "least_text": "-9223372036854775808",
               "list": [1, u64::MAX], "list_text": [1, "18446744073709551615"]})
    );
}

#[test]
fn a_value_without_members_is_itself() {
    let mut c = C::default();
    let number = c.unsigned(4);
    let record = c.record("record", &[("value", number)]);
    let json =
        |ty| Decoder::new(&c.0, ty, Options::default()).json_value(&data!(5_u32), &Budget::new(1));
    assert_eq!(json(number), json!(5));
    assert_eq!(json(record), json!({"value": 5}));
}

/// A field in both orders, with what the program tells.
fn ordered(order: Order, bytes: u16, sure: bool) -> Hint {
    Hint::Order { order, bytes, sure }
}

#[test]
fn what_a_program_swapped_is_not_swapped_again() {
    let mut c = C::default();
    let (u16_, u32_, byte) = (c.unsigned(2), c.unsigned(4), c.unsigned(1));
    let be16 = c.push("__be16", Kind::Typedef(u16_));
    let be32 = c.push("__be32", Kind::Typedef(u32_));
    let quad = c.array(byte, 4);
    let fields = [("saddr", u32_), ("daddr", be32), ("sport", u16_), ("dport", be16)];
    let event = c.record("event", &fields);
    let show = |hints: &[(u64, Hint)]| {
        let options = Options { hints: hints.to_vec(), ..Options::default() };
        c.text_with(event, &data!([1_u8, 0, 0, 10], [1_u8, 0, 0, 10], 443_u16, 443_u16), options)
    };
    assert_eq!(show(&[]), "saddr=1.0.0.10 daddr=1.0.0.10 sport=443 dport=47873");
    let host = |sure| {
        [0, 4]
            .map(|at| (at, ordered(Order::Host, 4, sure)))
            .into_iter()
            .chain([8, 10].map(|at| (at, ordered(Order::Host, 2, sure))))
            .collect::<Vec<_>>()
    };
    assert_eq!(show(&host(true)), "saddr=10.0.0.1 daddr=10.0.0.1 sport=443 dport=443");
    // What is only likely does not overrule a type.
    assert_eq!(show(&host(false)), "saddr=10.0.0.1 daddr=1.0.0.10 sport=443 dport=47873");
    let network = ordered(Order::Network, 2, true);
    assert_eq!(
        show(&[(8, network), (10, network)]).split_once("sport").unwrap().1,
        "=47873 dport=47873"
    );
    // In either order: a number, and no address.
    let shown = show(&[(0, Hint::AnyOrder), (10, Hint::AnyOrder)]);
    assert_eq!(shown, "saddr=167772161 daddr=1.0.0.10 sport=443 dport=443");

    let event = c.record("event", &[("daddr", quad), ("port", u32_)]);
    let hints = vec![(0, ordered(Order::Host, 4, true)), (4, ordered(Order::Network, 2, true))];
    let options = Options { hints, ..Options::default() };
    let decoder = Decoder::new(&c.0, event, options);
    let data = data!([1_u8, 0, 0, 10], [0_u8, 80, 0, 0]);
    let mut shown = String::new();
    decoder.text(&data, &mut shown);
    assert_eq!(shown, "daddr=10.0.0.1 port=80");
    assert_eq!(
        decoder.json(&data),
        json!({"daddr": 0x0a00_0001, "daddr_text": "10.0.0.1", "port": 80})
    );
}

#[test]
fn addresses_of_16_bytes_are_shown_by_their_family() {
    let mut c = C::default();
    let (wide, u16_, u32_, byte) = (c.unsigned(16), c.unsigned(2), c.unsigned(4), c.unsigned(1));
    let v6 = c.array(byte, 16);
    let either = c.union(&[("v4", u32_), ("v6", v6)]);
    let event = c.record("event", &[("family", u16_), ("saddr_v6", wide), ("daddr", either)]);
    // Behind the IPv4 address is what was there before.
    let mut stale = [0x20_u8; 16];
    stale[..4].copy_from_slice(&[10, 0, 0, 1]);
    let shown = |family: u16| c.text(event, &data!(family, stale, stale));
    assert_eq!(shown(2), "family=AF_INET(2) saddr_v6=10.0.0.1 daddr.v4=10.0.0.1");
    let all = "a00:1:2020:2020:2020:2020:2020:2020";
    assert_eq!(shown(10), format!("family=AF_INET6(10) saddr_v6={all} daddr.v6={all}"));
    let mut mapped = [0_u8; 16];
    mapped[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 1]);
    let data = data!(2_u16, mapped, mapped);
    assert!(c.text(event, &data).contains("saddr_v6=10.0.0.1 "));
    // A version can be one of something else.
    let event = c.record("event", &[("version", u16_), ("saddr", wide)]);
    assert_eq!(c.text(event, &data!(4_u16, stale)), format!("version=4 saddr={all}"));
    // The program stores the address as a number.
    let event = c.record("event", &[("family", u16_), ("saddr", v6)]);
    let hints = vec![(2, ordered(Order::Host, 4, true))];
    let options = Options { hints, ..Options::default() };
    let mut swapped = [0_u8; 16];
    swapped[..4].copy_from_slice(&[1, 0, 0, 10]);
    let shown = c.text_with(event, &data!(2_u16, swapped), options);
    assert_eq!(shown, "family=AF_INET(2) saddr=10.0.0.1");
}

#[test]
fn one_member_of_a_union_is_shown_if_it_can_be_told() {
    let mut c = C::default();
    let (u32_, u64_) = (c.unsigned(4), c.unsigned(8));
    let opened = c.record("opened", &[("flags", u32_), ("mode", u32_)]);
    let closed = c.record("closed", &[("fd", u64_)]);
    let union = c.union(&[("opened", opened), ("closed", closed)]);
    let event = c.record("event", &[("kind", u32_), ("", union)]);
    let arms = [(1, 0), (2, 1)].into();
    let choice = Choice { union: 4, ty: union, at: 0, bytes: 4, arms };
    let options = Options { choices: vec![choice], ..Options::default() };
    let decoder = Decoder::new(&c.0, event, options.clone());
    let data = |kind: u32| data!(kind, 7_u32, 0_u32);
    assert_eq!(
        c.text_with(event, &data(1), options.clone()),
        "kind=1 opened.flags=0x7 opened.mode=0"
    );
    assert_eq!(c.text_with(event, &data(2), options.clone()), "kind=2 closed.fd=7");
    assert_eq!(decoder.json(&data(2)), json!({"kind": 2, "closed": {"fd": 7}}));
    // Neither: both, marked.
    let both = "kind=3 opened?.flags=0x7 opened?.mode=0 closed?.fd=7";
    assert_eq!(c.text_with(event, &data(3), options), both);
    assert_eq!(
        decoder.json(&data(3)),
        json!({"kind": 3, "opened": {"flags": 7, "flags_text": "0x7", "mode": 0}, "closed": {"fd": 7},
               "fields_either": ["opened", "closed"]})
    );
}

#[test]
fn unions_of_addresses_without_versions_in_their_names() {
    let mut c = C::default();
    let (u16_, u32_, byte) = (c.unsigned(2), c.unsigned(4), c.unsigned(1));
    let bytes = c.array(byte, 16);
    let union = c.union(&[("addr", u32_), ("long_addr", bytes)]);
    let event = c.record("event", &[("family", u16_), ("", union)]);
    let mut address = [0_u8; 16];
    address[..4].copy_from_slice(&[10, 0, 0, 1]);
    let shown = |family: u16| c.text(event, &data!(family, address));
    assert_eq!(shown(2), "family=AF_INET(2) addr=10.0.0.1");
    assert_eq!(shown(10), "family=AF_INET6(10) long_addr=a00:1::");
    assert_eq!(shown(7), "family=7 addr?=10.0.0.1 long_addr?=a00:1::");
}
