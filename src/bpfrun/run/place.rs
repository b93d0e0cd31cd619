//! Attaches one program to one place.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;

use anyhow::{Context, Result, bail, ensure};
use libbpf_rs::{AsRawLibbpf as _, Link, MapCore as _, Object, ProgramMut, UprobeOpts};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};

use crate::bpfrun::run::hook::Kind;
use crate::bpfrun::run::plan::{NOT_ATTACHABLE, Program};
use crate::bpfrun::run::sample::{self, Sampling};
use crate::bpfrun::run::symbols;
use crate::host::tracepoint;

/// What keeps a program attached.
pub enum Attachment {
    /// A link
    Link(Link),
    /// Links, one for each CPU
    Links(Vec<Link>),
    /// The descriptor of a link, or of a socket that has the program as its filter
    Descriptor(#[allow(dead_code)] OwnedFd),
}

/// Attaches `loaded`, which is `program`, to `target`. Returns the attachment, and the place in
/// words.
pub fn attach(
    object: &Object,
    loaded: &ProgramMut<'_>,
    program: &Program,
    target: &str,
) -> Result<(Attachment, String)> {
    let kind = program.hook.kind;
    // Otherwise libbpf goes by the section.
    let asked = program.instead.is_some() || program.asked.as_ref().is_some_and(Option::is_some);
    let link = match kind {
        Kind::Kprobe { ret } => {
            let other = symbols::probed(target, symbols::has);
            if let Some(other) = other {
                let link = attach_kprobe(loaded, ret, &other)?;
                return Ok((Attachment::Link(link), renamed(program, &other)));
            }
            match asked {
                true => attach_kprobe(loaded, ret, target)?,
                false => attach_by_section(loaded)?,
            }
        }
        Kind::Ksyscall { ret } if asked => loaded.attach_ksyscall(ret, target)?,
        Kind::KprobeMulti if asked => bail!("only with a pattern in its section"),
        Kind::Tracepoint => {
            let parts = target.split_once([':', '/']);
            let (category, name) = parts.context("a tracepoint is given as CATEGORY:NAME")?;
            tracepoint::attach(loaded, category, name)?
        }
        Kind::RawTracepoint if asked => attach_raw_tracepoint(loaded, target)?,
        Kind::Uprobe { ret } if asked => attach_uprobe(loaded, ret, target)?,
        Kind::UprobeMulti { ret, session } if asked => {
            let (file, pattern) = file_and(target, "FILE:PATTERN")?;
            attach_uprobe_multi(loaded, file, pattern, ret, session)?
        }
        Kind::Usdt if asked => {
            let (file, rest) = file_and(target, "FILE:PROVIDER:NAME")?;
            let (provider, name) = rest.split_once(':').context("give FILE:PROVIDER:NAME")?;
            loaded.attach_usdt(-1, file, provider, name)?
        }
        Kind::Iter => return attach_iterator(object, loaded, program, target),
        Kind::PerfEvent => {
            let sampling: Sampling = target.parse()?;
            let links = sample::attach(loaded, &sampling)?;
            let place = format!("{sampling} on {} CPUs", links.len());
            return Ok((Attachment::Links(links), place));
        }
        Kind::Socket => {
            let socket = packet_socket(target)?;
            filter_socket(&socket, loaded)?;
            return Ok((Attachment::Descriptor(socket), format!("interface {target}")));
        }
        Kind::Xdp => loaded.attach_xdp(interface(target)?)?,
        Kind::Tc => return Ok((attach_tcx(loaded, target)?, in_words(program, target))),
        Kind::Cgroup => {
            let folder = File::open(target).with_context(|| format!("open {target}"))?;
            let system = fstatfs(&folder).with_context(|| format!("look at {target}"))?;
            ensure!(
                system.filesystem_type() == CGROUP2_SUPER_MAGIC,
                "{target} is not a folder of cgroup v2: findmnt -t cgroup2 shows where they are"
            );
            loaded.attach_cgroup(folder.as_raw_fd())?
        }
        Kind::Netns => {
            let netns = File::open(target).with_context(|| format!("open {target}"))?;
            loaded.attach_netns(netns.as_raw_fd())?
        }
        Kind::Sockmap => {
            let map = object.maps().find(|map| map.name() == target);
            let map = map.with_context(|| format!("no map {target}"))?;
            let attachment = link(loaded, map.as_fd().as_raw_fd())?;
            return Ok((attachment, in_words(program, target)));
        }
        Kind::Other | Kind::Unknown | Kind::StructOps => {
            bail!(NOT_ATTACHABLE)
        }
        Kind::TpBtf | Kind::Fentry | Kind::Fexit | Kind::FmodRet if program.instead.is_some() => {
            // SAFETY: the program lives.
            from_raw(unsafe {
                libbpf_sys::bpf_program__attach_trace(loaded.as_libbpf_object().as_ptr())
            })?
        }
        Kind::Lsm if program.instead.is_some() => {
            // SAFETY: the program lives.
            from_raw(unsafe {
                libbpf_sys::bpf_program__attach_lsm(loaded.as_libbpf_object().as_ptr())
            })?
        }
        _ if program.instead.is_some() => bail!("only with such a section in the object"),
        _ => attach_by_section(loaded)?,
    };
    Ok((Attachment::Link(link), in_words(program, target)))
}

/// The place of a program: its section, or the kind of section and the requested place.
fn in_words(program: &Program, target: &str) -> String {
    let section = program.kind_section();
    match program.asked {
        Some(Some(_)) => format!("{} {target}", section.split('/').next().unwrap_or(section)),
        _ => section.to_owned(),
    }
}

/// The place of a kprobe whose function has another name here.
fn renamed(program: &Program, function: &str) -> String {
    let section = program.kind_section();
    let kind = section.split('/').next().unwrap_or(section);
    match program.asked {
        Some(Some(_)) => format!("{kind} {function}"),
        _ => format!("{kind}/{function}"),
    }
}

/// A link to an interface (its index) or a map (its descriptor), by the kernel's own call:
/// distributions have releases of libbpf without functions for all kinds.
fn link(program: &ProgramMut<'_>, to: i32) -> Result<Attachment> {
    let fd = program.as_fd().as_raw_fd();
    ensure!(fd >= 0, "the program is not loaded");
    // SAFETY: the program lives, and libbpf only reads.
    let attach_type = unsafe {
        libbpf_sys::bpf_program__expected_attach_type(program.as_libbpf_object().as_ptr())
    };
    // SAFETY: numbers, and no options.
    let link = unsafe { libbpf_sys::bpf_link_create(fd, to, attach_type, std::ptr::null()) };
    ensure!(link >= 0, Errno::from_raw(-link));
    // SAFETY: a new descriptor that nobody else has.
    Ok(Attachment::Descriptor(unsafe { OwnedFd::from_raw_fd(link) }))
}

/// A libbpf function's result: a link, or null with `errno` set.
fn from_raw(link: *mut libbpf_sys::bpf_link) -> Result<Link> {
    let Some(link) = NonNull::new(link) else {
        bail!(Errno::last());
    };
    // SAFETY: libbpf has just made it, and nobody else has it.
    Ok(unsafe { Link::from_ptr(link) })
}

/// Attaches to the place of the section. Calls libbpf's own function, as the ones below do, because
/// libbpf-rs's errors have no errno.
fn attach_by_section(program: &ProgramMut<'_>) -> Result<Link> {
    // SAFETY: the program lives.
    from_raw(unsafe { libbpf_sys::bpf_program__attach(program.as_libbpf_object().as_ptr()) })
}

fn attach_raw_tracepoint(program: &ProgramMut<'_>, name: &str) -> Result<Link> {
    let name = CString::new(name)?;
    let program = program.as_libbpf_object().as_ptr();
    // SAFETY: the program lives, and libbpf reads the name until it returns.
    from_raw(unsafe { libbpf_sys::bpf_program__attach_raw_tracepoint(program, name.as_ptr()) })
}

/// `FUNCTION` or `FUNCTION+OFFSET`
fn attach_kprobe(program: &ProgramMut<'_>, ret: bool, target: &str) -> Result<Link> {
    let (function, offset) = match target.split_once('+') {
        Some((function, offset)) => (function, number(offset)?),
        None => (target, 0),
    };
    let function = CString::new(function)?;
    let options = libbpf_sys::bpf_kprobe_opts {
        sz: size_of::<libbpf_sys::bpf_kprobe_opts>() as _,
        offset,
        retprobe: ret,
        ..Default::default()
    };
    // SAFETY: libbpf reads the name and the options, which live until it returns.
    from_raw(unsafe {
        libbpf_sys::bpf_program__attach_kprobe_opts(
            program.as_libbpf_object().as_ptr(),
            function.as_ptr(),
            &raw const options,
        )
    })
}

/// `FILE:FUNCTION`, `FILE:FUNCTION+OFFSET` or `FILE:0xOFFSET`, in all processes.
fn attach_uprobe(program: &ProgramMut<'_>, ret: bool, target: &str) -> Result<Link> {
    let (file, place) = file_and(target, "FILE:FUNCTION or FILE:0xOFFSET")?;
    let mut options = UprobeOpts { retprobe: ret, ..UprobeOpts::default() };
    let offset = if place.starts_with("0x") {
        number(place)?
    } else {
        let (function, offset) = match place.rsplit_once('+') {
            Some((function, offset)) => (function, number(offset)?),
            None => (place, 0),
        };
        options.func_name = Some(function.to_owned());
        offset
    };
    Ok(program.attach_uprobe_with_opts(-1, file, usize::try_from(offset)?, options)?)
}

/// Functions by a pattern, in all processes.
#[cfg(feature = "vendored-libbpf")]
fn attach_uprobe_multi(
    program: &ProgramMut<'_>,
    file: &Path,
    pattern: &str,
    ret: bool,
    session: bool,
) -> Result<Link> {
    Ok(program.attach_uprobe_multi(-1, file, pattern, ret, session)?)
}

/// The libbpf of a distribution may lack this function (new in 1.3), and the program would not
/// link.
#[cfg(not(feature = "vendored-libbpf"))]
fn attach_uprobe_multi(_: &ProgramMut<'_>, _: &Path, _: &str, _: bool, _: bool) -> Result<Link> {
    bail!("only with a pattern in its section (this program uses the distribution's libbpf)")
}

/// A file, and the text behind the first `:` after its name.
fn file_and<'a>(target: &'a str, form: &str) -> Result<(&'a Path, &'a str)> {
    let (file, rest) = target.split_once(':').with_context(|| format!("give {form}"))?;
    Ok((Path::new(file), rest))
}

