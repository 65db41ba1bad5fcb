// The messages of the wire protocol, generated from the Rust types. Do not edit:
// `UPDATE_TYPES=1 cargo test -p signaling-core --features typescript --test typescript` writes this file.

/** Everything that the server sends. What carries no `id` is not replayed to a session that resumes. */
export type ServerMessage = (ServerEvent & { id: number }) | (Reply & { id?: undefined });

/**
 * A message of the embedding application.
 */
export type App = { 
/**
 * The topic, 1 to 64 characters.
 */
topic: string, 
/**
 * Opaque data.
 */
data: Json, 
/**
 * The recipient, if not every other peer.
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
 * The peer to ring.
 */
to?: string, 
/**
 * The call, for every step but `ring`; by default the one that the peer is in.
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
 * A one-to-one call, from the first ring to its end.
 */
export type CallId = string;

/**
 * How far a one-to-one call is.
 */
export type CallState = "ringing" | "connecting" | "connected" | "ended";

/**
 * The cause of a failure, as clients name it and as metrics count it.
 */
export type Cause = "server-unreachable" | "tls-inspected" | "udp-blocked" | "tcp-blocked" | "relay-unreachable" | "relay-refused" | "relay-quota" | "wrong-external-address" | "no-common-codec" | "dtls-failed" | "media-stopped" | "peer-network" | "own-network" | "camera-busy" | "camera-denied" | "no-camera" | "microphone-busy" | "microphone-denied" | "no-microphone" | "clock-off" | "certificate-expired" | "unknown";

/**
 * A chat message.
 */
export type Chat = { 
/**
 * 1 to 4,000 characters.
 */
text: string, 
/**
 * The recipient, if not every peer.
 */
to?: string, };

/**
 * A message of a client, without its `seq`.
 */
export type ClientMessage = { "type": "join" } & Join | { "type": "resume" } & Resume | { "type": "leave" } & Leave | { "type": "signal" } & Signal | { "type": "publish" } & Publish | { "type": "subscribe" } & Subscribe | { "type": "topology" } & TopologyStep | { "type": "chat" } & Chat | { "type": "reaction" } & Reaction | { "type": "app" } & App | { "type": "update" } & Update | { "type": "call" } & Call | { "type": "host" } & Host | { "type": "ping" } & { t?: Json };

/**
 * The error codes of the wire protocol. Each calls for a different reaction of the client.
 */
export type Code = "bad-request" | "unknown-message" | "name-invalid" | "unauthorized" | "forbidden" | "room-locked" | "wrong-password" | "not-started" | "not-found" | "session-unknown" | "peer-unknown" | "room-full" | "invalid-state" | "session-replaced" | "room-ended" | "too-large" | "unsupported-media" | "idempotency-mismatch" | "rate-limited" | "overloaded" | "internal";

/**
 * Why a room has ended.
 */
export type EndReason = "host-ended" | "expired" | "empty" | "drained";

/**
 * An action of a host.
 */
export type Host = { 
/**
 * The action.
 */
action: HostAction, 
/**
 * The peer that it concerns.
 */
peer?: string, 
/**
 * The parameter of the action.
 */
value?: Json, };

/**
 * The actions of a host.
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
 * The user name, for TURN.
 */
username?: string, 
/**
 * The password, for TURN.
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
 * The requested role.
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
 * Whether to make the room if it does not exist.
 */
create?: boolean, 
/**
 * The topology of a room that this join makes.
 */
topology?: TopologyChoice, 
/**
 * Metadata that every peer sees.
 */
metadata?: Json, 
/**
 * A secret of the client. A second join with the same secret replaces the older peer.
 */
clientId?: string, 
/**
 * The features that the client supports.
 */
features?: Json, };

/**
 * JSON that the server carries without reading it. It is kept on one line, since event streams consist of lines.
 */
export type Json = any;

/**
 * Leave for good: the session ends at once.
 */
export type Leave = { 
/**
 * The page is closed or reloaded, and its user may return. For the resume window, a host's powers wait, and an
 * admitted client may re-enter past lock, password and lobby.
 */
mayReturn?: boolean, };

