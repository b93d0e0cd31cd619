//! What `--login` and `--ancestors` told of an event.

use super::line::{Line, Reading, needed};
use crate::host::context::{Ancestor, Ancestors, Context, Login, Name, Names};

/// The most ancestors in a line: as many as programs send.
const MOST: usize = 64;

/// Reads it, as far as it was recorded.
pub fn read(line: &Line) -> Reading<Context> {
    Ok(Context {
        login: login(line)?,
        ancestors: ancestors(line)?,
        is_missing: line.flag("process.context_missing")?,
    })
}

fn login(line: &Line) -> Reading<Option<Login>> {
    // Each login has this one.
    let Some(effective_group) = line.number("process.group.id")? else { return Ok(None) };
    let name = |key| Ok::<_, String>(line.bytes(key)?.map(Name::from));
    let leader = line.number("process.session_leader.pid")?;
    let leader_start_ns = line.number("process.session_leader.start_boot_ns")?.unwrap_or(0);
    Ok(Some(Login {
        user: line.number("process.login_user.id")?,
        audit_session: line.number("process.audit_session.id")?,
        session_leader: leader.map(|pid| (pid, leader_start_ns)),
        group_leader: line.number("process.group_leader.pid")?,
        group: needed(line.number("process.real_group.id")?, "process.real_group.id")?,
        effective_group,
        tty: line.bytes("process.tty.name")?.unwrap_or_default(),
        names: Names {
            login_user: name("process.login_user.name")?,
            user: name("process.user.name")?,
            real_user: name("process.real_user.name")?,
            group: name("process.group.name")?,
            real_group: name("process.real_group.name")?,
        },
    }))
}

/// The processes above, if they were recorded.
pub fn ancestors(line: &Line) -> Reading<Option<Ancestors>> {
    if !line.has("process.ancestors") {
        return Ok(None);
    }
    let objects = line.objects("process.ancestors")?;
    if objects.len() > MOST {
        return Err("process.ancestors has too many entries".to_owned());
    }
    let chain = objects.iter().map(ancestor).collect::<Reading<_>>()?;
    Ok(Some(Ancestors { chain, more: line.flag("process.ancestors_cut")? }))
}

fn ancestor(line: &Line) -> Reading<Ancestor> {
    let args = line.list("command_args")?;
    if args.iter().flatten().any(|arg| arg.contains(&0)) {
        return Err("an argument has a NUL".to_owned());
    }
    let block = args.map(|args| args.iter().flat_map(|arg| [arg, &b"\0"[..]].concat()).collect());
    Ok(Ancestor {
        pid: needed(line.number("pid")?, "process.ancestors.pid")?,
        start_ns: line.number("start_boot_ns")?.unwrap_or(0),
        exec_id: 0,
        comm: needed(line.comm("comm")?, "process.ancestors.comm")?,
        args: block.map(|block: Vec<u8>| block.into()),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proptest::prelude::*;

    use super::super::testing::line;
    use super::*;
    use crate::engine::cli::CommonArgs;
    use crate::output::row::{Common, Field, FieldOf, Slot, View};
    use crate::skel::task_id;

    #[derive(clap::Parser)]
    struct Args {
        #[command(flatten)]
        common: CommonArgs,
    }

    /// The row that these flags give.
    fn shown(flags: &[&str], context: &Context) -> String {
        let all = ["x", "--login", "--ancestors"];
        let args = Args::parse_from(all.iter().chain(flags)).common;
        let fields: [FieldOf<()>; 2] = [Field::LOGIN, Field::ANCESTORS];
        let view: View<fn(&(), &mut Slot<'_, '_>)> =
            View::choose(&fields, &args.columns, |column| args.by_flag(column)).unwrap();
        let id = task_id { pid: 7, vpid: 7, comm: [b'x'; 16], ..task_id::default() };
        let common = Common { context: Some(context), ..Common::of(&id) };
        view.line(args.json.is_some(), &common, &())
    }

    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(1u8.., 1..15)
    }

    fn any_name() -> impl Strategy<Value = Option<Name>> {
        prop::option::of(any_bytes().prop_map(Name::from))
    }

    prop_compose! {
        fn any_login()(
            ids: [Option<u32>; 3], leader: Option<(u32, u64)>, groups: [u32; 2],
            tty in prop::option::of(any_bytes()),
            names in (any_name(), any_name(), any_name(), any_name(), any_name()),
        ) -> Login {
            Login {
                user: ids[0], audit_session: ids[1], session_leader: leader, group_leader: ids[2],
                group: groups[0], effective_group: groups[1], tty: tty.unwrap_or_default(),
                names: Names {
                    login_user: names.0, user: names.1, real_user: names.2, group: names.3,
                    real_group: names.4,
                },
            }
        }
    }

    prop_compose! {
        fn any_ancestor()(
            pid: u32, start_ns: u64, name in any_bytes(),
            args in prop::option::of(prop::collection::vec(any_bytes(), 1..4)),
        ) -> Ancestor {
            let mut comm = [0; 16];
            comm.iter_mut().zip(name).for_each(|(to, from)| *to = from);
            let block = |args: Vec<Vec<u8>>| args.iter().flat_map(|arg| [arg, &b"\0"[..]].concat()).collect();
            let args = args.map(block).map(|block: Vec<u8>| block.into());
            Ancestor { pid, start_ns, exec_id: 0, comm, args }
        }
    }

    proptest! {
        #[test]
        fn a_line_has_all_that_a_row_shows(
            login in prop::option::of(any_login()),
            chain in prop::option::of(prop::collection::vec(any_ancestor(), 0..5)),
            more: bool,
            is_missing: bool,
        ) {
            let ancestors = chain.map(|chain| Ancestors { chain, more });
            let context = Context { login, ancestors, is_missing };
            let json = shown(&["--json"], &context);
            let again = read(&line(&json)).unwrap();
            prop_assert_eq!(&again, &context, "{}", json);
            let text = shown(&[], &context);
            prop_assert_eq!(shown(&[], &again), text.clone());
            prop_assert!(text.ends_with('\n') && !text.trim_end().contains('\n'));
            prop_assert!(text.trim_end_matches('\n').chars().all(|c| !c.is_control()), "{:?}", text);
        }
    }

    #[test]
    fn lines_that_nobody_wrote() {
        for wrong in [
            r#"{"process":{"ancestors":[{"pid":-1,"comm":"x"}]}}"#,
            r#"{"process":{"ancestors":[{"pid":1}]}}"#,
            r#"{"process":{"ancestors":7}}"#,
            r#"{"process":{"ancestors":[{"pid":1,"comm":"x","command_args":["a\u0000b"]}]}}"#,
            r#"{"process":{"group":{"id":0}}}"#,
            r#"{"process":{"context_missing":1}}"#,
        ] {
            assert!(read(&line(wrong)).is_err(), "{wrong}");
        }
        let many = vec![r#"{"pid":1,"comm":"x"}"#; MOST + 1].join(",");
        let many = format!(r#"{{"process":{{"ancestors":[{many}]}}}}"#);
        assert!(read(&line(&many)).is_err());
        assert_eq!(read(&line("{}")), Ok(Context::default()));
    }
}
