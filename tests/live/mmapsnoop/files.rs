//! Files: their paths, however they were opened.

use std::os::unix::fs::MetadataExt as _;

use super::*;

#[test]
fn every_kind_of_file() {
    each_backend(|setup| {
        let dir = TempDir::new();
        let traced = trace(setup, &[], &["files", &dir.path(".")]);
        let rows = traced.rows();
        assert_eq!(rows.len(), traced.truth.len(), "{traced:?}");
        for (row, truth) in rows.iter().zip(&traced.truth) {
            check_map(row, truth);
            assert_eq!(lossy(&path(row)), truth.path, "{row}");
            assert_eq!(row["file"]["deleted"] == true, truth.path.ends_with("/gone"), "{row}");
        }
        let file = fs::metadata(dir.path("a file\n")).unwrap();
        assert_eq!(rows[0]["file"]["inode"], file.ino().to_string());
        let device = format!("{}:{}", libc::major(file.dev()), libc::minor(file.dev()));
        assert_eq!(rows[0]["file"]["device"], device);
    });
}

#[test]
fn a_path_that_does_not_fit_is_marked() {
    each_backend(|setup| {
        let dir = TempDir::new();
        let traced = trace(setup, &[], &["deep", &dir.path(".")]);
        let row = traced.rows()[0];
        assert_eq!(row["file"]["path_cut"], true, "{row}");
        let path = path(row);
        assert!(path.len() > 3000 && path.ends_with(b"d/leaf"), "{row}");
    });
}

#[test]
fn a_file_that_somebody_else_opened_before() {
    each_backend(|setup| {
        let dir = TempDir::new();
        let name = dir.path("inherited");
        fs::write(&name, [0; 4096]).unwrap();
        let file = fs::File::open(&name).unwrap();
        let mut tool = MMAPSNOOP.command(&setup.flags());
        tool.args(["--json", "--path", &name, "--"]).arg(fixture("mapper"));
        let trace = parse(&tool.args(["inherited", "x"]).stdin(file).output().unwrap());
        trace.is_complete();
        assert_eq!(lossy(&path(trace.only("mapper"))), name);
    });
}

#[test]
fn across_mounts_and_in_a_chroot() {
    let dir = TempDir::new();
    let top = dir.path("top");
    fs::create_dir(&top).unwrap();
    // An overlay where the kernel has one: those in virtual machines have it as a module.
    let overlay = fs::read_to_string("/proc/filesystems").unwrap().contains("\toverlay\n");
    assert!(overlay || in_vm());
    // In a mount namespace of its own: a file system on a folder, parts of it on others.
    let mapper = fixture("mapper");
    let mut script = format!(
        "set -e; mount -t tmpfs none {top}; cd {top}; mkdir sub bind upper work merged
         echo text >sub/file; cp {mapper} mapper; mount --bind sub bind
         ./mapper inherited x <sub/file; ./mapper inherited x <bind/file
         chroot . /mapper inherited x <bind/file
        "
    );
    let mut expected = vec!["sub/file", "bind/file", "bind/file"];
    if overlay {
        script += "mount -t overlay -o lowerdir=sub,upperdir=upper,workdir=work none merged
                   ./mapper inherited x <merged/file; echo more >>merged/file
                   ./mapper inherited x <merged/file";
        expected.extend(["merged/file"; 2]);
    }
    each_backend(|setup| {
        let mut tool = MMAPSNOOP.command(&setup.flags());
        tool.args(["--json", "--comm", "mapper", "--file", "--"]);
        tool.args(["unshare", "-m", "/bin/sh", "-c", &script]);
        let trace = parse(&tool.stdin(Stdio::null()).output().unwrap());
        assert_eq!(trace.status, 0, "{trace:?}");
        trace.is_complete();
        let paths: Vec<_> = trace.of("mapper").into_iter().map(|row| lossy(&path(row))).collect();
        // As seen from the namespace's root, also by what runs in a chroot.
        let expected: Vec<_> = expected.iter().map(|name| format!("{top}/{name}")).collect();
        assert_eq!(paths, expected);
    });
}

/// `mmapsnoop --json FLAGS -- SCRIPT`, in a mount namespace of its own.
fn trace_script(setup: Setup, flags: &[&str], script: &str) -> Trace {
    let mut tool = MMAPSNOOP.command(&setup.flags());
    tool.arg("--json").args(flags).args(["--", "unshare", "-m", "/bin/sh", "-c", script]);
    let trace = parse(&tool.output().unwrap());
    assert_eq!(trace.status, 0, "{trace:?}");
    trace.is_complete();
    trace
}

/// Device and inode of each file, as `stat -c '%d %i'` has written them to `path`.
fn identities(path: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(path).unwrap();
    let identity = |line: &str| {
        let (device, inode) = line.split_once(' ').unwrap();
        let device: u64 = device.parse().unwrap();
        (format!("{}:{}", libc::major(device), libc::minor(device)), inode.to_owned())
    };
    text.lines().map(identity).collect()
}

fn identity(file: &Value) -> (String, String) {
    ["device", "inode"].map(|key| file[key].as_str().unwrap().to_owned()).into()
}

