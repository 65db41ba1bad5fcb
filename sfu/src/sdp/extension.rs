//! RTP header extensions spoken here (RFC 8285).

/// A header extension by what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Extension {
    /// Which media section a packet belongs to.
    Mid,
    /// Transport-wide sequence number.
    TransportSequence,
    /// Time of departure, for receivers that estimate by themselves.
    AbsSendTime,
    /// Loudness of the packet's audio (RFC 6464).
    AudioLevel,
    /// Rotation of the picture.
    VideoOrientation,
    /// Frame dependencies and layers.
    DependencyDescriptor,
    /// When the picture was taken.
    AbsCaptureTime,
    /// Bounds of the playout delay.
    PlayoutDelay,
    /// Camera or screen.
    ContentType,
}

impl Extension {
    /// All of them, in the order in which their ids are given out.
    pub const ALL: [Self; 9] = [
        Self::Mid,
        Self::TransportSequence,
        Self::AbsSendTime,
        Self::AudioLevel,
        Self::VideoOrientation,
        Self::DependencyDescriptor,
        Self::AbsCaptureTime,
        Self::PlayoutDelay,
        Self::ContentType,
    ];

    /// The URI in `a=extmap`.
    pub fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
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

    /// Whether the publisher's value is handed on to subscribers.
    pub fn is_end_to_end(self) -> bool {
        !matches!(self, Self::Mid | Self::TransportSequence | Self::AbsSendTime)
    }

    /// Whether it makes sense on this kind of media.
    pub fn fits(self, kind: crate::codec::MediaKind) -> bool {
        match self {
            Self::Mid | Self::TransportSequence | Self::AbsSendTime | Self::AbsCaptureTime => true,
            Self::AudioLevel => kind == crate::codec::MediaKind::Audio,
            _ => kind == crate::codec::MediaKind::Video,
        }
    }
}

/// The ids of one media section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionMap {
    ids: [u8; Extension::ALL.len()],
}

impl ExtensionMap {
    /// Our own numbering, for descriptions that we offer.
    pub fn offered(kind: crate::codec::MediaKind) -> Self {
        let mut map = Self::default();
        for (extension, id) in Extension::ALL.into_iter().zip(1..) {
            if extension.fits(kind) {
                map.set(extension, id);
            }
        }
        map
    }

    /// Gives the extension this id.
    pub fn set(&mut self, extension: Extension, id: u8) {
        if let Some(place) = self.ids.get_mut(extension as usize) {
            *place = id;
        }
    }

    /// Leaves the extension out.
    pub fn clear(&mut self, extension: Extension) {
        self.set(extension, 0);
    }

    /// The extension's id; `None` when it was not negotiated.
    pub fn id(&self, extension: Extension) -> Option<u8> {
        self.ids.get(extension as usize).copied().filter(|id| *id != 0)
    }

    /// The extension that has this id.
    pub fn extension(&self, id: u8) -> Option<Extension> {
        let at = self.ids.iter().position(|known| *known == id && id != 0)?;
        Extension::ALL.get(at).copied()
    }

    /// The negotiated extensions with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (Extension, u8)> + '_ {
        Extension::ALL.into_iter().zip(self.ids).filter(|(_, id)| *id != 0)
    }
}
