//! The supported RTP header extensions (RFC 8285).

/// A header extension, by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Extension {
    /// The `mid` of the packet's media section.
    Mid,
    /// The transport-wide sequence number.
    TransportSequence,
    /// The time of sending, for receivers that estimate the bandwidth themselves.
    AbsSendTime,
    /// The audio level of the packet (RFC 6464).
    AudioLevel,
    /// The rotation of the picture.
    VideoOrientation,
    /// The dependencies and layers of frames.
    DependencyDescriptor,
    /// The time at which the picture was captured.
    AbsCaptureTime,
    /// The bounds of the playout delay.
    PlayoutDelay,
    /// Whether the video is from a camera or a screen.
    ContentType,
    /// The name of the packet's layer (RFC 8852).
    StreamId,
    /// The name of the layer that a retransmission belongs to.
    RepairedStreamId,
}

impl Extension {
    /// All extensions, in the order in which ids are assigned.
    pub const ALL: [Self; 11] = [
        Self::Mid,
        Self::TransportSequence,
        Self::AbsSendTime,
        Self::AudioLevel,
        Self::VideoOrientation,
        Self::DependencyDescriptor,
        Self::AbsCaptureTime,
        Self::PlayoutDelay,
        Self::ContentType,
        Self::StreamId,
        Self::RepairedStreamId,
    ];

    /// The URI in `a=extmap`.
    pub fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::StreamId => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedStreamId => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::TransportSequence => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            Self::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::ContentType => "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
        }
    }

    /// The extension with this URI.
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|extension| extension.uri() == uri)
    }

    /// Whether the publisher's value is forwarded to subscribers.
    pub fn is_end_to_end(self) -> bool {
        !(self.names_layer() || matches!(self, Self::Mid | Self::TransportSequence | Self::AbsSendTime))
    }

    /// Whether the extension names a layer of a simulcast publisher.
    pub fn names_layer(self) -> bool {
        matches!(self, Self::StreamId | Self::RepairedStreamId)
    }

    /// Whether the extension applies to this kind of media.
    pub fn fits(self, kind: crate::codec::MediaKind) -> bool {
        match self {
            Self::Mid | Self::TransportSequence | Self::AbsSendTime | Self::AbsCaptureTime => true,
            Self::AudioLevel => kind == crate::codec::MediaKind::Audio,
            _ => kind == crate::codec::MediaKind::Video,
        }
    }
}

/// The extension ids of one media section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionMap {
    ids: [u8; Extension::ALL.len()],
}

impl ExtensionMap {
    /// The ids that the server assigns in its offers.
    pub fn offered(kind: crate::codec::MediaKind) -> Self {
        let mut map = Self::default();
        for (extension, id) in Extension::ALL.into_iter().zip(1..) {
            if extension.fits(kind) && !extension.names_layer() {
                map.set(extension, id);
            }
        }
        map
    }

    /// Sets the id of the extension.
    pub fn set(&mut self, extension: Extension, id: u8) {
        if let Some(place) = self.ids.get_mut(extension as usize) {
            *place = id;
        }
    }

    /// Removes the extension.
    pub fn clear(&mut self, extension: Extension) {
        self.set(extension, 0);
    }

    /// The extension's id; `None` if it was not negotiated.
    pub fn id(&self, extension: Extension) -> Option<u8> {
        self.ids.get(extension as usize).copied().filter(|id| *id != 0)
    }

    /// The extension with this id.
    pub fn extension(&self, id: u8) -> Option<Extension> {
        let at = self.ids.iter().position(|known| *known == id && id != 0)?;
        Extension::ALL.get(at).copied()
    }

    /// The negotiated extensions with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (Extension, u8)> + '_ {
        Extension::ALL.into_iter().zip(self.ids).filter(|(_, id)| *id != 0)
    }
}
