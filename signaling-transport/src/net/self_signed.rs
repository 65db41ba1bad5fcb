//! Self-signed certificates.
//!
//! Browsers permit camera and microphone only on https pages (and on `localhost`), so a fresh installation needs some
//! certificate. Browsers warn about this one once and then remember it. It is therefore kept in a file, and remade only
//! when it is about to expire or the machine's addresses have changed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};

use super::{Certificates, interfaces};

/// How long a certificate is valid. Apple's systems refuse more than 398 days.
const LIFETIME: Duration = Duration::from_hours(390 * 24);
/// A certificate is remade when less than this is left.
const RENEWAL: Duration = Duration::from_hours(60 * 24);
/// The start is backdated, since the clocks of other devices may be slow.
const BACKDATED: Duration = Duration::from_hours(24);

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfSigned {
    /// The private key and the certificate as PEM, below two lines that state the names and the expiry.
    pub pem: String,
    /// The DNS names and addresses it is for.
    pub names: BTreeSet<String>,
    /// Its expiry.
    pub until: SystemTime,
}

/// Why a certificate could not be provided.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelfSignedError {
    /// A name cannot be part of a certificate, or the machine's cryptography failed.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// The file cannot be written.
    #[error("cannot keep the self-signed certificate in {path}")]
    Keep {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// The certificate in the file `path`, if it covers all of `names` for some weeks more. Otherwise a new one with the
/// same key, which replaces it. A broken file is made anew.
pub fn load_or_make(path: &Path, names: &[String], now: SystemTime) -> Result<SelfSigned, SelfSignedError> {
    let wanted: BTreeSet<String> = names.iter().cloned().collect();
    let found = fs::read_to_string(path).ok();
    let kept = found.clone().and_then(SelfSigned::parse).filter(SelfSigned::is_whole);
    if let Some(kept) = &kept
        && kept.names.is_superset(&wanted)
        && kept.until >= now + RENEWAL
        && kept.since() <= now
    {
        return Ok(kept.clone());
    }
    if found.is_some() && kept.is_none() {
        tracing::warn!(path = %path.display(), "the self-signed certificate is broken: it is made anew");
    }
    // The key stays, whatever else has changed, as long as it can be read.
    let key = found.as_deref().and_then(|pem| KeyPair::from_pem(pem).ok());
    let made = make_with(names, now, key)?;
    keep(path, &made.pem).map_err(|source| SelfSignedError::Keep { path: path.to_owned(), source })?;
    Ok(made)
}

/// Makes a certificate for these DNS names and addresses.
pub fn make(names: &[String], now: SystemTime) -> Result<SelfSigned, SelfSignedError> {
    make_with(names, now, None)
}

fn make_with(names: &[String], now: SystemTime, key: Option<KeyPair>) -> Result<SelfSigned, SelfSignedError> {
    let names: BTreeSet<String> = names.iter().cloned().collect();
    let until = now + LIFETIME;
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Visavis, self-signed");
    params.not_before = now.checked_sub(BACKDATED).unwrap_or(now).into();
    params.not_after = until.into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = match key {
        Some(key) => key,
        None => KeyPair::generate()?,
    };
    let certificate = params.self_signed(&key)?;
    let pem = format!(
        "{NAMES}{}\n{UNTIL}{}\n{}{}",
        names.iter().map(String::as_str).collect::<Vec<_>>().join(" "),
        until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        key.serialize_pem(),
        certificate.pem(),
    );
    Ok(SelfSigned { pem, names, until })
}

/// The names by which this machine is reached: localhost, its host name, and the lasting addresses of its interfaces.
pub fn machine_names() -> Vec<String> {
    let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let host = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    if is_dns_name(&host) {
        names.insert(host);
    }
    names.extend(interfaces::lasting(&addresses()).iter().map(IpAddr::to_string));
    names.into_iter().collect()
}

/// The addresses of this machine's interfaces that another device could use: neither loopback nor link-local IPv6,
/// whose zone no URL can carry. IPv4 comes first.
pub fn machine_addresses() -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = addresses().into_iter().map(|(_, ip)| ip).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// As [`machine_addresses`], with the names of the interfaces.
fn addresses() -> Vec<(String, IpAddr)> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default().into_iter();
    interfaces
        .map(|interface| (interface.name.clone(), interface.ip()))
        .filter(|(_, ip)| !ip.is_loopback() && !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()))
        .collect()
}

const NAMES: &str = "Names: ";
const UNTIL: &str = "Until: ";

impl SelfSigned {
    /// Its start, which the file does not state.
    fn since(&self) -> SystemTime {
        self.until.checked_sub(LIFETIME + BACKDATED).unwrap_or(UNIX_EPOCH)
    }

    /// Whether a server can use it.
    fn is_whole(&self) -> bool {
        Certificates::from_pem(self.pem.as_bytes(), self.pem.as_bytes()).is_ok()
    }

    fn parse(pem: String) -> Option<Self> {
        let mut lines = pem.lines();
        let names = lines.next()?.strip_prefix(NAMES)?.split(' ').map(str::to_owned).collect();
        let until =
            UNIX_EPOCH.checked_add(Duration::from_secs(lines.next()?.strip_prefix(UNTIL)?.parse().ok()?))?;
        Some(Self { pem, names, until })
    }
}

fn is_dns_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

/// Writes a temporary file and renames it, so that the file is complete or absent; only its owner can read it.
fn keep(path: &Path, pem: &str) -> io::Result<()> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let written = (|| {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = UNIX_EPOCH;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn it_is_kept_until_it_nears_its_end_or_lacks_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("self-made.pem");
        let first = load_or_make(&path, &names(&["localhost", "192.0.2.1"]), NOW).unwrap();
        assert_eq!(load_or_make(&path, &names(&["localhost"]), NOW).unwrap(), first);
        let nearly = NOW + LIFETIME - RENEWAL;
        assert_eq!(load_or_make(&path, &names(&["localhost"]), nearly).unwrap(), first);

        let renewed = load_or_make(&path, &names(&["localhost"]), nearly + Duration::from_secs(1)).unwrap();
        assert_ne!(renewed.pem, first.pem);
        let moved = load_or_make(&path, &names(&["localhost", "2001:db8::1"]), nearly).unwrap();
        assert!(moved.names.contains("2001:db8::1"));
        let key = |made: &SelfSigned| KeyPair::from_pem(&made.pem).unwrap().serialize_pem();
        assert!(key(&first) == key(&renewed) && key(&first) == key(&moved), "the key stays");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn its_file_is_the_owners_alone_and_serves_tls() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("self-made.pem");
        load_or_make(&path, &machine_names(), NOW).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        Certificates::from_files(&path, &path).unwrap();
    }

    #[test]
    fn a_broken_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("self-made.pem");
        let first = load_or_make(&path, &names(&["localhost"]), NOW).unwrap().pem;
        let key = first.find("-----BEGIN CERT").unwrap();
        // Nonsense, nothing, and files that a full disk or a crash may have cut.
        let mut broken = vec!["nonsense", ""];
        broken.extend([10, 60, key - 40, key, key + 100, first.len() - 40].map(|length| &first[..length]));
        for text in broken {
            fs::write(&path, text).unwrap();
            let made = load_or_make(&path, &names(&["localhost"]), NOW).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), made.pem);
            Certificates::from_files(&path, &path).unwrap();
        }
    }

    #[test]
    fn odd_host_names_are_left_out() {
        assert!(is_dns_name("printer-2.lan"));
        for odd in ["", "my_host", "-a", "a..b", "größe"] {
            assert!(!is_dns_name(odd), "{odd:?}");
        }
    }
}
