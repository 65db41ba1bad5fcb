//! Rooms, peers, sessions and calls as deterministic state machines, without I/O.
