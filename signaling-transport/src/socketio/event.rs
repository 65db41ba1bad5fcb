//! What a client's event says.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use signaling_core::{Envelope, MessageCodec, Refusal, RequestId, Unreadable};

/// How an event begins whose name is the one that there is, as every client writes it.
const USUAL: &str = r#"["message","#;

/// One event of the client's, still as text.
#[derive(Debug)]
pub(super) struct Event {
    content: Content,
    /// Under which number the client waits for the answer.
    pub(super) request: Option<RequestId>,
}

#[derive(Debug)]
enum Content {
    /// A packet, and where in it the event's JSON array begins, its name first.
    Text { packet: String, start: usize },
    /// It had attachments.
    Binary,
}

impl Event {
    /// An event whose JSON array begins at `start` of the packet's text.
    pub(super) fn text(packet: String, start: usize, request: Option<RequestId>) -> Self {
        Self { content: Content::Text { packet, start }, request }
    }

    /// An event with attachments.
    pub(super) fn binary(request: Option<RequestId>) -> Self {
        Self { content: Content::Binary, request }
    }

    /// The protocol's message in it: the event's first argument.
    pub(super) fn read(&self, codec: &dyn MessageCodec) -> Result<Envelope, Unreadable> {
        let bad = |refusal| Unreadable { seq: None, refusal };
        let Content::Text { packet, start } = &self.content else {
            return Err(bad(Refusal::bad_request("messages have no binary attachments")));
        };
        let text = packet.get(*start..).unwrap_or_default();
        // Nearly always one argument follows the name, and is all that need be read. Were there more, it would not be JSON.
        let only = text.strip_prefix(USUAL).and_then(|rest| rest.strip_suffix(']'));
        if let Some(message) = only
            && let Ok(envelope) = codec.decode(message.as_bytes())
        {
            return Ok(envelope);
        }
        let Arguments(message) = serde_json::from_str(text)
            .map_err(|error| bad(Refusal::bad_request(format!("not understood: {error}"))))?;
        let Some(message) = message else {
            return Err(bad(Refusal::bad_request("the event's argument is a message")));
        };
        codec.decode(message.get().as_bytes())
    }
}

/// Of an event's JSON array what follows its name, if anything does.
struct Arguments<'a>(Option<&'a RawValue>);

impl<'de> Deserialize<'de> for Arguments<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> Visitor<'de> for Items {
            type Value = Arguments<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event's name and its arguments")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let _name: Option<IgnoredAny> = items.next_element()?;
                let message = items.next_element()?;
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Arguments(message))
            }
        }

        deserializer.deserialize_seq(Items)
    }
}

#[cfg(test)]
mod tests {
    use signaling_core::{ClientMessage, JsonCodec, Limits};

    use super::*;

    fn read(array: &str) -> Result<Envelope, Unreadable> {
        let codec = JsonCodec::new(Limits::default());
        Event::text(format!("42{array}"), 2, None).read(&codec)
    }

    #[test]
    fn the_first_argument_is_the_message_however_it_is_written() {
        for array in [
            r#"["message",{"type":"ping","seq":7}]"#,
            r#"[ "message" , {"type":"ping","seq":7} ]"#,
            r#"["message",{"type":"ping","seq":7},"more",[1]]"#,
        ] {
            let Envelope { seq, message } = read(array).unwrap();
            assert!(matches!(message, ClientMessage::Ping { .. }), "{array}");
            assert_eq!(seq, Some(7));
        }
        // A `]` too many or too few is no array.
        for array in
            [r#"["message"]"#, r#"["message",{"type":"ping"}"#, r#"["message",{"type":"ping"}]]"#, "[]", ""]
        {
            assert_eq!(read(array).unwrap_err().refusal.code.as_str(), "bad-request", "{array}");
        }
        // An answer to what cannot be read has its number all the same.
        assert_eq!(read(r#"["message",{"type":"dance","seq":7}]"#).unwrap_err().seq, Some(7));
    }
}
