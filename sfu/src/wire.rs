//! Big-endian reads and writes that return `None` beyond the end of the buffer instead of panicking.

/// The byte at `at`.
pub(crate) fn u8_at(buf: &[u8], at: usize) -> Option<u8> {
    buf.get(at).copied()
}

/// The 16-bit number at `at`.
pub(crate) fn u16_at(buf: &[u8], at: usize) -> Option<u16> {
    buf.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// The 24-bit number at `at`.
pub(crate) fn u24_at(buf: &[u8], at: usize) -> Option<u32> {
    let [a, b, c] = *buf.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes([0, a, b, c]))
}

/// The 32-bit number at `at`.
pub(crate) fn u32_at(buf: &[u8], at: usize) -> Option<u32> {
    buf.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// The 64-bit number at `at`.
pub(crate) fn u64_at(buf: &[u8], at: usize) -> Option<u64> {
    buf.get(at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// Copies `value` to `at`; returns `None` without copying if it does not fit.
pub(crate) fn put(buf: &mut [u8], at: usize, value: &[u8]) -> Option<()> {
    buf.get_mut(at..at.checked_add(value.len())?)?.copy_from_slice(value);
    Some(())
}

/// Writes a packet front to back into a borrowed buffer. After a write that does not fit,
/// [`Writer::finish`] returns `None`.
pub(crate) struct Writer<'a> {
    buf: &'a mut [u8],
    len: usize,
    overflowed: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, len: 0, overflowed: false }
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        match put(self.buf, self.len, value) {
            Some(()) => self.len += value.len(),
            None => self.overflowed = true,
        }
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u24(&mut self, value: u32) {
        let [_, a, b, c] = value.to_be_bytes();
        self.bytes(&[a, b, c]);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Overwrites bytes at `at`.
    pub(crate) fn patch(&mut self, at: usize, value: &[u8]) {
        if put(self.buf, at, value).is_none() {
            self.overflowed = true;
        }
    }

    /// The number of bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The total length, or `None` if a write did not fit.
    pub(crate) fn finish(self) -> Option<usize> {
        (!self.overflowed).then_some(self.len)
    }
}
