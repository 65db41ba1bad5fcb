//! Finds what a server carries.

#![forbid(unsafe_code)]

fn main() -> anyhow::Result<()> {
    bench::capacity::main()
}