/**
 * Why a peer has left the room.
 */
export type LeaveReason = "left" | "timeout" | "kicked" | "replaced" | "ended";

/**
 * A host's decision about a peer in the lobby.
 */
export type LobbyVerdict = "admitted" | "denied";

/**
 * A display name: 1 to 64 characters after trimming, at least one of them visible, without control characters.
 */
export type Name = string;

/**
 * One of a peer's two connections to the SFU.
 */
export type PeerConnection = "publish" | "subscribe";

/**
 * A peer in a room, known to every peer there. The bytewise order decides which of two peers is polite in a mesh.
 */
export type PeerId = string;

/**
 * The sound level of a peer.
 */
export type PeerLevel = { 
/**
 * The peer.
 */
peer: PeerId, 
/**
 * From 0 (silent) to 1.
 */
level: number, };

/**
 * The other end of a signal.
 */
export type PeerTarget = string;

/**
 * A peer as others see it.
 */
export type PeerView = { id: PeerId, name: Name, role: Role, host: boolean, joinedAt: Timestamp, microphone: boolean, camera: boolean, screen: boolean, hand: boolean, tracks: Array<Track>, 
/**
 * Its connection is closed; its session may still resume.
 */
away?: boolean, 
/**
 * For a broadcaster: its media is flowing.
 */
live?: boolean, metadata: Json | null, };

/**
 * Describes the tracks of the next publish offer.
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
 * A human-readable name.
 */
name?: string, };

/**
 * Why a peer's media is impaired.
 */
export type QualityReason = "own-network" | "sender" | "server" | "not-wanted";

/**
 * An emoji that is shown for a moment.
 */
export type Reaction = { 
/**
 * At most 32 bytes.
 */
emoji: string, };

/**
 * Why a credential does not admit its bearer, where a person can remedy it.
 */
export type Reason = "invitation-needed" | "expired" | "other-room";

/**
 * The state of a recording.
 */
export type RecordingState = "starting" | "active" | "stopped" | "failed";

/**
 * Messages without an id: answers, and events that are of interest only at present.
 */
export type Reply = { "type": "welcome" } & Welcome | { "type": "snapshot" } & Snapshot | { "type": "ack", seq?: number, } | { "type": "pong", t?: Json, serverTime: Timestamp, } | { "type": "error", code: Code, message: string, retryable: boolean, seq?: number, retryAfterMs?: number, startsAt?: Timestamp, reason?: Reason, } | { "type": "ping" } | { "type": "going-away", reconnectAfterMs: number, } | { "type": "reaction", from: PeerId, emoji: string, } | { "type": "speakers", speakers: Array<PeerLevel>, } | { "type": "quality", peer: PeerId, level: number, track?: string, layer?: string, reason?: QualityReason, } | { "type": "layers", track: string, active: Array<string>, };

/**
 * Resume a session.
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
 * The id of the last event that the client has seen.
 */
lastId: number, };

/**
 * The purpose of a peer in a room.
 */
export type Role = "participant" | "broadcaster" | "viewer";

/**
 * The id of a room: `[A-Za-z0-9_-]{1,64}`, chosen by people, derived from a [`RoomName`](crate::RoomName), or made by
 * [`RoomId::made_by_server`].
 */
export type RoomId = string;

/**
 * The name by which a client asks for a room, and the id that follows from it.
 *
 * A name has 1 to 64 characters in Unicode's normalization form C, without surrounding white space, without control
 * and bidirectional control characters, and without any of `/ \ ? # %`. It shows something, and is neither `.` nor
 * `..`. A name that is an id is its own id. The id of any other name is `n-` and the base 32 of the SHA-256 of the
 * case-folded name. Names of that shape are refused, so that such a room always has a name to show.
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
 * The room's name, as first written.
 */
name: string, 
/**
 * The title of the room's meeting.
 */
title?: string, 
/**
 * The path of media.
 */
topology: Topology, 
/**
 * Increases with every change of topology.
 */
epoch: number, 
/**
 * Newcomers are refused.
 */
