//! Shows every mmap(), with its result and its file, and with `--all` the other calls that change
//! mappings.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};

use snoop_tools::engine::backend::Backend;
use snoop_tools::engine::cli::CommonArgs;
use snoop_tools::engine::errand::Errand;
use snoop_tools::engine::interval::Interval;
use snoop_tools::engine::manual::Manual;
use snoop_tools::engine::progress::counted;
use snoop_tools::engine::replay::Replay;
use snoop_tools::engine::session::{Session, say};
use snoop_tools::engine::stack::{self, Addresses, Owner, Stack, Symbols};
use snoop_tools::engine::tool::{self, Loaded, Open, Refused, Tool};
use snoop_tools::host::memory::page_size;
use snoop_tools::output::row::docs;
use snoop_tools::output::table;
use snoop_tools::output::time::boot_now_ns;
use snoop_tools::skel::mmap::MmapSkelBuilder;
use snoop_tools::skel::{
    mmap_backing, mmap_config, mmap_filter, mmap_kind, mmap_mode, mmap_prefix,
};
use snoop_tools::tools::mmapsnoop::args::{self, Args};
use snoop_tools::tools::mmapsnoop::fields::FIELDS;
use snoop_tools::tools::mmapsnoop::filters::{self, prefixes};
use snoop_tools::tools::mmapsnoop::replay::Calls;
use snoop_tools::tools::mmapsnoop::rows::Rows;
use snoop_tools::tools::mmapsnoop::summary::Reader;
use snoop_tools::tools::mmapsnoop::text::{Options, Table};
use snoop_tools::tools::mmapsnoop::wx::Reasons;
use snoop_tools::tools::mmapsnoop::wx_sums::Sums;
use snoop_tools::tools::mmapsnoop::{Call, FRAMES, hooks, summary_rows};

fn main() -> ExitCode {
    tool::main::<Mmapsnoop>()
}

struct Mmapsnoop {
    args: Args,
    rows: Rows,
    reasons: Reasons,
    /// What paths begin with
    prefixes: Vec<String>,
    /// With `--summary`: the interval,
    interval: Option<Interval>,
    /// and the reader of its maps; with `--wx` instead the sums
    reader: Reader,
    sums: Sums,
    symbols: Symbols,
}

impl Tool for Mmapsnoop {
    const NAME: &'static str = "mmapsnoop";
    const MANUAL: Manual = Manual { fields: Some(|| docs(FIELDS)), ..args::MANUAL };
    type Args = Args;
    type Builder = MmapSkelBuilder;

    fn new(mut args: Args) -> Result<Self, Refused> {
        if args.min_size.zip(args.max_size).is_some_and(|(min, max)| min > max) {
            let message = "--min-size is above --max-size: nothing could match";
            return Err(message.to_owned().into());
        }
        if args.summary.is_some() && args.common.filter.is_some() {
            let message = "--filter chooses single calls, and --summary has only their numbers";
            return Err(message.to_owned().into());
        }
        let options = Options {
            time: args.common.shows_time(),
            time_form: args.common.time_form(),
            timestamp: args.common.timestamp,
            uid: args.common.print_uid,
            container: args.common.containers,
            login: args.common.login,
            ancestors: args.common.ancestors.is_some(),
            calls: args.all || args.wx,
            vma: args.vma,
            latency: args.latency,
            bytes: args.bytes,
        };
        let table = Table::choose(options, &args.common.columns)?;
        args.vma |= table.shows("VMA");
        args.latency |= table.shows("LAT(us)");
        Ok(Self {
            rows: Rows::new(table, args.folded),
            reasons: Reasons::default(),
            prefixes: args.path.as_deref().map_or(Ok(Vec::new()), prefixes)?,
            interval: args.summary.map(Interval::new),
            reader: Reader::default(),
            sums: Sums::default(),
            symbols: Symbols::new(FRAMES),
            args,
        })
    }

    fn common(&self) -> &CommonArgs {
        &self.args.common
    }

    fn replay(self) -> Result<Box<dyn Replay>, Refused> {
        Ok(Box::new(Calls::new(self.args, self.rows.table, self.prefixes)?))
    }

    fn backends(&self) -> Vec<Backend> {
        hooks::backends(hooks::Wanted {
            all: self.args.all,
            wx: self.args.wx,
            vma: self.args.vma,
            latency: self.args.latency,
            file: self.args.path.is_some(),
            filtered: self.args.wx
                || self.args.path.is_some()
                || self.filters() != mmap_filter::MMAP_ANY_CALL
                || self.args.common.filters(),
        })
    }

