//! Values of the built-in TURN server's settings.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::value::{Value, word, word_value};

/// How this machine is seen from outside: `PUBLIC`, or `PUBLIC/PRIVATE` when it has several addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExternalIp {
    pub(crate) public: IpAddr,
    pub(crate) private: Option<IpAddr>,
}

impl FromStr for ExternalIp {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str =
            "expected an address, as in 198.51.100.7, or PUBLIC/PRIVATE, as in 198.51.100.7/10.0.0.7";
        let (public, private) =
            text.split_once('/').map_or((text, None), |(public, private)| (public, Some(private)));
        let public: IpAddr = public.parse().map_err(|_| SHAPE)?;
        let private: Option<IpAddr> = private.map(str::parse).transpose().map_err(|_| SHAPE)?;
        if public.is_unspecified() || private.is_some_and(|private| private.is_ipv4() != public.is_ipv4()) {
            return Err(SHAPE);
        }
        Ok(Self { public, private })
    }
}

impl fmt::Display for ExternalIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.private {
            Some(private) => write!(f, "{}/{private}", self.public),
            None => self.public.fmt(f),
        }
    }
}

/// Ports from one to another, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortRange(pub(crate) RangeInclusive<u16>);

impl FromStr for PortRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "expected two ports, the lower one first, as in 49152-65535";
        let (low, high) = text.split_once('-').ok_or(SHAPE)?;
        let (low, high) = (low.trim().parse().map_err(|_| SHAPE)?, high.trim().parse().map_err(|_| SHAPE)?);
        if low == 0 || low > high { Err(SHAPE) } else { Ok(Self(low..=high)) }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.start(), self.0.end())
    }
}

/// Two addresses of this machine from which behaviour discovery answers (RFC 5780).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiscoveryAddresses {
    pub(crate) primary: IpAddr,
    pub(crate) alternate: IpAddr,
}

impl FromStr for DiscoveryAddresses {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str =
            "expected two addresses of this machine, of one family, as in 198.51.100.7,198.51.100.8";
        let (primary, alternate) = text.split_once(',').ok_or(SHAPE)?;
        let primary: IpAddr = primary.trim().parse().map_err(|_| SHAPE)?;
        let alternate: IpAddr = alternate.trim().parse().map_err(|_| SHAPE)?;
        let is_pair = primary != alternate && primary.is_ipv4() == alternate.is_ipv4();
        if is_pair && !primary.is_unspecified() && !alternate.is_unspecified() {
            Ok(Self { primary, alternate })
        } else {
            Err(SHAPE)
        }
    }
}

impl fmt::Display for DiscoveryAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.primary, self.alternate)
    }
}

/// Text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretText(pub(crate) String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Value for SecretText {
    const SECRET: bool = true;

    fn read(value: &toml::Value) -> Result<Self, String> {
        match word(value)? {
            empty if empty.is_empty() => Err("expected a secret, not nothing".to_owned()),
            secret => Ok(Self(secret)),
        }
    }

    fn shown(&self) -> Option<toml::Value> {
        Some(toml::Value::String("(hidden)".to_owned()))
    }
}

word_value!(DiscoveryAddresses, ExternalIp, PortRange, IpAddr, SocketAddr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_addresses_are_of_one_family() {
        let read = |text: &str| text.parse::<ExternalIp>().map(|ip| ip.to_string());
        assert_eq!(read("198.51.100.7").unwrap(), "198.51.100.7");
        assert_eq!(read("198.51.100.7/10.0.0.7").unwrap(), "198.51.100.7/10.0.0.7");
        for bad in ["", "host", "198.51.100.7/", "198.51.100.7/fd00::1", "0.0.0.0"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn discovery_takes_two_addresses_of_one_family() {
        let read = |text: &str| text.parse::<DiscoveryAddresses>().map(|pair| pair.to_string());
        assert_eq!(read("198.51.100.7, 198.51.100.8").unwrap(), "198.51.100.7,198.51.100.8");
        assert_eq!(read("2001:db8::1,2001:db8::2").unwrap(), "2001:db8::1,2001:db8::2");
        for bad in
            ["", "198.51.100.7", "198.51.100.7,198.51.100.7", "198.51.100.7,::1", "0.0.0.0,198.51.100.7"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn port_ranges_go_up() {
        assert_eq!("100-200".parse::<PortRange>().unwrap().0, 100..=200);
        for bad in ["", "5", "0-5", "200-100", "1-70000"] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad}");
        }
    }
}
