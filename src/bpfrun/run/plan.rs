//! The plan and the state of each program of an object: the table.

use crate::bpfrun::run::args::Args;
use crate::bpfrun::run::hook::{Hook, Kind};
use crate::bpfrun::run::kind_of;
use crate::bpfrun::run::reason::Reason;
use crate::elf::acts::Act;
use crate::output::table::{Column, Line};

/// The reason for not loading an unwanted program.
const LEFT_OUT: &str = "--prog does not name it";

/// The reason for not attaching a program of [`Kind::Other`].
pub const NOT_ATTACHABLE: &str = "bpfrun cannot attach programs of this kind";

/// One program and its state.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its function's name
    pub name: String,
    /// The section, as the object has it
    pub section: String,
    /// What libbpf is told instead of the section, which it does not know or `--type-of` overrules
    pub instead: Option<String>,
    /// The parsed section
    pub hook: Hook,
    /// Named by `--attach`, with a target, if it gives one
    pub asked: Option<Option<String>>,
    /// What it does to the system, whatever its kind
    pub acts: Vec<Act>,
    /// Why it is not attached though it is loaded: a map holds it
    pub idle: Option<Reason>,
    /// The state so far
    pub state: State,
}

/// The state of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// To be loaded
    Wanted,
    /// Not to be loaded, for this reason
    Unwanted(Reason),
    /// The kernel or libbpf refused to load it
    Refused(Reason),
    /// Loaded, and not attached
    Idle(Reason),
    /// Attached there
    Attached(String),
}

impl Program {
    /// The plan for the program `name` in `section`. `optional`: the section has a `?` in front, so
    /// the program is loaded only on request.
    pub fn plan(name: &str, section: &str, optional: bool, acts: Vec<Act>, args: &Args) -> Self {
        let instead = kind_of::instead(name, section, &args.type_of);
        let hook = Hook::parse(instead.as_deref().unwrap_or(section));
        let asked = args.attach.iter().find(|attach| attach.program == name);
        let asked = asked.map(|attach| attach.target.clone());
        let mut program = Self {
            name: name.to_owned(),
            section: section.to_owned(),
            instead,
            hook,
            asked,
            acts,
            idle: None,
            state: State::Wanted,
        };
        if let Some(reason) = program.unwanted(optional, args) {
            program.state = State::Unwanted(reason);
        }
        program
    }

    fn unwanted(&self, optional: bool, args: &Args) -> Option<Reason> {
        let name = &self.name;
        if self.hook.kind == Kind::StructOps {
            return None; // libbpf loads those with their map
        }
        let asked = self.asked.is_some();
        let named = args.prog.iter().any(|glob| glob.matches(name));
        if !args.prog.is_empty() && !named && !asked {
            return Some(Reason::new(LEFT_OUT));
        }
        if self.hook.kind == Kind::Other {
            return Some(Reason::new(NOT_ATTACHABLE));
        }
        if asked {
            return None;
        }
        if self.hook.kind.changes_behaviour() {
            return Some(self.changes_behaviour());
        }
        if !self.acts.is_empty() {
            return Some(self.acts());
        }
        if optional && !named {
            let advice = format!("load it with --prog {name}");
            return Some(Reason::new("optional: its section begins with ?").advice(advice));
        }
        None
    }

    /// The reason for not attaching such a program unasked.
    pub fn changes_behaviour(&self) -> Reason {
        let kind = self.hook.kind;
        let wants = kind.wants();
        let target = match kind {
            // The section names the target.
            Kind::Lsm | Kind::FmodRet if self.hook.target.is_some() => String::new(),
            _ if wants.is_empty() => String::new(),
            _ => format!("={wants}"),
        };
        Reason::new("changes what the system does")
            .advice(format!("attach it with --attach {}{target}", self.name))
    }

    /// The reason for not attaching, unasked, a program that acts.
    fn acts(&self) -> Reason {
        let acts: Vec<_> =
            self.acts.iter().map(|act| format!("{} ({})", act.name, act.what)).collect();
        let target = match self.hook.target {
            Some(_) => String::new(),
            None if self.hook.kind.wants().is_empty() => String::new(),
            None => format!("={}", self.hook.kind.wants()),
        };
        Reason::new(format!("acts on the system: {}", acts.join(", ")))
            .advice(format!("attach it with --attach {}{target}", self.name))
    }

    /// The section that says what it is.
    pub fn kind_section(&self) -> &str {
        self.instead.as_deref().unwrap_or(&self.section).trim_start_matches('?')
    }

    /// The target: from `--attach`, or from the section.
    pub fn target(&self) -> Option<&str> {
        let asked = self.asked.as_ref().and_then(Option::as_deref);
        asked.or(self.hook.target.as_deref())
    }

    /// Whether it is to be loaded.
    pub fn is_wanted(&self) -> bool {
        self.state == State::Wanted
    }

    fn is_left_out(&self) -> bool {
        matches!(&self.state, State::Unwanted(reason) if reason.what == LEFT_OUT)
    }

    /// Whether the program is attached.
    pub fn is_attached(&self) -> bool {
        matches!(self.state, State::Attached(_))
    }
}

impl State {
    /// For JSON: `attached`, `loaded`, `refused`, `skipped`
    pub fn name(&self) -> &'static str {
        match self {
            Self::Wanted | Self::Unwanted(_) => "skipped",
            Self::Refused(_) => "refused",
            Self::Idle(_) => "loaded",
            Self::Attached(_) => "attached",
        }
    }

    /// The reason for not being attached.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Unwanted(reason) | Self::Refused(reason) | Self::Idle(reason) => Some(reason),
            Self::Wanted | Self::Attached(_) => None,
        }
    }
}

/// The table of all programs but those that `--prog` left out, with a heading. One line for
/// each.
pub fn table(programs: &[Program]) -> Vec<u8> {
    let shown: Vec<_> = programs.iter().filter(|program| !program.is_left_out()).collect();
    let columns = [
        Column::left("PROGRAM", 7).fit(shown.iter().map(|program| &program.name)),
        Column::left("SECTION", 7).fit(shown.iter().map(|program| &program.section)),
        Column::left("STATE", 0),
    ];
    let mut out = Vec::new();
    let mut heading = Line::new(&mut out, &columns);
    for column in &columns {
        heading.text(column.title);
    }
    for program in shown {
        let mut line = Line::new(&mut out, &columns);
        line.name(program.name.as_bytes()).name(program.section.as_bytes());
        match &program.state {
            State::Attached(place) => line.text(&format!("attached to {place}")),
            State::Refused(reason) => line.text(&format!("refused: {reason}")),
            State::Idle(reason) => line.text(&format!("loaded, not attached: {reason}")),
            State::Unwanted(reason) => line.text(&format!("not loaded: {reason}")),
            State::Wanted => line.text("not loaded"),
        };
    }
    out
}
