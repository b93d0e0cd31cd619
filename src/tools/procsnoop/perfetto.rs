//! `--perfetto`: the processes of a run as a trace for Perfetto's viewer, in its own format.
//!
//! Each process is a slice in a lane below its parent's. Arrows lead from a mark at the birth to the
//! child. What failed has a mark in its name, a category and a colour of its own. The first row is
//! the critical path.

mod messages;

use std::collections::HashMap;
use std::io::{self, Write};

use prost::Message as _;

use super::critical::Path;
use super::history::{History, Past};
use super::labels::{Labels, cut};
use super::lanes::Lanes;
use messages::{
    DebugAnnotation, Kind, Merging, Ordering, Trace, TracePacket, TrackDescriptor, TrackEvent,
};

/// The most characters of a slice's name, and of the title.
const MOST_NAME: usize = 70;
const MOST_TITLE: usize = 300;

/// How many programs a lane is named after.
const MOST_PROGRAMS: usize = 3;

/// Rows: the family, the critical path, and the lanes from this one on.
const FAMILY: u64 = 1;
const PATH: u64 = 2;
const LANES: u64 = 16;

/// Events are written in the order of their times; at the same time, in this order.
#[derive(Clone, Copy)]
enum Event {
    Begin(usize),
    /// The birth of this one, in its parent
    Birth(usize),
    End(usize),
    /// Of the step of this number
    StepBegin(usize),
    StepEnd,
}

/// What is written.
struct Writer<'a> {
    history: &'a History,
    path: Option<&'a Path>,
    labels: Labels<'a>,
    lanes: Lanes,
    last_ns: u64,
}

/// Writes the trace. `title`: what was traced. `path`: its critical path, if it has one.
pub fn write(
    out: &mut dyn Write,
    history: &History,
    title: &str,
    path: Option<&Path>,
) -> io::Result<()> {
    let (_, last_ns) = history.span().unwrap_or((0, 0));
    let lanes = Lanes::of_history(history, last_ns);
    let writer = Writer { history, path, labels: Labels::new(history), lanes, last_ns };
    packet(out, row(FAMILY, &cut(title.to_owned(), MOST_TITLE), None))?;
    if path.is_some() {
        packet(out, row(PATH, "critical path", Some(0)))?;
    }
    for (lane, name) in writer.names().into_iter().enumerate() {
        packet(out, row(LANES + lane as u64, &name, Some(lane + 1)))?;
    }
    for (time_ns, event) in writer.events() {
        let event = Some(writer.event(event));
        let packet_of = TracePacket { timestamp: Some(time_ns), track_event: event, ..sequence() };
        packet(out, packet_of)?;
    }
    Ok(())
}

/// A trace is the sum of its parts: one packet after the other can be written.
fn packet(out: &mut dyn Write, packet: TracePacket) -> io::Result<()> {
    out.write_all(&Trace { packet: vec![packet] }.encode_to_vec())
}

fn sequence() -> TracePacket {
    TracePacket { trusted_packet_sequence_id: Some(1), ..TracePacket::default() }
}

/// `rank`: the place below the family's.
fn row(uuid: u64, name: &str, rank: Option<usize>) -> TracePacket {
    let descriptor = TrackDescriptor {
        uuid: Some(uuid),
        name: Some(name.to_owned()),
        parent_uuid: rank.map(|_| FAMILY),
        child_ordering: rank.is_none().then_some(Ordering::Explicit.into()),
        sibling_order_rank: rank.and_then(|rank| i32::try_from(rank).ok()),
        sibling_merge_behavior: rank.map(|_| Merging::None.into()),
    };
    TracePacket { track_descriptor: Some(descriptor), ..sequence() }
}