    fn errand(&self) -> Option<Errand> {
        (self.args.stacks || self.args.folded).then_some(stack::errand)
    }

    fn configure(&self, open: &mut Open<Self>) -> Result<()> {
        let rodata = open.maps.rodata_data.as_deref_mut().context("no .rodata")?;
        rodata.mmap_config = self.config();
        let buffer = self.args.common.buffer_size.is_some();
        let summary = self.counts_in_kernel();
        hooks::size_maps(&mut open.maps, buffer, self.args.latency, summary)
    }

    fn start(&mut self, _: &Loaded<Self>, session: &mut Session) -> Result<()> {
        if self.errand().is_some() {
            stack::hidden_names().iter().for_each(|line| say(Self::NAME, line));
        }
        if let Some(period) = self.args.summary {
            self.interval = Some(Interval::new(period));
        } else if !self.args.folded {
            session.heading(&self.rows.table.columns);
        }
        Ok(())
    }

    fn event(&mut self, record: &[u8], session: &mut Session) -> Result<()> {
        let call = Call::decode(record).context("a record that ends too early")?;
        if !self.args.wx {
            return self.show(&call, &[], session);
        }
        let reasons = self.reasons.of(&call);
        if reasons.is_empty() {
            return Ok(());
        }
        if self.args.summary.is_some() {
            self.sums.add(&call, reasons);
            return Ok(());
        }
        self.show(&call, &reasons, session)
    }

    fn values(id: &str) -> Option<Vec<String>> {
        filters::values(id)
    }

    fn progress(&self, session: &Session) -> Option<String> {
        if let Some(interval) = &self.interval {
            let seconds = interval.left().as_secs() + 1;
            return Some(format!("totals in {}", table::count(seconds, "second")));
        }
        self.args.folded.then(|| counted(session.events(), "call", "calls"))
    }

    fn next_tick(&self) -> Option<Duration> {
        self.interval.map(|interval| interval.left())
    }

    fn tick(&mut self, object: &Loaded<Self>, session: &mut Session) -> Result<()> {
        let is_due = self.interval.as_mut().is_some_and(Interval::is_due);
        if is_due { self.show_summary(false, object, session) } else { Ok(()) }
    }

    fn finish(&mut self, object: &Loaded<Self>, session: &mut Session) -> Result<()> {
        if self.args.folded {
            session.out.raw(self.rows.folded.lines())?;
        }
        self.note_what_was_not_followed(object, session);
        self.show_summary(true, object, session)
    }
}

impl Mmapsnoop {
    /// Totals since the previous summary, if summaries are asked for; `last`: nothing comes after it.
    fn show_summary(
        &mut self,
        last: bool,
        object: &Loaded<Self>,
        session: &mut Session,
    ) -> Result<()> {
        if self.interval.is_none() || session.is_full() {
            return Ok(());
        }
        session.clock.update();
        let now = boot_now_ns();
        if self.args.wx {
            let sums = std::mem::take(&mut self.sums);
            if session.out.json {
                session.out.objects(sums.json(&session.clock.rfc3339(now)))?;
            } else {
                let time = session.local_time(now);
                session.out.raw(sums.text(&time))?;
            }
            return session.shown();
        }
        let summary = self.reader.take(&object.maps, last)?;
        if session.out.json {
            let timestamp = session.clock.rfc3339(now);
            session.out.objects(summary_rows::json(&summary, &timestamp))?;
        } else {
            let time = session.local_time(now);
            session.out.raw(summary_rows::text(&summary, &time, self.args.bytes))?;
        }
        session.shown()
    }

    /// Whether there are only numbers, which the programs count.
    fn counts_in_kernel(&self) -> bool {
        self.args.summary.is_some() && !self.args.wx
    }

    /// Reports calls of which a file may be missing that became writable.
    fn note_what_was_not_followed(&self, object: &Loaded<Self>, session: &mut Session) {
        let count =
            object.maps.data_unfollowed_data.as_deref().map_or(0, |data| data.mmap_unfollowed);
        if self.args.wx && count > 0 {
            let calls = table::count(count, "call");
            session.note(format!(
                "{calls} over too many mappings to look at all of them: files that are 'mapped both \
                 ways' may be missing"
            ));
        }
    }

