//! Calls read from lines of JSON: the records that the programs would have sent.

use super::flags::{self, HUGE_SHIFT, MAP, MAP_HUGETLB, Names, PROT, RWX};
use crate::engine::recorded::{Line, Reading};
use crate::engine::replay::Recorded;
use crate::engine::stack::Stack;
use crate::host::errno;
use crate::output::escape::is_plain;
use crate::skel::{mmap_event, mmap_extra, mmap_kind, mmap_note};

/// A call, and what a row shows besides its record.
#[derive(Clone, Debug)]
pub struct Told {
    /// For [`super::Call::decode`]
    pub record: Vec<u8>,
    /// Why `--wx` showed it
    pub wx: Vec<String>,
    /// The caller's stacks, if they were recorded
    pub stacks: Option<Stack>,
}

/// The kind of call of an event; `None`: this is no call.
pub fn kind(event: &str) -> Option<(mmap_kind, &'static str)> {
    Some(match event {
        "memory.map" => (mmap_kind::MMAP_MAP, "mmap"),
        "memory.unmap" => (mmap_kind::MMAP_UNMAP, "munmap"),
        "memory.protect" => (mmap_kind::MMAP_PROTECT, "mprotect"),
        "memory.remap" => (mmap_kind::MMAP_REMAP, "mremap"),
        "memory.break" => (mmap_kind::MMAP_BREAK, "brk"),
        "memory.advise" => (mmap_kind::MMAP_ADVISE, "madvise"),
        "memory.attach" => (mmap_kind::MMAP_ATTACH, "shmat"),
        _ => return None,
    })
}

/// Reads a call of this kind, whose members are in `object`.
pub fn read(event: &Recorded<'_>, kind: mmap_kind, object: &'static str) -> Reading<Told> {
    let members = Members { line: event.line, object };
    let mut fixed = mmap_event { id: event.id.to_owned().into(), kind, fd: -1, ..nothing() };
    fixed.ret = match event.line.text("error.type")? {
        None => members.hex("address")?.unwrap_or(0) as i64,
        Some(name) => {
            let number = errno::number(name).ok_or("error.type is not an error")?;
            -i64::from(number)
        }
    };
    members.arguments(&mut fixed)?;
    let (extra, notes, path) = members.extra()?;
    fixed.notes = mmap_note(notes);
    fixed.path_len = u16::try_from(path.len()).map_err(|_| "file.path is too long")?;
    // SAFETY: plain integers without padding.
    let mut record = unsafe { plain::as_bytes(&fixed) }.to_vec();
    if notes & mmap_note::MMAP_EXTRA.0 != 0 {
        // SAFETY: plain integers without padding.
        record.extend_from_slice(unsafe { plain::as_bytes(&extra) });
        record.extend_from_slice(&path);
    }
    Ok(Told { record, wx: members.wx()?, stacks: stacks(event.line)? })
}

fn nothing() -> mmap_event {
    mmap_event { notes: mmap_note::MMAP_PLAIN, ..mmap_event::default() }
}

/// The members of a call.
struct Members<'a> {
    line: &'a Line,
    object: &'static str,
}