impl Writer<'_> {
    /// Names of the lanes: numbers from 1, and the programs that are in them most.
    fn names(&self) -> Vec<String> {
        let mut counts: Vec<HashMap<String, usize>> = vec![HashMap::new(); self.lanes.count];
        for (past, &lane) in self.history.processes().iter().zip(&self.lanes.of) {
            if let Some(counts) = counts.get_mut(lane) {
                *counts.entry(self.labels.program(past)).or_default() += 1;
            }
        }
        let name = |(lane, counts): (usize, HashMap<String, usize>)| {
            let mut programs: Vec<_> = counts.into_iter().collect();
            programs.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            let first: Vec<_> =
                programs.iter().take(MOST_PROGRAMS).map(|(name, _)| name.as_str()).collect();
            let more = if programs.len() > MOST_PROGRAMS { ", …" } else { "" };
            cut(format!("{} {}{more}", lane + 1, first.join(", ")), MOST_NAME)
        };
        counts.into_iter().enumerate().map(name).collect()
    }

    /// All events in the order of their times. Within a lane they are in their own order: a slice
    /// ends before the next one begins, if both are at the same time.
    fn events(&self) -> Vec<(u64, Event)> {
        let all = self.history.processes();
        let (children, _) = self.history.children();
        let drawn =
            |index: usize| all.get(index).map(|past| self.history.drawn(past, self.last_ns));
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by_key(|&index| (drawn(index), index));
        let mut events = Vec::new();
        for index in order {
            let Some((start_ns, end_ns)) = drawn(index) else { continue };
            events.push((start_ns, Event::Begin(index)));
            for &child in children.get(index).into_iter().flatten() {
                // A parent that is older than the picture bore it before that.
                let is_within = all.get(child).is_some_and(|child| child.start_ns >= start_ns);
                if let Some((birth_ns, _)) = drawn(child).filter(|_| is_within) {
                    events.push((birth_ns.min(end_ns), Event::Birth(child)));
                }
            }
            events.push((end_ns, Event::End(index)));
        }
        for (number, step) in self.path.map_or(&[][..], |path| &path.steps).iter().enumerate() {
            events.push((step.from_ns, Event::StepBegin(number)));
            events.push((step.until_ns, Event::StepEnd));
        }
        events.sort_by_key(|(time_ns, _)| *time_ns); // stable
        events
    }

    fn event(&self, event: Event) -> TrackEvent {
        let all = self.history.processes();
        match event {
            Event::Begin(index) => self.begin(index),
            Event::Birth(child) => TrackEvent {
                r#type: Some(Kind::Instant.into()),
                name: Some("fork".to_owned()),
                track_uuid: all.get(child).and_then(|past| past.parent).map(|p| self.track(p)),
                flow_ids: vec![flow(child)],
                ..TrackEvent::default()
            },
            Event::End(index) => end(self.track(index)),
            Event::StepBegin(number) => {
                let step = self.path.and_then(|path| path.steps.get(number));
                let past = step.and_then(|step| all.get(step.process));
                TrackEvent {
                    r#type: Some(Kind::SliceBegin.into()),
                    name: past.map(|past| self.labels.label(past, MOST_NAME)),
                    categories: vec!["critical path".to_owned()],
                    track_uuid: Some(PATH),
                    debug_annotations: past
                        .map(|p| DebugAnnotation::number("pid", p.pid.into()))
                        .into_iter()
                        .collect(),
                    correlation_id_str: past.map(|past| self.labels.program(past)),
                    ..TrackEvent::default()
                }
            }
            Event::StepEnd => end(PATH),
        }
    }

    fn track(&self, index: usize) -> u64 {
        LANES + self.lanes.of.get(index).copied().unwrap_or_default() as u64
    }

    fn begin(&self, index: usize) -> TrackEvent {
        let Some(past) = self.history.processes().get(index) else { return TrackEvent::default() };
        let label = self.labels.label(past, MOST_NAME);
        let has_failed = past.end.is_some_and(|end| end.status.is_failure());
        let (name, colour) = match has_failed {
            true => (format!("✗ {label}"), "failed".to_owned()),
            false => (label, self.labels.program(past)),
        };
        let mut categories = vec!["process".to_owned()];
        categories.extend(has_failed.then(|| "failed".to_owned()));
        TrackEvent {
            r#type: Some(Kind::SliceBegin.into()),
            name: Some(name),
            categories,
            track_uuid: Some(self.track(index)),
            terminating_flow_ids: past.parent.map(|_| flow(index)).into_iter().collect(),
            debug_annotations: self.details(past),
            correlation_id_str: Some(colour),
            ..TrackEvent::default()
        }
    }

    fn details(&self, past: &Past) -> Vec<DebugAnnotation> {
        let mut details = vec![
            DebugAnnotation::text("command", past.label()),
            DebugAnnotation::number("pid", past.pid.into()),
        ];
        let parent = past.parent.and_then(|parent| self.history.processes().get(parent));
        details
            .extend(parent.map(|parent| DebugAnnotation::number("parent_pid", parent.pid.into())));
        let status = past.end.map_or("running".to_owned(), |end| end.status.to_string());
        details.push(DebugAnnotation::text("status", status));
        let cpu_ms = past.end.map(|end| end.cpu_ns() as f64 / 1e6);
        details.extend(cpu_ms.map(|cpu_ms| DebugAnnotation::real("cpu_ms", cpu_ms)));
        let earlier = past.earlier.iter();
        details.extend(earlier.map(|one| DebugAnnotation::text("before", one.command.as_str())));
        details
    }
}

