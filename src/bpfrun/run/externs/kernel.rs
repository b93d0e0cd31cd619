//! The functions, variables and symbols of the kernel.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs;
use std::ptr::NonNull;

use crate::bpfrun::run::externs::Want;
use crate::elf::object::Object;

/// The kernel's own tables, as far as they can be read.
pub(super) struct Kernel {
    /// The kernel's types, and then those of its modules, which build on them
    types: Vec<Types>,
    /// Existing symbols among those that an object wants
    symbols: Option<HashSet<String>>,
}

impl Kernel {
    /// Reads the tables that an object needs.
    pub(super) fn look_for(object: &Object) -> Self {
        let wants = |want| object.externs.iter().filter(move |w| Want::of(w, object) == want);
        let has_types = wants(Want::Function).chain(wants(Want::Variable)).next().is_some();
        let names: HashSet<_> = wants(Want::Symbol).map(|wanted| wanted.name.as_str()).collect();
        let table = (!names.is_empty()).then(|| fs::read_to_string("/proc/kallsyms").ok());
        Self {
            types: if has_types { types() } else { Vec::new() },
            symbols: table.flatten().map(|table| symbols(&table, &names)),
        }
    }

    /// Whether something is missing for certain.
    pub(super) fn lacks(&self, name: &str, want: Want) -> bool {
        match want {
            // libbpf ignores the end of a name from ___ on.
            Want::Function => self.has_no_type(name.split("___").next().unwrap_or(name), FUNCTION),
            Want::Variable => self.has_no_type(name, VARIABLE),
            Want::Symbol => self.symbols.as_ref().is_some_and(|symbols| !symbols.contains(name)),
            Want::Option | Want::Other => false,
        }
    }

    fn has_no_type(&self, name: &str, kind: u32) -> bool {
        let Ok(name) = CString::new(name) else { return false };
        !self.types.is_empty() && !self.types.iter().any(|types| types.has(&name, kind))
    }
}

const FUNCTION: u32 = libbpf_sys::BTF_KIND_FUNC;
const VARIABLE: u32 = libbpf_sys::BTF_KIND_VAR;

/// The names that the table of symbols has.
fn symbols(table: &str, names: &HashSet<&str>) -> HashSet<String> {
    let found = table.lines().filter_map(|line| line.split_whitespace().nth(2));
    found.filter(|name| names.contains(name)).map(str::to_owned).collect()
}

/// libbpf's reading of the kernel's BTF, or of a module's.
struct Types(NonNull<libbpf_sys::btf>);

impl Types {
    fn has(&self, name: &CStr, kind: u32) -> bool {
        // SAFETY: the types live, and the name ends in a NUL.
        let id =
            unsafe { libbpf_sys::btf__find_by_name_kind(self.0.as_ptr(), name.as_ptr(), kind) };
        id > 0
    }
}

impl Drop for Types {
    fn drop(&mut self) {
        // SAFETY: our own, and not used any more. Types of modules point to the kernel's, but
        // freeing them does not follow that pointer.
        unsafe { libbpf_sys::btf__free(self.0.as_ptr()) };
    }
}

fn types() -> Vec<Types> {
    // SAFETY: it has no arguments.
    let kernel = NonNull::new(unsafe { libbpf_sys::btf__load_vmlinux_btf() });
    let Some(kernel) = kernel.map(Types) else { return Vec::new() };
    let base = kernel.0.as_ptr();
    let mut all = vec![kernel];
    for module in fs::read_dir("/sys/kernel/btf").into_iter().flatten().flatten() {
        let name = CString::new(module.file_name().into_encoded_bytes());
        let Some(name) = name.ok().filter(|name| **name != *c"vmlinux") else { continue };
        // SAFETY: the name ends in a NUL; the kernel's types live as long.
        let module = unsafe { libbpf_sys::btf__load_module_btf(name.as_ptr(), base) };
        all.extend(NonNull::new(module).map(Types));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_has() {
        let symbols = Some(symbols("ffff0000 T here\n0 t away\t[mod]\n", &["here"].into()));
        let kernel = Kernel { types: types(), symbols };
        assert!(!kernel.lacks("here", Want::Symbol));
        assert!(kernel.lacks("nowhere", Want::Symbol));
        if kernel.types.is_empty() {
            return; // no BTF here
        }
        assert!(!kernel.lacks("do_exit", Want::Function));
        assert!(!kernel.lacks("do_exit___ours", Want::Function));
        assert!(kernel.lacks("no_such_function", Want::Function));
        assert!(kernel.lacks("do_exit", Want::Variable));
        // A thing that cannot be looked up is not missing.
        let blind = Kernel { types: Vec::new(), symbols: None };
        for want in [Want::Function, Want::Variable, Want::Symbol, Want::Option, Want::Other] {
            assert!(!blind.lacks("no_such_thing", want));
        }
    }
}
