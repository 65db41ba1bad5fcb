//! Translates signals between a peer and the SFU: browser JSON on the wire, demands and events on the media plane.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::message::{Json, PeerConnection, SignalBody, SubscribeTrack};
use crate::{MediaDemand, PeerId, Refusal};

/// An `RTCSessionDescriptionInit`.
#[derive(Serialize, Deserialize)]
struct Description<S> {
    #[serde(rename = "type")]
    kind: DescriptionKind,
    #[serde(default)]
    sdp: S,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DescriptionKind {
    Offer,
    Answer,
}

/// What a peer's signal demands of the media plane. `None` for candidates, which an ICE-lite agent does not need.
pub(super) fn demand(peer: PeerId, body: &SignalBody) -> Result<Option<MediaDemand>, Refusal> {
    let pc = body.pc.ok_or_else(|| Refusal::bad_request("a signal to the SFU says which `pc`"))?;
    let negotiation = body.negotiation;
    Ok(match (pc, &body.description) {
        (PeerConnection::Publish, Some(description)) => {
            let sdp = read(description, DescriptionKind::Offer)?;
            Some(MediaDemand::Offer { peer, sdp, negotiation })
        }
        (PeerConnection::Subscribe, Some(description)) => {
            let sdp = read(description, DescriptionKind::Answer)?;
            Some(MediaDemand::Answer { peer, sdp, negotiation })
        }
        (PeerConnection::Subscribe, None) if body.restart == Some(true) => {
            Some(MediaDemand::RestartIce { peer })
        }
        _ => None,
    })
}

fn read(description: &Json, kind: DescriptionKind) -> Result<Arc<str>, Refusal> {
    let read: Option<Description<Arc<str>>> = serde_json::from_str(description.as_str()).ok();
    let right = read.filter(|description| description.kind == kind);
    right.map(|description| description.sdp).ok_or_else(|| {
        Refusal::bad_request("the SFU takes an offer with `pc: publish` and an answer with `pc: subscribe`")
    })
}

/// The SFU's answer to a peer's offer.
pub(super) fn answer(sdp: &str, negotiation: Option<u64>) -> SignalBody {
    SignalBody {
        description: write(DescriptionKind::Answer, sdp),
        pc: Some(PeerConnection::Publish),
        negotiation,
        ..SignalBody::default()
    }
}

/// The SFU's offer to a peer.
pub(super) fn offer(sdp: &str, negotiation: u64, tracks: Vec<SubscribeTrack>) -> SignalBody {
    SignalBody {
        description: write(DescriptionKind::Offer, sdp),
        pc: Some(PeerConnection::Subscribe),
        negotiation: Some(negotiation),
        tracks,
        ..SignalBody::default()
    }
}

fn write(kind: DescriptionKind, sdp: &str) -> Option<Json> {
    serde_json::value::to_raw_value(&Description { kind, sdp }).ok().map(Json::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;
    use crate::testing::SeededEntropy;

    fn ask(json: &str) -> Result<Option<MediaDemand>, Code> {
        let peer = PeerId::random(&mut SeededEntropy::new(1));
        demand(peer, &serde_json::from_str(json).unwrap()).map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_signal_asks_for_what_its_connection_is_for() {
        let offer = ask(r#"{"pc":"publish","description":{"type":"offer","sdp":"v=0\r\n"},"negotiation":4}"#);
        assert!(
            matches!(offer, Ok(Some(MediaDemand::Offer { sdp, negotiation: Some(4), .. })) if &*sdp == "v=0\r\n")
        );
        let answer = ask(r#"{"pc":"subscribe","description":{"type":"answer","sdp":"v=0"}}"#);
        assert!(matches!(answer, Ok(Some(MediaDemand::Answer { negotiation: None, .. }))));
        let restart = ask(r#"{"pc":"subscribe","restart":true}"#);
        assert!(matches!(restart, Ok(Some(MediaDemand::RestartIce { .. }))));
        assert_eq!(ask(r#"{"pc":"publish","candidate":{}}"#), Ok(None), "a lite agent needs no candidates");
    }

    #[test]
    fn descriptions_of_the_wrong_type_are_refused() {
        for pc in ["publish", "subscribe"] {
            let wrong = if pc == "publish" { "answer" } else { "offer" };
            for description in
                [&format!(r#"{{"type":"{wrong}","sdp":"v=0"}}"#), r#"{"type":"rollback"}"#, "7"]
            {
                let signal = format!(r#"{{"pc":"{pc}","description":{description}}}"#);
                assert_eq!(ask(&signal), Err(Code::BadRequest), "{signal}");
            }
        }
        assert_eq!(ask(r#"{"description":{"type":"offer","sdp":"v=0"}}"#), Err(Code::BadRequest));
    }

    #[test]
    fn what_the_sfu_says_is_read_back_as_it_was() {
        let sdp = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n";
        let body = offer(sdp, 7, Vec::new());
        assert_eq!((body.pc, body.negotiation), (Some(PeerConnection::Subscribe), Some(7)));
        assert_eq!(&*read(body.description.as_ref().unwrap(), DescriptionKind::Offer).unwrap(), sdp);
        let body = answer(sdp, None);
        assert_eq!((body.pc, body.negotiation), (Some(PeerConnection::Publish), None));
        assert_eq!(&*read(body.description.as_ref().unwrap(), DescriptionKind::Answer).unwrap(), sdp);
    }
}
