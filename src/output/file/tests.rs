use std::fs;

use nix::fcntl::FlockArg;

use super::testing::Folder;
use super::*;

/// Text with an end of a row behind each newline.
fn put(file: &mut OutputFile, text: &str) {
    let mut bytes = text.as_bytes().to_vec();
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let rows: Vec<_> = ends.map(|(at, _)| at + 1).collect();
    file.take(&mut bytes, &rows);
    assert!(bytes.is_empty());
    file.write(Some(Instant::now())).unwrap();
}

fn text_file(folder: &Folder, name: &str) -> OutputFile {
    OutputFile::open(&folder.path(name), Content::Text, None).unwrap()
}

fn read(folder: &Folder, name: &str) -> String {
    fs::read_to_string(folder.path(name)).unwrap()
}

/// Writes fail from now on.
fn fill_disk(file: &mut OutputFile) -> Flock<File> {
    let full = File::options().read(true).write(true).open("/dev/full").unwrap();
    let full = Flock::lock(full, FlockArg::LockSharedNonblock).ok().unwrap();
    std::mem::replace(&mut file.file, full)
}

#[test]
fn only_whole_lines_are_written() {
    let folder = Folder::new();
    let mut file = text_file(&folder, "a");
    put(&mut file, "one\ntwo\nthr");
    assert_eq!(read(&folder, "a"), "one\ntwo\n");
    put(&mut file, "ee\n");
    assert_eq!(read(&folder, "a"), "one\ntwo\nthree\n");
    put(&mut file, "last");
    let (unwritten, written) = file.close();
    assert!(unwritten == 0 && written.is_ok());
    assert_eq!(read(&folder, "a"), "one\ntwo\nthree\nlast\n");
    drop(file);
    put(&mut text_file(&folder, "a"), "again\n");
    assert_eq!(read(&folder, "a"), "one\ntwo\nthree\nlast\nagain\n");
}

#[test]
fn a_full_disk_drops_no_more_than_it_must() {
    let folder = Folder::new();
    let mut file = text_file(&folder, "a");
    put(&mut file, "before\n");
    let real = fill_disk(&mut file);
    put(&mut file, "waits\n");
    assert!(file.take_notices()[0].contains("No space left"), "it is said");
    assert!(file.left(Instant::now()).is_some_and(|left| left <= RETRY));
    put(&mut file, &"x".repeat(MOST_WAITING));
    assert_eq!(file.take_dropped(), 0, "half a line is no row yet");
    put(&mut file, "x\nand this, too, since it must be whole lines\n");
    assert_eq!(file.take_dropped(), 1);
    assert_eq!(file.waiting, b"waits\nand this, too, since it must be whole lines\n");
    assert!(file.take_notices().is_empty(), "once");
    file.file = real;
    file.write(None).unwrap();
    let wanted = "before\nwaits\nand this, too, since it must be whole lines\n";
    assert_eq!(read(&folder, "a"), wanted);
    assert!(file.take_notices()[0].ends_with("can be written again: 1 event lost"));
    assert_eq!(file.failure(), None);
}

#[test]
fn at_the_end_what_is_not_written_is_counted() {
    let folder = Folder::new();
    let mut file = text_file(&folder, "a");
    let _real = fill_disk(&mut file);
    put(&mut file, "one\ntwo\n");
    let (unwritten, written) = file.close();
    assert_eq!(unwritten, 2);
    assert!(written.unwrap_err().to_string().contains("No space left"));
}

#[test]
fn a_strict_file_fails_at_once() {
    let folder = Folder::new();
    let mut file = text_file(&folder, "a");
    file.be_strict();
    let _real = fill_disk(&mut file);
    file.take(&mut b"one\n".to_vec(), &[4]);
    assert!(file.write(Some(Instant::now())).is_err());
}

#[test]
fn half_a_write_is_taken_back() {
    let folder = Folder::new();
    let mut file = text_file(&folder, "a");
    put(&mut file, "one\n");
    // As a failed write leaves it that could not be cut off.
    nix::unistd::write(&*file.file, b"ha").unwrap();
    file.is_torn = true;
    put(&mut file, "two\n");
    assert_eq!(read(&folder, "a"), "one\ntwo\n");
}

#[test]
fn files_are_rotated_with_a_beginning_and_an_end() {
    let folder = Folder::new();
    let rotate = Rotate { bytes: 10, age: None, keep: 9, is_compressed: false };
    let mut file = OutputFile::open(&folder.path("a"), Content::Text, Some(rotate)).unwrap();
    let mut full = 0;
    for number in 0..6 {
        put(&mut file, &format!("row {number}\n"));
        if file.look() == Look::Full {
            full += 1;
            assert!(file.rotate(b"end\n"));
            file.begin(b"begin\n");
        }
    }
    assert_eq!(full, 5);
    file.close().1.unwrap();
    assert_eq!(read(&folder, "a.000001"), "row 0\nrow 1\nend\n");
    assert_eq!(read(&folder, "a.000002"), "begin\nrow 2\nend\n");
    assert_eq!(read(&folder, "a"), "begin\n");
    assert!(OutputFile::open(&folder.path("a"), Content::Text, None).is_err(), "one writer");
}

