// The messages of the wire protocol, generated from the Rust types. Do not edit:
// `UPDATE_TYPES=1 cargo test -p signaling-core --features typescript --test typescript` writes this file.

/** Everything that the server sends. What carries no `id` is not replayed to a session that resumes. */
export type ServerMessage = (ServerEvent & { id: number }) | (Reply & { id?: undefined });

/**
 * An embedder's own message.
 */
export type App = { 
/**
 * What it is about, 1 to 64 characters.
 */
topic: string, 
/**
 * Opaque.
 */
data: Json, 
/**
 * To one peer instead of all.
 */
to?: string, };

/**
 * A step of a one-to-one call.
 */
export type Call = { 
/**
 * The step.
 */
action: CallAction, 
/**
 * Whom to ring.
 */
to?: string, 
/**
 * Which call, for every step but `ring`; without it the one that the peer is in.
 */
call?: string, };

/**
 * The steps of a one-to-one call.
 */
export type CallAction = "ring" | "accept" | "decline" | "cancel" | "hangup" | "connected" | "failed";

/**
 * Why a call is over.
 */
export type CallEnd = "declined" | "cancelled" | "busy" | "unanswered" | "hung-up" | "failed";

/**
 * One one-to-one call, from the first ring to its end.
 */
export type CallId = string;

/**
 * How far a call is.
 */
export type CallState = "ringing" | "connecting" | "connected" | "ended";

/**
 * A line of chat.
 */
export type Chat = { 
/**
 * 1 to 4,000 characters.
 */
text: string, 
/**
 * To one peer instead of all.
 */
to?: string, };

/**
 * A message of a client, without its `seq`.
 */
export type ClientMessage = { "type": "join" } & Join | { "type": "resume" } & Resume | { "type": "leave" } & Leave | { "type": "signal" } & Signal | { "type": "publish" } & Publish | { "type": "subscribe" } & Subscribe | { "type": "topology" } & TopologyStep | { "type": "chat" } & Chat | { "type": "reaction" } & Reaction | { "type": "app" } & App | { "type": "update" } & Update | { "type": "call" } & Call | { "type": "host" } & Host | { "type": "ping" } & { t?: Json };

/**
 * The error codes of the wire protocol. Each is one different reaction of the client.
 */
export type Code = "bad-request" | "unknown-message" | "name-invalid" | "unauthorized" | "forbidden" | "room-locked" | "wrong-password" | "not-started" | "not-found" | "session-unknown" | "peer-unknown" | "room-full" | "invalid-state" | "session-replaced" | "room-ended" | "too-large" | "unsupported-media" | "idempotency-mismatch" | "rate-limited" | "overloaded" | "internal";

/**
 * Why a room is over.
 */
export type EndReason = "host-ended" | "expired" | "empty" | "drained";

/**
 * A use of the host's powers.
 */
export type Host = { 
/**
 * Which.
 */
action: HostAction, 
/**
 * On whom.
 */
peer?: string, 
/**
 * To what.
 */
value?: Json, };

/**
 * The host's powers.
 */
export type HostAction = "admit" | "deny" | "kick" | "mute" | "lock" | "unlock" | "set-password" | "set-lobby" | "promote" | "start-recording" | "stop-recording" | "end";

/**
 * An `RTCIceServer`.
 */
export type IceServer = { 
/**
 * `stun:`, `turn:` and `turns:` URLs.
 */
urls: Array<string>, 
/**
 * For TURN.
 */
username?: string, 
/**
 * For TURN.
 */
credential?: string, };

/**
 * Enter a room; the first message of a new session.
 */
export type Join = { 
/**
 * The room, or the code of a meeting.
 */
room: RoomName, 
/**
 * The display name, checked by [`Name::parse`](super::Name::parse).
 */
name: string, 
/**
 * What for.
 */
role?: Role, 
/**
 * A join token or the room's host token.
 */
token?: string, 
/**
 * The room's password.
 */
password?: string, 
/**
 * Whether to make the room when it is not there.
 */
create?: boolean, 
/**
 * What to make it as.
 */
topology?: TopologyChoice, 
/**
 * Shown to all.
 */
metadata?: Json, 
/**
 * A secret of the client: the same one in a second join replaces the older peer.
 */
clientId?: string, 
/**
 * What the client can do.
 */
features?: Json, };

/**
 * JSON that the server carries and does not read. It stands on one line, since event streams are made of lines.
 */
export type Json = any;

/**
 * Leave for good: the session is over at once.
 */
export type Leave = { 
/**
 * A page that is closed or loaded again, whose person may come back: for the resume window a host's powers wait, and
 * the client that was in comes in again past lock, password and lobby.
 */
mayReturn?: boolean, };

