//! The verifier's log: the instructions that it looked at, and at the end its objection.

/// The verifier's objection, on one line; `None` if the verifier did not run.
pub(super) fn last_words(libbpf: &str) -> Option<String> {
    let log = libbpf.get(..libbpf.rfind("-- END PROG LOAD LOG --")?)?;
    let said = log.lines().rev().map(str::trim).find(|line| !is_statistics(line))?;
    (!said.ends_with("-- BEGIN PROG LOAD LOG --")).then(|| said.to_owned())
}

/// Whether the line only counts what was done.
pub(crate) fn is_statistics(line: &str) -> bool {
    const BEGINNINGS: [&str; 6] = [
        "processed ",
        "verification time ",
        "stack depth ",
        "max_states_per_insn ",
        "mark_precise: ",
        "insns processed",
    ];
    line.is_empty() || BEGINNINGS.iter().any(|beginning| line.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sentence_counts() {
        let log = "libbpf: prog 'p': BPF program load failed: -EINVAL\n\
                   libbpf: prog 'p': -- BEGIN PROG LOAD LOG --\n0: (85) call unknown#175\n\
                   invalid func unknown#175\nprocessed 1 insns (limit 1000000)\n\
                   -- END PROG LOAD LOG --\nlibbpf: failed to load object 'x'\n";
        assert_eq!(last_words(log).as_deref(), Some("invalid func unknown#175"));
        let policy = "libbpf: prog 'p': -- BEGIN PROG LOAD LOG --\nprocessed 0 insns (limit 1)\n\
                      -- END PROG LOAD LOG --\n";
        assert_eq!(last_words(policy), None);
        assert_eq!(last_words("libbpf: prog 'p': BPF program load failed: -EPERM\n"), None);
    }
}