locked: boolean, 
/**
 * The announced host: an appointed one before an acting one, then the most senior.
 */
host: PeerId | null, 
/**
 * Newcomers wait until a host admits them.
 */
lobby: boolean, 
/**
 * Newcomers must give a password.
 */
password: boolean, 
/**
 * Media is being recorded.
 */
recording: boolean, 
/**
 * The number of viewers.
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
 * Sequenced events: logged, numbered, and replayed to sessions that resume.
 */
export type ServerEvent = { "type": "peer-joined", peer: PeerView, } | { "type": "peer-updated", peer: PeerView, } | { "type": "peer-left", peer: PeerId, reason: LeaveReason, } | { "type": "broadcaster-connected", peer: PeerId, tracks: Array<Track>, } | { "type": "broadcaster-disconnected", peer: PeerId, } | { "type": "signal", from: PeerTarget, 
/**
 * An `RTCSessionDescriptionInit`.
 */
description?: RTCSessionDescriptionInit, 
/**
 * An `RTCIceCandidateInit`; an empty candidate string ends the candidates.
 */
candidate?: RTCIceCandidateInit, 
/**
 * Asks the other side for new ICE credentials.
 */
restart?: boolean, 
/**
 * In a mesh: the epoch of the topology to which the signal belongs.
 */
epoch?: number, 
/**
 * With the SFU: the connection that it concerns.
 */
pc?: PeerConnection, 
/**
 * With the SFU: the number of this offer, or of the offer that it answers.
 */
negotiation?: number, 
/**
 * In the SFU's offers: which media line carries which track.
 */
tracks?: Array<SubscribeTrack>, } | { "type": "tracks", peer: PeerId, tracks: Array<Track>, } | { "type": "topology", topology: Topology, epoch: number, state: Switch, } | { "type": "chat", from: PeerId, name?: Name, text: string, to?: PeerId, at: Timestamp, } | { "type": "app", from: PeerId, topic: string, data: Json, to?: PeerId, at: Timestamp, } | { "type": "caption", source: Name, text: string, final: boolean, at: Timestamp, } | { "type": "call", call: CallId, state: CallState, from: PeerId, to: PeerId, reason?: CallEnd, } | { "type": "lobby", state?: LobbyVerdict, peer?: PeerId, name?: Name, } | { "type": "room-updated", room: RoomView, } | { "type": "recording", state: RecordingState, peer?: PeerId, recording?: string, } | { "type": "muted", by: PeerId, } | { "type": "room-ended", reason: EndReason, };

/**
 * A peer's session with the server, over successive connections. The id is a name only; access needs the session's
 * secret.
 */
export type SessionId = string;

/**
 * A signal to a peer or to the SFU.
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
 * An `RTCIceCandidateInit`; an empty candidate string ends the candidates.
 */
candidate?: RTCIceCandidateInit, 
/**
 * Asks the other side for new ICE credentials.
 */
restart?: boolean, 
/**
 * In a mesh: the epoch of the topology to which the signal belongs.
 */
epoch?: number, 
/**
 * With the SFU: the connection that it concerns.
 */
pc?: PeerConnection, 
/**
 * With the SFU: the number of this offer, or of the offer that it answers.
 */
negotiation?: number, 
/**
 * In the SFU's offers: which media line carries which track.
 */
tracks?: Array<SubscribeTrack>, };

/**
 * The content of a signal, as it came from the browser.
 */
export type SignalBody = { 
/**
 * An `RTCSessionDescriptionInit`.
 */
description?: RTCSessionDescriptionInit, 
/**
 * An `RTCIceCandidateInit`; an empty candidate string ends the candidates.
 */
candidate?: RTCIceCandidateInit, 
/**
 * Asks the other side for new ICE credentials.
 */
restart?: boolean, 
/**
 * In a mesh: the epoch of the topology to which the signal belongs.
 */
epoch?: number, 
/**
 * With the SFU: the connection that it concerns.
 */
pc?: PeerConnection, 
/**
 * With the SFU: the number of this offer, or of the offer that it answers.
 */
negotiation?: number, 
/**
 * In the SFU's offers: which media line carries which track.
 */
tracks?: Array<SubscribeTrack>, };

