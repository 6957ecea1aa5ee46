//! Where notices may go: which addresses, and which URLs. Pure.
//!
//! Invariants: an address of this machine, of a private network or of no network at all is forbidden in every form in which IPv6 can
//! carry it, unless an operator has allowed it; a URL that is let through holds no password. Must not know: names and what they
//! resolve to, who sends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Characters of a URL at most.
pub const URL_CHARS_MAX: usize = 2_000;
/// Networks that one may allow at most.
const ALLOWED_MAX: usize = 100;

const fn v4(octets: [u8; 4], length: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(first: [u16; 4], length: u8) -> Ipv6Net {
    let [a, b, c, d] = first;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), length)
}

/// What is not the public internet (the registries of RFC 6890), and what serves metadata.
const FORBIDDEN_V4: [Ipv4Net; 16] = [
    // This network, private, carrier-grade NAT, loopback, link-local.
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    // Protocol assignments, the anycast of 6to4, benchmarks, documentation.
    v4([192, 0, 0, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([198, 18, 0, 0], 15),
    v4([192, 0, 2, 0], 24),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    // A public address at which a cloud serves its machines' own metadata.
    v4([168, 63, 129, 16], 32),
    // Multicast; reserved, with the broadcast.
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// As [`FORBIDDEN_V4`].
const FORBIDDEN_V6: [Ipv6Net; 14] = [
    // Unspecified and loopback.
    v6([0, 0, 0, 0], 127),
    // NAT64 of a network's own, discard, dummy.
    v6([0x64, 0xff9b, 1, 0], 48),
    v6([0x100, 0, 0, 0], 64),
    v6([0x100, 0, 0, 1], 64),
    // Benchmarks, ORCHID, documentation, segment routing.
    v6([0x2001, 2, 0, 0], 48),
    v6([0x2001, 0x10, 0, 0], 28),
    v6([0x2001, 0x20, 0, 0], 28),
    v6([0x2001, 0xdb8, 0, 0], 32),
    v6([0x3fff, 0, 0, 0], 20),
    v6([0x5f00, 0, 0, 0], 16),
    // Unique local, link-local, site-local, multicast.
    v6([0xfc00, 0, 0, 0], 7),
    v6([0xfe80, 0, 0, 0], 10),
    v6([0xfec0, 0, 0, 0], 10),
    v6([0xff00, 0, 0, 0], 8),
];

/// Networks to which notices may go although they are forbidden to others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct AllowList(Vec<IpNet>);

impl AllowList {
    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl TryFrom<Vec<String>> for AllowList {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        if texts.len() > ALLOWED_MAX {
            return Err(format!("at most {ALLOWED_MAX} networks"));
        }
        let read = |text: &String| match text.parse::<IpNet>() {
            Ok(network) => Ok(network),
            Err(_) => text.parse::<IpAddr>().map(IpNet::from).map_err(|_| format!("`{text}` is no network: write it as in 10.1.0.0/16")),
        };
        texts.iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl From<AllowList> for Vec<String> {
    fn from(list: AllowList) -> Self {
        list.0.iter().map(IpNet::to_string).collect()
    }
}

/// Why notices cannot go to a URL. Each message is a sentence about `webhookUrl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefusal {
    /// It is too long.
    #[error("webhookUrl is longer than {URL_CHARS_MAX} characters")]
    TooLong,
    /// It cannot be read, or has another scheme.
    #[error("webhookUrl is no http or https URL")]
    Syntax,
    /// It names a user or a password.
    #[error("webhookUrl must name no user and no password")]
    UserInfo,
    /// It has a fragment, which no server is sent.
    #[error("webhookUrl must have no fragment (#)")]
    Fragment,
    /// It has the port 0.
    #[error("webhookUrl must not have the port 0")]
    Port,
    /// Its address is forbidden.
    #[error("webhookUrl has an address that notices may not go to (webhook.allow, PLIMSOLL_WEBHOOK_ALLOW)")]
    Forbidden,
}

/// Reads a URL that notices may go to, as far as can be said without asking for names.
///
/// # Errors
/// [`UrlRefusal`] says why they may not.
pub fn check_url(text: &str, allow: &AllowList) -> Result<Url, UrlRefusal> {
    if text.chars().nth(URL_CHARS_MAX).is_some() {
        return Err(UrlRefusal::TooLong);
    }
    let url = Url::parse(text).map_err(|_| UrlRefusal::Syntax)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlRefusal::Syntax);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlRefusal::UserInfo);
    }
    if url.fragment().is_some() {
        return Err(UrlRefusal::Fragment);
    }
    if url.port() == Some(0) {
        return Err(UrlRefusal::Port);
    }
    // Octal, hexadecimal and shortened forms have become addresses by now.
    let address = match url.host() {
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        Some(Host::Domain(_)) => None,
        None => return Err(UrlRefusal::Syntax),
    };
    if address.is_some_and(|address| is_forbidden(address, allow)) { Err(UrlRefusal::Forbidden) } else { Ok(url) }
}

/// The host of a URL; none where there is none.
#[must_use]
pub fn host(text: &str) -> Option<String> {
    Url::parse(text).ok()?.host_str().map(str::to_owned)
}

/// Whether notices may not go to an address.
#[must_use]
pub fn is_forbidden(address: IpAddr, allow: &AllowList) -> bool {
    if allow.contains(address) {
        return false;
    }
    match address {
        IpAddr::V4(address) => FORBIDDEN_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            // What is allowed as IPv4 is allowed in its IPv6 forms as well, but not by way of a network that is forbidden itself.
            let is_carried_forbidden = carried(address).into_iter().any(|carried| is_forbidden(IpAddr::V4(carried), allow));
            is_carried_forbidden || FORBIDDEN_V6.iter().any(|network| network.contains(&address))
        }
    }
}