/// A number, decimal or with `0x`.
fn number(text: &str) -> Result<u64> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.ok().with_context(|| format!("{text} is not a number"))
}

/// `iter/…`: over the kernel's objects, or with a target over the elements of a map.
fn attach_iterator(
    object: &Object,
    loaded: &ProgramMut<'_>,
    program: &Program,
    target: &str,
) -> Result<(Attachment, String)> {
    let over = program.hook.target.as_deref().unwrap_or(target);
    let asked = program.asked.as_ref().and_then(Option::as_deref);
    let link = match (over, asked) {
        ("bpf_map_elem" | "bpf_sk_storage_map" | "sockmap", None) => {
            bail!("iterates over one map: --attach {}=MAP", program.name)
        }
        // SAFETY: the program lives; without options it is over all that there is.
        (_, None) => from_raw(unsafe {
            libbpf_sys::bpf_program__attach_iter(
                loaded.as_libbpf_object().as_ptr(),
                std::ptr::null(),
            )
        })?,
        (_, Some(name)) => {
            let map = object.maps().find(|map| map.name() == name);
            let map = map.with_context(|| format!("no map {name}"))?;
            loaded.attach_iter(map.as_fd())?
        }
    };
    let place = match asked {
        Some(name) => format!("{over} of {name}"),
        None => over.to_owned(),
    };
    Ok((Attachment::Link(link), place))
}

