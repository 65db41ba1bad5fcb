//! Chat, and what of it newcomers are given.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Fact, Room};
use crate::message::{Chat, ServerEvent};
use crate::{PeerId, Refusal, Timestamp};

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatLine {
    /// The entry that it was said in.
    pub id: u64,
    /// Who said it.
    pub from: PeerId,
    /// What.
    pub text: Arc<str>,
    /// To one peer instead of all.
    pub to: Option<PeerId>,
    /// When.
    pub at: Timestamp,
}

impl ChatLine {
    pub(crate) fn event(&self) -> ServerEvent {
        ServerEvent::Chat { from: self.from, text: Arc::clone(&self.text), to: self.to, at: self.at }
    }
}

impl Room {
    pub(super) fn decide_chat(&self, now: Timestamp, from: PeerId, chat: &Chat) -> Result<Fact, Refusal> {
        let most = self.rules.limits.chat_chars;
        if chat.text.trim().is_empty() || chat.text.chars().count() > most {
            return Err(Refusal::bad_request(format!("a chat text has 1 to {most} characters")));
        }
        let to =
            chat.to.as_deref().map(|to| self.other_member(from, to)).transpose()?.map(|member| member.id);
        Ok(Fact::Chatted(ChatLine { id: 0, from, text: chat.text.as_str().into(), to, at: now }))
    }
}
