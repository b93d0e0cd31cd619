//! Lines of the tables at the end.

use std::fmt::Write as _;

use crate::output::table::Column;

/// Appends a line: cells, and behind them text of any length.
pub fn line<const N: usize>(out: &mut String, columns: [Column; N], cells: [&str; N], text: &str) {
    for (cell, Column { width, right, .. }) in cells.into_iter().zip(columns) {
        // A String takes everything.
        let _ = match right {
            true => write!(out, "{cell:>width$} "),
            false => write!(out, "{cell:width$} "),
        };
    }
    let _ = writeln!(out, "{text}");
}