    /// The filters that are on, besides those that every tool has and `--path`.
    fn filters(&self) -> mmap_filter {
        let Args { failed, min_size, max_size, prot, flags, anon, file, .. } = &self.args;
        let by_len = min_size.is_some() || max_size.is_some();
        let by_args = prot.is_some() || flags.is_some() || *anon || *file;
        mmap_filter(any_of(&[
            (by_len, mmap_filter::MMAP_BY_LEN.0),
            (by_args, mmap_filter::MMAP_BY_ARGS.0),
            (*failed, mmap_filter::MMAP_BY_FAILURE.0),
        ]))
    }

    /// The modes that are on, besides showing each call.
    fn modes(&self) -> mmap_mode {
        let Args { wx, vma, path, latency, stacks, folded, .. } = &self.args;
        mmap_mode(any_of(&[
            (*wx, mmap_mode::MMAP_MODE_WX.0),
            (path.is_some(), mmap_mode::MMAP_MODE_PATH.0),
            (*latency, mmap_mode::MMAP_MODE_LATENCY.0),
            (*stacks || *folded, mmap_mode::MMAP_MODE_STACKS.0),
            (self.counts_in_kernel(), mmap_mode::MMAP_MODE_SUMMARY.0),
            (path.is_some() && !wx && !vma, mmap_mode::MMAP_MODE_FILE_ONLY.0),
            (has_btrfs(), mmap_mode::MMAP_MODE_BTRFS.0),
        ]))
    }

    /// The configuration of the programs.
    fn config(&self) -> mmap_config {
        let args = &self.args;
        let mut kinds = 1 << mmap_kind::MMAP_MAP.0;
        if args.wx {
            let kinds_of_wx =
                [mmap_kind::MMAP_PROTECT, mmap_kind::MMAP_BREAK, mmap_kind::MMAP_ATTACH];
            kinds |= kinds_of_wx.iter().fold(0, |all, kind| all | 1 << kind.0);
        }
        if args.all {
            kinds |= (mmap_kind::MMAP_UNMAP.0..=mmap_kind::MMAP_ADVISE.0)
                .fold(0, |all, kind| all | 1 << kind);
        }
        let flags = args.flags.unwrap_or_default();
        let mut config = mmap_config {
            min_len: args.min_size.unwrap_or(0),
            max_len: args.max_size.unwrap_or(u64::MAX),
            prot: args.prot.unwrap_or(0),
            flags: flags.bits,
            flags_mask: flags.mask,
            kinds,
            backing: match (args.anon, args.file) {
                (true, _) => mmap_backing::MMAP_ONLY_ANON,
                (_, true) => mmap_backing::MMAP_ONLY_FILE,
                _ => mmap_backing::MMAP_ANY,
            },
            filters: self.filters(),
            modes: self.modes(),
            page_size: page_size() as u32,
            ..mmap_config::default()
        };
        for (to, from) in config.prefixes.iter_mut().zip(&self.prefixes) {
            *to = prefix(from);
        }
        config
    }

    fn stack(&self, call: &Call<'_>, session: &mut Session) -> Stack {
        let owner = Owner { pid: call.id.pid, start_ns: call.id.start_ns };
        let [kernel, user] =
            [call.kernel_stack, call.user_stack].map(|frames| frames.iter().collect::<Vec<_>>());
        let addresses = Addresses { kernel: &kernel, user: &user };
        self.symbols.names(Some(owner), addresses, session.errands.as_mut())
    }

    /// One row.
    fn show(&mut self, call: &Call<'_>, wx: &[String], session: &mut Session) -> Result<()> {
        let wants_stacks = self.args.stacks || self.args.folded;
        let stacks = wants_stacks.then(|| self.stack(call, session));
        self.rows.show(call, wx, stacks.as_ref(), session)
    }
}

/// The beginning of a path, which is not too long: see [`prefixes`].
fn prefix(text: &str) -> mmap_prefix {
    let mut prefix = mmap_prefix { len: text.len() as u32, bytes: [0; 256] };
    prefix.bytes.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    prefix
}

/// Whether this kernel knows btrfs, whose files need a closer look.
fn has_btrfs() -> bool {
    let all = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    all.lines().any(|line| line.trim() == "btrfs")
}

/// The union of the bits that are on.
fn any_of(bits: &[(bool, u32)]) -> u32 {
    bits.iter().filter(|(is_on, _)| *is_on).fold(0, |all, (_, bit)| all | bit)
}
