//! WHIP and WHEP over HTTP: statuses, headers, admission, and the resulting events in the room.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "what fails in a test fails the test"
)]

use std::net::SocketAddr;

use serde_json::{Value, json};
use tests::client::{Ws, post};
use tests::{Answer, Visavis, get, request};

const PUBLISH: &str = include_str!("offers/chromium-156-publish.sdp");
const PLAY: &str = include_str!("offers/chromium-156-play.sdp");
const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");

fn offer(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let sdp = if path.starts_with("/whip") { PUBLISH } else { PLAY };
    request(addr, "POST", path, &[&[SDP], headers].concat(), Some(sdp.as_bytes()))
}

fn patch(addr: SocketAddr, path: &str, tag: Option<&str>, fragment: &str) -> Answer {
    let tag = tag.map(|tag| ("if-match", tag));
    let headers: Vec<_> = [Some(FRAGMENT), tag].into_iter().flatten().collect();
    request(addr, "PATCH", path, &headers, Some(fragment.as_bytes()))
}

fn delete(addr: SocketAddr, path: &str) -> u16 {
    request(addr, "DELETE", path, &[("if-match", "\"whatever\"")], None).status
}

fn code(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{}", answer.body);
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["status"], answer.status);
    problem["code"].as_str().unwrap().to_owned()
}

/// A WebSocket of a peer that joins a room without a fixed topology.
fn join(addr: SocketAddr, more: Value) -> (Ws, Value) {
    let mut message = json!({"type": "join", "room": "stage", "name": "Ada"});
    for (name, value) in more.as_object().unwrap() {
        message[name] = value.clone();
    }
    let mut ws = Ws::connect(addr);
    ws.send(&message);
    let welcome = ws.until("welcome");
    (ws, welcome)
}

fn candidates(sdp: &str) -> Vec<&str> {
    sdp.lines().filter(|line| line.starts_with("a=candidate:")).collect()
}

/// The ufrag of the session's offer, and a different one.
fn trickle(ufrag: &str) -> String {
    format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789abcdefghijkl\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
         a=candidate:1 1 udp 2130706431 192.0.2.9 5000 typ host\r\na=end-of-candidates\r\n"
    )
}

