//! The view: its lives, what is selected, and when it is drawn.

mod doing;
mod page;

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ratatui::crossterm::event::{self, Event};

use super::draw::Row;
use super::list::{Item, Wanted};
use super::model::{Id, Model};
use super::screen::{Screen, is_gone};
use crate::engine::cli::CommonArgs;
use crate::engine::context::place::Place;
use crate::engine::context::place_of;
use crate::engine::errand::Errands;
use crate::engine::progress::counted;
use crate::engine::session::Session;
use crate::engine::stop::StopSignal;
use crate::engine::tool::Refused;
use crate::output::color::Color;

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
}
