//! Which programs of an object are to be loaded for a backend, and which of its maps are not needed.

use anyhow::{Result, ensure};
use libbpf_rs::OpenObject;

use super::kind::{self, Kind};
use super::memory::Memory;
use crate::engine::backend::{Backend, Job};
use crate::engine::refusal::Refused;

/// The programs to load. Before libbpf loads a program, it looks up each type in the kernel's BTF and
/// creates the maps. That is wasted time if the kernel refuses all trampolines, which is common: ask
/// first.
pub(super) fn plan(
    jobs: &[Job],
    object: &OpenObject,
    memory: &mut Memory,
) -> Result<Vec<&'static str>, Refused> {
    loop {
        let plan = memory.plan(jobs, object)?;
        let mut kinds = plan.iter().filter_map(|name| kind::of(object, name));
        if !kinds.find(Kind::is_trampoline).is_some_and(|kind| memory.try_kind(&kind)) {
            return Ok(plan);
        }
    }
}

/// A name that the object does not have is our mistake, and not a reason for another backend; but
/// for programs that some architectures lack, which x86_64 is not one of: see `arch.bpf.h`.
pub(super) fn check_names(object: &OpenObject, backends: &[Backend]) -> Result<()> {
    let may_lack = |job: &Job| job.if_there && !cfg!(target_arch = "x86_64");
    let jobs = backends.iter().flat_map(|backend| &backend.jobs).filter(|job| !may_lack(job));
    for name in jobs.flat_map(|job| &job.programs) {
        ensure!(has(object, name), "no program {name} in the object: please report this");
    }
    Ok(())
}

/// The jobs without the programs that this architecture lacks.
pub(super) fn of_this_architecture(jobs: &[Job], object: &OpenObject) -> Vec<Job> {
    let mut jobs = jobs.to_owned();
    for job in &mut jobs {
        job.programs.retain(|name| has(object, name));
    }
    jobs.retain(|job| !job.programs.is_empty());
    jobs
}

pub(super) fn has(object: &OpenObject, program: &str) -> bool {
    object.progs().any(|other| other.name() == program)
}

/// Maps for jobs that this backend does not have, or that have no program left.
pub(super) fn unused_maps(jobs: &[Job], plan: &[&str], backends: &[Backend]) -> Vec<&'static str> {
    let is_done = |job: &&Job| job.programs.iter().any(|name| plan.contains(name));
    let used: Vec<_> = jobs.iter().filter(is_done).flat_map(|job| &job.maps).collect();
    let all = backends.iter().flat_map(|backend| &backend.jobs).flat_map(|job| &job.maps);
    all.filter(|map| !used.contains(map)).copied().collect()
}

#[cfg(test)]
mod tests {
    use libbpf_rs::ObjectBuilder;
    use nix::errno::Errno;

    use super::*;
    use crate::engine::attach::NotShown;
    use crate::host::tracepoint;

    #[test]
    fn a_name_of_our_own_that_is_wrong_is_no_refusal() {
        let mut builder = ObjectBuilder::default();
        let object = builder.open_file(concat!(env!("OUT_DIR"), "/execve.bpf.o")).unwrap();
        let backend = |program| Backend::new("x", [Job::main("exec_done_btf").or(program)]);
        assert!(check_names(&object, &[backend("exec_done_raw")]).is_ok());
        let wrong = [backend("exec_done_raw"), backend("exec_dome")];
        let error = check_names(&object, &wrong).unwrap_err();
        assert!(error.to_string().contains("no program exec_dome"), "{error}");
        assert!(Refused::other(error).is_final(), "no other backend is tried");
    }

    #[test]
    fn a_program_at_several_tracepoints_is_loaded_once() {
        let mut builder = ObjectBuilder::default();
        let object = builder.open_file(concat!(env!("OUT_DIR"), "/mmap.bpf.o")).unwrap();
        let ways = |job: Job| job.or("tp_wx_list").or("tp_wx");
        let jobs = [
            ways(Job::main("tp_wx_vma")),
            ways(Job::adds("tp_wx_vma", "brk()")).at("syscalls/sys_exit_brk"),
            ways(Job::adds("tp_wx_vma", "shmat()")).at("syscalls/sys_exit_shmat"),
        ];
        let mut memory = Memory::default();
        assert_eq!(memory.plan(&jobs, &object).unwrap(), ["tp_wx_vma"]);

        // A refused tracepoint costs its own job, whichever program; the others stay.
        let refused = Refused::Tracepoint(tracepoint::TracepointError {
            tracepoint: "syscalls/sys_exit_shmat".to_owned(),
            step: tracepoint::Step::ReadId,
            errno: Errno::ENOENT,
        });
        let size = memory.size();
        memory.refuse_to_attach(&jobs[2], "tp_wx_vma", refused);
        assert!(memory.size() > size, "something was learnt");
        let choices = jobs.each_ref().map(|job| memory.choice(job));
        assert_eq!(choices, [Some("tp_wx_vma"), Some("tp_wx_vma"), None]);
        assert_eq!(memory.plan(&jobs, &object).unwrap(), ["tp_wx_vma"]);
        let not_shown = memory.not_shown(&jobs, &Backend::new("tracepoint", jobs.clone()));
        let lines: Vec<_> = not_shown.iter().map(NotShown::to_string).collect();
        let line = "not shown: shmat(): this kernel has no tracepoint syscalls/sys_exit_shmat";
        assert_eq!(lines, [line]);

        // A refused program leaves all of its jobs to the next one.
        let refused = Refused::Attach { name: "tp_wx_vma".to_owned(), errno: Errno::EACCES };
        memory.refuse_to_attach(&jobs[0], "tp_wx_vma", refused);
        assert_eq!(memory.plan(&jobs, &object).unwrap(), ["tp_wx_list"]);
    }
}
