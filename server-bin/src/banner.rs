//! Information for the person who starts the server: the addresses to open, and what will not work.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use signaling_transport::net::self_signed;

use crate::config::{LogFormat, Settings, TlsMode};

/// URLs to open, and notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Banner {
    /// The best first.
    pub(crate) urls: Vec<String>,
    /// What will not work, and why.
    pub(crate) notes: Vec<String>,
}

impl Banner {
    /// Derived from the settings and the address that is listened on.
    pub(crate) fn new(settings: &Settings, listening: SocketAddr) -> Self {
        Self::with_addresses(settings, listening, &self_signed::machine_addresses())
    }

    fn with_addresses(settings: &Settings, listening: SocketAddr, machine: &[IpAddr]) -> Self {
        let mut banner = Self::default();
        let tls = settings.tls != TlsMode::Off;
        let port = listening.port();
        let ip = listening.ip().to_canonical();
        let everywhere = ip.is_unspecified();
        banner.urls.extend(settings.public_url.as_ref().map(ToString::to_string));
        if everywhere || ip.is_loopback() {
            banner.urls.push(format!("http://localhost:{port}"));
        }
        let reachable: Vec<IpAddr> = match ip {
            _ if everywhere => {
                machine.iter().copied().filter(|ip| listening.is_ipv6() || ip.is_ipv4()).collect()
            }
            ip if ip.is_loopback() => Vec::new(),
            ip => vec![ip],
        };
        let scheme = if tls { "https" } else { "http" };
        banner.urls.extend(reachable.iter().map(|&ip| format!("{scheme}://{}", SocketAddr::new(ip, port))));
        if settings.public_url.is_none() {
            banner.reach(&reachable);
            banner.trust(settings.tls, &reachable);
        }
        banner
    }

    /// Who can open the page at all.
    fn reach(&mut self, reachable: &[IpAddr]) {
        if reachable.is_empty() {
            self.notes
                .push("Only this machine can open the page: the server has no other address.".to_owned());
        } else if !reachable.iter().copied().any(is_public) {
            self.notes.push(
                "This machine has no public address: people outside its network get in only when a router or proxy \
                 forwards to it (then name the outside address with --public-url)."
                    .to_owned(),
            );
        }
    }

    /// How browsers treat the certificate.
    fn trust(&mut self, tls: TlsMode, reachable: &[IpAddr]) {
        if reachable.is_empty() {
            return;
        }
        match tls {
            TlsMode::Auto => self.notes.push(
                "The certificate is self-signed: on other devices the browser warns once (--tls files takes your own)."
                    .to_owned(),
            ),
            TlsMode::Off => self.notes.push(
                "TLS is off: browsers give no camera or microphone to pages opened on other devices, unless a proxy \
                 in front of this server speaks https."
                    .to_owned(),
            ),
            TlsMode::Files | TlsMode::Acme => {}
        }
    }

    /// Prints it: for a person on standard output, for a program as log events.
    pub(crate) fn tell(&self, format: LogFormat) {
        match format {
            LogFormat::Text => {
                // The server runs even if nobody reads its standard output.
                if let Err(error) = self.print(&mut io::stdout().lock()) {
                    tracing::debug!(%error, "nobody reads the standard output");
                }
            }
            LogFormat::Json => {
                for url in &self.urls {
                    tracing::info!(url, "open");
                }
                for note in &self.notes {
                    tracing::warn!(note, "note");
                }
            }
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "\nVisavis is ready. Open")?;
        for url in &self.urls {
            writeln!(out, "    {url}")?;
        }
        for note in &self.notes {
            writeln!(out, "{note}")?;
        }
        writeln!(out)?;
        out.flush()
    }
}

/// Whether the internet may route to this address. Private, shared (RFC 6598), link-local, unique local and
/// documentation addresses are excluded.
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = matches!(v4.octets(), [100, second, ..] if second & 0xc0 == 64);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_documentation()
                || shared)
        }
        IpAddr::V6(v6) => {
            matches!(v6.segments(), [first, second, ..] if first & 0xe000 == 0x2000 && !(first == 0x2001 && second == 0x0db8))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Layers};

    fn banner(toml: &str, listening: &str, machine: &[&str]) -> Banner {
        let mut layers = Layers::defaults();
        layers.file("test.toml".as_ref(), toml).unwrap();
        let settings = Config::new(layers).unwrap().settings;
        let machine: Vec<IpAddr> = machine.iter().map(|ip| ip.parse().unwrap()).collect();
        Banner::with_addresses(&settings, listening.parse().unwrap(), &machine)
    }

    #[test]
    fn every_address_is_shown_with_the_scheme_that_works_there() {
        let got = banner("", "[::]:8080", &["192.168.1.5", "2a00::5"]);
        assert_eq!(got.urls, ["http://localhost:8080", "https://192.168.1.5:8080", "https://[2a00::5]:8080"]);
        assert_eq!(got.notes.len(), 1, "{:?}", got.notes);
        assert!(got.notes[0].contains("self-signed"));
    }

    #[test]
    fn a_private_network_is_told_so() {
        let got = banner("", "0.0.0.0:8080", &["192.168.1.5", "2a00::5"]);
        assert_eq!(got.urls, ["http://localhost:8080", "https://192.168.1.5:8080"]);
        assert!(got.notes[0].contains("no public address"), "{:?}", got.notes);
    }

    #[test]
    fn loopback_is_for_this_machine_alone() {
        let got = banner("", "127.0.0.1:9", &["192.168.1.5"]);
        assert_eq!(got.urls, ["http://localhost:9"]);
        assert!(got.notes[0].contains("Only this machine"), "{:?}", got.notes);
    }

    #[test]
    fn without_tls_there_is_no_camera_elsewhere() {
        let got = banner("tls = 'off'", "[::]:80", &["8.8.8.8"]);
        assert_eq!(got.urls, ["http://localhost:80", "http://8.8.8.8:80"]);
        assert!(got.notes[0].contains("TLS is off"), "{:?}", got.notes);
    }

    #[test]
    fn a_public_url_comes_first_and_needs_no_notes() {
        let got = banner("public-url = 'https://calls.example'", "[::]:8080", &["10.0.0.1"]);
        assert_eq!(got.urls.first().unwrap(), "https://calls.example");
        assert!(got.notes.is_empty(), "{:?}", got.notes);
    }
}
