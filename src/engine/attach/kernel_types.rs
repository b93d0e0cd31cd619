//! The kernel's types, as far as an object's CO-RE relocations name them.
//!
//! For each type that an object names, libbpf looks at each of the kernel's 150,000 types, and does so
//! anew whenever it loads the object. That is most of the time of a start. So it gets a BTF file with
//! the types that have these names, and all that is in them. Pointers lead to nothing in there: a
//! relocation ends at a pointer.

mod btf;

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::Deref;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use memmap2::MmapOptions;
use nix::sys::memfd::{MFdFlags, memfd_create};

use btf::{Reduced, Types};

/// Where the kernel shows its types, and those of each module.
const FOLDER: &str = "/sys/kernel/btf";

/// The file, which lives as long as this.
pub(super) struct KernelTypes(File);

impl KernelTypes {
    /// Those with these names, whatever their flavour. `None`: libbpf had better look by itself.
    pub(super) fn named(names: &[&str]) -> Option<Self> {
        let bytes = reduce(Path::new(FOLDER), names)?;
        let mut file = File::from(memfd_create(c"btf", MFdFlags::MFD_CLOEXEC).ok()?);
        file.write_all(&bytes).ok()?;
        let types = Self(file);
        // Where there is no /proc, libbpf could not open it either.
        File::open(OsStr::from_bytes(types.path().as_bytes())).ok()?;
        Some(types)
    }

    /// For libbpf's `btf_custom_path`.
    pub(super) fn path(&self) -> CString {
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        CString::new(path).unwrap_or_default()
    }
}

/// The number of a function of the kernel's own; `None`: libbpf had better look, which takes longer.
pub(super) fn function(name: &str) -> Option<u32> {
    let kernel = content(&Path::new(FOLDER).join("vmlinux")).ok()?;
    Types::parse(0, &kernel, None)?.function(name.as_bytes())
}

/// The kernel's types. Since Linux 6.16 they can be mapped, which spares copying 5 MB.
fn content(path: &Path) -> io::Result<Box<dyn Deref<Target = [u8]>>> {
    // SAFETY: nobody can write to the kernel's types, and nobody does to files that stand for them.
    match unsafe { MmapOptions::new().map_copy_read_only(&File::open(path)?) } {
        Ok(mapped) => Ok(Box::new(mapped)),
        Err(_) => Ok(Box::new(fs::read(path)?)),
    }
}

