//! Reporting of arrivals and departures.

use signaling_core::meeting::Presence;
use signaling_core::message::LeaveReason;

use crate::meeting::Event;
use crate::store::Presences;

/// The events to report: each arrival once, a departure only if its arrival was reported, and all departures before the
/// end of the meeting.
pub(crate) fn with_presences(events: Vec<Event>, mut present: Vec<Presence>) -> (Vec<Event>, Presences) {
    let (mut told, mut presences) = (Vec::new(), Presences::default());
    for event in events {
        match event {
            Event::PeerJoined(who) => {
                if !present.iter().any(|other| other.peer == who.peer) {
                    presences.came.push(who.clone());
                    told.push(Event::PeerJoined(who));
                }
            }
            Event::PeerLeft { who, reason } => {
                if present.iter().any(|other| other.peer == who.peer) {
                    presences.went.push(who.peer);
                    told.push(Event::PeerLeft { who, reason });
                }
            }
            Event::Emptied => {
                for who in std::mem::take(&mut present) {
                    presences.went.push(who.peer);
                    told.push(Event::PeerLeft { who, reason: LeaveReason::Ended });
                }
            }
            other => told.push(other),
        }
    }
    (told, presences)
}

#[cfg(test)]
mod tests {
    use signaling_core::PeerId;
    use signaling_core::message::Role;
    use signaling_core::testing::SeededEntropy;

    use super::*;

    fn who(seed: u64) -> Presence {
        let peer = PeerId::random(&mut SeededEntropy::new(seed));
        Presence { peer, name: "Ada".to_owned(), role: Role::Participant, sub: None, metadata: None }
    }

    #[test]
    fn a_coming_is_told_once_and_a_going_only_after_its_coming() {
        let (ada, bob) = (who(1), who(2));
        let left = |who: &Presence| Event::PeerLeft { who: who.clone(), reason: LeaveReason::Left };
        let joined = |who: &Presence| Event::PeerJoined(who.clone());
        let (told, presences) = with_presences(vec![joined(&ada)], Vec::new());
        assert_eq!((told.len(), presences.came.len()), (1, 1));
        let (told, presences) = with_presences(vec![joined(&ada)], vec![ada.clone()]);
        assert_eq!((told.len(), presences.came.len()), (0, 0), "the same again");
        let (told, presences) = with_presences(vec![left(&bob)], vec![ada.clone()]);
        assert_eq!((told.len(), presences.went.len()), (0, 0), "its coming was never told");
        let (told, presences) = with_presences(vec![left(&ada)], vec![ada.clone()]);
        assert_eq!((told, presences.went), (vec![left(&ada)], vec![ada.peer]));
    }

    #[test]
    fn all_who_are_still_in_leave_before_the_end() {
        let (ada, bob) = (who(1), who(2));
        let (told, presences) =
            with_presences(vec![Event::Emptied, Event::Cancelled], vec![ada.clone(), bob.clone()]);
        assert!(
            matches!(&told[..], [Event::PeerLeft { .. }, Event::PeerLeft { .. }, Event::Cancelled]),
            "{told:?}"
        );
        assert_eq!(presences.went, [ada.peer, bob.peer]);
    }
}
