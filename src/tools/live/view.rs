//! The view: its lives, what is selected, and when it is drawn.

use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::details::{details, now, wrapped};
use super::draw::{Body, Page, Row, draw, room};
use super::keys::{HELP, Key, meaning};
use super::list::{Item, Wanted, began_ns, items, label};
use super::model::{End, Id, Life, Model};
use super::screen::{Screen, is_gone};
use crate::engine::cli::CommonArgs;
use crate::engine::context::place::Place;
use crate::engine::context::place_of;
use crate::engine::errand::Errands;
use crate::engine::progress::counted;
use crate::engine::session::Session;
use crate::engine::stop::StopSignal;
use crate::engine::tool::Refused;
use crate::host::proc::NS_PER_TICK;
use crate::output::color::Color;
use crate::output::escape::push_text;
use crate::output::status;
use crate::output::time::WallClock;

/// The shortest time between two drawings.
const LEAST: Duration = Duration::from_millis(250);

/// Without events, ages change so often.
const IDLE: Duration = Duration::from_secs(1);

/// Drawing takes at most this part of the time.
const PART: u32 = 40;

/// What the view is of.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    /// The tool
    name: &'static str,
    /// Whether there are colours
    has_color: bool,
    /// Of a recording: nothing changes, and no process is looked up
    is_recorded: bool,
}

/// What is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Open {
    #[default]
    List,
    /// All about one, from this line on
    Details(Id, usize),
    Help,
}

/// Rows that stay as they are.
struct Frozen {
    items: Vec<Item>,
    rows: Vec<Row>,
    head: String,
}

/// The view.
pub struct View {
    /// What it shows
    pub model: Model,
    options: Options,
    screen: Option<Screen>,
    wanted: Wanted,
    selected: Option<Id>,
    /// The first row on the screen
    first: usize,
    open: Open,
    /// Where the one on the page runs, by its number and its executions
    place: Option<((Id, u32), Option<Place>)>,
    is_typing: bool,
    frozen: Option<Frozen>,
    message: String,
    shown: Vec<Item>,
    is_changed: bool,
    /// When it was drawn last, and how long that took
    drawn: Instant,
    cost: Duration,
    /// A key or a signal asks for a drawing at once
    is_urgent: bool,
    is_done: bool,
    /// Lost events
    lost: u64,
}

impl View {
    /// A view by these flags, which has no terminal yet. `sees_ends`: the tool does.
    ///
    /// # Errors
    ///
    /// There is no terminal.
    pub fn of(name: &'static str, common: &CommonArgs, sees_ends: bool) -> Result<Self, Refused> {
        if !std::io::stdout().is_terminal() {
            return Err(Refused::Work("--live needs a terminal".to_owned()));
        }
        let mut view = Self::new(Options {
            name,
            has_color: Color::from(common.color).is_wanted(true),
            is_recorded: !common.from.is_empty(),
        });
        view.model.sees_ends = sees_ends;
        Ok(view)
    }

    /// At the beginning of a run: takes the terminal.
    pub fn begin(&mut self, session: &mut Session) -> Result<()> {
        session.local_time(session.started_ns); // finds the time zone
        self.open()
    }

    fn new(options: Options) -> Self {
        Self {
            model: Model::default(),
            options,
            screen: None,
            wanted: Wanted::default(),
            selected: None,
            first: 0,
            open: Open::List,
            place: None,
            is_typing: false,
            frozen: None,
            message: String::new(),
            shown: Vec::new(),
            is_changed: true,
            drawn: Instant::now(),
            cost: Duration::ZERO,
            is_urgent: true,
            is_done: false,
            lost: 0,
        }
    }

    fn open(&mut self) -> Result<()> {
        self.screen = Some(Screen::open()?);
        Ok(())
    }

    fn close(&mut self) {
        self.screen = None;
    }

    /// Whether the main loop can wait for keys. They may come from elsewhere than stdin.
    pub fn wakes_on_keys(&self) -> bool {
        std::io::stdin().is_terminal()
    }

    /// Whether its user has had enough.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Something has happened.
    pub fn change(&mut self) {
        self.is_changed = true;
    }

