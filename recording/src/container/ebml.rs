//! The EBML elements (RFC 8794) that WebM needs.

/// The unknown size, which means "until the end of the file", in eight bytes.
pub(super) const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// Encodes a size in eight bytes, so that it can be overwritten in place.
pub(super) fn wide_size(size: u64) -> [u8; 8] {
    (size & 0x00ff_ffff_ffff_ffff | 1 << 56).to_be_bytes()
}

/// Appends an id, which contains its own length marker.
pub(super) fn id(out: &mut Vec<u8>, id: u32) {
    let bytes = id.to_be_bytes();
    let skipped = bytes.iter().take_while(|byte| **byte == 0).count();
    out.extend(bytes.iter().skip(skipped));
}

/// Appends a size in as few bytes as possible (RFC 8794 section 4).
pub(super) fn size(out: &mut Vec<u8>, size: usize) {
    let size = size as u64;
    let mut len = 1;
    // A value of all ones is reserved for the unknown size.
    while len < 8 && size >= (1 << (7 * len)) - 1 {
        len += 1;
    }
    let marked = size | 1 << (7 * len);
    let bytes = marked.to_be_bytes();
    out.extend(bytes.iter().skip(8 - len));
}

/// Appends an element with this body.
pub(super) fn element(out: &mut Vec<u8>, element: u32, body: &[u8]) {
    id(out, element);
    size(out, body.len());
    out.extend_from_slice(body);
}

/// Appends an unsigned integer element.
pub(super) fn uint(out: &mut Vec<u8>, element_id: u32, value: u64) {
    let bytes = value.to_be_bytes();
    let skipped = bytes.iter().take_while(|byte| **byte == 0).count().min(7);
    element(out, element_id, bytes.get(skipped..).unwrap_or_default());
}

/// Appends a floating-point element.
pub(super) fn float(out: &mut Vec<u8>, element_id: u32, value: f64) {
    element(out, element_id, &value.to_be_bytes());
}

/// Appends an element whose body is written by `build`.
pub(super) fn nested(out: &mut Vec<u8>, element_id: u32, build: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    build(&mut body);
    element(out, element_id, &body);
}

/// Reads a variable-length integer: an id with `keep_marker`, otherwise a size, which is `None` if it is unknown.
/// Returns it with its length.
pub(super) fn read_vint(bytes: &[u8], keep_marker: bool) -> Option<(Option<u64>, usize)> {
    let first = *bytes.first()?;
    let len = usize::try_from(first.leading_zeros()).ok()? + 1;
    let bytes = bytes.get(..len)?;
    (len <= 8).then_some(())?;
    let raw = bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    if keep_marker {
        return Some((Some(raw), len));
    }
    let value = raw & ((1 << (7 * len)) - 1);
    Some(((value != (1 << (7 * len)) - 1).then_some(value), len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_as_many_bytes_as_they_need() {
        for (value, expected) in
            [(0, vec![0x80]), (126, vec![0xfe]), (127, vec![0x40, 0x7f]), (16_383, vec![0x20, 0x3f, 0xff])]
        {
            let mut out = Vec::new();
            size(&mut out, value);
            assert_eq!(out, expected, "{value}");
            assert_eq!(read_vint(&out, false), Some((Some(value as u64), out.len())));
        }
        assert_eq!(read_vint(&UNKNOWN_SIZE, false), Some((None, 8)));
        assert_eq!(read_vint(&wide_size(5), false), Some((Some(5), 8)));
        assert_eq!(read_vint(&[0x1a, 0x45, 0xdf, 0xa3], true), Some((Some(0x1a45_dfa3), 4)));
        assert_eq!(read_vint(&[0x00], false), None);
        assert_eq!(read_vint(&[0x40], false), None);
    }
}
