//! Conversion between wire text and messages.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;

use crate::message::{ClientMessage, Reply, ServerEvent};
use crate::{Limits, Refusal};

/// A client's message with its number.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Increases within a session. A numbered message is answered by `ack` or `error`, and takes effect once.
    pub seq: Option<u64>,
    /// The message itself.
    pub message: ClientMessage,
}

/// A message that could not be read, with its number if that was readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The number that the message carried.
    pub seq: Option<u64>,
    /// What is wrong with it.
    pub refusal: Refusal,
}

/// An encoded event or answer, shared by all its recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The event's number; absent for answers and for events of interest only at present.
    pub id: Option<u64>,
    /// The JSON, always valid UTF-8.
    pub json: Bytes,
}

impl Frame {
    /// The JSON as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.json).unwrap_or_default()
    }
}

/// The wire format of messages: JSON as `docs/signaling-protocol.md` describes it.
#[derive(Clone, Debug, Default)]
pub struct JsonCodec {
    limits: Limits,
}

impl JsonCodec {
    /// A codec that refuses messages over these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }

    /// Reads one message of a client.
    pub fn decode(&self, text: &[u8]) -> Result<Envelope, Unreadable> {
        let unreadable = |seq, refusal| Unreadable { seq, refusal };
        if text.len() > self.limits.signal_bytes {
            return Err(unreadable(None, self.limits.too_large()));
        }
        let text = std::str::from_utf8(text)
            .map_err(|_| unreadable(None, Refusal::bad_request("a message is JSON in UTF-8")))?;
        if is_deeper(text, self.limits.json_depth) {
            return Err(unreadable(seq_of(text), Refusal::bad_request("the JSON is nested too deep")));
        }
        // serde would read an array as the fields of an object, in order.
        if !text.trim_start().starts_with('{') {
            return Err(unreadable(None, Refusal::bad_request("a message is a JSON object")));
        }
        let head: Head = serde_json::from_str(text).map_err(|error| {
            unreadable(seq_of(text), Refusal::bad_request(format!("not understood: {error}")))
        })?;
        let seq = head.seq;
        if text.len() > self.limits.message_bytes && head.kind != "signal" {
            return Err(unreadable(seq, self.limits.too_large()));
        }
        let message =
            ClientMessage::read(&head.kind, text.as_bytes()).map_err(|refusal| unreadable(seq, refusal))?;
        Ok(Envelope { seq, message })
    }

    /// Writes an event with its number.
    pub fn encode_event(&self, id: u64, event: &ServerEvent) -> Frame {
        // Every event is an object that begins with its type, so the number can be put in front.
        let mut json = Vec::with_capacity(EVENT);
        json.extend_from_slice(b"{\"id\":");
        let written = serde_json::to_writer(&mut json, &id).and_then(|()| {
            let start = json.len();
            serde_json::to_writer(&mut json, event)?;
            if let Some(brace) = json.get_mut(start) {
                *brace = b',';
            }
            Ok(())
        });
        // The log keeps the frame for minutes, so unused capacity would add up.
        if json.len() < EVENT / 2 {
            json.shrink_to_fit();
        }
        let json = written.map_or_else(|_| internal().into(), |()| json.into());
        Frame { id: Some(id), json }
    }

    /// Writes a message without a number.
    pub fn encode_reply(&self, reply: &Reply) -> Frame {
        Frame { id: None, json: serde_json::to_string(reply).unwrap_or_else(|_| internal()).into() }
    }
}

/// Room for most events.
const EVENT: usize = 256;

/// Serialising our own types cannot fail. If it does, clients are told.
fn internal() -> String {
    r#"{"type":"error","code":"internal","message":"an event could not be written","retryable":true}"#.into()
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    seq: Option<u64>,
}

/// The number of an unreadable message, if that much can be read. The rest is skipped without recursion, however deep
/// it nests.
fn seq_of(text: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Number {
        seq: u64,
    }
    serde_json::from_str::<Number>(text).ok().map(|number| number.seq)
}

