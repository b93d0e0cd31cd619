//! Reading numbers one after the other, never past the end.

use object::Endianness;

/// The rest to read.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'d> {
    rest: &'d [u8],
    endian: Endianness,
}

impl<'d> Cursor<'d> {
    /// All of `data`.
    pub(super) fn new(data: &'d [u8], endian: Endianness) -> Self {
        Self { rest: data, endian }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next `count` bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'d [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(bytes)
    }

    /// The next `count` bytes, to be read on their own.
    pub(super) fn part(&mut self, count: usize) -> Option<Self> {
        Some(Self { rest: self.bytes(count)?, endian: self.endian })
    }

    /// The next 32 bits.
    pub(super) fn u32(&mut self) -> Option<u32> {
        let (&bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(match self.endian {
            Endianness::Little => u32::from_le_bytes(bytes),
            Endianness::Big => u32::from_be_bytes(bytes),
        })
    }

    /// The next numbers of 32 bits.
    pub(super) fn words<const N: usize>(&mut self) -> Option<[u32; N]> {
        let mut words = [0; N];
        for word in &mut words {
            *word = self.u32()?;
        }
        Some(words)
    }
}
