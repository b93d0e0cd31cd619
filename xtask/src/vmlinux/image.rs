//! Finds the BTF in a kernel's image: of any architecture, and packed as most are.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// How a number is read.
type Read = fn([u8; 4]) -> u32;

/// BTF's magic number, version and flags, of either byte order.
const MAGICS: [([u8; 4], Read); 2] =
    [([0x9f, 0xeb, 1, 0], u32::from_le_bytes as Read), ([0xeb, 0x9f, 1, 0], u32::from_be_bytes)];

/// What a kernel has: its BTF is megabytes, that of a module or a program is not.
const LEAST_TYPES: usize = 500_000;

/// How packed data begin, and the program that unpacks them.
const PACKED: [(&[u8], &[&str]); 4] = [
    (b"\x1f\x8b\x08", &["gzip", "-dc"]),
    (b"\xfd7zXZ\x00", &["xz", "-dc", "--single-stream"]),
    (b"\x28\xb5\x2f\xfd", &["zstd", "-dcq"]),
    (b"\x02\x21\x4c\x18", &["lz4", "-dcq"]),
];

/// The BTF in a kernel's image, or in a file that is BTF.
///
/// # Errors
///
/// There is none, or a program to unpack it is missing.
pub(super) fn btf(image: &Path) -> Result<Vec<u8>> {
    let data = fs::read(image).with_context(|| image.display().to_string())?;
    if let Some(btf) = find(&data) {
        return Ok(btf.to_owned());
    }
    for (magic, unpack) in PACKED {
        for at in places(&data, magic) {
            let Some(btf) = find(&unpacked(&data[at..], unpack)?).map(<[u8]>::to_owned) else {
                continue;
            };
            return Ok(btf);
        }
    }
    anyhow::bail!("{}: no BTF of a kernel in it", image.display())
}

fn places<'a>(data: &'a [u8], magic: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    data.windows(magic.len())
        .enumerate()
        .filter(move |(_, bytes)| *bytes == magic)
        .map(|(at, _)| at)
}

/// The first data that look like a kernel's BTF.
fn find(data: &[u8]) -> Option<&[u8]> {
    MAGICS.iter().find_map(|(magic, number)| {
        places(data, magic).find_map(|at| {
            let word = |index: usize| -> Option<usize> {
                let bytes = data.get(at + 4 * index..)?.first_chunk()?;
                Some(number(*bytes) as usize)
            };
            // The header's size; then place and size of the types and of the strings behind it.
            let (header, types, types_len) = (word(1)?, word(2)?, word(3)?);
            let (strings, strings_len) = (word(4)?, word(5)?);
            let is_kernel = (24..=64).contains(&header) && types == 0 && types_len >= LEAST_TYPES;
            let end = header.checked_add(strings)?.checked_add(strings_len)?;
            (is_kernel && strings >= types_len).then(|| data.get(at..at + end))?
        })
    })
}

/// As much as can be unpacked: what follows the packed data is none of them, which the programs
/// complain about.
fn unpacked(data: &[u8], command: &[&str]) -> Result<Vec<u8>> {
    let (program, args) = command.split_first().context("a command")?;
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{program}, to unpack the image"))?;
    let mut stdin = child.stdin.take().context("a pipe")?;
    let data = data.to_owned();
    // It may stop to read at the end of its data.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&data)));
    let output = child.wait_with_output()?;
    let _ = writer.join();
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image with BTF of that byte order behind something else.
    fn image(big: bool) -> Vec<u8> {
        let word = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut data = vec![0x9f, 0xeb, 1, 0, 0xeb, 0x9f, 1, 0, 7];
        data.extend(if big { [0xeb, 0x9f, 1, 0] } else { [0x9f, 0xeb, 1, 0] });
        let types = LEAST_TYPES as u32;
        data.extend([24, 0, types, types, 3].map(word).concat());
        data.resize(data.len() + LEAST_TYPES + 3, b'x');
        data.extend(b"behind it");
        data
    }

    #[test]
    fn btf_is_found_in_either_byte_order() {
        for big in [false, true] {
            let image = image(big);
            let found = find(&image).unwrap();
            assert_eq!(found.len(), 24 + LEAST_TYPES + 3);
            assert_eq!(found.as_ptr(), image[9..].as_ptr());
            let mut short = image.clone();
            short.truncate(LEAST_TYPES);
            assert!(find(&short).is_none(), "it ends too early");
        }
    }

    #[test]
    fn btf_is_found_in_packed_images() {
        let file = std::env::temp_dir().join(format!("xtask-image-{}", std::process::id()));
        let image = image(true);
        fs::write(&file, &image).unwrap();
        let packed = Command::new("gzip").arg("-c").arg(&file).output().unwrap().stdout;
        fs::write(&file, [b"a loader \x1f\x8b\x08 ", &packed[..], b" and more"].concat()).unwrap();
        let found = btf(&file).unwrap();
        fs::write(&file, b"nothing").unwrap();
        assert!(btf(&file).is_err());
        fs::remove_file(&file).unwrap();
        assert_eq!(found, find(&image).unwrap());
    }
}
