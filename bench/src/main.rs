//! Comparisons with other servers.

#![forbid(unsafe_code)]

fn main() -> anyhow::Result<()> {
    bench::compare()
}