/// The IPv4 addresses that an IPv6 address leads to.
fn carried(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let segments = address.segments();
    let at = |place: usize| Ipv4Addr::from((u32::from(segments[place]) << 16) | u32::from(segments[place + 1]));
    match segments {
        // Compatible, mapped, translated, NAT64.
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => vec![at(6)],
        // 6to4.
        [0x2002, ..] => vec![at(1)],
        // Teredo: the server, and the client with its bits turned.
        [0x2001, 0, ..] => vec![at(2), Ipv4Addr::from(!u32::from(at(6)))],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(networks: &[&str]) -> AllowList {
        AllowList::try_from(networks.iter().map(|network| (*network).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn forbidden(address: &str, networks: &[&str]) -> bool {
        is_forbidden(address.parse().unwrap(), &allow(networks))
    }

    #[test]
    fn only_the_public_internet_may_be_reached() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.8.9.10",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "64:ff9b:1::1",
            "100::1",
            "100:0:0:1::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(forbidden(address, &[]), "{address}");
        }
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(!forbidden(address, &[]), "{address}");
        }
    }

    #[test]
    fn an_address_is_known_in_every_form_that_carries_it() {
        // 10.0.0.1 and 8.8.8.8, the last two by a server at 8.8.8.8 and at 10.0.0.1.
        for address in [
            "::a00:1",
            "::ffff:10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "2001:0:808:808::f5ff:fffe",
            "2001:0:a00:1::f7f7:f7f7",
        ] {
            assert!(forbidden(address, &[]), "{address}");
            assert!(!forbidden(address, &["10.0.0.0/8"]), "{address}");
        }
        for address in ["::808:808", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "2001:0:808:808::f7f7:f7f7"] {
            assert!(!forbidden(address, &[]), "{address}");
        }
    }

    #[test]
    fn what_is_allowed_is_no_more_than_that() {
        assert!(!forbidden("127.0.0.1", &["127.0.0.1/32"]) && !forbidden("::ffff:127.0.0.1", &["127.0.0.1"]));
        assert!(forbidden("127.0.0.2", &["127.0.0.1/32"]) && forbidden("::1", &["127.0.0.1/32"]));
        assert!(!forbidden("::1", &["::1/128"]) && !forbidden("fd00::5", &["fd00::/64"]) && forbidden("fd01::5", &["fd00::/64"]));
        let printed: Vec<String> = allow(&["10.1.0.0/16", "::1"]).into();
        assert_eq!(printed, ["10.1.0.0/16", "::1/128"]);
        assert!(AllowList::try_from(vec!["localhost".to_owned()]).unwrap_err().contains("`localhost` is no network"));
        assert!(AllowList::try_from(vec!["10.0.0.0/40".to_owned()]).is_err());
    }

    #[test]
    fn urls_are_checked_as_far_as_can_be_without_asking_for_names() {
        let check = |text: &str| check_url(text, &AllowList::default()).map(|url| url.to_string());
        assert_eq!(check("https://hooks.example.com/a?b=c").as_deref(), Ok("https://hooks.example.com/a?b=c"));
        assert!(check("http://8.8.8.8:9093/api/v2/alerts").is_ok() && check("http://[2606:4700::1111]/").is_ok());
        for text in ["", "hooks.example.com", "ftp://example.com/", "file:///etc/passwd", "http://", "https://[::1", "//example.com/x"] {
            assert_eq!(check(text), Err(UrlRefusal::Syntax), "{text}");
        }
        assert_eq!(check("https://user@example.com/"), Err(UrlRefusal::UserInfo));
        assert_eq!(check("https://:word@example.com/"), Err(UrlRefusal::UserInfo));
        assert_eq!(check("https://example.com/#part"), Err(UrlRefusal::Fragment));
        assert_eq!(check("https://example.com:0/"), Err(UrlRefusal::Port));
        let long = |chars: usize| format!("https://example.com/{}", "x".repeat(chars - 20));
        assert!(check(&long(URL_CHARS_MAX)).is_ok());
        assert_eq!(check(&long(URL_CHARS_MAX + 1)), Err(UrlRefusal::TooLong));
    }

    #[test]
    fn a_forbidden_address_is_seen_however_it_is_written() {
        for text in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0177.0.0.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://0/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "http://169.254.169.254/latest/meta-data",
            "http://127.0.0.1./",
            "http://①②⑦.0.0.1/",
        ] {
            assert_eq!(check_url(text, &AllowList::default()), Err(UrlRefusal::Forbidden), "{text}");
        }
        assert!(check_url("http://0x7f.1:8530/", &allow(&["127.0.0.1/32"])).is_ok());
    }

    #[test]
    fn hosts_are_told_without_the_rest() {
        assert_eq!(host("https://Hooks.Example.com:8443/secret").as_deref(), Some("hooks.example.com"));
        assert_eq!((host("mailto:x@example.com"), host("nothing")), (None, None));
    }
}
