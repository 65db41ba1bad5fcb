//! The binary `visavis`.

fn main() {}