#[test]
fn an_offer_is_answered_as_the_rfc_says() {
    let server = Visavis::start(&[]);
    for (path, offered) in [("/whip/stage", PUBLISH), ("/whep/stage?name=Bob", PLAY)] {
        let answer = offer(server.addr, path, &[("accept", "application/sdp")]);
        assert_eq!(answer.status, 201, "{}", answer.body);
        let location = answer.header("location");
        let endpoint = path.split('?').next().unwrap();
        assert!(location.starts_with(&format!("{endpoint}/")), "{location}");
        assert!(location.len() > endpoint.len() + 20, "nobody guesses {location}");
        let tag = answer.header("etag");
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10, "{tag}");
        assert_eq!(answer.header("content-type"), "application/sdp");
        assert_eq!(answer.header("accept-patch"), "application/trickle-ice-sdpfrag");
        let exposed = answer.header("access-control-expose-headers");
        assert!(["Location", "ETag", "Link"].iter().all(|name| exposed.contains(name)), "{exposed}");
        let links = answer.headers("link");
        assert!(links.iter().all(|link| link.contains(r#"; rel="ice-server""#)), "{links:?}");
        let turn = links.iter().find(|link| link.starts_with("<turn:")).unwrap();
        assert!(turn.contains("; username=\"") && turn.contains("; credential=\""), "{turn}");
        assert!(turn.ends_with("; credential-type=\"password\""), "{turn}");

        let sdp = &answer.body;
        assert!(sdp.len() < 8 * 1024, "{} bytes", sdp.len());
        assert!(sdp.contains("a=ice-lite\r\n") && sdp.contains("a=setup:passive\r\n"), "{sdp}");
        let first: Vec<_> = candidates(sdp)[0].split(' ').collect();
        assert_eq!((first[2], first[4], first[7]), ("udp", "127.0.0.1", "host"), "{sdp}");
        let sections = |sdp: &str| sdp.lines().filter(|line| line.starts_with("m=")).count();
        assert_eq!(sections(sdp), sections(offered));
        assert_eq!(delete(server.addr, location), 200);
        assert_eq!(delete(server.addr, location), 404, "it is over");
    }
}

#[test]
fn small_clients_are_served() {
    let server = Visavis::start(&[]);
    let bare: String = PUBLISH
        .lines()
        .filter(|line| !line.starts_with("a=candidate:") && !line.starts_with("a=end-of"))
        .flat_map(|line| [line, "\r\n"])
        .collect();
    for (setup, answered) in [("passive", "active"), ("active", "passive"), ("actpass", "passive")] {
        let sdp = bare.replace("a=setup:actpass", &format!("a=setup:{setup}"));
        let answer = request(server.addr, "POST", "/whip/stage", &[SDP], Some(sdp.as_bytes()));
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert!(answer.body.contains(&format!("a=setup:{answered}\r\n")), "{}", answer.body);
    }
}

#[test]
fn trickle_and_restart_by_patch() {
    let server = Visavis::start(&[]);
    for path in ["/whip/stage", "/whep/stage"] {
        let answer = offer(server.addr, path, &[]);
        let sdp = if path.starts_with("/whip") { PUBLISH } else { PLAY };
        let ufrag = sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap();
        let (place, tag) = (answer.header("location"), answer.header("etag"));
        let status = |tag: Option<&str>, fragment: &str| patch(server.addr, place, tag, fragment).status;
        assert_eq!(status(Some(tag), &trickle(ufrag)), 204);
        assert_eq!(status(Some(&format!("\"other\", {tag}")), &trickle(ufrag)), 204);
        assert_eq!(status(None, &trickle(ufrag)), 428);
        assert_eq!(status(Some("\"other\""), &trickle(ufrag)), 412);
        assert_eq!(status(Some(&format!("W/{tag}")), &trickle(ufrag)), 412);
        assert_eq!(status(Some("*"), &trickle(ufrag)), 204, "the ICE session of before is no restart");
        assert_eq!(status(Some(tag), "hello"), 400);
        assert_eq!(status(Some("*"), "a=ice-ufrag:anew\r\n"), 422, "no password");
        let form = request(server.addr, "PATCH", place, &[SDP, ("if-match", tag)], Some(b"v=0\r\n"));
        assert_eq!((form.status, form.header("accept-patch")), (415, FRAGMENT.1));

        let restart = patch(server.addr, place, Some("*"), &trickle("anew"));
        assert_eq!((restart.status, restart.header("content-type")), (200, FRAGMENT.1));
        let renewed = restart.header("etag");
        assert_ne!(renewed, tag);
        for line in ["a=ice-lite", "a=ice-ufrag:", "a=ice-pwd:", "a=mid:0", "a=candidate:"] {
            assert!(restart.body.contains(line), "{line} is not in {}", restart.body);
        }
        assert_eq!(status(Some(tag), &trickle("anew")), 412, "the old session's");
        assert_eq!(status(Some(renewed), &trickle("anew")), 204);
        assert_eq!(status(Some("\"*\""), &trickle("once more")), 200, "written as in the RFC's example");
        assert_eq!(status(Some("*"), &trickle("once more")), 204);
        let renewed = patch(server.addr, place, Some("*"), &trickle("and again"));
        let renewed = renewed.header("etag");
        assert_eq!(delete(server.addr, place), 200);
        assert_eq!(status(Some(renewed), &trickle("anew")), 404);
    }
}

#[test]
fn what_is_no_request_for_this_is_refused_as_http_says() {
    let server = Visavis::start(&[]);
    let addr = server.addr;
    let (_ada, welcome) = join(addr, json!({"room": "flat", "topology": "mesh"}));
    assert!(welcome["hostToken"].is_string());
    let no_media = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    let playing = PUBLISH.replace("a=sendonly", "a=recvonly");
    let large = format!("{PUBLISH}{}", "a=x-padding:0123456789\r\n".repeat(3_000));
    let foreign = PUBLISH.replace("opus/48000/2", "l16/8000").replace("VP8/", "X/").replace("VP9/", "X/");
    let foreign = foreign.replace("H264/", "X/").replace("AV1/", "X/").replace("red/", "X/");
    let strange = (SDP.0, "application/json");
    let nobody = "/whep/stage?publisher=0123456789abcdef";
    for (path, headers, body, status, expected) in [
        ("/whip/stage", &[SDP][..], "hello", 400, "bad-request"),
        ("/whip/stage", &[SDP], "", 400, "bad-request"),
        ("/whip/stage", &[SDP], no_media, 422, "unsupported-media"),
        ("/whip/stage", &[SDP], &playing, 422, "unsupported-media"),
        ("/whip/stage", &[SDP], &foreign, 422, "unsupported-media"),
        ("/whep/stage", &[SDP], PUBLISH, 422, "unsupported-media"),
        ("/whip/stage", &[SDP], &large, 413, "too-large"),
        ("/whip/stage", &[strange], PUBLISH, 415, "bad-request"),
        ("/whip/stage", &[], PUBLISH, 415, "bad-request"),
        ("/whip/stage", &[SDP, ("accept", "text/html")], PUBLISH, 406, "bad-request"),
        ("/whip/a%2Froom", &[SDP], PUBLISH, 400, "bad-request"),
        ("/whip/flat", &[SDP], PUBLISH, 409, "invalid-state"),
        ("/whep/flat", &[SDP], PLAY, 409, "invalid-state"),
        ("/whip/stage", &[SDP, ("authorization", "Bearer made-up")], PUBLISH, 401, "unauthorized"),
        ("/whip/stage", &[SDP, ("origin", "https://elsewhere.example")], PUBLISH, 403, "forbidden"),
        ("/whip/stage?name=%07", &[SDP], PUBLISH, 400, "name-invalid"),
        (nobody, &[SDP], PLAY, 404, "peer-unknown"),
        ("/whep/stage?publisher=x", &[SDP], PLAY, 404, "peer-unknown"),
    ] {
        let answer = request(addr, "POST", path, headers, Some(body.as_bytes()));
        assert_eq!((answer.status, &*code(&answer)), (status, expected), "{path} {headers:?}");
    }
    for method in ["PUT", "PATCH", "DELETE"] {
        let answer = request(addr, method, "/whip/stage", &[], None);
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.header("allow").contains("POST"), "{}", answer.head);
    }
    let made_up = format!("/whip/stage/{}", "0".repeat(48));
    assert_eq!(delete(addr, &made_up), 404);
    assert_eq!(patch(addr, &made_up, Some("*"), &trickle("abcd")).status, 404);
    // None of it has had an effect.
    let (_bob, welcome) = join(addr, json!({}));
    assert_eq!((&welcome["peers"], welcome["hostToken"].is_string()), (&json!([]), true));
}

#[test]
fn endpoints_and_sessions_have_no_representation() {
    let server = Visavis::start(&[]);
    for path in ["/whip/stage", "/whip/stage/", "/whep/stage"] {
        let published = offer(server.addr, path, &[]);
        let place = published.header("location");
        for method in ["GET", "HEAD"] {
            for of in [path, place] {
                let answer = request(server.addr, method, of, &[], None);
                assert_eq!((answer.status, &*answer.body), (204, ""), "{method} {of}");
            }
        }
        assert_eq!(delete(server.addr, place), 200, "it was not ended before");
        assert_eq!(get(server.addr, place).status, 404, "it is over");
    }
    assert_eq!(get(server.addr, "/whip/stage/made-up").status, 404);
}

#[test]
fn options_and_other_origins() {
    let page = "https://studio.example";
    let server = Visavis::start(&["--allowed-origin", page]);
    let answer = request(server.addr, "OPTIONS", "/whip/stage", &[], None);
    assert_eq!((answer.status, answer.header("accept-post")), (200, "application/sdp"));
    let preflight = [
        ("origin", page),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    let answer = request(server.addr, "OPTIONS", "/whip/stage", &preflight, None);
    assert_eq!((answer.status, answer.header("accept-post")), (200, "application/sdp"));
    assert_eq!(answer.header("access-control-allow-origin"), page);
    for method in ["POST", "PATCH", "DELETE"] {
        assert!(answer.header("access-control-allow-methods").contains(method));
    }
    for name in ["Authorization", "Content-Type", "If-Match"] {
        assert!(answer.header("access-control-allow-headers").contains(name));
    }
    let answer = offer(server.addr, "/whep/stage", &[("origin", page)]);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (201, page));
    let exposed = answer.header("access-control-expose-headers");
    assert!(["Location", "ETag", "Link"].iter().all(|name| exposed.contains(name)), "{exposed}");
}

#[test]
fn a_session_is_a_peer_of_its_room() {
    let server = Visavis::start(&[]);
    // A room with only WHIP sessions gets its host when the first eligible peer joins.
    let published = offer(server.addr, "/whip/stage?name=Camera%20one", &[]);
    let (mut ada, welcome) = join(server.addr, json!({}));
    let camera = &welcome["peers"][0];
    assert_eq!((&camera["name"], &camera["role"]), (&json!("Camera one"), &json!("broadcaster")));
    let updated = ada.until("room-updated");
    assert_eq!(updated["room"]["host"], welcome["self"]["id"]);

    let watched = offer(
        server.addr,
        &format!("/whep/stage?name=Bob&publisher={}", camera["id"].as_str().unwrap()),
        &[],
    );
    assert_eq!(watched.status, 201);
    assert_eq!(ada.until("peer-joined")["peer"]["role"], "viewer", "hosts see who watches");
    assert_eq!(ada.until("room-updated")["room"]["viewers"], 1);

    ada.send(&json!({"type": "host", "action": "promote", "peer": camera["id"], "value": "host", "seq": 1}));
    assert_eq!(ada.until("error")["code"], "invalid-state");
    assert_eq!(delete(server.addr, watched.header("location")), 200);
    assert_eq!(ada.until("peer-left")["reason"], "left");
    ada.send(&json!({"type": "host", "action": "kick", "peer": camera["id"], "seq": 2}));
    let left = ada.until("peer-left");
    assert_eq!((&left["peer"], &left["reason"]), (&camera["id"], &json!("kicked")));
    assert_eq!(delete(server.addr, published.header("location")), 404, "who was kicked is gone");

    let published = offer(server.addr, "/whip/stage", &[]);
    assert_eq!(ada.until("peer-joined")["peer"]["name"], "Broadcast");
    ada.send(&json!({"type": "host", "action": "end"}));
    ada.until("room-ended");
    assert_eq!(delete(server.addr, published.header("location")), 404);
    assert_eq!(code(&offer(server.addr, "/whip/stage", &[])), "room-ended");
}

#[test]
fn doors_are_as_closed_as_for_everybody() {
    let server = Visavis::start(&[]);
    let (mut ada, welcome) = join(server.addr, json!({}));
    let bearer = format!("Bearer {}", welcome["hostToken"].as_str().unwrap());
    let host = [("authorization", &*bearer)];
    for (action, value, expected) in [
        ("lock", json!(null), "room-locked"),
        ("set-password", json!("melon"), "wrong-password"),
        ("set-lobby", json!(true), "forbidden"),
    ] {
        ada.send(&json!({"type": "host", "action": action, "value": value}));
        ada.settle();
        for path in ["/whip/stage", "/whep/stage"] {
            let refused = offer(server.addr, path, &[]);
            assert_eq!((refused.status, &*code(&refused)), (403, expected), "{path}");
            // Also for an invalid offer.
            let refused = request(server.addr, "POST", path, &[SDP], Some(b"v=0\r\n"));
            assert_eq!((refused.status, &*code(&refused)), (403, expected), "{path}");
            let answer = offer(server.addr, path, &host);
            assert_eq!(answer.status, 201, "{action} {path}: {}", answer.body);
            assert_eq!(delete(server.addr, answer.header("location")), 200);
        }
        ada.send(&json!({"type": "host", "action": "unlock"}));
        ada.send(&json!({"type": "host", "action": "set-password", "value": null}));
    }
    let server = Visavis::start(&["--auth-key", "thirty-two-bytes-and-some-more-of-it"]);
    let refused = offer(server.addr, "/whip/stage", &[]);
    assert_eq!((refused.status, &*code(&refused)), (401, "unauthorized"));
    assert_eq!(refused.header("www-authenticate"), "Bearer");
}

/// The offer with every video codec except some replaced by an unknown one.
fn with_video(keeps: impl Fn(&str) -> bool) -> String {
    PUBLISH
        .lines()
        .map(|line| match line.split_once(' ') {
            Some((name, codec))
                if name.starts_with("a=rtpmap:") && codec.ends_with("/90000") && !keeps(codec) =>
            {
                format!("{name} H265/90000\r\n")
            }
            _ => format!("{line}\r\n"),
        })
        .collect()
}

#[test]
fn pictures_that_nobody_could_see_are_refused() {
    let server = Visavis::start(&[]);
    let whip = |sdp: &str| request(server.addr, "POST", "/whip/stage", &[SDP], Some(sdp.as_bytes()));
    let h265 = with_video(|_| false);
    let h264 = with_video(|codec| codec.starts_with("H264"));
    let unpacketized = h264.replace("packetization-mode=1", "packetization-mode=0");
    let silent = PUBLISH.replace("opus/48000/2", "l16/8000").replace("red/48000/2", "l16/8000");
    for (sdp, kind) in [(&h265, "video"), (&unpacketized, "video"), (&silent, "audio")] {
        let answer = whip(sdp);
        assert_eq!((answer.status, &*code(&answer)), (422, "unsupported-media"), "{}", answer.body);
        assert!(answer.body.contains(kind), "{}", answer.body);
    }
    assert_eq!(whip(&h264).status, 201);
    // A player accepts what is available.
    let play = PLAY.replace("VP8/90000", "H265/90000").replace("VP9/90000", "H265/90000");
    let play = play.replace("AV1/90000", "H265/90000").replace("H264/90000", "H265/90000");
    let answer = request(server.addr, "POST", "/whep/stage", &[SDP], Some(play.as_bytes()));
    assert_eq!(answer.status, 201, "{}", answer.body);
    // A section that sends nothing needs no codec.
    let (sound, pictures) = h265.split_once("m=video").unwrap();
    let listening = format!("{sound}m=video{}", pictures.replace("a=sendonly", "a=inactive"));
    assert_eq!(whip(&listening).status, 201);
}

#[test]
fn sections_share_one_transport() {
    let server = Visavis::start(&[]);
    let group = "a=group:BUNDLE 0 1\r\n";
    let publish = PUBLISH.lines().fold(String::new(), |sdp, line| sdp + line + "\r\n");
    assert!(publish.contains(group));
    let play = PLAY.lines().fold(String::new(), |sdp, line| sdp + line + "\r\n");
    for (path, offer) in [("/whip/stage", &publish), ("/whep/stage", &play)] {
        let post = |sdp: &str| request(server.addr, "POST", path, &[SDP], Some(sdp.as_bytes()));
        for part in ["", "a=group:BUNDLE 0\r\n", "a=group:LS 0 1\r\n"] {
            let answer = post(&offer.replace(group, part));
            assert_eq!((answer.status, &*code(&answer)), (422, "unsupported-media"), "{path} {part}");
            assert!(answer.body.contains("a=group:BUNDLE"), "{}", answer.body);
        }
        // A single section needs no bundling.
        let (first, _) = offer.split_once("m=video").unwrap();
        let answer = post(&first.replace(group, ""));
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
}

#[test]
fn sections_may_be_named_by_uuids() {
    let server = Visavis::start(&[]);
    let mids = ["9b2f7a1e-6d0c-4f5b-8e3a-1c2d3e4f5a6b", "0d9c8b7a-6f5e-4d3c-2b1a-0f9e8d7c6b5a"];
    for (path, offer) in [("/whip/stage", PUBLISH), ("/whep/stage", PLAY)] {
        let named = offer
            .replace("a=group:BUNDLE 0 1", &format!("a=group:BUNDLE {} {}", mids[0], mids[1]))
            .replace("a=mid:0", &format!("a=mid:{}", mids[0]))
            .replace("a=mid:1", &format!("a=mid:{}", mids[1]));
        let answer = request(server.addr, "POST", path, &[SDP], Some(named.as_bytes()));
        assert_eq!(answer.status, 201, "{}", answer.body);
        for mid in mids {
            assert!(answer.body.contains(&format!("a=mid:{mid}\r\n")), "{}", answer.body);
        }
        assert!(answer.body.contains(&format!("a=group:BUNDLE {} {}\r\n", mids[0], mids[1])));
    }
}

#[test]
fn stereo_is_taken_over_and_passed_on() {
    let server = Visavis::start(&[]);
    let stereo = |offer: &str| {
        offer.replace("a=fmtp:111 minptime=10", "a=fmtp:111 stereo=1;sprop-stereo=1;minptime=10")
    };
    let of_opus = |sdp: &str| {
        let types: Vec<_> = sdp
            .lines()
            .filter_map(|line| line.strip_prefix("a=rtpmap:")?.strip_suffix(" opus/48000/2"))
            .collect();
        let [opus] = types[..] else { panic!("one Opus in {sdp}") };
        let parameters = sdp.lines().find_map(|line| line.strip_prefix(&format!("a=fmtp:{opus} ")));
        parameters.unwrap().split(';').map(str::to_owned).collect::<Vec<_>>()
    };
    let (mut viewer, _) = join(server.addr, json!({"role": "viewer"}));
    for (path, offer) in [("/whip/stage", PUBLISH), ("/whep/stage", PLAY)] {
        let answer = request(server.addr, "POST", path, &[SDP], Some(stereo(offer).as_bytes()));
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert!(of_opus(&answer.body).contains(&"stereo=1".to_owned()), "{}", answer.body);
    }
    let offer = viewer.until("signal");
    assert!(of_opus(offer["description"]["sdp"].as_str().unwrap()).contains(&"stereo=1".to_owned()));
}

#[test]
fn a_publisher_consents_to_being_recorded_where_the_operator_asks_for_it() {
    let asking = Visavis::start(&["--recording-consent"]);
    let features = |server: &Visavis| {
        let (mut ws, welcome) = join(server.addr, json!({"room": "features"}));
        ws.send(&json!({"type": "leave"}));
        let version: Value = serde_json::from_str(&get(server.addr, "/version").body).unwrap();
        [&welcome["features"], &version["features"]]
            .map(|features| features.as_array().unwrap().iter().any(|feature| feature == "recording-consent"))
    };
    assert_eq!(features(&asking), [true, true]);
    for path in ["/whip/stage", "/whip/stage?recording-consent=no", "/whip/stage?name=Bob"] {
        let refused = offer(asking.addr, path, &[]);
        assert_eq!((refused.status, &*code(&refused)), (403, "forbidden"), "{path}");
        assert!(refused.body.contains("?recording-consent=yes"), "{}", refused.body);
    }
    assert_eq!(offer(asking.addr, "/whip/stage?recording-consent=maybe", &[]).status, 400);
    let (_ada, welcome) = join(asking.addr, json!({}));
    assert_eq!(welcome["peers"].as_array().unwrap().len(), 0, "who was refused has not joined");
    assert_eq!(offer(asking.addr, "/whip/stage?recording-consent=yes&name=Bob", &[]).status, 201);
    assert_eq!(offer(asking.addr, "/whep/stage", &[]).status, 201, "who only watches is not recorded");

    // Without a recorder, no consent is required.
    for arguments in [&[][..], &["--recording-consent", "--no-recording"]] {
        let server = Visavis::start(arguments);
        assert_eq!(features(&server), [false, false]);
        assert_eq!(offer(server.addr, "/whip/stage", &[]).status, 201);
    }
}

#[test]
fn two_who_talk_go_over_to_the_media_server_when_a_camera_comes() {
    let server = Visavis::start(&[]);
    let (mut ada, _) = join(server.addr, json!({}));
    let (mut bob, _) = join(server.addr, json!({"name": "Bob"}));
    assert_eq!(offer(server.addr, "/whip/stage", &[]).status, 201);
    for ws in [&mut ada, &mut bob] {
        let switching = ws.until("topology");
        assert_eq!((&switching["topology"], &switching["state"]), (&json!("sfu"), &json!("switching")));
        ws.send(&json!({"type": "topology", "epoch": switching["epoch"], "ready": true}));
    }
    // At once when both are ready: nobody waits for the camera to report it.
    assert_eq!(ada.until("topology")["state"], "settled");
}

#[test]
fn without_a_media_server_it_says_so() {
    let server = Visavis::start(&["--no-sfu"]);
    for path in ["/whip/stage", "/whep/stage"] {
        let answer = offer(server.addr, path, &[]);
        assert_eq!((answer.status, &*code(&answer)), (409, "invalid-state"), "{}", answer.body);
        assert!(answer.body.contains("no media server"), "{}", answer.body);
    }
    assert_eq!(get(server.addr, "/livez").status, 200);
    assert_eq!(post(server.addr, "/api/v1/rooms", None, "{}").status, 201);
}
