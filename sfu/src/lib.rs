//! Selective forwarding unit with a packet path of its own.
