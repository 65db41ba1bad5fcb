//! What programs say in a room without being in it: captions, and messages to everybody.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ChatLine, Fact, Room};
use crate::message::{Name, ServerEvent};
use crate::{Entropy, PeerId, Refusal, Timestamp, is_blank};

/// A line of captions. Lines of one source that are not final replace each other; a final one ends the sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caption {
    /// Who speaks, or what captions it: the id of a peer, or a name.
    pub source: Name,
    /// The text, 1 to 1,000 characters.
    pub text: Arc<str>,
    /// Whether the text changes no more.
    #[serde(rename = "final")]
    pub is_final: bool,
}

impl Caption {
    pub(crate) fn event(&self, at: Timestamp) -> ServerEvent {
        let Self { source, text, is_final } = self.clone();
        ServerEvent::Caption { source, text, is_final, at }
    }
}

/// A chat message to everybody from a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The sender's name.
    pub name: Name,
    /// The text, as long as any chat message.
    pub text: Arc<str>,
}

impl Room {
    pub(super) fn decide_caption(&self, now: Timestamp, caption: &Caption) -> Result<Fact, Refusal> {
        let most = self.rules.limits.caption_chars;
        if is_blank(&caption.text) || caption.text.chars().count() > most {
            return Err(Refusal::bad_request(format!("a caption has 1 to {most} characters")));
        }
        Ok(Fact::Captioned { caption: caption.clone(), at: now })
    }

    /// The sender has an id of its own, which is no peer's, so that clients show its name.
    pub(super) fn decide_announcement(
        &self,
        now: Timestamp,
        announcement: &Announcement,
        entropy: &mut dyn Entropy,
    ) -> Result<Fact, Refusal> {
        self.check_chat_text(&announcement.text)?;
        let Announcement { name, text } = announcement.clone();
        let from = PeerId::random(entropy);
        Ok(Fact::Chatted(ChatLine { id: 0, from, name: Some(name), text, to: None, at: now }))
    }
}
