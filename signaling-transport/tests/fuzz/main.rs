//! The fuzz targets on bytes from a fixed seed, so that they run with every test. `cargo fuzz run first_bytes` in `fuzz/`
//! goes further.
#![allow(clippy::indexing_slicing, clippy::panic, reason = "test code")]

#[allow(unreachable_pub, reason = "the fuzz targets include this file, too")]
mod targets;

/// Xorshift: the same bytes on every run.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_be_bytes()[0]
    }
}

#[test]
fn any_beginning_of_a_connection() {
    let mut bytes = Bytes(0x5eed_0003);
    let interesting = [0, 1, 3, 4, 7, 8, 22, b'G', b'P', 0x21, 0x12, 0xa4, 0x42, 0xff];
    let seeds: [&[u8]; 4] = [
        &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 7, 7, 7, 7],
        &[0, 20, 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 7, 7],
        &[22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3, 0],
        b"GET / HTTP/1.1",
    ];
    for _ in 0..100_000 {
        let mut data = seeds[usize::from(bytes.next()) % seeds.len()].to_vec();
        for _ in 0..bytes.next() % 4 {
            let at = usize::from(bytes.next()) % data.len();
            let value = bytes.next();
            data[at] = if value.is_multiple_of(2) {
                interesting[usize::from(value) % interesting.len()]
            } else {
                value
            };
        }
        data.truncate(usize::from(bytes.next()) % 16);
        targets::first_bytes(&data);
        targets::first_bytes_inside_tls(&data);
    }
}
