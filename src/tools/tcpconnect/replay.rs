//! `tcpconnect --from FILE`

use anyhow::Result;

use super::args::Args;
use super::fields::{Put, Row};
use super::names::Names;
use super::recorded::{Told, read};
use super::report;
use super::summary::{By, Counts, Summary};
use crate::engine::interval::RecordedInterval;
use crate::engine::replay::{Filter, Recorded, Recording, Replay, Trouble, refuse_tree};
use crate::engine::session::Session;
use crate::engine::tool::Refused;
use crate::output::row::View;

/// Shows recorded attempts.
pub struct Attempts {
    view: View<Put>,
    filter: Filter,
    counts: Counts,
    summary: Summary,
    interval: Option<RecordedInterval>,
    names: Names,
    args: Args,
}

impl Attempts {
    /// By these flags.
    pub fn new(args: Args, view: View<Put>) -> Result<Self, Refused> {
        refuse_tree(&args.common)?;
        Ok(Self {
            view,
            filter: Filter::new(&args.common),
            counts: Counts::new(By { source_port: args.source_port, process: args.per_process }),
            summary: Summary::default(),
            interval: None,
            names: Names::recorded(args.dns, args.services),
            args,
        })
    }

    /// Summaries that are due before `now_ns`.
    fn show_summaries(&mut self, now_ns: u64, session: &mut Session) -> Result<()> {
        while let Some(due_ns) = self.interval.as_mut().and_then(|interval| interval.due(now_ns)) {
            self.show_summary(due_ns, session)?;
        }
        Ok(())
    }

    fn show_summary(&mut self, now_ns: u64, session: &mut Session) -> Result<()> {
        let summary = std::mem::take(&mut self.summary);
        report::summary(&summary, &self.names, now_ns, session)
    }
}

impl Replay for Attempts {
    fn check(&self, file: &Recording<'_>) -> Result<()> {
        ["count", "summary"].iter().try_for_each(|flag| file.must_lack(flag, "single attempts"))?;
        if self.args.dns {
            file.needs(&["dns"], "names of hosts")?;
        }
        Ok(())
    }

    fn takes_more(&self) -> bool {
        true
    }

    fn begin(&mut self, _: &Recording<'_>, session: &mut Session) -> Result<()> {
        let began_ns = session.started_ns;
        self.interval = self.args.summary.map(|period| RecordedInterval::new(period, began_ns));
        if !self.args.count && self.interval.is_none() {
            session.heading(self.view.columns());
        }
        Ok(())
    }

    fn event(&mut self, event: &Recorded<'_>, session: &mut Session) -> Result<(), Trouble> {
        if event.name != "network.connect" {
            return Err(Trouble::Unknown);
        }
        let Told { connect, host, is_superseded } = read(event)?;
        self.show_summaries(event.id.time_ns, session)?;
        let is_shown = self.filter.passes(event)
            && self.args.ends_as_asked(&connect)
            && self.args.goes_where_asked(&connect);
        if !is_shown {
            return Ok(());
        }
        // Without names nobody knows of another address of the same host.
        let host = host.filter(|_| self.args.dns);
        let is_superseded = is_superseded && self.args.dns;
        let name = host.as_ref().map(|host| &*host.name);
        let service = self.names.service(connect.peer());
        let asked_service = connect.asked().and_then(|asked| self.names.service(asked));
        let host = host.as_ref();
        let row = Row { connect: &connect, host, service, asked_service, is_superseded };
        if self.interval.is_none() && !self.args.count {
            session.row(&self.view, event.id, "network.connect", &row);
        } else if !session.passes(&self.view, event.id, "network.connect", &row) {
            return Ok(());
        } else if self.args.count {
            self.counts.add(&connect, name, is_superseded);
        } else {
            self.summary.add(&connect, name, is_superseded);
        }
        session.shown()?;
        Ok(())
    }

    fn end(&mut self, session: &mut Session) -> Result<()> {
        let now_ns = session.end_ns();
        self.show_summaries(now_ns, session)?;
        if self.interval.is_some() && self.summary.total.attempts > 0 {
            self.show_summary(now_ns, session)?;
        }
        if self.args.count {
            report::counts(&self.counts, &self.names, now_ns, session)?;
        }
        self.filter.note().into_iter().for_each(|note| session.note(note));
        Ok(())
    }
}
