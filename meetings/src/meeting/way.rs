//! The ways into a meeting: one that all share, and one for each invited address.

use serde::{Deserialize, Serialize};
use signaling_core::meeting::MeetingCode;
use signaling_core::{Entropy, MeetingId};

use super::{Meeting, MeetingCodeText};

/// What somebody comes in by: the id of a page and a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Under which there is a page.
    pub id: MeetingId,
    /// What people type.
    pub code: MeetingCode,
}

impl Way {
    /// Where people go: to the call itself when the meeting is open from the beginning, else to its page.
    pub(crate) fn url(&self, meeting: &Meeting, origin: &str) -> String {
        if meeting.has_time { format!("{origin}/m/{}", self.id) } else { format!("{origin}/r/{}", self.code) }
    }
}

/// The way in of one invited address. It is good for as long as the address is invited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The address.
    pub email: String,
    /// Under which there is a page.
    pub id: MeetingId,
    /// What its owner types.
    pub code: MeetingCodeText,
}

impl Invitation {
    /// The same, without whose it is.
    pub fn way(&self) -> Way {
        Way { id: self.id, code: self.code.0 }
    }
}

impl Meeting {
    /// The way in that all share.
    pub fn way(&self) -> Way {
        Way { id: self.id, code: self.code.0 }
    }

    /// The way in of an address; the common one for an address without one.
    pub fn way_of(&self, email: &str) -> Way {
        let own = self.invitations.iter().find(|invitation| invitation.email.eq_ignore_ascii_case(email));
        own.map_or_else(|| self.way(), Invitation::way)
    }

    /// The way in that has this id.
    pub fn way_by_id(&self, id: MeetingId) -> Option<Way> {
        let own = self.invitations.iter().map(Invitation::way);
        std::iter::once(self.way()).chain(own).find(|way| way.id == id)
    }

    /// Gives each invited address a way in, and takes it from those that are not invited any more.
    pub(crate) fn invite(&mut self, entropy: &mut dyn Entropy) {
        let Self { attendees, invitations, .. } = self;
        invitations
            .retain(|one| attendees.iter().any(|attendee| attendee.email.eq_ignore_ascii_case(&one.email)));
        for attendee in attendees.iter() {
            if !invitations.iter().any(|one| one.email.eq_ignore_ascii_case(&attendee.email)) {
                invitations.push(Invitation {
                    email: attendee.email.clone(),
                    id: MeetingId::random(entropy),
                    code: MeetingCodeText(MeetingCode::random(entropy)),
                });
            }
        }
    }
}
