//! Rooms over every transport: three peers talk, one loses the connection, one leaves, the host ends the room.

use std::net::SocketAddr;

use serde_json::json;
use tests::client::credentials;
use tests::connection::{ALL, Connection};

/// One room from its creation to its end.
pub(crate) fn talk(addr: SocketAddr, room: &str, round: usize) {
    let transport = |who: usize| ALL[(round + who) % ALL.len()];
    let (mut ada, _) = Connection::join(transport(0), addr, room, "Ada");
    let (mut bob, welcome) = Connection::join(transport(1), addr, room, "Bob");
    let (mut eve, _) = Connection::join(transport(2), addr, room, "Eve");
    for text in ["one", "two", "three"] {
        ada.send(&json!({"type": "chat", "text": text}));
        assert_eq!(bob.until("chat")["text"], text);
        assert_eq!(eve.until("chat")["text"], text);
    }
    let (session, cursor) = (credentials(&welcome), bob.last_id());
    drop(bob);
    eve.send(&json!({"type": "app", "topic": "padding", "data": "x".repeat(2_000)}));
    eve.send(&json!({"type": "chat", "text": "missed"}));
    eve.until("chat");
    let (mut bob, welcome) = Connection::resume(transport(round / 3), addr, &session, cursor);
    assert_eq!(welcome["resumed"], true);
    assert_eq!(bob.until("chat")["text"], "missed");
    if round.is_multiple_of(2) {
        eve.send(&json!({"type": "leave"}));
        assert_eq!(bob.until("peer-left")["reason"], "left");
    } else {
        // The room ends before it is known that she is gone for good.
        drop(eve);
    }
    ada.send(&json!({"type": "host", "action": "end"}));
    assert_eq!(bob.until("room-ended")["reason"], "host-ended");
}