#[test]
fn what_cannot_be_rotated_grows_on() {
    let folder = Folder::new();
    let rotate = Rotate { bytes: 4, age: None, keep: 9, is_compressed: false };
    let mut file = OutputFile::open(&folder.path("a"), Content::Text, Some(rotate)).unwrap();
    put(&mut file, "row 1\n");
    fs::rename(folder.path("a"), folder.path("b")).unwrap();
    assert_eq!(file.look(), Look::Full);
    assert!(!file.rotate(b""));
    assert!(file.take_notices()[0].contains("cannot be rotated"));
    assert_eq!(file.look(), Look::Same, "it is not tried with each row");
    put(&mut file, "row 2\n");
    assert_eq!(read(&folder, "b"), "row 1\nrow 2\n");
}

#[test]
fn an_old_file_is_rotated_if_there_is_more_than_the_opening() {
    let folder = Folder::new();
    let rotate = Rotate { age: Some(Duration::ZERO), bytes: 1000, keep: 9, is_compressed: false };
    let open = || OutputFile::open(&folder.path("a"), Content::Text, Some(rotate)).unwrap();
    let mut file = open();
    file.begin(b"begin\n");
    file.write(None).unwrap();
    assert_eq!((file.look(), file.left(Instant::now())), (Look::Same, None), "nothing to tell yet");
    put(&mut file, "row\n");
    assert_eq!(file.left(Instant::now()), Some(Duration::ZERO));
    assert_eq!(file.look(), Look::Full);
    assert!(file.rotate(b"end\n"));
    assert_eq!((file.look(), file.left(Instant::now())), (Look::Same, None));
    put(&mut file, "left\n");
    file.close().1.unwrap();
    drop(file);
    assert_eq!(open().look(), Look::Full, "what an earlier run has left");
}

#[test]
fn another_file_of_the_name_is_gone_on_with() {
    let folder = Folder::new();
    let mut file = text_file(&folder, "a");
    put(&mut file, "one\n");
    assert!(!file.is_moved());
    fs::rename(folder.path("a"), folder.path("a.1")).unwrap();
    put(&mut file, "two\n");
    assert!(file.is_moved());
    assert!(file.reopen(b"end\n"));
    file.begin(b"begin\n");
    put(&mut file, "three\n");
    assert_eq!(read(&folder, "a.1"), "one\ntwo\nend\n");
    assert_eq!(read(&folder, "a"), "begin\nthree\n");
    fs::remove_file(folder.path("a")).unwrap();
    assert_eq!(file.look(), Look::Removed);
    fs::create_dir(folder.path("a")).unwrap();
    assert!(!file.reopen(b"end\n"), "and what cannot be opened is not");
    assert!(file.take_notices()[0].contains("cannot be opened again: not a regular file"));
}

#[test]
fn a_file_that_was_emptied_begins_again() {
    let folder = Folder::new();
    let mut file = text_file(&folder, "a");
    put(&mut file, "one\n");
    File::options().write(true).truncate(true).open(folder.path("a")).unwrap();
    assert_eq!(file.look(), Look::Emptied);
    assert_eq!(file.look(), Look::Same);
    file.begin(b"begin\n");
    put(&mut file, "two\n");
    assert_eq!(read(&folder, "a"), "begin\ntwo\n");
}

#[test]
fn frames_are_whole_at_any_time() {
    let folder = Folder::new();
    let path = folder.path("a.zst");
    let decoded = || zstd::decode_all(File::open(&path).unwrap()).unwrap();
    let mut file = OutputFile::open(&path, Content::Text, None).unwrap();
    put(&mut file, "one\ntw");
    assert_eq!(fs::metadata(&path).unwrap().len(), 0, "it is collected");
    assert!(file.left(Instant::now()).is_some_and(|left| left <= FRAME_AGE));
    file.write(Some(Instant::now() + FRAME_AGE)).unwrap();
    assert_eq!(decoded(), b"one\n");
    let long = format!("o\n{}\n", "x".repeat(FRAME_BYTES));
    put(&mut file, &long);
    assert_eq!(decoded(), format!("one\ntwo\n{}", &long[2..]).into_bytes(), "enough for a frame");
    drop(file);
    // A crash in the middle of a write.
    let len = fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(len - 3).unwrap();
    let mut file = OutputFile::open(&path, Content::Text, None).unwrap();
    assert!(file.take_notices()[0].contains("within a frame"));
    put(&mut file, "three\n");
    file.close().1.unwrap();
    assert_eq!(decoded(), b"one\nthree\n");
}