/// A BTF file with the types of these names. As libbpf does, it looks for a name in modules only if the
/// kernel itself has none of that name.
fn reduce(folder: &Path, names: &[&str]) -> Option<Vec<u8>> {
    let kernel = content(&folder.join("vmlinux")).ok()?;
    let kernel = Types::parse(0, &kernel, None)?;
    let mut missing: BTreeSet<_> = names.iter().map(|name| name.as_bytes()).collect();
    let mut reduced = Reduced::default();
    let found = kernel.with_names(&missing);
    found.iter().try_for_each(|&(id, _)| reduced.add(&kernel, id))?;
    for (id, name) in found {
        // What is only declared may be defined in a module.
        if !kernel.is_declaration(id) {
            missing.remove(name);
        }
    }
    if !missing.is_empty() {
        for (number, entry) in (1..).zip(fs::read_dir(folder).ok()?) {
            let entry = entry.ok()?;
            if entry.file_name() != "vmlinux" {
                let module = fs::read(entry.path()).ok()?;
                let module = Types::parse(number, &module, Some(&kernel))?;
                let found = module.with_names(&missing);
                found.iter().try_for_each(|&(id, _)| reduced.add(&module, id))?;
            }
        }
    }
    Some(reduced.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::path::PathBuf;
    use std::ptr::null_mut;

    use libbpf_rs::Btf;
    use libbpf_sys::btf;
    use proptest::prelude::*;

    use super::*;
    use crate::skel::{Relocated, bootstrap, execve, mmap, tcpconnect};

    /// A folder like the kernel's.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }

        fn put(&self, name: &str, btf: *const btf) {
            let mut len = 0;
            // SAFETY: a BTF object of libbpf's.
            let start = unsafe { libbpf_sys::btf__raw_data(btf, &raw mut len) };
            // SAFETY: it has so many bytes.
            let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len as usize) };
            fs::write(self.0.join(name), bytes).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    /// All types of these names in a file, with all that is in them.
    fn described(file: &[u8], names: &[&str]) -> Vec<String> {
        let types = Types::parse(0, file, None).unwrap();
        let names = names.iter().map(|name| name.as_bytes()).collect();
        let found = types.with_names(&names).into_iter();
        let mut all: Vec<_> = found.map(|(id, _)| types.describe(id)).collect();
        all.sort();
        all
    }

    #[test]
    fn in_this_kernel_is_what_the_objects_name() {
        let kernel = fs::read("/sys/kernel/btf/vmlinux").expect("a kernel with BTF");
        let objects: [&[&str]; 4] = [
            execve::ExecveSkelBuilder::TYPES,
            bootstrap::BootstrapSkelBuilder::TYPES,
            mmap::MmapSkelBuilder::TYPES,
            tcpconnect::TcpconnectSkelBuilder::TYPES,
        ];
        for names in objects {
            assert!(names.contains(&"task_struct"));
            let types = KernelTypes::named(names).unwrap();
            let path = types.path().into_string().unwrap();
            let reduced = fs::read(&path).unwrap();
            assert!(reduced.len() < kernel.len() / 8, "{} bytes", reduced.len());
            // (A name that only a module has is not in the kernel's file.)
            let all = described(&reduced, names);
            let of_kernel = described(&kernel, names);
            assert!(of_kernel.iter().all(|ty| all.contains(ty)));
            assert!(of_kernel.iter().any(|ty| ty.starts_with("STRUCT task_struct")));
            assert!(Btf::from_path(&path).unwrap().len() > names.len(), "libbpf reads it");
        }
    }

    #[test]
    fn in_this_kernel_functions_are_those_that_libbpf_finds() {
        for name in ["do_exit", "__x64_sys_mmap", "tcp_v4_connect", "vfs_read", "no_such_function"]
        {
            let text = CString::new(name).unwrap();
            let attach = libbpf_sys::BPF_TRACE_FEXIT;
            // SAFETY: a string that ends.
            let id = unsafe { libbpf_sys::libbpf_find_vmlinux_btf_id(text.as_ptr(), attach) };
            assert_eq!(function(name), u32::try_from(id).ok(), "{name}");
        }
        assert!(function("do_exit").is_some());
    }

    /// Types that a test makes.
    struct Made(*mut btf);

    impl Made {
        /// On top of those of `base`, as a module's.
        fn new(base: Option<&Self>) -> Self {
            let base = base.map_or(null_mut(), |base| base.0);
            // SAFETY: none, or a BTF object of libbpf's that lives longer.
            Self(unsafe { libbpf_sys::btf__new_empty_split(base) })
        }

        fn add_long(&self) -> i32 {
            // SAFETY: the object, and a string that ends.
            unsafe { libbpf_sys::btf__add_int(self.0, c"long".as_ptr(), 8, 1) }
        }

        /// `struct NAME;`
        fn add_declaration(&self, name: &CStr) {
            // SAFETY: as above.
            unsafe { libbpf_sys::btf__add_fwd(self.0, name.as_ptr(), libbpf_sys::BTF_FWD_STRUCT) };
        }

        /// `struct NAME { INNER member; struct NAME *next; }`
        fn add_struct(&self, name: &CStr, inner: i32) -> i32 {
            // SAFETY: as above.
            let id = unsafe { libbpf_sys::btf__add_struct(self.0, name.as_ptr(), 16) };
            for (name, ty, bit) in [(c"member", inner, 0), (c"next", id + 1, 64)] {
                // SAFETY: as above.
                unsafe { libbpf_sys::btf__add_field(self.0, name.as_ptr(), ty, bit, 0) };
            }
            // SAFETY: as above.
            unsafe { libbpf_sys::btf__add_ptr(self.0, id) };
            id
        }
    }

    impl Drop for Made {
        fn drop(&mut self) {
            // SAFETY: nobody has it any more.
            unsafe { libbpf_sys::btf__free(self.0) };
        }
    }

    #[test]
    fn a_module_is_asked_for_what_the_kernel_lacks() {
        let folder = Folder::new("snoop-btf");
        let kernel = Made::new(None);
        let long = kernel.add_long();
        let inner = kernel.add_struct(c"inner", long);
        kernel.add_struct(c"both", long);
        kernel.add_declaration(c"only");
        folder.put("vmlinux", kernel.0);
        for (name, only) in [("one", c"only___new"), ("two", c"only")] {
            let module = Made::new(Some(&kernel));
            module.add_struct(c"both", inner);
            module.add_struct(c"unnamed", inner);
            module.add_struct(only, inner);
            folder.put(name, module.0);
        }
        let reduced = reduce(&folder.0, &["both", "only"]).unwrap();
        let all = described(&reduced, &["both", "only", "unnamed"]);
        let with =
            |name, inner| format!("STRUCT {name} 16 {{member: {inner} at 0; next: PTR at 64; }}");
        let long = "INT long 8 {1000040 }";
        let inner = with("inner", long);
        let declared = "FWD only 0 {}".to_owned();
        let defined = [with("both", long), with("only", &inner), with("only___new", &inner)];
        assert_eq!(all, [&[declared][..], &defined].concat());
    }

    proptest! {
        #[test]
        fn what_is_no_btf_does_no_harm(at in 0usize..20000, byte: u8, cut in 0usize..40) {
            let object = include_bytes!(concat!(env!("OUT_DIR"), "/killsnoop.bpf.o"));
            let types = object.windows(4).position(|bytes| bytes == [0x9f, 0xeb, 1, 0]).unwrap();
            let mut bytes = object[types..].to_owned();
            bytes.truncate(bytes.len() - cut);
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Some(types) = Types::parse(0, &bytes, None) {
                let mut reduced = Reduced::default();
                for (id, _) in types.with_names(&BTreeSet::from([&b"task_struct"[..], b"cred"])) {
                    let _ = reduced.add(&types, id);
                }
            }
        }
    }
}
