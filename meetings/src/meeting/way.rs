//! The ways into a meeting: one shared by all, and one for each invited address.

use serde::{Deserialize, Serialize};
use signaling_core::meeting::MeetingCode;
use signaling_core::{Entropy, MeetingId};

use super::{Meeting, MeetingCodeText};

/// A way in: the id of a page and a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The id of the page.
    pub id: MeetingId,
    /// The code that people type.
    pub code: MeetingCode,
}

impl Way {
    /// The link: to the call itself if the meeting is open from the beginning, otherwise to its page.
    pub(crate) fn url(&self, meeting: &Meeting, origin: &str) -> String {
        if meeting.has_time { format!("{origin}/m/{}", self.id) } else { format!("{origin}/r/{}", self.code) }
    }
}

/// The way in of one invited address. It is valid as long as the address is invited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The address.
    pub email: String,
    /// The id of the page.
    pub id: MeetingId,
    /// The code that its owner types.
    pub code: MeetingCodeText,
}

impl Invitation {
    /// The same, without the address.
    pub fn way(&self) -> Way {
        Way { id: self.id, code: self.code.0 }
    }
}

impl Meeting {
    /// The shared way in.
    pub fn way(&self) -> Way {
        Way { id: self.id, code: self.code.0 }
    }

    /// The way in of an address; the shared one if the address has none.
    pub fn way_of(&self, email: &str) -> Way {
        let own = self.invitations.iter().find(|invitation| invitation.email.eq_ignore_ascii_case(email));
        own.map_or_else(|| self.way(), Invitation::way)
    }

    /// The way in with this id.
    pub fn way_by_id(&self, id: MeetingId) -> Option<Way> {
        let own = self.invitations.iter().map(Invitation::way);
        std::iter::once(self.way()).chain(own).find(|way| way.id == id)
    }

    /// Gives each invited address a way in, and removes those of addresses that are no longer invited.
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