impl Members<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.object)
    }

    fn hex(&self, name: &str) -> Reading<Option<u64>> {
        self.line.hex(&self.key(name))
    }

    fn number(&self, name: &str) -> Reading<u64> {
        let key = self.key(name);
        self.line.number(&key)?.ok_or_else(|| format!("no {key}"))
    }

    fn needed_hex(&self, name: &str) -> Reading<u64> {
        self.hex(name)?.ok_or_else(|| format!("no {}", self.key(name)))
    }

    fn fd(&self, name: &str) -> Reading<i32> {
        Ok(self.line.signed(&self.key(name))?.unwrap_or(-1))
    }

    /// The bits of a list of names and numbers.
    fn bits(&self, name: &str, lists: &[Names]) -> Reading<u64> {
        let key = self.key(name);
        let parts = self.line.texts(&key)?.ok_or_else(|| format!("no {key}"))?;
        let mut bits = parts.iter().map(|part| bits_of(part, lists));
        let all = bits.try_fold(0, |all, bits| Some(all | bits?));
        all.ok_or_else(|| format!("{key} has an unknown name"))
    }

    /// Argument by argument.
    fn arguments(&self, call: &mut mmap_event) -> Reading<()> {
        match call.kind {
            mmap_kind::MMAP_PROTECT | mmap_kind::MMAP_UNMAP | mmap_kind::MMAP_ADVISE => {
                call.addr = self.needed_hex("address")?;
                call.len = self.number("length_bytes")?;
                // Not the result.
                call.ret = call.ret.min(0);
                if call.ret == call.addr as i64 {
                    call.ret = 0;
                }
            }
            mmap_kind::MMAP_BREAK => {
                call.addr = self.hex("requested")?.unwrap_or(0);
                call.ret = self.needed_hex("address")? as i64;
            }
            mmap_kind::MMAP_REMAP => {
                call.addr = self.needed_hex("old_address")?;
                call.len = self.number("old_length_bytes")?;
                call.offset = self.number("length_bytes")?;
                call.flags = self.bits("flags", &[flags::REMAP])?;
                call.prot = self.hex("hint")?.unwrap_or(0);
            }
            mmap_kind::MMAP_ATTACH => {
                call.fd = self.fd("id")?;
                call.addr = self.hex("hint")?.unwrap_or(0);
                call.prot = self.bits("prot", &[RWX, PROT])?;
                call.flags = self.bits("flags", &[flags::SHM])?;
            }
            _ => {
                call.addr = self.hex("hint")?.unwrap_or(0);
                call.len = self.number("length_bytes")?;
                call.prot = self.bits("prot", &[RWX, PROT])?;
                call.flags = self.bits("flags", &[flags::TYPES, MAP])? | self.huge_pages()?;
                call.fd = self.fd("fd")?;
                call.offset = self.number("offset_bytes")?;
            }
        }
        match call.kind {
            mmap_kind::MMAP_PROTECT => {
                call.prot = self.bits("prot", &[RWX, PROT])?;
                call.fd = self.fd("key")?;
            }
            mmap_kind::MMAP_ADVISE => {
                let key = self.key("advice");
                let name = self.line.text(&key)?.ok_or_else(|| format!("no {key}"))?;
                let advice = bits_of(name, &[flags::ADVICE]);
                call.prot = advice.ok_or_else(|| format!("{key} is unknown"))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn huge_pages(&self) -> Reading<u64> {
        let key = self.key("huge_page_bytes");
        let Some(bytes) = self.line.number::<u64>(&key)? else { return Ok(0) };
        if !bytes.is_power_of_two() {
            return Err(format!("{key} is not a power of two"));
        }
        Ok(MAP_HUGETLB | u64::from(bytes.trailing_zeros()) << HUGE_SHIFT)
    }

    /// What only some calls have; the notes; the path.
    fn extra(&self) -> Reading<(mmap_extra, u32, Vec<u8>)> {
        let mut extra = mmap_extra::default();
        let mut notes = 0;
        let mut path = Vec::new();
        if self.line.has("file") {
            notes |= mmap_note::MMAP_FILE.0;
            (extra.dev, extra.inode) = file_id(self.line)?;
            path = self.line.bytes("file.path")?.unwrap_or_default();
            let flag = |key: &str, note: mmap_note| {
                Ok::<_, String>(if self.line.flag(key)? { note.0 } else { 0 })
            };
            notes |= flag("file.path_cut", mmap_note::MMAP_PATH_CUT)?;
            notes |= flag("file.deleted", mmap_note::MMAP_PATH_DELETED)?;
        }
        if self.line.has(&self.key("vma")) {
            notes |= mmap_note::MMAP_VMA.0;
            extra.vma_start = self.needed_hex("vma.start")?;
            extra.vma_end = self.needed_hex("vma.end")?;
            extra.vma_flags = self.needed_hex("vma.flags")?;
        }
        if let Some(duration) = self.line.number(&self.key("duration_ns"))? {
            notes |= mmap_note::MMAP_DURATION.0;
            extra.duration_ns = duration;
        }
        let unseen = self.line.number::<u64>(&self.key("unseen_bytes"))?.unwrap_or(0);
        extra.unseen_kib = u32::try_from(unseen >> 10).unwrap_or(u32::MAX);
        if notes != 0 || unseen != 0 {
            notes |= mmap_note::MMAP_EXTRA.0;
        }
        if self.line.flag(&self.key("compat"))? {
            notes |= mmap_note::MMAP_COMPAT.0;
        }
        Ok((extra, notes, path))
    }

    /// The reasons are shown as they are: a file must not send anything else to the terminal.
    fn wx(&self) -> Reading<Vec<String>> {
        let key = self.key("wx");
        let reasons = self.line.texts(&key)?.unwrap_or_default();
        if reasons.iter().any(|reason| !reason.chars().all(is_plain)) {
            return Err(format!("{key} has characters that are never written"));
        }
        Ok(reasons.into_iter().map(str::to_owned).collect())
    }
}

/// The value of a name or of `0x…`.
fn bits_of(part: &str, lists: &[Names]) -> Option<u64> {
    let mut named = lists.iter().flat_map(|names| names.iter());
    let digits = || part.strip_prefix("0x").filter(|digits| !digits.starts_with('+'));
    let known = named.find(|(_, name)| *name == part).map(|(bits, _)| *bits);
    known.or_else(|| u64::from_str_radix(digits()?, 16).ok())
}

fn file_id(line: &Line) -> Reading<(u32, u64)> {
    let device = line.text("file.device")?.ok_or("no file.device")?;
    let numbers = device.split_once(':').and_then(|(major, minor)| {
        let (major, minor) = (major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?);
        (major < 1 << 12 && minor < 1 << 20).then_some(major << 20 | minor)
    });
    let inode = line.text("file.inode")?.ok_or("no file.inode")?;
    let inode = inode.parse().map_err(|_| "file.inode is not a number")?;
    Ok((numbers.ok_or("file.device is not a device")?, inode))
}

fn stacks(line: &Line) -> Reading<Option<Stack>> {
    if !line.has("stack") {
        return Ok(None);
    }
    let names = |key: &str| {
        let names = line.texts(key)?.unwrap_or_default();
        Ok::<_, String>(names.into_iter().map(str::to_owned).collect())
    };
    Ok(Some(Stack {
        kernel: names("stack.kernel")?,
        kernel_cut: line.flag("stack.kernel_cut")?,
        user: names("stack.user")?,
        user_cut: line.flag("stack.user_cut")?,
        user_unseen: line.flag("stack.user_unseen")?,
    }))
}

impl Told {
    /// As if the resulting mapping had not been asked for.
    pub fn leave_out_mapping(&mut self) {
        self.leave_out(mmap_note::MMAP_VMA);
    }

    /// As if the latency had not been asked for.
    pub fn leave_out_latency(&mut self) {
        self.leave_out(mmap_note::MMAP_DURATION);
    }

    fn leave_out(&mut self, note: mmap_note) {
        let mut fixed = mmap_event::default();
        if plain::copy_from_bytes(&mut fixed, &self.record).is_ok() {
            fixed.notes.0 &= !note.0;
            // SAFETY: plain integers without padding.
            let bytes = unsafe { plain::as_bytes(&fixed) };
            self.record.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::recorded::testing::line;
    use crate::engine::session::Place;
    use crate::skel::{decode, task_id};
    use crate::tools::mmapsnoop::Call;
    use crate::tools::mmapsnoop::json::{Context, Lines};
    use crate::tools::mmapsnoop::text::{self, Options, Table};

    fn json(call: &Call<'_>, told: &Told) -> String {
        let context = Context {
            timestamp: "1970-01-01T00:00:00.000000007Z",
            place: Place { cgroup: Some(b"/a"), ..Place::default() },
            wx: &told.wx,
            stacks: told.stacks.as_ref(),
        };
        let mut out = Vec::new();
        Lines::default().push(&mut out, call, &context);
        String::from_utf8(out).unwrap()
    }

    /// A row with every column.
    fn row(call: &Call<'_>, told: &Told) -> String {
        let options =
            Options { calls: true, vma: true, latency: true, uid: true, ..Options::default() };
        let names = "uid,pid,ppid,tid,comm,call,addr,len,prot,flags,fd,offset,lat,vma,path/result";
        let names: Vec<_> = names.split(',').map(str::to_owned).collect();
        let mut out = Vec::new();
        for table in [Table::new(options), Table::choose(options, &names).unwrap()] {
            let columns = table.columns.clone();
            let mut line = crate::output::table::Line::new(&mut out, &columns);
            table.row(&mut line, call, &text::Context { wx: &told.wx, ..text::Context::default() });
        }
        String::from_utf8(out).unwrap()
    }

    prop_compose! {
        fn any_told()(fixed in prop::collection::vec(any::<u8>(), size_of::<mmap_event>()),
            more in prop::collection::vec(any::<u8>(), size_of::<mmap_extra>()),
            kind in 1u32..8, error in prop::option::of(1i64..133), path in prop::option::of("/[a-z]{0,3}"),
            prot in prop_oneof![0u64..8, any::<u64>()], flags in prop_oneof![0u64..64, any::<u32>().prop_map(u64::from), any::<u64>()],
            wx in prop::collection::vec("[a-z ,]{1,9}", 0..3), with_stacks: bool) -> Told {
            let mut event: mmap_event = decode(&fixed).unwrap();
            let mut extra: mmap_extra = decode(&more).unwrap();
            event.id.time_ns = 7;
            (event.id.comm[15], event.id.thread_comm[15]) = (0, 0);
            (event.kind, event.prot, event.flags) = (mmap_kind(kind), prot, flags);
            let notes = mmap_note::MMAP_FILE.0 | mmap_note::MMAP_PATH_CUT.0 | mmap_note::MMAP_PATH_DELETED.0;
            event.notes.0 &= mmap_note::MMAP_COMPAT.0 | mmap_note::MMAP_VMA.0 | mmap_note::MMAP_DURATION.0 | notes;
            if path.is_none() {
                event.notes.0 &= !notes;
            } else {
                event.notes.0 |= mmap_note::MMAP_FILE.0;
            }
            event.notes.0 |= mmap_note::MMAP_EXTRA.0;
            let path = path.unwrap_or_default();
            event.path_len = path.len() as u16;
            // What a kernel returns.
            event.ret = match (error, event.kind) {
                (_, mmap_kind::MMAP_BREAK) => (event.ret as u64 >> 17) as i64,
                (Some(error), _) => -error,
                (None, mmap_kind::MMAP_UNMAP | mmap_kind::MMAP_PROTECT | mmap_kind::MMAP_ADVISE) => 0,
                (None, _) => (event.ret as u64 >> 17) as i64,
            };
            match event.kind {
                mmap_kind::MMAP_PROTECT => event.fd = if event.fd < 0 { -1 } else { event.fd },
                mmap_kind::MMAP_REMAP if flags & flags::MREMAP_FIXED == 0 => event.prot = 0,
                mmap_kind::MMAP_UNMAP | mmap_kind::MMAP_BREAK => event.prot = 0,
                mmap_kind::MMAP_ADVISE => event.prot &= 0xffff_ffff,
                _ => {}
            }
            (extra.kernel_frames, extra.user_frames, extra.owners) = (0, 0, 0);
            extra.unseen_kib &= 0xff;
            // SAFETY: plain integers without padding.
            let mut record = unsafe { plain::as_bytes(&event) }.to_vec();
            // SAFETY: plain integers without padding.
            record.extend_from_slice(unsafe { plain::as_bytes(&extra) });
            record.extend_from_slice(path.as_bytes());
            let stacks = with_stacks.then(|| Stack {
                kernel: vec!["a b".to_owned()], kernel_cut: true, user: vec!["\u{1b}".to_owned()], user_cut: false, user_unseen: true,
            });
            Told { record, wx, stacks }
        }
    }

    proptest! {
        #[test]
        fn a_line_has_all_that_rows_show(told in any_told()) {
            let call = Call::decode(&told.record).unwrap();
            let text = json(&call, &told);
            let line = line(&text);
            let id = line.id().unwrap();
            let (kind, object) = kind(line.event().unwrap()).unwrap();
            let event = Recorded { name: line.event().unwrap(), id: &id, cgroup: Some(b"/a"), line: &line };
            let again = read(&event, kind, object).unwrap();
            let call_again = Call::decode(&again.record).unwrap();
            prop_assert_eq!(json(&call_again, &again), text.clone());
            prop_assert_eq!(row(&call_again, &again), row(&call, &told), "{}", text);
        }

        #[test]
        fn no_line_makes_it_panic(
            key in "mmap.(hint|length_bytes|prot|flags|huge_page_bytes|address|vma.start)|file.(device|inode|path)|error.type",
            value in r#"-?[0-9]{1,20}|"(0x)?[0-9a-f+]{0,20}"|"[0-9]{0,12}:[0-9]{0,12}"|\["[A-Z]{0,9}"\]|true|\{\}"#,
        ) {
            let nested = key.split('.').rev().fold(value, |inner, part| format!("{{\"{part}\":{inner}}}"));
            let Ok(line) = Line::parse(nested.as_bytes(), 0) else { return Ok(()) };
            let id = task_id::default();
            for name in ["memory.map", "memory.remap", "memory.break", "memory.attach"] {
                let (kind, object) = kind(name).unwrap();
                let event = Recorded { name, id: &id, cgroup: None, line: &line };
                let _ = read(&event, kind, object).map(|told| Call::decode(&told.record).is_some());
            }
        }
    }

    #[test]
    fn reasons_reach_the_terminal_as_they_are() {
        let line = line(r#"{"mmap":{"wx":["\u001b[31m"]}}"#);
        assert!(Members { line: &line, object: "mmap" }.wx().is_err());
    }
}
