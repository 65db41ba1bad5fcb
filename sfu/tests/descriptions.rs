//! Offers as browsers make them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod common;

use common::World;
use sfu::NegotiationError;
use sfu::codec::{Codec, MediaKind};
use sfu::sdp::{Direction, Extension, RemoteDescription, RemoteFragment, SdpError, Setup};
use signaling_core::HttpSession;
use signaling_core::message::Role;

const PUBLISH: &str = include_str!("fixtures/chromium-156-publish.sdp");
const PLAY: &str = include_str!("fixtures/chromium-156-play.sdp");

fn answer(session: HttpSession, offer: &str) -> Result<String, NegotiationError> {
    let mut world = World::new(1);
    let room = World::room("sdp");
    let peer = world.join(&room, Role::Participant);
    world.negotiate(&room, peer, session, offer.to_owned()).map(|answer| answer.sdp)
}

#[test]
fn chromium_publishes() {
    let offer = RemoteDescription::parse(PUBLISH).unwrap();
    assert_eq!(offer.setup, Setup::ActPass);
    let kinds: Vec<_> =
        offer.sections.iter().map(|section| (section.kind.unwrap(), section.direction)).collect();
    assert_eq!(kinds, [(MediaKind::Audio, Direction::SendOnly), (MediaKind::Video, Direction::SendOnly)]);
    let audio: Vec<_> = offer.sections[0].codecs.iter().map(|codec| codec.codec).collect();
    assert_eq!(audio, [Codec::Opus, Codec::Red]);
    let video = &offer.sections[1];
    assert_eq!(video.codecs[0].codec, Codec::Vp8);
    assert!(
        video.codecs.iter().all(|codec| codec.rtx.is_some() && codec.feedback.nack && codec.feedback.pli)
    );
    assert!(video.codecs.iter().any(|codec| matches!(codec.codec, Codec::H264 { .. })));
    assert!(video.codecs.iter().any(|codec| codec.codec == Codec::Av1 { profile: 0 }));
    assert!(video.extensions.id(Extension::TransportSequence).is_some());
    assert_eq!(video.ssrcs.len(), 1);
    assert!(video.ssrcs[0].1.is_some(), "with an SSRC of retransmissions");

    let answer = answer(HttpSession::Publish, PUBLISH).unwrap();
    assert!(answer.len() < 8 * 1024, "{}", answer.len());
    let parsed = RemoteDescription::parse(&answer).unwrap();
    assert_eq!(parsed.setup, Setup::Passive);
    assert!(parsed.sections.iter().all(|section| section.direction == Direction::RecvOnly));
    for needed in
        ["o=- ", "s=-", "t=0 0", "a=ice-lite", "a=group:BUNDLE 0 1", "a=rtcp-mux", "a=candidate:1 1 udp"]
    {
        assert!(answer.contains(needed), "{needed}");
    }
}

#[test]
fn chromium_plays_before_anybody_publishes() {
    let answer = answer(HttpSession::Play { publisher: None }, PLAY).unwrap();
    assert!(answer.len() < 8 * 1024, "{}", answer.len());
    let parsed = RemoteDescription::parse(&answer).unwrap();
    assert!(parsed.sections.iter().all(|section| section.direction == Direction::SendOnly));
    let video: Vec<_> = parsed.sections[1].codecs.iter().map(|codec| codec.codec).collect();
    for codec in [Codec::Vp8, Codec::Vp9 { profile: 0 }, Codec::Av1 { profile: 0 }] {
        assert!(video.contains(&codec), "{codec:?}");
    }
    assert!(video.iter().any(|codec| matches!(codec, Codec::H264 { profile: 0x42, .. })));
    assert_eq!(answer.matches("a=msid:").count(), 2);
    assert_eq!(answer.matches("a=ssrc-group:FID").count(), 1);
}

/// Firefox keeps the feedback of payload types that it no longer offers.
#[test]
fn feedback_of_payload_types_that_are_not_offered_is_ignored() {
    let stale = "a=rtcp-fb:127 nack\r\na=rtcp-fb:126 transport-cc\r\na=rtcp-fb:* ccm tmmbr\r\na=rtcp-fb:banana nack\r\n";
    let offer = PUBLISH.replace("a=rtpmap:96 ", &format!("{stale}a=rtpmap:96 "));
    assert_ne!(offer, PUBLISH);
    let answer = answer(HttpSession::Publish, &offer).unwrap();
    assert!(!answer.contains(":127 ") && !answer.contains(":126 "));
}

#[test]
fn a_small_client_that_wants_us_to_begin_dtls() {
    let offer = PUBLISH.replace("a=setup:actpass", "a=setup:passive");
    let answer = answer(HttpSession::Publish, &offer).unwrap();
    assert!(answer.contains("a=setup:active"));
}

#[test]
fn what_is_not_media_is_refused_in_its_place() {
    let channel = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=sctp-port:5000\r\n";
    let answer = answer(HttpSession::Publish, &format!("{PUBLISH}{channel}")).unwrap();
    assert!(answer.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"), "{answer}");
    assert!(answer.contains("a=group:BUNDLE 0 1\r\n"));
}

#[test]
fn sections_without_a_common_codec_are_refused_and_an_offer_of_only_such_too() {
    let odd = PUBLISH.replace("opus/48000/2", "g729/8000").replace("red/48000/2", "cn/8000");
    let answer = answer(HttpSession::Publish, &odd).unwrap();
    assert!(answer.contains("m=audio 0 "), "{answer}");
    let section = odd.find("m=video").unwrap();
    let only = odd[..section].replace("BUNDLE 0 1", "BUNDLE 0");
    assert_eq!(
        self::answer(HttpSession::Publish, &only),
        Err(NegotiationError::Sdp(SdpError::NothingInCommon))
    );
}

#[test]
fn fragments_tell_restarts_from_candidates() {
    let trickle = "a=ice-ufrag:abcd\r\na=ice-pwd:x\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 1.2.3.4 5 typ host\r\n";
    let fragment = RemoteFragment::parse(trickle).unwrap();
    assert_eq!((fragment.ufrag.as_deref(), fragment.candidates), (Some("abcd"), 1));
    assert_eq!(RemoteFragment::parse("hello"), Err(SdpError::Malformed));
    assert_eq!(RemoteFragment::parse(&"a=x\r\n".repeat(20_000)), Err(SdpError::TooLarge));
}

/// Every cut and many changes of a real offer are read or refused, and never panic.
#[test]
fn mutilated_offers() {
    for cut in (0..PUBLISH.len()).step_by(7) {
        let _ = RemoteDescription::parse(&PUBLISH[..cut]);
    }
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap()
    };
    let mut read = 0;
    for _ in 0..2_000 {
        let mut bytes = PUBLISH.as_bytes().to_vec();
        for _ in 0..=random() % 4 {
            let at = random() % bytes.len();
            bytes[at] = u8::try_from(random() % 128).unwrap();
        }
        read += usize::from(RemoteDescription::parse(std::str::from_utf8(&bytes).unwrap()).is_ok());
    }
    assert!(read > 200, "most changes hit what does not matter: {read}");
}
