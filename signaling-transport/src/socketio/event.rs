//! The content of a client's event.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use signaling_core::{Envelope, JsonCodec, Refusal, RequestId, Unreadable};

/// The only event.
const EVENT: &str = "message";
/// How every common client begins it.
const USUAL: &str = r#"["message","#;

/// One event of a client, still as text.
#[derive(Debug)]
pub(super) struct Event {
    content: Content,
    /// The number under which the client waits for the answer.
    pub(super) request: Option<RequestId>,
}

#[derive(Debug)]
enum Content {
    /// A packet, and where the event's JSON array begins in it, with the event's name first.
    Text { packet: String, start: usize },
    /// The event had attachments.
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

    /// The protocol's message in the event: its first argument.
    pub(super) fn read(&self, codec: &JsonCodec) -> Result<Envelope, Unreadable> {
        let bad = |refusal| Unreadable { seq: None, refusal };
        let Content::Text { packet, start } = &self.content else {
            return Err(bad(Refusal::bad_request("messages have no binary attachments")));
        };
        let text = packet.get(*start..).unwrap_or_default();
        // Nearly always exactly one argument follows the name. If there were more, the text would not be valid JSON.
        let only = text.strip_prefix(USUAL).and_then(|rest| rest.strip_suffix(']'));
        let read = only.map(|message| codec.decode(message.as_bytes()));
        if let Some(Ok(envelope)) = read {
            return Ok(envelope);
        }
        let Arguments { name, message } = serde_json::from_str(text)
            .map_err(|error| bad(Refusal::bad_request(format!("not understood: {error}"))))?;
        if name != EVENT {
            return Err(bad(Refusal::bad_request("the event is called `message`")));
        }
        let Some(message) = message else {
            return Err(bad(Refusal::bad_request("the event's argument is a message")));
        };
        match read {
            // The same text was refused before.
            Some(refused) if only == Some(message.get()) => refused,
            _ => codec.decode(message.get().as_bytes()),
        }
    }
}

/// An event's name and its first argument, if there is one.
struct Arguments<'a> {
    name: Cow<'a, str>,
    message: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Arguments<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;

        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

        impl<'de> Visitor<'de> for Items {
            type Value = Arguments<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event's name and its arguments")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let Name(name) = items.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                let message = items.next_element()?;
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Arguments { name, message })
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
        // With a `]` too many or too few, the text is not an array.
        for array in
            [r#"["message"]"#, r#"["message",{"type":"ping"}"#, r#"["message",{"type":"ping"}]]"#, "[]", ""]
        {
            assert_eq!(read(array).unwrap_err().refusal.code.as_str(), "bad-request", "{array}");
        }
        // The answer to an unreadable message still has its number.
        assert_eq!(read(r#"["message",{"type":"dance","seq":7}]"#).unwrap_err().seq, Some(7));
    }
}