/**
 * Why a peer is no longer in the room.
 */
export type LeaveReason = "left" | "timeout" | "kicked" | "replaced" | "ended";

/**
 * What a host decided about somebody in the lobby.
 */
export type LobbyVerdict = "admitted" | "denied";

/**
 * A display name: 1 to 64 characters after trimming, at least one of them visible, without control characters.
 */
export type Name = string;

/**
 * Which of a peer's two connections to the SFU.
 */
export type PeerConnection = "publish" | "subscribe";

/**
 * Who somebody is in a room, known to everybody there. The bytewise order decides who is polite in a mesh.
 */
export type PeerId = string;

/**
 * How loud somebody is.
 */
export type PeerLevel = { 
/**
 * Who.
 */
peer: PeerId, 
/**
 * 0 (silent) to 1.
 */
level: number, };

/**
 * Where a signal goes, or comes from.
 */
export type PeerTarget = string;

/**
 * A peer as others see it.
 */
export type PeerView = { id: PeerId, name: Name, role: Role, host: boolean, joinedAt: Timestamp, microphone: boolean, camera: boolean, screen: boolean, hand: boolean, tracks: Array<Track>, 
/**
 * Its connection is closed, and its session may still resume.
 */
away?: boolean, 
/**
 * Of a broadcaster: its media is flowing.
 */
live?: boolean, metadata: Json | null, };

/**
 * What the tracks of the next publish offer are.
 */
export type Publish = { 
/**
 * One for each media line.
 */
tracks: Array<PublishTrack>, };

/**
 * A track of the next publish offer.
 */
export type PublishTrack = { 
/**
 * The media line's `mid`.
 */
mid: string, 
/**
 * Sound or picture.
 */
kind: TrackKind, 
/**
 * Where it comes from.
 */
source: TrackSource, 
/**
 * A name for people.
 */
name?: string, };

/**
 * Why a peer's media does not go through as it should.
 */
export type QualityReason = "own-network" | "sender" | "server" | "not-wanted";

/**
 * An emoji that floats by.
 */
export type Reaction = { 
/**
 * At most 32 bytes.
 */
emoji: string, };

/**
 * Why nobody comes in by what was shown, where people can do something about it.
 */
export type Reason = "invitation-needed" | "expired" | "other-room";

/**
 * How a recording stands.
 */
export type RecordingState = "starting" | "active" | "stopped" | "failed";

/**
 * What carries no id: answers, and what is only of interest now.
 */
export type Reply = { "type": "welcome" } & Welcome | { "type": "snapshot" } & Snapshot | { "type": "ack", seq?: number, } | { "type": "pong", t?: Json, serverTime: Timestamp, } | { "type": "error", code: Code, message: string, retryable: boolean, seq?: number, retryAfterMs?: number, startsAt?: Timestamp, reason?: Reason, } | { "type": "ping" } | { "type": "going-away", reconnectAfterMs: number, } | { "type": "reaction", from: PeerId, emoji: string, } | { "type": "speakers", speakers: Array<PeerLevel>, } | { "type": "quality", peer: PeerId, level: number, track?: string, layer?: string, reason?: QualityReason, };

/**
 * Take a session up again.
 */
export type Resume = { 
/**
 * The session's id.
 */
session: SessionId, 
/**
 * Its secret.
 */
secret: string, 
/**
 * The last event that was seen.
 */
lastId: number, };

/**
 * What a peer is in the room for.
 */
export type Role = "participant" | "broadcaster" | "viewer";

/**
 * The id of a room: `[A-Za-z0-9_-]{1,64}`, chosen by people, made of a [`RoomName`](crate::RoomName), or made by
 * [`RoomId::made_by_server`].
 */
export type RoomId = string;

/**
 * The name by which somebody asks for a room, and the id that the room has by it.
 *
 * A name is 1 to 64 characters in Unicode's normalization form C without white space around them, has no control and
 * no bidirectional control characters and none of `/ \ ? # %`, shows something, and is neither `.` nor `..`. A name
 * that is an id is its own id. The id of any other is `n-` and the base 32 of the SHA-256 of the case-folded name;
 * no name of that shape is taken, so that such a room always has a name to show.
 */
export type RoomName = string;

/**
 * A room as its members see it.
 */
