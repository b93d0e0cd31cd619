//! Each key of the view: its effect.

use std::fs::OpenOptions;
use std::io::Write as _;

use anyhow::Result;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{Open, View};
use crate::output::time::WallClock;
use crate::tools::live::draw::Row;
use crate::tools::live::keys::{Key, meaning};

impl View {
    pub(super) fn key(&mut self, key: &KeyEvent, now_ns: u64, clock: &WallClock) -> Result<()> {
        self.message.clear();
        if self.is_typing && key.kind != KeyEventKind::Release {
            let is_plain = !key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                KeyCode::Enter => self.is_typing = false,
                KeyCode::Esc => {
                    self.is_typing = false;
                    self.wanted.filter.clear();
                }
                KeyCode::Backspace => {
                    self.wanted.filter.pop();
                }
                KeyCode::Char(c) if is_plain && self.wanted.filter.len() < 200 => {
                    self.wanted.filter.push(c);
                }
                KeyCode::Char('c') => self.is_done = true,
                _ => {}
            }
            self.frozen = None;
            return Ok(());
        }
        let page = self.rows_on_screen();
        let Some(key) = meaning(key, page) else { return Ok(()) };
        match (key, self.open) {
            (Key::Quit, _) => self.is_done = true,
            (Key::Stop, _) => {
                if let Some(screen) = &mut self.screen {
                    screen.stop()?;
                }
            }
            (Key::Help, _) => self.open = Open::Help,
            (Key::Up(by), Open::Details(id, at)) => {
                self.open = Open::Details(id, at.saturating_sub(by));
            }
            (Key::Down(by), Open::Details(id, at)) => self.open = Open::Details(id, at + by),
            (Key::Back | Key::Details, Open::Details(..) | Open::Help) => self.open = Open::List,
            (_, Open::Details(..) | Open::Help) => {}
            (key, Open::List) => self.key_in_list(key, now_ns, clock)?,
        }
        Ok(())
    }

    fn key_in_list(&mut self, key: Key, now_ns: u64, clock: &WallClock) -> Result<()> {
        match key {
            // Without a selected row, the first one is.
            Key::Up(by) => self.select(|at, _| at.map_or(0, |at| at.saturating_sub(by))),
            Key::Down(by) => {
                self.select(|at, len| at.map_or(0, |at| (at + by).min(len.saturating_sub(1))));
            }
            Key::First => self.select(|_, _| 0),
            Key::Last => self.select(|_, len| len.saturating_sub(1)),
            Key::Sort => {
                self.wanted.sort = self.wanted.sort.next();
                // What was asked for is on top.
                (self.selected, self.first) = (None, 0);
            }
            Key::Filter => self.is_typing = true,
            Key::Follow => self.wanted.root = self.selected,
            Key::Fold => {
                if let Some(id) = self.selected {
                    if !self.wanted.folded.remove(&id) {
                        self.wanted.folded.insert(id);
                    }
                }
            }
            Key::Pause if self.frozen.is_some() => self.frozen = None,
            Key::Pause => self.frozen = Some(self.freeze(now_ns)),
            Key::Details => {
                if let Some(id) = self.selected {
                    self.open = Open::Details(id, 0);
                }
            }
            Key::Idle => self.wanted.shows_idle = !self.wanted.shows_idle,
            Key::Write => self.message = self.write(now_ns, clock),
            Key::Back => {
                self.wanted.root = None;
                self.wanted.filter.clear();
            }
            Key::Quit | Key::Stop | Key::Help => {}
        }
        let stays = matches!(
            key,
            Key::Up(_)
                | Key::Down(_)
                | Key::First
                | Key::Last
                | Key::Pause
                | Key::Details
                | Key::Write
        );
        if !stays {
            self.frozen = None;
        }
        // Those that have left are not remembered.
        let model = &self.model;
        self.wanted.folded.retain(|id| model.get(*id).is_some());
        Ok(())
    }

    fn select(&mut self, to: impl Fn(Option<usize>, usize) -> usize) {
        let shown = self.frozen.as_ref().map_or(&self.shown, |frozen| &frozen.items);
        let at = self.selected.and_then(|id| shown.iter().position(|item| item.id == id));
        self.selected = shown.get(to(at, shown.len())).map(|item| item.id);
    }

    /// Writes all rows; returns what to say.
    fn write(&mut self, now_ns: u64, clock: &WallClock) -> String {
        let fresh = match &self.frozen {
            Some(_) => None,
            None => Some(self.freeze(now_ns)),
        };
        let Some(frozen) = fresh.as_ref().or(self.frozen.as_ref()) else { return String::new() };
        let time = clock.local_time_ms(now_ns).replace([':', '.'], "-");
        let name = format!("{}-{time}.txt", self.options.name);
        let lines = [&frozen.head, &Row::heading().line()].map(|line| format!("{line}\n"));
        let rows = frozen.rows.iter().map(|row| format!("{}\n", row.line()));
        let text = lines.into_iter().chain(rows).collect::<String>();
        let file = OpenOptions::new().write(true).create_new(true).open(&name);
        match file.and_then(|mut file| file.write_all(text.as_bytes())) {
            Ok(()) => format!("{} rows written to {name}", frozen.rows.len()),
            Err(error) => format!("cannot write {name}: {error}"),
        }
    }
}
