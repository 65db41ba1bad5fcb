//! Chat, and the part of it that newcomers are given.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Fact, Recipients, Room};
use crate::message::{Chat, Name, ServerEvent};
use crate::{PeerId, Refusal, Timestamp, is_blank};

/// One chat message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatLine {
    /// The id of the entry that carries it.
    pub id: u64,
    /// The sender.
    pub from: PeerId,
    /// The sender's name if it is not listed, since peers could not look it up.
    #[serde(default)]
    pub name: Option<Name>,
    /// The text.
    pub text: Arc<str>,
    /// To one peer instead of all.
    pub to: Option<PeerId>,
    /// When it was sent.
    pub at: Timestamp,
}

impl ChatLine {
    pub(crate) fn recipients(&self) -> Recipients {
        self.to.map_or(Recipients::Everyone, |to| Recipients::Pair(self.from, to))
    }

    pub(crate) fn event(&self) -> ServerEvent {
        let (name, text) = (self.name.clone(), Arc::clone(&self.text));
        ServerEvent::Chat { from: self.from, name, text, to: self.to, at: self.at }
    }
}

impl Room {
    pub(super) fn decide_chat(&self, now: Timestamp, from: PeerId, chat: &Chat) -> Result<Fact, Refusal> {
        self.check_chat_text(&chat.text)?;
        let to =
            chat.to.as_deref().map(|to| self.other_member(from, to)).transpose()?.map(|member| member.id);
        let unlisted = self.member(from).filter(|member| !member.is_listed());
        let name = unlisted.map(|member| member.name.clone());
        Ok(Fact::Chatted(ChatLine { id: 0, from, name, text: chat.text.as_str().into(), to, at: now }))
    }

    pub(super) fn check_chat_text(&self, text: &str) -> Result<(), Refusal> {
        let most = self.rules.limits.chat_chars;
        if is_blank(text) || text.chars().count() > most {
            return Err(Refusal::bad_request(format!("a chat text has 1 to {most} characters")));
        }
        Ok(())
    }
}