/// The kernel maps the file of a layer, of which neither stat() nor /proc/PID/maps tells.
#[test]
fn on_overlayfs_a_file_is_the_one_that_was_opened() {
    if !fs::read_to_string("/proc/filesystems").unwrap().contains("\toverlay\n") {
        skip!(skip::NO_OVERLAY);
    }
    let dir = TempDir::new();
    let (top, ids) = (dir.path("top"), dir.path("ids"));
    fs::create_dir(&top).unwrap();
    let mapper = fixture("mapper");
    let prepare = format!(
        "set -e; mount -t tmpfs none {top}; cd {top}; mkdir other lower upper work merged
         echo low >lower/low; mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work \
         none merged; echo up >merged/up; stat -c '%d %i' merged/low merged/up >{ids}
        "
    );
    each_backend(|setup| {
        let script =
            format!("{prepare}{mapper} opened merged/low rx; {mapper} opened merged/up rw");
        let flags = ["--all", "--path", &format!("{top}/merged/"), "--comm", "mapper"];
        let trace = trace_script(setup, &flags, &script);
        let shown: Vec<_> = trace
            .of("mapper")
            .into_iter()
            .map(|row| {
                let event = row["event"]["name"].as_str().unwrap();
                (event, lossy(&path(row)), identity(&row["file"]))
            })
            .collect();
        let files = ["low", "up"].map(|name| format!("{top}/merged/{name}"));
        let files: Vec<_> = files.into_iter().zip(identities(&ids)).collect();
        let expected: Vec<_> = files
            .iter()
            .flat_map(|(path, id)| {
                ["memory.map", "memory.protect"].map(|event| (event, path.clone(), id.clone()))
            })
            .collect();
        assert_eq!(shown, expected);

        // Both names lead to the same pages.
        let script = format!(
            "{prepare}{mapper} opened merged/up rw; {mapper} opened upper/up rx
             {mapper} opened lower/low rw; {mapper} opened merged/low rx"
        );
        let trace = trace_script(setup, &["--wx", "--comm", "mapper"], &script);
        let shown: Vec<_> = trace
            .of("mapper")
            .into_iter()
            .map(|row| {
                let reason = row["mmap"]["wx"].to_string();
                assert!(reason.contains("file mapped both ways: writable by"), "{row}");
                lossy(&path(row))
            })
            .collect();
        assert_eq!(shown, [format!("{top}/upper/up"), format!("{top}/merged/low")]);
    });
}

/// The inodes of subvolumes have the same numbers.
#[test]
fn on_btrfs_files_of_subvolumes_are_several() {
    let dir = TempDir::new();
    let (image, top, ids) = (dir.path("image"), dir.path("top"), dir.path("ids"));
    if !makes_btrfs(&image, &top) {
        skip!(skip::NO_BTRFS);
    }
    let mapper = fixture("mapper");
    let mount = format!(
        "set -e; mount -o loop {image} {top}; cd {top}
         stat -c '%d %i' one/lib two/film snap/lib >{ids}
        "
    );
    each_backend(|setup| {
        let film = format!("{mapper} opened two/film rx");
        let script = format!("{mount}{mapper} opened one/lib rx; {film}; {film}");
        let trace = trace_script(setup, &["--summary", "3600"], &script);
        let [lib, film, snapshot] = &identities(&ids)[..] else { panic!("{ids}") };
        assert!(lib.1 == film.1 && lib.1 == snapshot.1, "they have one number");
        for (name, id, calls) in [("one/lib", lib, 1), ("two/film", film, 2)] {
            let path = format!("{top}/{name}");
            let row = trace.events.iter().find(|row| row["file"]["path"] == path).unwrap();
            let own = (identity(&row["file"]), &row["summary"]["calls"]);
            assert_eq!(own, (id.clone(), &calls.into()));
        }

        // A snapshot is another file than the one that it was made of.
        let script = format!(
            "{mount}{mapper} opened one/lib rw; {mapper} opened snap/lib rx
             {mapper} opened two/film rx; {mapper} opened two/film rw"
        );
        let trace = trace_script(setup, &["--wx", "--comm", "mapper"], &script);
        let row = trace.only("mapper");
        let reason = row["mmap"]["wx"].to_string();
        assert!(reason.contains("file mapped both ways: executable by"), "{row}");
        assert_eq!(lossy(&path(row)), format!("{top}/two/film"));
        assert_eq!(identity(&row["file"]), identities(&ids)[1]);
    });
}

/// Makes a file system in `image`, which is mounted on `top` meanwhile; false: not here.
fn makes_btrfs(image: &str, top: &str) -> bool {
    let kernel = fs::read_to_string("/proc/filesystems").unwrap().contains("\tbtrfs\n");
    let shell = |script: &str| {
        let mut command = std::process::Command::new("unshare");
        let output = command.args(["-m", "/bin/sh", "-c", script]).output().unwrap();
        (output.status.success(), lossy(&output.stderr))
    };
    let tools = "command -v mkfs.btrfs && command -v btrfs && test -e /dev/loop-control";
    if !kernel || !shell(tools).0 {
        return false;
    }
    let (done, stderr) = shell(&format!(
        "set -e; mkdir {top}; truncate -s 300M {image}; mkfs.btrfs -q {image}
         mount -o loop {image} {top}; cd {top}; btrfs subvolume create one
         btrfs subvolume create two; echo a >one/lib; echo b >two/film; sync
         btrfs subvolume snapshot one snap"
    ));
    assert!(done, "{stderr}");
    true
}
