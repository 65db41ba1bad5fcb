//! Who sent a request, and which meetings are its own.

use http_api::Scope;
use signaling_core::HostClaims;

use crate::meeting::Meeting;
use crate::store::KeyRecord;

/// The sender of a request, as identified by its bearer.
#[derive(Clone, Debug)]
pub(crate) enum Principal {
    /// An application with a key.
    Key(KeyRecord),
    /// The holder of a room's host token.
    Host(HostClaims),
    /// A sender without a bearer.
    Anonymous,
}

impl Principal {
    /// The owner of the meetings that it creates.
    pub(crate) fn owner(&self) -> Option<String> {
        match self {
            Self::Key(key) => Some(key.customer.clone().unwrap_or_else(|| key.id.clone())),
            Self::Host(_) | Self::Anonymous => None,
        }
    }

    /// Whether it may access everybody's meetings: an administrator's key may, and a read-only key that does not belong
    /// to a customer.
    pub(crate) fn sees_all(&self) -> bool {
        match self {
            Self::Key(key) => {
                let is_reader = !key.scopes.iter().any(|scope| scope.includes(Scope::MeetingsWrite));
                key.scopes.contains(&Scope::Admin) || (is_reader && key.customer.is_none())
            }
            Self::Host(_) | Self::Anonymous => false,
        }
    }

    /// Whether it may access the meetings of an owner.
    pub(crate) fn owns(&self, owner: Option<&str>) -> bool {
        self.sees_all() || (owner.is_some() && owner == self.owner().as_deref())
    }

    /// Whether it may access a meeting.
    pub(crate) fn may_see(&self, meeting: &Meeting) -> bool {
        match self {
            Self::Key(_) => self.owns(meeting.owner.as_deref()),
            Self::Host(claims) => claims.room == meeting.room && claims.life == meeting.life,
            Self::Anonymous => false,
        }
    }

    /// Whether it may see the host link.
    pub(crate) fn is_organiser(&self) -> bool {
        match self {
            Self::Key(key) => key.scopes.iter().any(|scope| scope.includes(Scope::MeetingsWrite)),
            Self::Host(_) => true,
            Self::Anonymous => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use signaling_core::Timestamp;

    use super::*;

    fn key(scopes: &[Scope], customer: Option<&str>) -> Principal {
        Principal::Key(KeyRecord {
            id: "key_1".to_owned(),
            hash: String::new(),
            customer: customer.map(str::to_owned),
            scopes: scopes.to_vec(),
            note: None,
            created_at: Timestamp::from_millis(0),
            revoked_at: None,
        })
    }

    #[test]
    fn a_key_owns_its_customers_meetings_and_an_administrators_all() {
        let writer = key(&[Scope::MeetingsWrite], Some("school"));
        assert_eq!(writer.owner().as_deref(), Some("school"));
        assert!(writer.owns(Some("school")) && !writer.owns(Some("other")) && !writer.owns(None));
        assert!(writer.is_organiser());
        let own = key(&[Scope::MeetingsWrite], None);
        assert!(own.owns(Some("key_1")) && !own.owns(Some("school")));
        assert!(key(&[Scope::Admin], Some("school")).owns(Some("other")));
    }

    #[test]
    fn a_key_that_only_reads_sees_all_unless_it_is_a_customers() {
        let reader = key(&[Scope::MeetingsRead], None);
        assert!(reader.sees_all() && !reader.is_organiser());
        assert!(!key(&[Scope::MeetingsRead], Some("school")).sees_all());
        assert!(!Principal::Anonymous.owns(None) && !Principal::Anonymous.is_organiser());
    }
}
