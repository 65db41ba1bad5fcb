//! Why a connection, a device or a track failed, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares the causes and the list of all of them.
macro_rules! causes {
    ($( $(#[doc = $doc:literal])+ $cause:ident = $name:literal, )+) => {
        /// The cause of a failure, as clients name it and as metrics count it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
        #[serde(rename_all = "kebab-case")]
        pub enum Cause {
            $( $(#[doc = $doc])+ $cause, )+
        }

        impl Cause {
            /// All causes, in order.
            pub const ALL: &[Self] = &[$( Self::$cause, )+];

            /// The name on the wire and in metrics.
            pub fn as_str(self) -> &'static str {
                match self {
                    $( Self::$cause => $name, )+
                }
            }
        }
    };
}

causes! {
    /// The server does not answer.
    ServerUnreachable = "server-unreachable",
    /// A proxy probably ends TLS: HTTPS passes, TURN over TLS and ICE over TCP on the same port do not.
    TlsInspected = "tls-inspected",
    /// The network lets no UDP through.
    UdpBlocked = "udp-blocked",
    /// The network lets no TCP to the relay through.
    TcpBlocked = "tcp-blocked",
    /// The relay does not answer.
    RelayUnreachable = "relay-unreachable",
    /// The relay refuses the client or its peer.
    RelayRefused = "relay-refused",
    /// The relay has no place left for the client.
    RelayQuota = "relay-quota",
    /// The media server announces an address at which nothing reaches it.
    WrongExternalAddress = "wrong-external-address",
    /// The two sides share no codec.
    NoCommonCodec = "no-common-codec",
    /// There is a path, and the DTLS handshake on it fails.
    DtlsFailed = "dtls-failed",
    /// Media that has arrived arrives no more.
    MediaStopped = "media-stopped",
    /// The network of the sender is too weak for a picture.
    PeerNetwork = "peer-network",
    /// The client's own network is too weak for a picture.
    OwnNetwork = "own-network",
    /// Another program uses the camera.
    CameraBusy = "camera-busy",
    /// The page may not use the camera.
    CameraDenied = "camera-denied",
    /// There is no camera.
    NoCamera = "no-camera",
    /// Another program uses the microphone.
    MicrophoneBusy = "microphone-busy",
    /// The page may not use the microphone.
    MicrophoneDenied = "microphone-denied",
    /// There is no microphone.
    NoMicrophone = "no-microphone",
    /// The client's clock is wrong.
    ClockOff = "clock-off",
    /// The server's certificate has expired.
    CertificateExpired = "certificate-expired",
    /// None of these, or more than one of them explains what was seen.
    Unknown = "unknown",
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_wire() {
        for cause in Cause::ALL {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.as_str());
        }
    }
}