export type RoomView = { 
/**
 * The room's id.
 */
id: RoomId, 
/**
 * The room's name, as it was first written.
 */
name: string, 
/**
 * What the meeting is called that the room was arranged for.
 */
title?: string, 
/**
 * Which way media flows.
 */
topology: Topology, 
/**
 * Grows with every change of topology.
 */
epoch: number, 
/**
 * Nobody else comes in.
 */
locked: boolean, 
/**
 * Who has the host's powers by seniority.
 */
host: PeerId | null, 
/**
 * Newcomers wait until a host admits them.
 */
lobby: boolean, 
/**
 * A password is asked for.
 */
password: boolean, 
/**
 * Media is being recorded.
 */
recording: boolean, 
/**
 * How many watch.
 */
viewers: number, 
/**
 * When this life of the room began.
 */
createdAt: Timestamp, 
/**
 * When it is planned to end.
 */
endsAt?: Timestamp, };

/**
 * Sequenced events: kept, numbered, and replayed to those who resume.
 */
export type ServerEvent = { "type": "peer-joined", peer: PeerView, } | { "type": "peer-updated", peer: PeerView, } | { "type": "peer-left", peer: PeerId, reason: LeaveReason, } | { "type": "broadcaster-connected", peer: PeerId, tracks: Array<Track>, } | { "type": "broadcaster-disconnected", peer: PeerId, } | { "type": "signal", from: PeerTarget, 
/**
 * An `RTCSessionDescriptionInit`.
 */
description?: RTCSessionDescriptionInit, 
/**
 * An `RTCIceCandidateInit`; an empty candidate string ends them.
 */
candidate?: RTCIceCandidateInit, 
/**
 * Asks the other side for new ICE credentials.
 */
restart?: boolean, 
/**
 * In a mesh: the epoch of the topology that it belongs to.
 */
epoch?: number, 
/**
 * With the SFU: which connection.
 */
pc?: PeerConnection, 
/**
 * With the SFU: which offer this is, or answers.
 */
negotiation?: number, 
/**
 * In the SFU's offers: which line carries whose track.
 */
tracks?: Array<SubscribeTrack>, } | { "type": "tracks", peer: PeerId, tracks: Array<Track>, } | { "type": "topology", topology: Topology, epoch: number, state: Switch, } | { "type": "chat", from: PeerId, name?: Name, text: string, to?: PeerId, at: Timestamp, } | { "type": "app", from: PeerId, topic: string, data: Json, to?: PeerId, at: Timestamp, } | { "type": "call", call: CallId, state: CallState, from: PeerId, to: PeerId, reason?: CallEnd, } | { "type": "lobby", state?: LobbyVerdict, peer?: PeerId, name?: Name, } | { "type": "room-updated", room: RoomView, } | { "type": "recording", state: RecordingState, peer?: PeerId, recording?: string, } | { "type": "muted", by: PeerId, } | { "type": "room-ended", reason: EndReason, };

/**
 * A peer's relation to the server, over any number of connections one after the other. Names it, opens nothing:
 * for that the session's secret is needed.
 */
export type SessionId = string;

/**
 * To one peer, or to the media server.
 */
export type Signal = { 
/**
 * A peer's id, or `sfu`.
 */
to: string, 
/**
 * An `RTCSessionDescriptionInit`.
 */
description?: RTCSessionDescriptionInit, 
/**
 * An `RTCIceCandidateInit`; an empty candidate string ends them.
 */
candidate?: RTCIceCandidateInit, 
/**
 * Asks the other side for new ICE credentials.
 */
restart?: boolean, 
/**
 * In a mesh: the epoch of the topology that it belongs to.
 */
epoch?: number, 
/**
 * With the SFU: which connection.
 */
pc?: PeerConnection, 
/**
 * With the SFU: which offer this is, or answers.
 */
negotiation?: number, 
/**
 * In the SFU's offers: which line carries whose track.
 */
tracks?: Array<SubscribeTrack>, };

/**
 * What a signal carries, as it came from the browser.
 */
export type SignalBody = { 
/**
 * An `RTCSessionDescriptionInit`.
 */
description?: RTCSessionDescriptionInit, 
/**
 * An `RTCIceCandidateInit`; an empty candidate string ends them.
 */
candidate?: RTCIceCandidateInit, 
/**
 * Asks the other side for new ICE credentials.
 */
restart?: boolean, 
/**
 * In a mesh: the epoch of the topology that it belongs to.
 */
epoch?: number, 
/**
 * With the SFU: which connection.
 */
pc?: PeerConnection, 
/**
 * With the SFU: which offer this is, or answers.
 */
negotiation?: number, 
/**
 * In the SFU's offers: which line carries whose track.
 */
tracks?: Array<SubscribeTrack>, };

/**
 * The state of a room, for those who missed how it came about.
 */
