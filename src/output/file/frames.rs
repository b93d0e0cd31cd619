//! Frames of zstd, found by their headers: RFC 8878, section 3.1. Nothing is decompressed, so that a
//! large file costs one short read for each block.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Whether a file that begins so may be compressed.
pub(super) fn is_frame(head: &[u8]) -> bool {
    head.starts_with(&FRAME)
}

/// Where the last whole frame of a file of `len` bytes ends. What is no frame ends them, too.
pub(super) fn end_of_frames(file: &File, len: u64) -> io::Result<u64> {
    let mut end = 0;
    while let Some(next) = end_of_frame(file, end, len)? {
        end = next;
    }
    Ok(end)
}

/// Where the frame at `start` ends; `None`: it is not whole, or none.
fn end_of_frame(file: &File, start: u64, len: u64) -> io::Result<Option<u64>> {
    let Some([a, b, c, d, descriptor]) = bytes(file, start, len)? else { return Ok(None) };
    if [a, b, c, d] != FRAME {
        return Ok(None);
    }
    let is_single = descriptor & 0x20 != 0;
    let window = u64::from(!is_single);
    let dictionary = match descriptor & 3 {
        3 => 4,
        bytes => u64::from(bytes),
    };
    let size = match descriptor >> 6 {
        0 => u64::from(is_single),
        flag => 1 << flag,
    };
    let checksum = if descriptor & 4 != 0 { 4 } else { 0 };
    let mut at = start + 5 + window + dictionary + size;
    loop {
        let Some([low, middle, high]) = bytes(file, at, len)? else { return Ok(None) };
        let header = u64::from(low) | u64::from(middle) << 8 | u64::from(high) << 16;
        let bytes = match header >> 1 & 3 {
            0 | 2 => header >> 3,
            1 => 1, // so many times the same byte
            _ => return Ok(None),
        };
        at += 3 + bytes;
        if header & 1 != 0 {
            return Ok(Some(at + checksum).filter(|end| *end <= len));
        }
    }
}

/// Bytes of the file; `None`: it ends before them.
fn bytes<const N: usize>(file: &File, at: u64, len: u64) -> io::Result<Option<[u8; N]>> {
    if at.checked_add(N as u64).is_none_or(|end| end > len) {
        return Ok(None);
    }
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, at)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::super::testing::Folder;
    use super::*;

    /// Where whole frames end in a file of these bytes.
    fn end(bytes: &[u8]) -> u64 {
        let folder = Folder::new();
        let path = folder.path("frames");
        fs::write(&path, bytes).unwrap();
        end_of_frames(&File::open(path).unwrap(), bytes.len() as u64).unwrap()
    }

    fn frame(text: &[u8], checksum: bool, is_stream: bool) -> Vec<u8> {
        if is_stream {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.include_checksum(checksum).unwrap();
            io::Write::write_all(&mut encoder, text).unwrap();
            return encoder.finish().unwrap();
        }
        let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
        compressor.include_checksum(checksum).unwrap();
        compressor.compress(text).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Frames of any kind, cut anywhere.
        #[test]
        fn whole_frames_end_where_they_end(
            texts in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..600), 0usize..2000, any::<bool>(), any::<bool>()),
                0..4,
            ),
            cut in any::<prop::sample::Index>(),
        ) {
            let (mut all, mut ends) = (Vec::new(), vec![0u64]);
            for (text, times, checksum, is_stream) in texts {
                all.extend(frame(&text.repeat(times), checksum, is_stream));
                ends.push(all.len() as u64);
            }
            let cut = cut.index(all.len() + 1);
            let whole = ends.iter().copied().filter(|end| *end <= cut as u64).max().unwrap();
            prop_assert_eq!(end(&all[..cut]), whole);
        }

        #[test]
        fn what_is_no_frame_has_an_end_too(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = [&FRAME[..], &bytes].concat();
            prop_assert!(end(&bytes) <= bytes.len() as u64);
            bytes[0] = 0;
            prop_assert_eq!(end(&bytes), 0);
        }
    }
}