/// Whether the JSON nests deeper than `limit`, without building values.
fn is_deeper(text: &str, limit: usize) -> bool {
    // Few messages have so many brackets, and counting them is quick.
    if text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() <= limit {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    fn decode(text: &str) -> Result<Envelope, Unreadable> {
        JsonCodec::default().decode(text.as_bytes())
    }

    fn code(text: &str) -> Code {
        decode(text).unwrap_err().refusal.code
    }

    #[test]
    fn reads_a_signal_with_the_browsers_own_dictionaries() {
        let text =
            r#"{"type":"signal","seq":3,"to":"x","epoch":1,"description":{"type":"offer","sdp":"v=0"}}"#;
        let Envelope { seq: Some(3), message: ClientMessage::Signal(signal) } = decode(text).unwrap() else {
            panic!("not a signal with seq 3")
        };
        assert_eq!(signal.to, "x");
        assert_eq!(signal.body.epoch, Some(1));
        assert_eq!(signal.body.description.unwrap().as_str(), r#"{"type":"offer","sdp":"v=0"}"#);
    }

    #[test]
    fn a_refused_message_keeps_its_number() {
        let unreadable = decode(r#"{"type":"chat","seq":9,"text":7}"#).unwrap_err();
        assert_eq!((unreadable.seq, unreadable.refusal.code), (Some(9), Code::BadRequest));
        assert_eq!(decode(r#"{"type":"dance","seq":4}"#).unwrap_err().seq, Some(4));
        assert_eq!(decode(r#"{"seq":5}"#).unwrap_err().seq, Some(5));
        assert_eq!(decode(r#"{"type":7,"seq":6}"#).unwrap_err().seq, Some(6));
        let deep = format!(r#"{{"type":"app","data":{}{},"seq":7}}"#, "[".repeat(50_000), "]".repeat(50_000));
        assert_eq!(decode(&deep).unwrap_err().seq, Some(7));
    }

    #[test]
    fn an_array_is_no_message() {
        assert_eq!(code(r#"["chat",1]"#), Code::BadRequest);
        assert_eq!(code(r#"["leave"]"#), Code::BadRequest);
    }

    #[test]
    fn null_is_as_good_as_absent() {
        let text = r#"{"type":"join","room":"r","name":"n","role":null,"create":null,"topology":null,"token":null,
            "password":null,"metadata":null,"clientId":null,"features":null,"seq":null}"#;
        let Envelope { seq: None, message: ClientMessage::Join(join) } = decode(text).unwrap() else {
            panic!("not a join")
        };
        assert!(join.create);
        assert!(decode(r#"{"type":"topology","epoch":1,"ready":null}"#).is_ok());
    }

    #[test]
    fn names_what_is_wrong() {
        assert_eq!(code("{"), Code::BadRequest);
        assert_eq!(code("[]"), Code::BadRequest);
        assert_eq!(code(r#"{"type":"dance"}"#), Code::UnknownMessage);
        assert_eq!(code(r#"{"seq":1}"#), Code::BadRequest);
        assert_eq!(code(r#"{"type":"chat","seq":-1,"text":"x"}"#), Code::BadRequest);
        assert_eq!(code(r#"{"type":"resume","session":"x","secret":"y"}"#), Code::SessionUnknown);
        assert_eq!(JsonCodec::default().decode(b"\"\xff\"").unwrap_err().refusal.code, Code::BadRequest);
    }

    #[test]
    fn unknown_fields_are_ignored() {
        assert!(decode(r#"{"type":"chat","text":"x","colour":"red"}"#).is_ok());
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        let deep =
            |n: usize| format!(r#"{{"type":"app","topic":"t","data":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        assert!(decode(&deep(31)).is_ok());
        assert_eq!(code(&deep(32)), Code::BadRequest);
        assert!(decode(&format!(r#"{{"type":"chat","text":"{}\"["}}"#, "[".repeat(100))).is_ok());
    }

    #[test]
    fn only_a_signal_may_be_large() {
        let text = "x".repeat(70_000);
        assert_eq!(code(&format!(r#"{{"type":"chat","text":"{text}"}}"#)), Code::TooLarge);
        assert!(decode(&format!(r#"{{"type":"signal","to":"a","description":{{"sdp":"{text}"}}}}"#)).is_ok());
        let text = "x".repeat(263_000);
        assert_eq!(
            code(&format!(r#"{{"type":"signal","to":"a","description":{{"sdp":"{text}"}}}}"#)),
            Code::TooLarge
        );
    }

    #[test]
    fn events_carry_their_number_first() {
        let event = ServerEvent::RoomEnded { reason: crate::message::EndReason::Empty };
        let frame = JsonCodec::default().encode_event(7, &event);
        assert_eq!(frame.id, Some(7));
        assert_eq!(frame.json, r#"{"id":7,"type":"room-ended","reason":"empty"}"#);
    }
}
