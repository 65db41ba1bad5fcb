//! STUN and TURN server: a sans-IO state machine and thin tokio drivers.
