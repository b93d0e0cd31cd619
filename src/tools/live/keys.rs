//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Stop,
    Up(usize),
    Down(usize),
    First,
    Last,
    Sort,
    /// Begin to type a filter
    Filter,
    Follow,
    Fold,
    Pause,
    Details,
    Idle,
    Write,
    Help,
    /// Leave what is open: a page, the filter, who is followed
    Back,
}

/// Lines of the page `?`.
pub(super) const HELP: [(&str, &str); 14] = [
    ("q, Ctrl-C", "quit"),
    ("↑ ↓, k j", "select a row; PgUp PgDn Home End, too"),
    ("Enter", "all that is known of the selected one"),
    ("/", "show only rows with this text (command, status, id); Esc: all"),
    ("s", "sort: tree, age, CPU, failures, command"),
    ("f", "follow: show only the selected one and its descendants; Esc: all"),
    ("Space", "fold or unfold the selected one's descendants"),
    ("p", "pause: the rows stay as they are; again: go on"),
    ("a", "show also processes that have done nothing"),
    ("w", "write the rows to a file in the current folder"),
    ("Ctrl-Z", "stop; fg goes on"),
    ("Esc", "back"),
    ("?", "this page"),
    ("", "What has ended stays for a minute."),
];

/// The meaning of a key, outside of a filter that is being typed. `page`: rows on the screen.
pub(super) fn meaning(event: &KeyEvent, page: usize) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return match event.code {
            KeyCode::Char('c') => Some(Key::Quit),
            KeyCode::Char('z') => Some(Key::Stop),
            _ => None,
        };
    }
    Some(match event.code {
        KeyCode::Char('q') => Key::Quit,
        KeyCode::Up | KeyCode::Char('k') => Key::Up(1),
        KeyCode::Down | KeyCode::Char('j') => Key::Down(1),
        KeyCode::PageUp => Key::Up(page),
        KeyCode::PageDown => Key::Down(page),
        KeyCode::Home | KeyCode::Char('g') => Key::First,
        KeyCode::End | KeyCode::Char('G') => Key::Last,
        KeyCode::Char('s') => Key::Sort,
        KeyCode::Char('/') => Key::Filter,
        KeyCode::Char('f') => Key::Follow,
        KeyCode::Char(' ') => Key::Fold,
        KeyCode::Char('p') => Key::Pause,
        KeyCode::Enter => Key::Details,
        KeyCode::Char('a') => Key::Idle,
        KeyCode::Char('w') => Key::Write,
        KeyCode::Char('?' | 'h') => Key::Help,
        KeyCode::Esc => Key::Back,
        _ => return None,
    })
}