    /// When to call [`View::tick`] next, at the latest.
    pub fn next_tick(&self) -> Duration {
        self.due().saturating_duration_since(Instant::now()).max(Duration::from_millis(5))
    }

    fn due(&self) -> Instant {
        let pause = if self.is_changed { LEAST } else { IDLE };
        self.drawn + pause.max(self.cost * PART)
    }

    /// Obeys keys and signals, and draws if it is time to. `now_ns`: on the clock of events.
    pub fn tick(&mut self, now_ns: u64, session: &mut Session) -> Result<()> {
        if self.screen.is_none() {
            return Ok(());
        }
        if let Some(screen) = &mut self.screen {
            self.is_urgent |= screen.obey_signals()?;
        }
        self.lost = session.lost();
        let clock = &session.clock;
        if is_gone() {
            self.is_done = true;
            return Ok(());
        }
        while event::poll(Duration::ZERO).context("read keys")? {
            match event::read().context("read keys")? {
                Event::Key(key) => self.key(&key, now_ns, clock)?,
                Event::Resize(..) => {}
                _ => continue,
            }
            self.is_urgent = true;
        }
        if !self.options.is_recorded {
            self.model.forget(now_ns);
        }
        let now = Instant::now();
        if self.is_urgent || now >= self.due() {
            self.look(session.errands.as_mut());
            self.draw(now_ns, clock)?;
            (self.drawn, self.cost) = (Instant::now(), now.elapsed());
            (self.is_changed, self.is_urgent) = (false, false);
        }
        Ok(())
    }

    /// Shows what does not change any more, until its user has had enough or a signal comes.
    pub fn show_recorded(&mut self, session: &mut Session) -> Result<()> {
        let stop = StopSignal::install()?;
        let now_ns = session.end_ns();
        session.local_time(now_ns); // finds the time zone
        self.open()?;
        let shown = self.run(now_ns, session, || stop.is_requested());
        self.finish(session);
        shown
    }

    /// What is common at the end of a run: the terminal is free again.
    pub fn finish(&mut self, session: &mut Session) {
        self.close();
        session.instead_of_events = Some(counted(self.model.events, "event", "events"));
    }

    fn run(
        &mut self,
        now_ns: u64,
        session: &mut Session,
        is_stopped: impl Fn() -> bool,
    ) -> Result<()> {
        while !self.is_done && !is_stopped() {
            self.tick(now_ns, session)?;
            let wait = self.next_tick().min(Duration::from_millis(200));
            let _ = event::poll(wait).context("read keys")?;
        }
        Ok(())
    }

    fn key(&mut self, key: &KeyEvent, now_ns: u64, clock: &WallClock) -> Result<()> {
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

    fn rows_on_screen(&self) -> usize {
        let size = self.screen.as_ref().and_then(|screen| screen.terminal.size().ok());
        room(size.map_or(24, |size| size.height)).max(1)
    }

    /// Asks where the process on the page runs: once for each of its programs, and only if nothing
    /// was recorded of it.
    fn look(&mut self, errands: Option<&mut Errands>) {
        let Open::Details(id, _) = self.open else {
            self.place = None;
            return;
        };
        let (Some(life), Some(errands)) = (self.model.get(id), errands) else { return };
        let is_known = life.env.is_some() && !life.cwd.is_empty();
        let key = (id, life.execs);
        let is_asked = self.place.as_ref().is_some_and(|(asked, _)| *asked == key);
        // What was seen of one that has ended since stays.
        if is_known || is_asked || life.end.is_some() || life.start_ns == 0 {
            return;
        }
        self.place = Some((key, place_of(errands, life.pid, life.start_ns)));
    }

    fn items(&self) -> Vec<Item> {
        items(&self.model, &self.wanted, |life| match &life.end {
            Some(end) => end.cpu_ns,
            None => self.cpu_ns(life),
        })
    }

    fn freeze(&mut self, now_ns: u64) -> Frozen {
        let items = self.items();
        let rows = items.iter().map(|item| self.row(item, now_ns)).collect();
        Frozen { items, rows, head: self.head() }
    }

    fn draw(&mut self, now_ns: u64, clock: &WallClock) -> Result<()> {
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
