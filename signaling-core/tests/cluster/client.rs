//! A client of the model: it resumes on any node, repeats what was not acknowledged, and notes what is wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use signaling_core::{CloseReason, ConnectionId, Frame, Offer, Outbound, PeerId, RequestId, Seat};

/// How a client exchanges messages with its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    SocketIo,
    EventStream,
}

/// What a connection was sent.
#[derive(Default)]
pub(crate) struct Pipe {
    pub(crate) frames: Vec<Arc<Frame>>,
    pub(crate) closed: Option<CloseReason>,
}

#[derive(Clone, Default)]
pub(crate) struct PipeEnd(pub(crate) Arc<Mutex<Pipe>>);

impl Outbound for PipeEnd {
    fn offer(&mut self, frame: &Arc<Frame>, _answers: Option<RequestId>) -> Offer {
        self.0.lock().unwrap().frames.push(Arc::clone(frame));
        Offer::Taken
    }
    fn close(&mut self, reason: CloseReason) {
        self.0.lock().unwrap().closed = Some(reason);
    }
}

/// A text, and to whom it is if not to all.
pub(crate) type Said = (String, Option<PeerId>);

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

pub(crate) struct Client {
    pub(crate) name: usize,
    pub(crate) seat: Seat,
    pub(crate) secret: String,
    /// The node, the connection and what it was sent; none while it is between two.
    pub(crate) connection: Option<(usize, ConnectionId, PipeEnd)>,
    pub(crate) transport: Transport,
    /// Counts its attempts to connect.
    pub(crate) tries: u64,
    pub(crate) last_id: u64,
    pub(crate) next_seq: u64,
    /// Messages without an answer.
    pub(crate) unanswered: BTreeMap<u64, Value>,
    pub(crate) acknowledged: Vec<u64>,
    /// What it was told since its last gap, by ids.
    pub(crate) told: Vec<(u64, Said)>,
    /// The cursor of that gap.
    pub(crate) start: u64,
    pub(crate) gaps: u64,
    pub(crate) wrong: Vec<String>,
    pub(crate) refused: Vec<String>,
    pub(crate) is_out: bool,
}

impl Client {
    /// Reads what it was sent. Returns why the connection is closed, if it is.
    pub(crate) fn read(&mut self) -> Option<CloseReason> {
        let (_, _, PipeEnd(pipe)) = self.connection.as_ref()?;
        let (frames, closed) = {
            let mut pipe = pipe.lock().unwrap();
            (std::mem::take(&mut pipe.frames), pipe.closed)
        };
        for frame in frames {
            self.hear(&serde_json::from_slice(&frame.json).unwrap());
        }
        closed
    }

    pub(crate) fn hear(&mut self, event: &Value) {
        if let Some(id) = event["id"].as_u64() {
            if id <= self.last_id {
                self.wrong.push(format!("event {id} after {}", self.last_id));
                return;
            }
            self.last_id = id;
        }
        match event["type"].as_str().unwrap() {
            "welcome" => {
                event["secret"].as_str().unwrap().clone_into(&mut self.secret);
                if event["resumed"] == true {
                    let last_seq = event["lastSeq"].as_u64().unwrap();
                    let known = self.unanswered.range(..=last_seq).map(|(seq, _)| *seq).collect::<Vec<_>>();
                    for seq in known {
                        self.acknowledge(seq);
                    }
                }
            }
            "snapshot" => {
                let last_id = event["lastId"].as_u64().unwrap();
                if last_id < self.last_id {
                    self.wrong.push(format!("back from {} to {last_id}", self.last_id));
                }
                (self.last_id, self.start) = (last_id, last_id);
                self.told.clear();
                self.gaps += 1;
            }
            "chat" => self.told.push((self.last_id, (text(&event["text"]), None))),
            "signal" => {
                let said = text(&event["candidate"]["candidate"]);
                self.told.push((self.last_id, (said, Some(self.seat.peer))));
            }
            "ack" => self.acknowledge(event["seq"].as_u64().unwrap()),
            "error" if event["code"] == "overloaded" => {}
            "error" => {
                self.unanswered.remove(&event["seq"].as_u64().unwrap());
                self.refused.push(event.to_string());
            }
            _ => {}
        }
    }

    fn acknowledge(&mut self, seq: u64) {
        if self.unanswered.remove(&seq).is_some() {
            self.acknowledged.push(seq);
        }
    }
}
