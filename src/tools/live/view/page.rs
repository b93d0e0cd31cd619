//! The page: the rows of the list, the lines above and below, and what is open instead.

use anyhow::{Context as _, Result};

use super::{Frozen, Open, View};
use crate::host::proc::NS_PER_TICK;
use crate::output::escape::push_text;
use crate::output::status;
use crate::output::time::WallClock;
use crate::tools::live::details::{details, now, wrapped};
use crate::tools::live::draw::{Body, Page, Row, draw, room};
use crate::tools::live::keys::HELP;
use crate::tools::live::list::{Item, began_ns, items, label};
use crate::tools::live::model::{End, Life, Model};

impl View {
    pub(super) fn rows_on_screen(&self) -> usize {
        let size = self.screen.as_ref().and_then(|screen| screen.terminal.size().ok());
        room(size.map_or(24, |size| size.height)).max(1)
    }

    pub(super) fn items(&self) -> Vec<Item> {
        items(&self.model, &self.wanted, |life| match &life.end {
            Some(end) => end.cpu_ns,
            None => self.cpu_ns(life),
        })
    }

    pub(super) fn freeze(&mut self, now_ns: u64) -> Frozen {
        let items = self.items();
        let rows = items.iter().map(|item| self.row(item, now_ns)).collect();
        Frozen { items, rows, head: self.head() }
    }

    pub(super) fn draw(&mut self, now_ns: u64, clock: &WallClock) -> Result<()> {
        if self.wanted.root.is_some_and(|root| self.model.get(root).is_none()) {
            self.wanted.root = None;
            self.message = "the one that was followed has left: all are shown again".to_owned();
        }
        if self.frozen.is_none() {
            self.shown = self.items();
        }
        let shown = self.frozen.as_ref().map_or(&self.shown, |frozen| &frozen.items);
        let room = self.rows_on_screen();
        let at = self.selected.and_then(|id| shown.iter().position(|item| item.id == id));
        if let Some(at) = at {
            self.first = self.first.clamp((at + 1).saturating_sub(room), at);
        } else {
            self.selected = None;
        }
        self.first = self.first.min(shown.len().saturating_sub(room));
        let range = self.first..(self.first + room).min(shown.len());
        let rows: Vec<Row> = match &self.frozen {
            Some(frozen) => frozen.rows.get(range.clone()).unwrap_or_default().to_vec(),
            None => {
                let items = self.shown.get(range).unwrap_or_default();
                items.iter().map(|item| self.row(item, now_ns)).collect()
            }
        };
        let head = self.frozen.as_ref().map_or_else(|| self.head(), |frozen| frozen.head.clone());
        let foot = self.foot();
        let text: Vec<String> = match self.open {
            Open::List => Vec::new(),
            Open::Help => HELP.iter().map(|(key, words)| format!(" {key:<10} {words}")).collect(),
            Open::Details(id, first) => {
                let place = self.place.as_ref().filter(|((of, _), _)| *of == id);
                let place = place.and_then(|(_, place)| place.as_ref());
                let is_recorded = self.options.is_recorded;
                let width = self.screen.as_ref().and_then(|screen| screen.terminal.size().ok());
                let width = usize::from(width.map_or(80, |size| size.width));
                let mut lines = details(&self.model, id, clock, place, is_recorded);
                lines = lines.iter().flat_map(|line| wrapped(line, width)).collect();
                lines.split_off(first.min(lines.len().saturating_sub(1)))
            }
        };
        let body = match self.open {
            Open::List => Body::Rows(&rows, at.map(|at| at - self.first)),
            _ => Body::Text(&text),
        };
        let page = Page { head: &head, body, foot: &foot, has_color: self.options.has_color };
        if let Some(screen) = &mut self.screen {
            screen.terminal.draw(|frame| draw(frame, &page)).context("write to the terminal")?;
        }
        Ok(())
    }

    fn head(&self) -> String {
        let Model { events, ends, failures, left_early, .. } = &self.model;
        let mut head = self.options.name.to_owned();
        if self.model.sees_ends {
            head.push_str(&format!("  {} running, {ends} ended", self.model.running()));
        } else {
            head.push_str(&format!("  {events} executions"));
        }
        head.push_str(&format!(", {failures} failed, {} lost", self.lost));
        if *left_early > 0 {
            head.push_str(&format!(", {left_early} not kept"));
        }
        if self.options.is_recorded {
            head.push_str("  recorded");
        }
        head
    }

    fn foot(&self) -> String {
        if self.is_typing {
            let mut foot = "/".to_owned();
            push_text(&mut foot, self.wanted.filter.as_bytes());
            foot.push('_');
            return foot;
        }
        if !self.message.is_empty() {
            return self.message.clone();
        }
        let mut foot = String::new();
        if self.frozen.is_some() {
            foot.push_str("PAUSED  ");
        }
        if self.wanted.root.is_some() {
            foot.push_str("FOLLOWING  ");
        }
        if !self.wanted.filter.is_empty() {
            foot.push('/');
            push_text(&mut foot, self.wanted.filter.as_bytes());
            foot.push_str("  ");
        }
        foot.push_str(&format!("sort: {}  ", self.wanted.sort.words()));
        foot.push_str("? help  q quit  / filter  s sort  f follow  Enter details  p pause");
        if let Some(line) = status::last_kept() {
            foot = format!("{line}  {foot}");
        }
        foot
    }

    fn row(&self, item: &Item, now_ns: u64) -> Row {
        let Some(life) = self.model.get(item.id) else { return Row::default() };
        let end = life.end.as_ref();
        let since_ns = now_ns.saturating_sub(began_ns(&self.model, life));
        let cpu = end.map_or_else(|| self.cpu_ns(life), |end| end.cpu_ns);
        // A tool that sees no ends looks whether it is there.
        let state = match (self.model.sees_ends, self.options.is_recorded) {
            (true, _) => "running",
            (false, true) => "-",
            (false, false) if end.is_none() && now(life).is_none() => "ended",
            (false, false) => "running",
        };
        let age = match end {
            Some(End { lived_ns: None, .. }) if !self.model.sees_ends => Some(since_ns),
            Some(end) => end.lived_ns,
            None => Some(since_ns),
        };
        Row {
            age: age.map_or_else(|| "-".to_owned(), short),
            cpu: cpu.map_or_else(|| "-".to_owned(), short),
            status: end.map_or(state, |end| &end.status).to_owned(),
            pid: life.pid.to_string(),
            command: format!("{}{}", item.prefix, label(life)),
            why: end.map_or_else(String::new, |end| end.why.clone()),
            has_failed: end.is_some_and(|end| end.has_failed),
            has_ended: end.is_some() || state == "ended",
        }
    }

    /// CPU time of a living process, as /proc has it now.
    fn cpu_ns(&self, life: &Life) -> Option<u64> {
        if self.options.is_recorded {
            return None;
        }
        let stat = now(life)?;
        let ticks = stat.number::<u64>(14)?.checked_add(stat.number::<u64>(15)?)?;
        ticks.checked_mul(NS_PER_TICK)
    }
}

/// `0.123`, `12.3`, `5m03`, `2h05`, `3d04`
fn short(ns: u64) -> String {
    let millis = ns / 1_000_000;
    let seconds = millis / 1000;
    match seconds {
        0..10 => format!("{seconds}.{:03}", millis % 1000),
        10..60 => format!("{seconds}.{}", millis % 1000 / 100),
        60..3600 => format!("{}m{:02}", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}", seconds / 86_400, seconds / 3600 % 24),
    }
}