export type Snapshot = { 
/**
 * The room.
 */
room: RoomView, 
/**
 * Everybody else who is listed.
 */
peers: Array<PeerView>, 
/**
 * Whether events are missing before it: the client renegotiates what does not work any more.
 */
gap: boolean, 
/**
 * The cursor: events after this one follow.
 */
lastId: number, };

/**
 * What this client wants of one track.
 */
export type Subscribe = { 
/**
 * The track's id.
 */
track: string, 
/**
 * Whether it is wanted at all.
 */
enabled?: boolean, 
/**
 * Pixels, at most.
 */
maxWidth?: number, 
/**
 * Pixels, at most.
 */
maxHeight?: number, 
/**
 * Frames a second, at most.
 */
maxFps?: number, 
/**
 * Greater is served first.
 */
priority?: number, };

/**
 * One line of an offer of the SFU.
 */
export type SubscribeTrack = { 
/**
 * The media line's `mid`.
 */
mid: string, 
/**
 * The track that it carries.
 */
track: string, 
/**
 * Whose track it is.
 */
peer: PeerId, };

/**
 * How far a change of topology is.
 */
export type Switch = "switching" | "settled";

/**
 * A point in time: whole milliseconds since the Unix epoch, UTC.
 *
 * The core never reads a clock. Drivers hand in `now`, the *ticks* of a [`WallClock`](crate::WallClock), which timers go
 * by: they begin with the time of the process's start and never go backwards. What people and other processes see is
 * told by the wall clock instead; see [`Wall`]. On the wire it is an RFC 3339 string, in snapshots a number of
 * milliseconds.
 */
export type Timestamp = string;

/**
 * Which way media flows at present.
 */
export type Topology = "mesh" | "sfu";

/**
 * What a room is made as.
 */
export type TopologyChoice = "mesh" | "sfu" | "auto";

/**
 * Media flows on the new path; or, with `topology`, the path there is carries none and another one is asked for.
 */
export type TopologyStep = { 
/**
 * The epoch that the client is ready for, or whose path has failed.
 */
epoch: number, 
/**
 * Always true, unless another topology is asked for.
 */
ready?: boolean, 
/**
 * `sfu`, from a peer of a mesh that cannot connect to another.
 */
topology?: Topology, };

/**
 * A track that can be subscribed to.
 */
export type Track = { 
/**
 * Its id, unique in the room.
 */
track: string, 
/**
 * Sound or picture.
 */
kind: TrackKind, 
/**
 * Where it comes from.
 */
source: TrackSource, 
/**
 * Whether it comes in several sizes.
 */
simulcast: boolean, 
/**
 * The codec's name as in SDP (`VP8`, `opus`).
 */
codec: string, };

/**
 * Sound or picture.
 */
export type TrackKind = "audio" | "video";

/**
 * Where a track comes from.
 */
export type TrackSource = "camera" | "microphone" | "screen" | "screen-audio" | "other";

/**
 * The client's own state.
 */
export type Update = { 
/**
 * A new display name.
 */
name?: string, 
/**
 * Whether the microphone is on.
 */
microphone?: boolean, 
/**
 * Whether the camera is on.
 */
camera?: boolean, 
/**
 * Whether a screen is shared.
 */
screen?: boolean, 
/**
 * Whether the hand is up.
 */
hand?: boolean, 
/**
 * Shown to all.
 */
metadata?: Json, };

/**
 * The answer to `join` and `resume`.
 */
export type Welcome = { 
/**
 * Who the client is.
 */
self: PeerView, 
/**
 * The session.
 */
session: SessionId, 
/**
 * What opens it.
 */
secret: string, 
/**
 * In the room, or in the lobby.
 */
state: WelcomeState, 
/**
 * The room.
 */
room: RoomView, 
/**
 * Everybody else who is listed; absent for a resume and in the lobby.
 */
peers?: Array<PeerView>, 
/**
 * To the join that made the room.
 */
hostToken?: string, 
/**
 * How often each side says something.
 */
heartbeatMs: number, 
/**
 * How long a session lives without a transport.
 */
resumeWindowMs: number, 
/**
 * The cursor: events after this one follow.
 */
lastId: number, 
/**
 * Whether this answers a `resume`.
 */
resumed?: boolean, 
/**
 * With a resume: the greatest `seq` that was used.
 */
lastSeq?: number, 
/**
 * What the server can do.
 */
features: Array<string>, 
/**
 * As `RTCPeerConnection` takes them.
 */
iceServers?: Array<IceServer>, 
/**
 * Seconds for which the credentials are good.
 */
ttlSeconds?: number, };

/**
 * Whether a peer is in the room already.
 */
export type WelcomeState = "joined" | "waiting";