/**
 * The state of a room, for a client that missed events.
 */
export type Snapshot = { 
/**
 * The room.
 */
room: RoomView, 
/**
 * The other peers; viewers are included for a host only.
 */
peers: Array<PeerView>, 
/**
 * Whether events before it are missing. The client then renegotiates what no longer works.
 */
gap: boolean, 
/**
 * The cursor: events after this one follow.
 */
lastId: number, };

/**
 * How this client wants to receive one track.
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
 * The maximum width in pixels.
 */
maxWidth?: number, 
/**
 * The maximum height in pixels.
 */
maxHeight?: number, 
/**
 * The maximum frame rate per second.
 */
maxFps?: number, 
/**
 * Tracks of higher priority are served first. Sound with a priority above 0 is sent whoever is louder.
 */
priority?: number, };

/**
 * One media line of an SFU's offer.
 */
export type SubscribeTrack = { 
/**
 * The media line's `mid`.
 */
mid: string, 
/**
 * The id of the track that it carries.
 */
track: string, 
/**
 * The publisher of the track.
 */
peer: PeerId, };

/**
 * The phase of a change of topology.
 */
export type Switch = "switching" | "settled";

/**
 * A point in time: whole milliseconds since the Unix epoch, UTC.
 *
 * The core never reads a clock. Drivers pass `now`, the *ticks* of a [`WallClock`](crate::WallClock), by which timers
 * run: they start at the time of the process's start and never go backwards. Times that people and other processes see
 * come from the wall clock instead; see [`Wall`]. The serialised form is an RFC 3339 string.
 */
export type Timestamp = string;

/**
 * The present path of media.
 */
export type Topology = "mesh" | "sfu";

/**
 * The topology that a room is made with.
 */
export type TopologyChoice = "mesh" | "sfu" | "auto";

/**
 * Media flows on the new path; or, with `topology`, the present path carries none and another one is requested.
 */
export type TopologyStep = { 
/**
 * The epoch of the path that is ready, or that has failed.
 */
epoch: number, 
/**
 * Always true, unless another topology is requested.
 */
ready?: boolean, 
/**
 * `sfu`, from a peer of a mesh that cannot connect to another peer.
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
 * Whether it is available in several sizes.
 */
simulcast: boolean, 
/**
 * The codec's name as in SDP (`VP8`, `opus`).
 */
codec: string, };

/**
 * The medium of a track.
 */
export type TrackKind = "audio" | "video";

/**
 * Where a track comes from.
 */
export type TrackSource = "camera" | "microphone" | "screen" | "screen-audio" | "other";

/**
 * A change of the client's own state.
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
 * Whether the hand is raised.
 */
hand?: boolean, 
/**
 * Metadata that every peer sees.
 */
metadata?: Json, };

/**
 * The answer to `join` and `resume`.
 */
export type Welcome = { 
/**
 * The client's own peer.
 */
self: PeerView, 
/**
 * The session's id.
 */
session: SessionId, 
/**
 * The secret that resumes the session.
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
 * The other peers; viewers are included for a host only. Absent after a resume and in the lobby.
 */
peers?: Array<PeerView>, 
/**
 * The host token, for the join that makes the first host.
 */
hostToken?: string, 
/**
 * The interval at which each side sends something.
 */
heartbeatMs: number, 
/**
 * How long a session lives without a connection.
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
 * After a resume: the greatest `seq` that was used.
 */
lastSeq?: number, 
/**
 * The features that the server supports.
 */
features: Array<string>, 
/**
 * As `RTCPeerConnection` takes them.
 */
iceServers?: Array<IceServer>, 
/**
 * Those for connections to other peers, where they may be more: a server at the media server's own address and port,
 * which browsers cannot use towards the media server.
 */
peerIceServers?: Array<IceServer>, 
/**
 * The lifetime of the credentials in seconds.
 */
ttlSeconds?: number, };

/**
 * Whether a peer has been admitted to the room.
 */
export type WelcomeState = "joined" | "waiting";
