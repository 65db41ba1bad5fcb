//! A certificate of the server's own making.
//!
//! A browser gives camera and microphone to https pages alone (and to `localhost`), so that a fresh installation needs
//! some certificate. Nobody vouches for this one: browsers warn once and then remember it, which is why it is kept in a
//! file and remade only when it nears its end or the machine's addresses changed.

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

/// How long a certificate holds. Apple's systems refuse more than 398 days.
const LIFETIME: Duration = Duration::from_hours(390 * 24);
/// It is remade when less than this is left.
const RENEWAL: Duration = Duration::from_hours(60 * 24);
/// Clocks of other devices may be behind.
const BACKDATED: Duration = Duration::from_hours(24);

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfSigned {
    /// The private key and the certificate, PEM, below two lines that say for which names and until when.
    pub pem: String,
    /// The DNS names and addresses it is for.
    pub names: BTreeSet<String>,
    /// Its last moment.
    pub until: SystemTime,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelfSignedError {
    /// A name cannot stand in a certificate, or the machine's cryptography failed.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// The file cannot be kept.
    #[error("cannot keep the self-made certificate in {path}")]
    Keep {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// The certificate kept in the file `path` when it still covers all of `names` for some weeks; else a new one, kept
/// there.
pub fn load_or_make(path: &Path, names: &[String], now: SystemTime) -> Result<SelfSigned, SelfSignedError> {
    let wanted: BTreeSet<String> = names.iter().cloned().collect();
    if let Some(kept) = fs::read_to_string(path).ok().and_then(SelfSigned::parse)
        && kept.names.is_superset(&wanted)
        && kept.until >= now + RENEWAL
    {
        return Ok(kept);
    }
    let made = make(names, now)?;
    keep(path, &made.pem).map_err(|source| SelfSignedError::Keep { path: path.to_owned(), source })?;
    Ok(made)
}

/// Makes a certificate for these DNS names and addresses.
pub fn make(names: &[String], now: SystemTime) -> Result<SelfSigned, SelfSignedError> {
    let names: BTreeSet<String> = names.iter().cloned().collect();
    let until = now + LIFETIME;
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Visavis, self-made");
    params.not_before = now.checked_sub(BACKDATED).unwrap_or(now).into();
    params.not_after = until.into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
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

/// The names this machine is reached by: localhost, its host name, and the addresses of its interfaces.
pub fn machine_names() -> Vec<String> {
    let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let host = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    if is_dns_name(&host) {
        names.insert(host);
    }
    names.extend(machine_addresses().iter().map(IpAddr::to_string));
    names.into_iter().collect()
}

/// The addresses of this machine's interfaces that another device could use: neither loopback nor link-local IPv6,
/// whose zone no URL can carry. IPv4 comes first.
pub fn machine_addresses() -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| interface.ip())
        .filter(|ip| !ip.is_loopback() && !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

const NAMES: &str = "Names: ";
const UNTIL: &str = "Until: ";

impl SelfSigned {
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

/// Writes beside the file and renames, so that it is whole or not there; readable by its owner alone.
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
    use crate::net::Certificates;

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
        fs::write(&path, "nonsense").unwrap();
        let made = load_or_make(&path, &names(&["localhost"]), NOW).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), made.pem);
    }

    #[test]
    fn odd_host_names_are_left_out() {
        assert!(is_dns_name("printer-2.lan"));
        for odd in ["", "my_host", "-a", "a..b", "größe"] {
            assert!(!is_dns_name(odd), "{odd:?}");
        }
    }
}
