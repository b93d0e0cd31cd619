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
