//! The certificate, and how long it is valid.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use signaling_core::message::Cause;
use signaling_transport::net::Certificates;

use super::Finding;
use crate::certificate;
use crate::config::{Settings, TlsMode};

const CHECK: &str = "certificate";
const DAY: u64 = 86_400;
/// One that expires sooner should have been renewed.
const SOON: Duration = Duration::from_hours(14 * 24);

pub(super) fn examine(settings: &Settings) -> Finding {
    if settings.tls == TlsMode::Off {
        return if settings.trusted_proxy.is_empty() {
            Finding::wrong(
                CHECK,
                "TLS is off, and no proxy is named",
                "browsers give no camera without https: use --tls, or name the proxy that has the certificate with --trusted-proxy",
            )
        } else {
            Finding::fine(CHECK, "TLS is the proxy's")
        };
    }
    let pem = match certificate::kept(settings) {
        Ok(Some(pem)) => pem,
        Ok(None) => return Finding::unknown(CHECK, "there is none yet: the first start makes it"),
        Err(error) => return Finding::wrong(CHECK, format!("{error:#}"), "look at --tls-cert and --tls-key"),
    };
    match Certificates::from_pem(&pem.chain, &pem.key) {
        Ok(certificates) => {
            let name = settings.public_url.as_ref().and_then(|url| url.name());
            if let Some(name) =
                name.filter(|name| settings.tls != TlsMode::Auto && !certificates.is_for(name))
            {
                return Finding::wrong(
                    CHECK,
                    format!("it is not for {name}, the host of --public-url"),
                    "get one for that name",
                );
            }
        }
        Err(error) => return Finding::wrong(CHECK, format!("{error:#}"), "look at --tls-cert and --tls-key"),
    }
    let Some(validity) = Certificates::validity(&pem.chain) else {
        return Finding::wrong(CHECK, "its validity cannot be read", "get another one");
    };
    judge(settings.tls, validity.from, validity.until, UNIX_EPOCH + clock::wall())
}

fn judge(mode: TlsMode, from: SystemTime, until: SystemTime, now: SystemTime) -> Finding {
    let days = |span: Duration| span.as_secs() / DAY;
    if let Ok(ago) = now.duration_since(until) {
        return Finding::wrong(CHECK, format!("it has expired, {} days ago", days(ago)), renewal(mode))
            .because(Cause::CertificateExpired);
    }
    if let Ok(ahead) = from.duration_since(now) {
        let found = format!("it is not valid yet, for {} days", days(ahead));
        return Finding::wrong(CHECK, found, "set the clock of this machine").because(Cause::ClockOff);
    }
    let left = until.duration_since(now).unwrap_or_default();
    if left < SOON {
        return Finding::wrong(CHECK, format!("it expires in {} days", days(left)), renewal(mode));
    }
    let kind = if mode == TlsMode::Auto { "self-signed, browsers warn once; " } else { "" };
    Finding::fine(CHECK, format!("{kind}valid for {} days more", days(left)))
}

fn renewal(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::Auto => "the next start makes another one",
        TlsMode::Acme => "look in the log for what the ACME directory says",
        _ => "renew it; the server reads the files again by itself",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn validity_is_told_in_days() {
        let at = |days: u64| UNIX_EPOCH + Duration::from_secs(days * DAY);
        let judge = |now| judge(TlsMode::Files, at(100), at(200), at(now));
        assert_eq!(judge(150).verdict, Verdict::Fine);
        assert!(judge(150).found.contains("50 days"));
        assert_eq!((judge(190).verdict, judge(190).cause), (Verdict::Wrong, None));
        assert_eq!(judge(203).cause, Some(Cause::CertificateExpired));
        assert_eq!(judge(90).cause, Some(Cause::ClockOff));
    }
}
