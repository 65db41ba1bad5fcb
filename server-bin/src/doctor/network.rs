//! A network of a container's own, of which only published ports are reached.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use signaling_transport::net::self_signed;

use super::Finding;
use crate::config::{RelayKind, Settings};

const CHECK: &str = "container";
/// More relay ports than these are rarely published.
const PUBLISHED: usize = 1_000;

pub(super) fn examine(settings: &Settings) -> Option<Finding> {
    let container = container(Path::new("/"), std::env::var("container").ok().as_deref())?;
    Some(judge(settings, container, &self_signed::machine_addresses()))
}

/// The engine that runs this process in a container, as far as it tells.
fn container(root: &Path, variable: Option<&str>) -> Option<&'static str> {
    if variable.is_some_and(|name| !name.is_empty()) || root.join("run/.containerenv").exists() {
        return Some("a container");
    }
    if root.join(".dockerenv").exists() {
        return Some("a Docker container");
    }
    let groups = fs::read_to_string(root.join("proc/1/cgroup")).unwrap_or_default();
    groups.contains("kubepods").then_some("a pod of Kubernetes")
}

fn judge(settings: &Settings, container: &str, own: &[IpAddr]) -> Finding {
    let is_outside = own.iter().any(|ip| !ip.is_loopback() && !is_private(*ip));
    if is_outside {
        return Finding::fine(CHECK, format!("{container} with the network of its host"));
    }
    if settings.external_ip.is_empty() {
        return Finding::wrong(
            CHECK,
            format!("{container} with a network of its own, whose addresses nobody outside reaches"),
            "give it the host's network, or publish the ports and set --external-ip",
        );
    }
    let ports = settings.turn_relay_ports.0.len();
    if !settings.no_turn && settings.turn_relay == RelayKind::Ports && ports > PUBLISHED {
        return Finding::wrong(
            CHECK,
            format!("{container} with a network of its own, and {ports} relay ports to publish"),
            "give it the host's network, start it with --one-port, or publish a small range of --turn-relay-ports",
        );
    }
    Finding::fine(CHECK, format!("{container} with a network of its own, and --external-ip"))
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_told_by_what_their_engines_leave() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(container(root.path(), None), None);
        assert_eq!(container(root.path(), Some("podman")), Some("a container"));
        fs::create_dir_all(root.path().join("proc/1")).unwrap();
        fs::write(root.path().join("proc/1/cgroup"), "0::/kubepods/pod1\n").unwrap();
        assert_eq!(container(root.path(), None), Some("a pod of Kubernetes"));
        fs::write(root.path().join(".dockerenv"), "").unwrap();
        assert_eq!(container(root.path(), None), Some("a Docker container"));
    }
}
