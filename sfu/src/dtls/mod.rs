//! The DTLS association of one transport: the handshake, the verification of the peer's
//! certificate, and the exported keys.

mod patch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use dimpl::{Config, Dtls, DtlsCertificate, Output, SrtpProfile};

use crate::error::SfuError;
use patch::Patch;

/// The longest handshake; a slower client has to start again with another offer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// The SHA-256 fingerprint of a certificate (RFC 8122).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a DER-encoded certificate.
    pub fn of(certificate: &[u8]) -> Self {
        let mut bytes = [0; 32];
        for (byte, hashed) in bytes.iter_mut().zip(digest::digest(&digest::SHA256, certificate).as_ref()) {
            *byte = *hashed;
        }
        Self(bytes)
    }

    /// Parses the colon-separated hexadecimal value of an `a=fingerprint:sha-256` line.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let mut pairs = text.trim().split(':');
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2)?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        pairs.next().is_none().then_some(Self(bytes))
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

/// The server's certificate and the settings of all handshakes.
#[derive(Clone)]
pub struct Identity {
    certificate: DtlsCertificate,
    as_client: Arc<Config>,
    as_server: Arc<Config>,
    /// The fingerprint for `a=fingerprint`.
    pub fingerprint: Fingerprint,
}

impl Identity {
    /// Generates a self-signed P-256 certificate.
    pub fn generate() -> Result<Self, SfuError> {
        let key = rcgen::KeyPair::generate().map_err(|_| SfuError::Certificate)?;
        let certificate = rcgen::CertificateParams::new(vec!["visavis".to_owned()])
            .and_then(|params| params.self_signed(&key))
            .map_err(|_| SfuError::Certificate)?
            .der()
            .to_vec();
        let config = |provider| {
            Config::builder()
                // ICE has already validated the address, so a cookie would only cost a round trip.
                .use_server_cookie(false)
                .flight_start_rto(Duration::from_millis(250))
                .handshake_timeout(HANDSHAKE_TIMEOUT)
                .with_crypto_provider(provider)
                .build()
                .map(Arc::new)
                .map_err(|_| SfuError::Certificate)
        };
        Ok(Self {
            fingerprint: Fingerprint::of(&certificate),
            certificate: DtlsCertificate { certificate, private_key: key.serialize_der() },
            as_client: config(dimpl::crypto::aws_lc_rs::default_provider())?,
            as_server: config(Patch::provider())?,
        })
    }
}

/// The DTLS role (RFC 8842 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends the `ClientHello`: `a=setup:active`.
    Client,
    /// Waits for the `ClientHello`: `a=setup:passive`.
    Server,
}

/// An output of [`Handshake::poll`].
pub enum DtlsEvent {
    /// Send these bytes of the poll buffer.
    Transmit(usize),
    /// The peer's certificate has been verified; these are the SRTP keys.
    Keys(Vec<u8>, SrtpProfile),
    /// The peer has closed the connection.
    Closed,
    /// There is no further output before this time or the next packet.
    Wait(Instant),
}

/// Why the association of a transport failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DtlsError {
    /// The certificate does not match the fingerprint in the session description.
    #[error("the certificate does not match the fingerprint")]
    WrongFingerprint,
    /// The peer has not negotiated SRTP.
    #[error("the peer negotiated no SRTP")]
    NoSrtp,
    /// The handshake failed or timed out.
    #[error("DTLS failed")]
    Failed,
}

/// One DTLS association, without I/O.
pub struct Handshake {
    dtls: Dtls,
    role: Role,
    expected: Fingerprint,
    verified: bool,
    /// Whether the handshake is complete.
    is_complete: bool,
    /// Whether the SRTP keys have been exported.
    has_keys: bool,
    /// The patch in use until the keys are exported, if we are the server.
    patch: Option<Patch>,
}

impl Handshake {
    /// Creates an association with the peer whose description contains the fingerprint `expected`.
    pub fn new(identity: &Identity, role: Role, expected: Fingerprint, now: Instant) -> Self {
        let (config, patch) = match role {
            Role::Client => (&identity.as_client, None),
            Role::Server => (&identity.as_server, Some(Patch::default())),
        };
        let mut dtls = Dtls::new_12(Arc::clone(config), identity.certificate.clone(), now);
        dtls.set_active(role == Role::Client);
        Self { dtls, role, expected, verified: false, is_complete: false, has_keys: false, patch }
    }

    /// The role of the server in this association.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The expected fingerprint of the peer's certificate.
    pub fn expected(&self) -> Fingerprint {
        self.expected
    }

    /// Handles a datagram. [`Handshake::poll`] has to be called afterwards.
    pub fn handle_packet(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        self.handle_timeout(now)?;
        let read = self.patch.as_mut().map_or(Some(datagram), |patch| patch.read(datagram));
        let Some(datagram) = read else { return Ok(()) };
        self.dtls.handle_packet(datagram).map_err(|_| DtlsError::Failed)
    }

    /// Advances the time, which may retransmit a flight. [`Handshake::poll`] has to be called afterwards.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        self.dtls.handle_timeout(now).map_err(|_| DtlsError::Failed)
    }

    /// The next output. To be called until it returns [`DtlsEvent::Wait`].
    pub fn poll(&mut self, buf: &mut Vec<u8>) -> Result<DtlsEvent, DtlsError> {
        loop {
            match self.dtls.poll_output(buf) {
                Output::Packet(packet) => {
                    let len = packet.len();
                    let Some(edited) = self.patch.as_mut().and_then(|patch| patch.write(packet)) else {
                        return Ok(DtlsEvent::Transmit(len));
                    };
                    let room = buf.len().max(edited.len());
                    buf.resize(room, 0);
                    if let Some(place) = buf.get_mut(..edited.len()) {
                        place.copy_from_slice(edited);
                    }
                    return Ok(DtlsEvent::Transmit(edited.len()));
                }
                Output::BufferTooSmall { needed } => buf.resize(needed, 0),
                // Without `use_srtp` there will never be keys (RFC 5764 section 4.1).
                Output::Timeout(_) if self.is_complete && !self.has_keys => return Err(DtlsError::NoSrtp),
                Output::Timeout(at) => return Ok(DtlsEvent::Wait(at)),
                Output::Connected => self.is_complete = true,
                Output::PeerCert(certificate) => {
                    if Fingerprint::of(certificate) != self.expected {
                        return Err(DtlsError::WrongFingerprint);
                    }
                    self.verified = true;
                }
                Output::KeyingMaterial(material, profile) => {
                    if !self.verified {
                        return Err(DtlsError::WrongFingerprint);
                    }
                    self.patch = None;
                    self.has_keys = true;
                    return Ok(DtlsEvent::Keys(material.to_vec(), profile));
                }
                Output::CloseNotify => return Ok(DtlsEvent::Closed),
                // Data channels are not offered, so application data is ignored.
                _ => {}
            }
        }
    }

    /// Queues a `close_notify`, if the association is far enough for one. [`Handshake::poll`]
    /// has to be called afterwards.
    pub fn close(&mut self) {
        let _ = self.dtls.close();
    }
}