fn interface(name: &str) -> Result<i32> {
    let index = if_nametoindex(name).with_context(|| format!("no interface {name}"))?;
    Ok(i32::try_from(index)?)
}

/// A link to the traffic of an interface: `INTERFACE`, or `INTERFACE/egress`.
fn attach_tcx(program: &ProgramMut<'_>, target: &str) -> Result<Attachment> {
    let name = target.split('/').next().unwrap_or(target);
    link(program, interface(name)?)
        .context("needs Linux 6.6 or newer, whose links leave nothing behind")
}

/// A socket that gets all packets of an interface.
fn packet_socket(name: &str) -> Result<OwnedFd> {
    const ALL: u16 = libc::ETH_P_ALL as u16;
    let index = interface(name)?;
    let flags = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: socket() has no memory arguments.
    let fd = unsafe { libc::socket(libc::AF_PACKET, flags, i32::from(ALL.to_be())) };
    let fd = Errno::result(fd).context("open a packet socket")?;
    // SAFETY: a new descriptor that nobody else has.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: plain numbers and bytes, all of which may be zero.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ALL.to_be();
    address.sll_ifindex = index;
    let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of our own variable.
    let bound = unsafe { libc::bind(fd, (&raw const address).cast(), len) };
    Errno::result(bound).with_context(|| format!("bind to {name}"))?;
    Ok(socket)
}

fn filter_socket(socket: &OwnedFd, program: &ProgramMut<'_>) -> Result<()> {
    let fd = program.as_fd().as_raw_fd();
    ensure!(fd >= 0, "the program is not loaded");
    let len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of our own variable.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_BPF,
            (&raw const fd).cast(),
            len,
        )
    };
    Errno::result(set).context("attach it to the socket")?;
    Ok(())
}