fn end(track: u64) -> TrackEvent {
    let kind = Some(Kind::SliceEnd.into());
    TrackEvent { r#type: kind, track_uuid: Some(track), ..TrackEvent::default() }
}

/// The arrow to this process.
fn flow(index: usize) -> u64 {
    index as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::super::history::testing::history;
    use super::*;

    fn written(history: &History) -> Vec<TracePacket> {
        let mut out = Vec::new();
        let path = Path::new(history, 0);
        write(&mut out, history, "a \"title\"", Some(&path)).unwrap();
        Trace::decode(out.as_slice()).unwrap().packet
    }

    #[test]
    fn slices_lanes_and_arrows() {
        let packets = written(&history(&[
            (1, 0, 1000, 9000, 0, 500),
            (2, 1, 2000, 3000, 9, 0),
            (3, 1, 3000, 4000, 256, 0),
        ]));
        let rows: Vec<_> = packets.iter().filter_map(|p| p.track_descriptor.as_ref()).collect();
        let names: Vec<_> = rows.iter().map(|row| row.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["a \"title\"", "critical path", "1 sh", "2 sh"]);
        let ranks: Vec<_> = rows.iter().map(|row| row.sibling_order_rank).collect();
        assert_eq!(ranks, [None, Some(0), Some(1), Some(2)]);
        assert!(rows.iter().skip(1).all(|row| row.parent_uuid == Some(FAMILY)));

        let events =
            || packets.iter().filter_map(|p| Some((p.timestamp?, p.track_event.as_ref()?)));
        let times: Vec<_> = events().map(|(time, _)| time).collect();
        assert!(times.is_sorted(), "{times:?}");
        let of = |track| events().filter(move |(_, event)| event.track_uuid == Some(track));
        let kinds = |track| of(track).map(|(time, e)| (time, e.r#type())).collect::<Vec<_>>();
        use Kind::{Instant, SliceBegin, SliceEnd};
        assert_eq!(
            kinds(LANES),
            [(1000, SliceBegin), (2000, Instant), (3000, Instant), (9000, SliceEnd)]
        );
        let second = [(2000, SliceBegin), (3000, SliceEnd), (3000, SliceBegin), (4000, SliceEnd)];
        assert_eq!(kinds(LANES + 1), second);
        assert_eq!(of(PATH).count(), 2 * 4);
        let begins: Vec<_> = of(LANES + 1).filter(|(_, e)| e.r#type() == SliceBegin).collect();
        for (number, (_, begin)) in begins.iter().enumerate() {
            assert_eq!(begin.name.as_deref(), Some("✗ sh"));
            assert_eq!(begin.categories, ["process", "failed"]);
            assert_eq!(begin.terminating_flow_ids, [number as u64 + 2]);
        }
        let births: Vec<_> = of(LANES).flat_map(|(_, event)| event.flow_ids.clone()).collect();
        assert_eq!(births, [2, 3]);
        let detail = |name: &str| {
            let details = begins[0].1.debug_annotations.iter();
            details.clone().find(|detail| detail.name() == name).unwrap()
        };
        assert_eq!(
            (detail("status").string_value(), detail("parent_pid").uint_value()),
            ("SIGKILL", 1)
        );
    }

    #[test]
    fn each_arrow_is_a_member_of_its_own() {
        // Perfetto's reader does not take several in one, as the format has it since proto3.
        let event = TrackEvent { flow_ids: vec![5], ..TrackEvent::default() };
        let key = [0xf9, 0x02]; // 47, 64 bits
        assert_eq!(event.encode_to_vec(), [&key[..], &5u64.to_le_bytes()].concat());
    }

    #[test]
    fn nothing_at_all() {
        let mut out = Vec::new();
        write(&mut out, &History::default(), "x", None).unwrap();
        assert_eq!(Trace::decode(out.as_slice()).unwrap().packet.len(), 1);
    }
}
