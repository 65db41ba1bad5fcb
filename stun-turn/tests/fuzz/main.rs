//! The fuzz targets on bytes from a fixed seed, so that they run with every test. `cargo fuzz run sequence` in `fuzz/` goes further.

#[allow(unreachable_pub, reason = "the fuzz targets include this file, too")]
mod targets;

/// Xorshift: the same bytes on every run.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn take(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.next().to_be_bytes()[0]).collect()
    }
}

#[test]
fn any_bytes_as_messages_and_frames() {
    let mut bytes = Bytes(0x5eed_0001);
    for _ in 0..50_000 {
        let length = bytes.next() % 200;
        let mut data = bytes.take(length);
        targets::stun(&data);
        targets::frames(&data);
        // The same with a header that is right, so that the attributes are reached.
        if data.len() >= 20 {
            let length = data.len() / 4 * 4;
            data.truncate(length);
            let body = u16::try_from(length - 20).unwrap_or(0).to_be_bytes();
            data[0] &= 0x01;
            data[2..4].copy_from_slice(&body);
            data[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
            for at in (20..length).step_by(8) {
                data[at + 2] = 0;
                data[at + 3] %= 9;
            }
            targets::stun(&data);
        }
    }
}

#[test]
fn any_bytes_as_a_sequence() {
    for seed in 1..=1500_u64 {
        let mut bytes = Bytes(0x5eed_0002 + seed * 7919);
        let data = bytes.take(400);
        // A failure names its seed.
        let outcome = std::panic::catch_unwind(|| targets::sequence(&data));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
