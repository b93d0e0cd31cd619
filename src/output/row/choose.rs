//! The columns that a user chooses, by the names that the manual has for them.

use super::{Field, View};
use crate::output::table::Column;

/// Width of a chosen column that has none of its own, because it is mostly the last one.
const FREE: usize = 40;

/// Keys in JSON that a column has under another name.
const SAME: [(&str, &str); 1] = [("timestamp", "TIME")];

impl<F: Copy> View<F> {
    /// A view with the columns of `names`, in their order. Without names: the usual ones.
    ///
    /// `by_flag` says of a column whether a flag asks for it, and may widen it; `None`: there is no
    /// such flag, and the column is a usual one. What flags ask for comes first, unless it is among
    /// the names.
    ///
    /// # Errors
    ///
    /// One line: a name that no column has, and those that there are.
    pub fn choose(
        fields: &[Field<F>],
        names: &[String],
        by_flag: impl Fn(&mut Column) -> Option<bool>,
    ) -> Result<Self, String> {
        if names.is_empty() {
            let usual = |column: &mut Column| by_flag(column).unwrap_or(true);
            return Ok(Self::new(fields.iter().copied(), usual));
        }
        let chosen = names.iter().map(|name| find(fields, name)).collect::<Result<Vec<_>, _>>()?;
        let is_chosen = |title| chosen.iter().any(|field| field.column.title == title);
        let by_flag_only =
            |column: &mut Column| by_flag(column) == Some(true) && !is_chosen(column.title);
        let mut view = Self::new(fields.iter().copied(), by_flag_only);
        for (number, field) in chosen.iter().enumerate() {
            let mut column = field.column;
            by_flag(&mut column);
            let least = if column.width == 0 { FREE } else { column.title.len() };
            if number + 1 < chosen.len() {
                column.width = column.width.max(least);
            }
            view.columns.push(column);
            view.cells.push(field.put);
        }
        Ok(view)
    }
}

/// The fields that can be columns: those of a tool, and those that all tools have.
fn all<F: Copy>(fields: &[Field<F>]) -> impl Iterator<Item = Field<F>> {
    fields.iter().copied().chain(Field::ALWAYS).chain([Field::TID])
}

/// The field with this name, as a column.
fn find<F: Copy>(fields: &[Field<F>], name: &str) -> Result<Field<F>, String> {
    let same = SAME.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    let wanted = same.map_or(name, |(_, title)| title);
    let is_called = |text: &str| !text.is_empty() && text.eq_ignore_ascii_case(wanted);
    let titled = |field: &Field<F>| is_called(field.column.title);
    let titled_without_unit = |field: &Field<F>| is_called(without_unit(field.column.title));
    let keyed = |field: &Field<F>| is_called(field.key);
    all(fields)
        .find(titled)
        .or_else(|| all(fields).find(titled_without_unit))
        .or_else(|| all(fields).find(keyed))
        .map(as_column)
        .ok_or_else(|| unknown(name, titles(fields)))
}

/// `LAT` of `LAT(ms)`, which a shell would have quoted.
pub fn without_unit(title: &str) -> &str {
    title.split_once('(').map_or(title, |(name, _)| name)
}

/// A field that is otherwise only in JSON has its key as the heading.
fn as_column<F: Copy>(field: Field<F>) -> Field<F> {
    match field.column.title {
        "" => field.in_column(Column::left(field.key, field.key.len())),
        _ => field,
    }
}

/// The headings, each once.
pub fn titles<F: Copy>(fields: &[Field<F>]) -> Vec<&'static str> {
    let mut titles: Vec<&str> = Vec::new();
    for title in all(fields).map(|field| field.column.title).filter(|title| !title.is_empty()) {
        if !titles.contains(&title) {
            titles.push(title);
        }
    }
    titles
}

/// One line about a name that no column has.
pub fn unknown(name: &str, titles: impl IntoIterator<Item = &'static str>) -> String {
    let mut shown = String::new();
    crate::output::escape::push_cell(&mut shown, name.as_bytes());
    let titles: Vec<_> = titles.into_iter().map(str::to_ascii_lowercase).collect();
    let titles = titles.join(", ");
    format!("no column '{shown}': there are {titles}, and the keys of --json in the manual")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::row::{Common, FieldOf, Slot};
    use crate::skel::task_id;

    type Put = fn(&(), &mut Slot<'_, '_>);

    const FIELDS: &[FieldOf<()>] = &[
        Field::TIME,
        Field::SINCE,
        Field::UID,
        Field::PID,
        Field::right("LAT(ms)", 9, "connect.duration_ns", "", |(), slot| {
            slot.optional_millis(Some(1_500_000));
        }),
        Field::json("file.deleted", "", |(), slot| slot.flag(true)),
        Field::json("file.names", "", |(), slot| {
            slot.names([&b"a b"[..], b"c"].into_iter());
        }),
        Field::left("ARGS", 0, "process.command_args", "", |(), slot| slot.text("x y")),
    ];

    fn chosen(names: &[&str]) -> Result<View<Put>, String> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        View::choose(FIELDS, &names, |column| match column.title {
            "TIME" | "TIME(s)" => Some(false),
            "UID" => Some(true),
            _ => None,
        })
    }

    fn titles_of(names: &[&str]) -> Vec<&'static str> {
        chosen(names).unwrap().columns().iter().map(|column| column.title).collect()
    }

    #[test]
    fn columns_come_in_the_order_of_their_names() {
        assert_eq!(titles_of(&[]), ["UID", "PID", "LAT(ms)", "ARGS"]);
        assert_eq!(titles_of(&["args", "Pid"]), ["UID", "ARGS", "PID"]);
        assert_eq!(titles_of(&["lat", "UID", "time"]), ["LAT(ms)", "UID", "TIME"]);
        assert_eq!(titles_of(&["lat(ms)", "time(s)", "uid"]), ["LAT(ms)", "TIME(s)", "UID"]);
        assert_eq!(titles_of(&["process.pid", "timestamp", "uid"]), ["PID", "TIME", "UID"]);
        assert_eq!(titles_of(&["uid", "tid", "comm", "ppid", "cgroup"]).len(), 5, "of all tools");
    }

    #[test]
    fn what_is_only_in_json_can_be_a_column() {
        let view = chosen(&["uid", "args", "File.Deleted", "file.names", "pid"]).unwrap();
        let titles: Vec<_> = view.columns().iter().map(|column| column.title).collect();
        assert_eq!(titles, ["UID", "ARGS", "file.deleted", "file.names", "PID"]);
        let id = task_id { pid: 7, ..task_id::default() };
        let common = Common::of(&id);
        let row = view.line(false, &common, &());
        let args = format!("{:40}", "x y");
        assert_eq!(row, format!("0      {args} true         a\\040b,c   7\n"));
    }

    #[test]
    fn an_unknown_name_lists_the_others() {
        let error = chosen(&["pid", "no\tsuch"]).unwrap_err();
        assert!(
            error.starts_with("no column 'no\\tsuch': there are time, time(s), uid, "),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }
}
