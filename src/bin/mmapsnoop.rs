//! Shows every mmap(), with its result and its file, and with `--all` the other calls that change
//! mappings.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};

use snoop_tools::engine::backend::Backend;
use snoop_tools::engine::cli::CommonArgs;
use snoop_tools::engine::interval::Interval;
use snoop_tools::engine::manual::Manual;
use snoop_tools::engine::session::Session;
use snoop_tools::engine::tool::{self, Loaded, Open, Tool};
use snoop_tools::output::row::docs;
use snoop_tools::output::time::boot_now_ns;
use snoop_tools::skel::mmap::MmapSkelBuilder;
use snoop_tools::skel::{mmap_backing, mmap_config, mmap_filter, mmap_kind, mmap_mode};
use snoop_tools::tools::mmapsnoop::args::{self, Args};
use snoop_tools::tools::mmapsnoop::fields::FIELDS;
use snoop_tools::tools::mmapsnoop::json::{Context, Lines};
use snoop_tools::tools::mmapsnoop::stacks::{self, Folded, Symbols};
use snoop_tools::tools::mmapsnoop::summary::Reader;
use snoop_tools::tools::mmapsnoop::text::{self, Options, Table};
use snoop_tools::tools::mmapsnoop::wx::Reasons;
use snoop_tools::tools::mmapsnoop::{Call, hooks, summary_rows};

fn main() -> ExitCode {
    tool::main::<Mmapsnoop>()
}

struct Mmapsnoop {
    args: Args,
    table: Table,
    lines: Lines,
    reasons: Reasons,
    /// With `--summary`: the interval, and the reader of its maps
    summary: Option<(Interval, Reader)>,
    symbols: Symbols,
    folded: Folded,
}

impl Tool for Mmapsnoop {
    const NAME: &'static str = "mmapsnoop";
    const MANUAL: Manual = Manual { fields: Some(|| docs(FIELDS)), ..args::MANUAL };
    type Args = Args;
    type Builder = MmapSkelBuilder;

    fn new(args: Args) -> Result<Self, String> {
        if args.min_size.zip(args.max_size).is_some_and(|(min, max)| min > max) {
            return Err("--min-size is above --max-size: nothing could match".to_owned());
        }
        let options = Options {
            time: args.time,
            timestamp: args.common.timestamp,
            calls: args.all || args.wx,
            vma: args.vma,
            latency: args.latency,
            bytes: args.bytes,
        };
        Ok(Self {
            table: Table::new(options),
            lines: Lines::default(),
            reasons: Reasons::default(),
            summary: args.summary.map(|period| (Interval::new(period), Reader::default())),
            symbols: Symbols::default(),
            folded: Folded::default(),
            args,
        })
    }

    fn common(&self) -> &CommonArgs {
        &self.args.common
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

    fn configure(&self, open: &mut Open<Self>) -> Result<()> {
        let rodata = open.maps.rodata_data.as_deref_mut().context("no .rodata")?;
        rodata.mmap_config = self.config();
        let buffer = self.args.common.buffer_size.is_some();
        let summary = self.args.summary.is_some();
        hooks::size_maps(&mut open.maps, buffer, self.args.latency, summary)
    }

    fn start(&mut self, _: &Loaded<Self>, session: &mut Session) -> Result<()> {
        if let Some(period) = self.args.summary {
            self.summary = Some((Interval::new(period), Reader::default()));
        } else if !self.args.folded {
            session.out.heading(&self.table.columns);
        }
        Ok(())
    }

    fn event(&mut self, record: &[u8], session: &mut Session) -> Result<()> {
        let call = Call::decode(record).context("a record that ends too early")?;
        if !self.args.wx {
            return self.show(&call, &[], session);
        }
        let reasons = self.reasons.of(&call);
        if reasons.is_empty() { Ok(()) } else { self.show(&call, &reasons, session) }
    }

    fn next_tick(&self) -> Option<Duration> {
        self.summary.as_ref().map(|(interval, _)| interval.left())
    }

    fn tick(&mut self, object: &Loaded<Self>, session: &mut Session) -> Result<()> {
        let is_due = self.summary.as_mut().is_some_and(|(interval, _)| interval.is_due());
        if is_due { self.show_summary(false, object, session) } else { Ok(()) }
    }

    fn finish(&mut self, object: &Loaded<Self>, session: &mut Session) -> Result<()> {
        if self.args.folded {
            session.out.raw(self.folded.lines())?;
        }
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
        let Some((_, reader)) = &mut self.summary else { return Ok(()) };
        if session.is_full() {
            return Ok(());
        }
        let summary = reader.take(&object.maps, last)?;
        session.clock.update();
        let now = boot_now_ns();
        if session.out.json {
            let timestamp = session.clock.rfc3339(now);
            session.out.object(&summary_rows::json(&summary, &timestamp))?;
        } else {
            let time = session.local_time(now);
            session.out.raw(summary_rows::text(&summary, &time, self.args.bytes))?;
        }
        session.shown()
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
        let Args { wx, vma, path, latency, stacks, folded, summary, .. } = &self.args;
        mmap_mode(any_of(&[
            (*wx, mmap_mode::MMAP_MODE_WX.0),
            (path.is_some(), mmap_mode::MMAP_MODE_PATH.0),
            (*latency, mmap_mode::MMAP_MODE_LATENCY.0),
            (*stacks || *folded, mmap_mode::MMAP_MODE_STACKS.0),
            (summary.is_some(), mmap_mode::MMAP_MODE_SUMMARY.0),
            (path.is_some() && !wx && !vma, mmap_mode::MMAP_MODE_FILE_ONLY.0),
        ]))
    }

    /// The configuration of the programs.
    fn config(&self) -> mmap_config {
        let args = &self.args;
        let mut kinds = 1 << mmap_kind::MMAP_MAP.0;
        if args.wx {
            kinds |= 1 << mmap_kind::MMAP_PROTECT.0;
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
            prefix: [0; 256],
            ..mmap_config::default()
        };
        if let Some(path) = &args.path {
            config.prefix_len = path.len() as u32;
            config.prefix.iter_mut().zip(path.bytes()).for_each(|(to, from)| *to = from);
        }
        config
    }

    /// One row.
    fn show(&mut self, call: &Call<'_>, wx: &[String], session: &mut Session) -> Result<()> {
        let id = &call.id;
        let wants_stacks = self.args.stacks || self.args.folded;
        let stacks = wants_stacks.then(|| self.symbols.stacks(call));
        if let (true, Some(stacks)) = (self.args.folded, &stacks) {
            self.folded.add(id.comm(), stacks);
            return session.shown();
        }
        if session.out.json {
            let context = Context {
                timestamp: session.clock.stamp(id.time_ns),
                cgroup: session.cgroups.path(id),
                wx,
                stacks: stacks.as_ref(),
            };
            session.out.json_lines(|out| self.lines.push(out, call, &context));
        } else {
            let time = if self.args.time { session.local_time(id.time_ns) } else { String::new() };
            let context = text::Context {
                time: &time,
                since_ns: id.time_ns.saturating_sub(session.started_ns),
                wx,
                color: session.out.color,
            };
            self.table.row(&mut session.out.line(&self.table.columns), call, &context);
            if let Some(stacks) = &stacks {
                session.out.raw(stacks::text(stacks))?;
            }
        }
        session.shown()
    }
}

/// The union of the bits that are on.
fn any_of(bits: &[(bool, u32)]) -> u32 {
    bits.iter().filter(|(is_on, _)| *is_on).fold(0, |all, (_, bit)| all | bit)
}
