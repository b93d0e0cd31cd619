//! What the kernel has refused and accepted so far, so that nothing is tried twice; and the next
//! plan.

use std::collections::BTreeSet;

use libbpf_rs::btf::Btf;
use libbpf_rs::{MapType, OpenObject};
use nix::errno::Errno;

use super::kind::{self, Kind};
use super::object::MapPlan;
use super::{NotShown, variables, verifier};
use crate::engine::backend::{Backend, Job};
use crate::engine::refusal::{Refused, is_shortage};

/// What was refused, and what was not.
#[derive(Default)]
pub(super) struct Memory {
    programs: Vec<(String, Refused)>,
    tracepoints: Vec<(&'static str, Refused)>,
    accepted: BTreeSet<String>,
    failures: u32,
    kinds: Vec<(Kind, Option<Refused>)>,
}

impl Memory {
    /// Why this program cannot be used, if that is known.
    pub(super) fn refused(&self, program: &str) -> Option<&Refused> {
        self.programs.iter().find(|(name, _)| name == program).map(|(_, refused)| refused)
    }

    /// How much is known: a number that grows.
    pub(super) fn size(&self) -> usize {
        self.programs.len() + self.tracepoints.len() + self.kinds.len() + self.accepted.len()
    }

    /// The programs of a plan to load now: all of them or, after several failures, those of which
    /// nothing is known. libbpf loads all programs or none, so that otherwise the time of a start
    /// would grow with the square of the refusals.
    pub(super) fn next<'a>(&self, plan: &[&'a str]) -> Vec<&'a str> {
        let unknown = plan.iter().copied().filter(|name| !self.accepted.contains(*name));
        let unknown: Vec<_> = unknown.collect();
        if self.failures < 2 || unknown.is_empty() { plan.to_vec() } else { unknown }
    }

    /// Notes that the kernel has loaded these programs.
    pub(super) fn accept(&mut self, programs: impl IntoIterator<Item = String>) {
        self.accepted.extend(programs);
    }

    /// Why no program can be attached to this tracepoint, if that is known.
    fn refused_at(&self, tracepoint: &str) -> Option<&Refused> {
        self.tracepoints.iter().find(|(name, _)| *name == tracepoint).map(|(_, refused)| refused)
    }

    /// The best program for this job that was not refused.
    pub(super) fn choice(&self, job: &Job) -> Option<&'static str> {
        if job.tracepoint.is_some_and(|name| self.refused_at(name).is_some()) {
            return None;
        }
        job.programs.iter().copied().find(|program| self.refused(program).is_none())
    }

    /// The programs to load: the best for each job. The error is the refusal that hides the main
    /// event.
    pub(super) fn plan(
        &mut self,
        jobs: &[Job],
        object: &OpenObject,
    ) -> Result<Vec<&'static str>, Refused> {
        jobs.iter().for_each(|job| self.spread(job, object));
        let mut plan = Vec::new();
        for job in jobs {
            match self.choice(job) {
                Some(program) if plan.contains(&program) => {}
                Some(program) => plan.push(program),
                None if job.not_shown.is_none() => return Err(self.reason(job)),
                None => {}
            }
        }
        Ok(plan)
    }

    /// A refusal of a kind holds for the programs of this job of that kind.
    fn spread(&mut self, job: &Job, object: &OpenObject) {
        for program in &job.programs {
            if self.refused(program).is_some() {
                continue;
            }
            let Some(kind) = kind::of(object, program) else { continue };
            if let Some(mut refused) = self.known(&kind).flatten() {
                if let Refused::Kind { kind: name, .. } = &mut refused {
                    *name = kind.name();
                }
                self.refuse(program, refused);
            }
        }
    }

    fn reason(&self, job: &Job) -> Refused {
        let refused = job.programs.iter().find_map(|program| self.refused(program));
        let refused = job.tracepoint.and_then(|name| self.refused_at(name)).or(refused);
        refused.cloned().unwrap_or(Refused::Object { errno: Errno::EINVAL })
    }

    /// Notes why a program cannot be used.
    pub(super) fn refuse(&mut self, program: &str, refused: Refused) {
        self.programs.push((program.to_owned(), refused));
    }

    /// Notes why the program of a job could not be attached. A tracepoint of the job's own refuses each
    /// program.
    pub(super) fn refuse_to_attach(&mut self, job: &Job, program: &str, refused: Refused) {
        match job.tracepoint {
            Some(name) => self.tracepoints.push((name, refused)),
            None => self.refuse(program, refused),
        }
    }

    fn known(&self, kind: &Kind) -> Option<Option<Refused>> {
        self.kinds.iter().find(|(other, _)| other.is_like(kind)).map(|(_, refused)| refused.clone())
    }

    /// Whether the kernel refuses all programs of this kind; tried once.
    pub(super) fn try_kind(&mut self, kind: &Kind) -> bool {
        if let Some(known) = self.known(kind) {
            return known.is_some();
        }
        self.kinds.push((kind.clone(), kind.refused()));
        self.known(kind).flatten().is_some()
    }

    /// Learns from an object that could not be loaded; libbpf stopped at `program`. The error is a
    /// refusal that no other choice of programs avoids.
    pub(super) fn learn(
        &mut self,
        errno: Errno,
        program: Option<&str>,
        kinds: &[(&str, Kind)],
        maps: &[MapPlan],
        jobs: &[Job],
        words: &str,
    ) -> Result<(), Refused> {
        self.failures += 1;
        if is_shortage(errno) {
            return Err(Refused::Object { errno });
        }
        if let Some((name, refused)) = refused_map(maps) {
            return self.refuse_users(&name, refused, jobs);
        }
        if let Some(refused) = variables::refused() {
            return Err(refused);
        }
        let found = kinds.iter().find(|(name, _)| Some(*name) == program);
        let (name, kind) = found.ok_or(Refused::Object { errno })?;
        if let Ok(kernel) = Btf::from_vmlinux() {
            let before = self.programs.len();
            for (name, kind) in kinds {
                if let Some((what, target)) = kind.missing(&kernel) {
                    self.refuse(name, Refused::Target { what, target });
                }
            }
            if self.programs.len() > before {
                return Ok(());
            }
        }
        let verifier = verifier::last_words(words).unwrap_or_default();
        // If the verifier has looked at the program, the kernel accepts the kind.
        if !verifier.is_empty() || !self.try_kind(kind) {
            self.refuse(name, Refused::Program { name: (*name).to_owned(), errno, verifier });
        }
        Ok(())
    }

    /// A refused map also refuses the programs of its jobs. The error: the main event needs that
    /// map.
    fn refuse_users(&mut self, map: &str, refused: Refused, jobs: &[Job]) -> Result<(), Refused> {
        let users = jobs.iter().filter(|job| job.maps.contains(&map));
        let programs: Vec<_> = users
            .flat_map(|job| &job.programs)
            .copied()
            .filter(|program| self.refused(program).is_none())
            .collect();
        if programs.is_empty() {
            return Err(refused);
        }
        programs.into_iter().for_each(|program| self.refuse(program, refused.clone()));
        Ok(())
    }

    /// The parts that a backend does not show, and why.
    pub(super) fn not_shown(&self, jobs: &[Job], backend: &Backend) -> Vec<NotShown> {
        let mut all: Vec<NotShown> = Vec::new();
        let mut add = |what, reason: &Refused| {
            if !all.iter().any(|other| other.what == what) {
                all.push(NotShown { what, reason: reason.to_string() });
            }
        };
        for job in jobs {
            let reason = self.reason(job);
            match (self.choice(job), job.not_shown) {
                (None, Some(what)) => {
                    let is_nothing = job.if_there && matches!(reason, Refused::Target { .. });
                    if !is_nothing {
                        add(what, &reason);
                    }
                }
                (Some(program), _) => {
                    if let Some((_, what)) = job.lesser.iter().find(|(name, _)| *name == program) {
                        add(what, &reason);
                    }
                }
                (None, None) => {}
            }
        }
        all.extend(backend.lacks.iter().map(|what| NotShown { what, reason: String::new() }));
        all
    }
}

/// The first map that cannot be created, tried one by one. The earlier maps are kept, since only
/// all of them together may be too much.
fn refused_map(maps: &[MapPlan]) -> Option<(String, Refused)> {
    let mut held = Vec::new();
    for map in maps {
        match map.create() {
            Ok(fd) => held.push(fd),
            Err(errno) => {
                let (name, kind) = (map.name.clone(), type_name(map.kind));
                return Some((name.clone(), Refused::Map { name, kind, errno }));
            }
        }
    }
    None
}

/// `ringbuf`
fn type_name(kind: MapType) -> String {
    // SAFETY: it returns a constant string, or null.
    let name = unsafe { libbpf_sys::libbpf_bpf_map_type_str(kind as u32) };
    if name.is_null() {
        return format!("{kind:?}");
    }
    // SAFETY: as above.
    unsafe { std::ffi::CStr::from_ptr(name) }.to_string_lossy().into_owned()
}
