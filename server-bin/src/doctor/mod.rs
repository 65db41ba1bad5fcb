//! `visavis doctor`: examines the machine and the network for a server with the same settings, whether it runs or not.
//!
//! Each check gives findings, one line each: fine, wrong with what to do, or not examined with the reason. Nothing is
//! changed, and nothing is asked of other machines than `--via`, `--public-url` and `--database-url`.

mod address;
mod certificate;
mod loopback;
mod machine;
mod network;
mod ports;
mod proxy;
mod services;

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Serialize;
use signaling_core::message::Cause;

use crate::config::Settings;

/// What the operator asked for.
#[derive(Debug)]
pub(crate) struct Look {
    /// A STUN server outside.
    pub(crate) via: Option<String>,
    /// Whether the findings are printed as JSON.
    pub(crate) json: bool,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Fine,
    Wrong,
    /// It could not be examined.
    Unknown,
}

/// The result of one check.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// The name of the fault, if clients have one for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
}

impl Finding {
    fn fine(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fine, found: found.into(), remedy: None, cause: None }
    }

    fn wrong(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (found, remedy) = (found.into(), Some(remedy.into()));
        Self { check, verdict: Verdict::Wrong, found, remedy, cause: None }
    }

    fn unknown(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Unknown, found: found.into(), remedy: None, cause: None }
    }

    fn because(self, cause: Cause) -> Self {
        Self { cause: Some(cause), ..self }
    }

    fn line(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Fine => "fine   ",
            Verdict::Wrong => "WRONG  ",
            Verdict::Unknown => "unknown",
        };
        let cause = self.cause.map(|cause| format!(" [{cause}]")).unwrap_or_default();
        let remedy = self.remedy.as_ref().map(|remedy| format!(": {remedy}")).unwrap_or_default();
        format!("{verdict}  {:<11}  {}{remedy}{cause}", self.check, self.found)
    }
}

/// Examines everything and prints it. The exit code is 1 if something is wrong.
pub(crate) fn examine(settings: &Settings, look: &Look) -> ExitCode {
    let findings = findings(settings, look.via.as_deref());
    let is_well = findings.iter().all(|finding| finding.verdict != Verdict::Wrong);
    let text = if look.json {
        let report = serde_json::json!({ "ok": is_well, "findings": findings });
        format!("{report:#}\n")
    } else {
        findings.iter().map(|finding| finding.line() + "\n").collect()
    };
    let is_told = io::stdout().write_all(text.as_bytes()).is_ok();
    if is_well && is_told { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn findings(settings: &Settings, via: Option<&str>) -> Vec<Finding> {
    let running = ports::Running::of(settings);
    let mut findings = ports::examine(settings, &running);
    findings.extend(loopback::examine(settings, &running));
    findings.extend(address::examine(settings, via));
    findings.extend(network::examine(settings));
    findings.push(certificate::examine(settings));
    findings.extend(machine::examine(settings));
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            findings.extend(runtime.block_on(proxy::examine(settings)));
            findings.extend(runtime.block_on(services::examine(settings)));
        }
        Err(error) => findings.push(Finding::wrong("machine", error.to_string(), "look at its limits")),
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let wrong = Finding::wrong("clock", "it is off", "set it").because(Cause::ClockOff);
        assert_eq!(wrong.line(), "WRONG    clock        it is off: set it [clock-off]");
        assert_eq!(Finding::fine("disk", "9 GiB free").line(), "fine     disk         9 GiB free");
    }
}
