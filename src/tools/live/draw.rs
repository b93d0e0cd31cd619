//! The screen: a line about the whole, the rows, a line about the keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;

use unicode_width::UnicodeWidthStr as _;

use crate::output::cut::push_cut;

/// One row, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) age: String,
    pub(super) cpu: String,
    pub(super) status: String,
    pub(super) pid: String,
    /// With the lines of the tree in front
    pub(super) command: String,
    /// Why it ended; may be empty
    pub(super) why: String,
    pub(super) has_failed: bool,
    pub(super) has_ended: bool,
}

impl Row {
    pub(super) fn heading() -> Self {
        let [age, cpu, status, pid, command] =
            ["AGE", "CPU", "STATUS", "PID", "COMMAND"].map(str::to_owned);
        Self { age, cpu, status, pid, command, ..Self::default() }
    }

    /// As a line of text.
    pub(super) fn line(&self) -> String {
        self.line_in(usize::MAX)
    }

    /// The same in so many columns: a long command is cut so that there is room for why it ended.
    fn line_in(&self, width: usize) -> String {
        let Self { age, cpu, status, pid, command, why, .. } = self;
        let mut line = format!("{age:>7} {cpu:>7} {status:<9} {pid:>7} ").into_bytes();
        let note = if why.is_empty() { String::new() } else { format!("  # {why}") };
        let room = width.saturating_sub(line.len() + note.width());
        // Where there is none for a word of the command, it is the command that is shown.
        let room = if room < LEAST_COMMAND { usize::MAX } else { room };
        push_cut(&mut line, command, room);
        let mut line = String::from_utf8_lossy(&line).into_owned();
        line.push_str(&note);
        line
    }
}

/// The fewest columns of a command beside a note.
const LEAST_COMMAND: usize = 16;

/// All that is on the screen.
pub(super) struct Page<'a> {
    pub(super) head: &'a str,
    pub(super) body: Body<'a>,
    pub(super) foot: &'a str,
    pub(super) has_color: bool,
}

/// What fills the screen.
pub(super) enum Body<'a> {
    /// Rows below a heading; the selected one
    Rows(&'a [Row], Option<usize>),
    /// Lines of text
    Text(&'a [String]),
}

/// How many rows there is room for.
pub(super) fn room(height: u16) -> usize {
    usize::from(height.saturating_sub(3))
}

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, page: &Page<'_>) {
    let parts = [Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)];
    let [head, body, foot] = Layout::vertical(parts).areas(frame.area());
    line(frame, head, page.head, Style::new().add_modifier(Modifier::BOLD));
    match &page.body {
        Body::Text(lines) => {
            for (at, text) in (0..).zip(lines.iter()).take(body.height.into()) {
                line(frame, row_of(body, at), text, Style::new());
            }
        }
        Body::Rows(rows, selected) => {
            let dim = Style::new().add_modifier(Modifier::DIM);
            line(frame, row_of(body, 0), &Row::heading().line(), dim);
            for (at, row) in rows.iter().enumerate().take(room(frame.area().height)) {
                let place = row_of(body, at as u16 + 1);
                let style = style(row, *selected == Some(at), page.has_color);
                line(frame, place, &row.line_in(place.width.into()), style);
            }
        }
    }
    line(frame, foot, page.foot, Style::new().add_modifier(Modifier::DIM));
}

fn style(row: &Row, is_selected: bool, has_color: bool) -> Style {
    let style = match (row.has_failed, row.has_ended) {
        (true, _) if has_color => Style::new().fg(Color::Red),
        (false, false) if has_color => Style::new().fg(Color::Green),
        _ => Style::new(),
    };
    if is_selected { style.add_modifier(Modifier::REVERSED) } else { style }
}

/// The line of this number in `area`.
fn row_of(area: Rect, at: u16) -> Rect {
    let height = u16::from(at < area.height);
    Rect { y: area.y.saturating_add(at.min(area.height)), height, ..area }
}

fn line(frame: &mut Frame<'_>, area: Rect, text: &str, style: Style) {
    if area.height == 0 || area.width == 0 {
        return;
    }
    let mut cut = Vec::new();
    push_cut(&mut cut, text, area.width.into());
    let text = String::from_utf8_lossy(&cut).into_owned();
    frame.render_widget(Line::styled(text, style), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn screen(width: u16, height: u16, page: &Page<'_>) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, page)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let text = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| text(y).trim_end().to_owned()).collect()
    }

    #[test]
    fn why_it_ended_has_room() {
        let row = Row {
            command: format!("cc1 {}", "日本".repeat(100)),
            why: "SIGKILL from pid 7 (x)".to_owned(),
            ..Row::default()
        };
        let line = row.line_in(100);
        assert!(line.ends_with("…  # SIGKILL from pid 7 (x)"), "{line}");
        assert!((97..=100).contains(&line.width()), "{line}");
        assert!(row.line().ends_with("本  # SIGKILL from pid 7 (x)"));
        assert!(row.line_in(50).contains("cc1 日本日本日"), "no room for both");
        let short = Row { command: "ls".to_owned(), ..row };
        assert!(short.line_in(100).ends_with(" ls  # SIGKILL from pid 7 (x)"));
    }

    #[test]
    fn any_size_of_screen_will_do() {
        let rows =
            vec![
                Row { command: "├ cc -c a.c".to_owned(), pid: "7".to_owned(), ..Row::default() };
                9
            ];
        for (width, height) in [(60, 10), (1, 1), (200, 3), (20, 2), (3, 50)] {
            let page = Page {
                head: "head",
                body: Body::Rows(&rows, Some(1)),
                foot: "foot",
                has_color: true,
            };
            let lines = screen(width, height, &page);
            assert_eq!(lines.len(), usize::from(height));
        }
        let page =
            Page { head: "head", body: Body::Rows(&rows, None), foot: "? help", has_color: false };
        let lines = screen(60, 10, &page);
        assert_eq!(lines[0], "head");
        assert!(
            lines[1].ends_with("PID COMMAND") && lines[8].ends_with("7 ├ cc -c a.c"),
            "{lines:?}"
        );
        assert_eq!(lines[9], "? help");
    }
}
