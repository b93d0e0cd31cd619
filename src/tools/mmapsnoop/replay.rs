//! `mmapsnoop --from FILE`

use anyhow::Result;

use super::args::Args;
use super::recorded::{Told, kind, read};
use super::rows::Rows;
use super::tallies::Tallies;
use super::text::Table;
use super::wx_sums::Sums;
use super::{Call, flags, summary_rows};
use crate::engine::interval::RecordedInterval;
use crate::engine::replay::{Filter, Recorded, Recording, Replay, Trouble, refuse_tree};
use crate::engine::session::Session;
use crate::engine::tool::Refused;
use crate::skel::{mmap_kind, mmap_note};

/// Shows recorded calls.
pub struct Calls {
    args: Args,
    rows: Rows,
    filter: Filter,
    prefixes: Vec<String>,
    interval: Option<RecordedInterval>,
    tallies: Tallies,
    sums: Sums,
}

impl Calls {
    /// By these flags.
    pub fn new(args: Args, table: Table, prefixes: Vec<String>) -> Result<Self, Refused> {
        refuse_tree(&args.common)?;
        Ok(Self {
            rows: Rows::new(table, args.folded),
            filter: Filter::new(&args.common),
            prefixes,
            interval: None,
            tallies: Tallies::default(),
            sums: Sums::default(),
            args,
        })
    }

    /// Whether calls of this kind are shown.
    fn shows(&self, kind: mmap_kind) -> bool {
        let of_wx = [mmap_kind::MMAP_PROTECT, mmap_kind::MMAP_BREAK, mmap_kind::MMAP_ATTACH];
        kind == mmap_kind::MMAP_MAP
            || self.args.wx && of_wx.contains(&kind)
            || self.args.all && kind != mmap_kind::MMAP_ATTACH
    }

    /// The filters that the programs apply in a live run: see mmap.bpf.h.
    fn passes(&self, call: &Call<'_>) -> bool {
        let Args { failed, min_size, max_size, prot, flags, anon, file, .. } = &self.args;
        let has_len = !matches!(call.event.kind, mmap_kind::MMAP_BREAK | mmap_kind::MMAP_ATTACH);
        let len = call.length().filter(|_| has_len);
        let by_len = min_size.is_some() || max_size.is_some();
        let in_range = |len| (min_size.unwrap_or(0)..=max_size.unwrap_or(u64::MAX)).contains(&len);
        let maps = call.event.kind == mmap_kind::MMAP_MAP;
        let has_prot = maps || call.event.kind == mmap_kind::MMAP_PROTECT;
        let its_prot = if has_prot { call.event.prot } else { 0 };
        let its_flags = if maps { call.event.flags } else { 0 };
        let is_anon = its_flags & flags::MAP_ANONYMOUS != 0;
        (!by_len || len.is_some_and(in_range))
            && (!failed || call.errno().is_some() || call.is_refused())
            && prot.is_none_or(|prot| its_prot & prot == prot)
            && flags.is_none_or(|flags| its_flags & flags.mask == flags.bits)
            && (!anon || is_anon)
            && (!file || maps && !is_anon)
            && self.has_path(call)
    }

    fn has_path(&self, call: &Call<'_>) -> bool {
        let is_cut = call.is(mmap_note::MMAP_PATH_CUT);
        let begins = |prefix: &String| {
            call.path.starts_with(prefix.as_bytes()) && (!is_cut || prefix.len() == 1)
        };
        self.prefixes.is_empty() || self.prefixes.iter().any(begins)
    }

    fn show_summaries(&mut self, now_ns: u64, session: &mut Session) -> Result<()> {
        while let Some(due_ns) = self.interval.as_mut().and_then(|interval| interval.due(now_ns)) {
            self.show_summary(due_ns, session)?;
        }
        Ok(())
    }

    fn show_summary(&mut self, now_ns: u64, session: &mut Session) -> Result<()> {
        if session.is_full() {
            return Ok(());
        }
        let timestamp = session.clock.rfc3339(now_ns);
        let time = if session.out.json { String::new() } else { session.local_time(now_ns) };
        if self.args.wx {
            let sums = std::mem::take(&mut self.sums);
            match session.out.json {
                true => session.out.objects(sums.json(&timestamp))?,
                false => session.out.raw(sums.text(&time))?,
            }
            return session.shown();
        }
        let summary = std::mem::take(&mut self.tallies).summary();
        match session.out.json {
            true => session.out.objects(summary_rows::json(&summary, &timestamp))?,
            false => session.out.raw(summary_rows::text(&summary, &time, self.args.bytes))?,
        }
        session.shown()
    }

    fn show(&mut self, call: &Call<'_>, told: &Told, session: &mut Session) -> Result<()> {
        let wx: &[String] = if self.args.wx { &told.wx } else { &[] };
        let stacks = told.stacks.as_ref().filter(|_| self.args.stacks || self.args.folded);
        self.rows.show(call, wx, stacks, session)
    }
}

impl Replay for Calls {
    fn check(&self, file: &Recording<'_>) -> Result<()> {
        file.must_lack("summary", "single calls")?;
        let Args { all, wx, vma, latency, stacks, folded, .. } = &self.args;
        let asked = [
            (*all, "all", "other calls than mmap()"),
            (*wx, "wx", "judgement of what is writable and executable"),
            (*vma, "vma", "resulting mappings"),
            (*latency, "latency", "latencies"),
            (*stacks || *folded, "stacks", "stacks"),
        ];
        for (is_asked, flag, what) in asked {
            if is_asked {
                file.needs(&[flag], what)?;
            }
        }
        Ok(())
    }

    fn takes_more(&self) -> bool {
        true
    }

    fn begin(&mut self, _: &Recording<'_>, session: &mut Session) -> Result<()> {
        let began_ns = session.started_ns;
        self.interval = self.args.summary.map(|period| RecordedInterval::new(period, began_ns));
        if self.interval.is_none() && !self.args.folded {
            session.heading(&self.rows.table.columns);
        }
        Ok(())
    }

    fn event(&mut self, event: &Recorded<'_>, session: &mut Session) -> Result<(), Trouble> {
        let Some((kind, object)) = kind(event.name) else { return Err(Trouble::Unknown) };
        let mut told = read(event, kind, object)?;
        if !(self.args.vma || self.args.wx) {
            told.leave_out_mapping();
        }
        if !self.args.latency {
            told.leave_out_latency();
        }
        let Some(call) = Call::decode(&told.record) else {
            return Err(Trouble::Line("not a call".to_owned()));
        };
        self.show_summaries(event.id.time_ns, session)?;
        let is_shown = self.shows(kind) && self.filter.passes(event) && self.passes(&call);
        if !is_shown || self.args.wx && told.wx.is_empty() {
            return Ok(());
        }
        if self.interval.is_none() {
            self.show(&call, &told, session)?;
        } else if self.args.wx {
            self.sums.add(&call, told.wx.clone());
        } else {
            self.tallies.add(&call);
        }
        Ok(())
    }

    fn end(&mut self, session: &mut Session) -> Result<()> {
        if self.args.folded {
            session.out.raw(self.rows.folded.lines())?;
        }
        self.filter.note().into_iter().for_each(|note| session.note(note));
        if self.interval.is_some() {
            let now_ns = session.end_ns();
            self.show_summaries(now_ns, session)?;
            self.show_summary(now_ns, session)?;
        }
        Ok(())
    }
}
