//! Attempts that have no answer when tracing ends. User space reads the map of attempts; a program
//! that is attached to nothing runs for each socket, to read its state.

use anyhow::{Context, Result};
use libbpf_rs::{MapCore as _, MapFlags, ProgramInput, ProgramMut};

use super::Connect;
use crate::output::time::boot_now_ns;
use crate::skel::tcpconnect::TcpconnectSkel;
use crate::skel::{
    connect_attempt, connect_event, connect_flag, connect_look, connect_outcome, decode, task_id,
};

/// Attempts without an answer, in the order in which they began. For use when nothing is attached
/// any more.
///
/// # Errors
///
/// The map could not be read.
pub fn read(object: &TcpconnectSkel<'_>) -> Result<Vec<Connect>> {
    let attempts = &object.maps.attempts;
    // A program that still runs may remove an entry, and the walk then begins again.
    let mut keys: Vec<_> = attempts.keys().collect();
    keys.sort_unstable();
    keys.dedup();
    let look = loaded([&object.progs.look, &object.progs.look_syscall]);
    let mut pending = Vec::new();
    for key in keys {
        let Some(value) = attempts.lookup(&key, MapFlags::ANY)? else { continue };
        let attempt: connect_attempt = decode(&value)?;
        if attempt.pending == 0 {
            continue;
        }
        let seen = match look {
            Some(program) => match look_at(program, object, &key, &attempt)? {
                Some(seen) => Some(seen),
                None => continue, // counted as lost: its end was missed
            },
            None => None,
        };
        pending.push(connect(&attempt, seen));
    }
    pending.sort_by_key(Connect::began_ns);
    Ok(pending)
}

/// The program of these that the kernel accepted.
pub(super) fn loaded<'a, 'obj>(
    programs: [&'a ProgramMut<'obj>; 2],
) -> Option<&'a ProgramMut<'obj>> {
    programs.into_iter().find(|program| program.autoload())
}

/// Runs a program with these arguments.
pub(super) fn run(program: &ProgramMut<'_>, arguments: &[u64]) -> Result<()> {
    let mut context: Vec<u8> = arguments.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let input = ProgramInput { context_in: Some(&mut context), ..ProgramInput::default() };
    program.test_run(input).context("run a program")?;
    Ok(())
}

/// The state of the socket; `None`: it is not connecting any more.
fn look_at(
    program: &ProgramMut<'_>,
    object: &TcpconnectSkel<'_>,
    key: &[u8],
    attempt: &connect_attempt,
) -> Result<Option<connect_look>> {
    let socket = u64::from_ne_bytes(key.try_into().context("a key of another size")?);
    let peer = &attempt.peer.end;
    run(program, &[socket, attempt.inode, peer.port.into(), peer.interface.into()])?;
    let value = object.maps.data_look.lookup(&0u32.to_ne_bytes(), MapFlags::ANY)?;
    let look: connect_look = decode(&value.context("no .data.look")?)?;
    Ok((look.connecting != 0).then_some(look))
}

/// The attempt as if it ended now. `seen`: the state of the socket, if it could be read.
fn connect(attempt: &connect_attempt, seen: Option<connect_look>) -> Connect {
    let now = boot_now_ns();
    let peer = &attempt.peer;
    let id = task_id { time_ns: now, ..task_id::from(attempt.id) };
    let unseen = if seen.is_none() { connect_flag::CONNECT_UNSEEN.0 } else { 0 };
    let seen = seen.unwrap_or_default();
    let event = connect_event {
        duration_ns: now.saturating_sub(attempt.id.time_ns),
        local: seen.local,
        peer: peer.end,
        asked: peer.asked,
        outcome: connect_outcome::CONNECT_PENDING,
        flags: connect_flag(attempt.flags.0 | unseen),
        error: 0,
        netns: peer.netns,
        rtt_us: 0,
        retransmits: seen.retransmits,
        interface_name: seen.interface_name,
        ..connect_event::default()
    };
    Connect { event, id }
}
