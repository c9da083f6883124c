//! Which addresses are part of the public internet.
//!
//! The table follows the IANA special-purpose registries (RFC 6890 and its updates), read strictly: whatever is
//! not plainly a public unicast address is refused. Addresses that carry an IPv4 address inside are judged by it.
//! Cloud metadata services are listed apart, because some live in ranges that a host application may well allow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// How far a request to an address would reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The public internet.
    Public,
    /// This host or the networks around it: refused unless the host application allows private networks.
    Private,
    /// Metadata services, link-local, multicast, reserved and transition ranges: refused unless the host
    /// application lists the very range.
    Forbidden,
}

/// Judges an address.
pub(crate) fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => reach_v6(v6),
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    if METADATA_V4.contains(&ip) {
        return Reach::Forbidden;
    }
    let entry = SPECIAL_V4.iter().find(|(net, _)| net.contains(&ip));
    entry.map_or(Reach::Public, |(_, reach)| *reach)
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    if METADATA_V6.contains(&ip) {
        return Reach::Forbidden;
    }
    if let Some(inner) = ip.to_ipv4_mapped() {
        return reach_v4(inner);
    }
    if NAT64.contains(&ip) {
        return reach_v4(embedded_v4(ip));
    }
    if let Some((_, reach)) = SPECIAL_V6.iter().find(|(net, _)| net.contains(&ip)) {
        return *reach;
    }
    if !GLOBAL_UNICAST.contains(&ip) {
        return Reach::Forbidden;
    }
    // ISATAP (RFC 5214) hides an IPv4 address in the interface identifier of any prefix.
    match ip.segments() {
        [_, _, _, _, 0 | 0x0200, 0x5efe, _, _] => reach_v4(embedded_v4(ip)),
        _ => Reach::Public,
    }
}

/// The last 32 bits as an IPv4 address.
fn embedded_v4(ip: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = ip.octets();
    Ipv4Addr::new(a, b, c, d)
}

const fn v4(a: u8, b: u8, c: u8, d: u8, len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), len)
}

const fn v6(a: u16, b: u16, c: u16, len: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), len)
}

/// Metadata services outside link-local space.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba Cloud
    Ipv4Addr::new(168, 63, 129, 16),   // Azure's wire server, a public address
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle Cloud
];

/// Metadata services in unique local space.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // Amazon EC2
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),  // Amazon EKS pod identity
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // Google Cloud
];

const SPECIAL_V4: [(Ipv4Net, Reach); 16] = [
    (v4(0, 0, 0, 0, 8), Reach::Forbidden), // this network; 0.0.0.0 connects to this host
    (v4(10, 0, 0, 0, 8), Reach::Private),  // RFC 1918
    (v4(100, 64, 0, 0, 10), Reach::Private), // carrier-grade NAT, RFC 6598
    (v4(127, 0, 0, 0, 8), Reach::Private), // loopback
    (v4(169, 254, 0, 0, 16), Reach::Forbidden), // link-local; 169.254.169.254, 169.254.170.2
    (v4(172, 16, 0, 0, 12), Reach::Private), // RFC 1918
    (v4(192, 0, 0, 0, 24), Reach::Forbidden), // IETF protocol assignments
    (v4(192, 0, 2, 0, 24), Reach::Forbidden), // documentation
    (v4(192, 88, 99, 0, 24), Reach::Forbidden), // 6to4 relay anycast
    (v4(192, 168, 0, 0, 16), Reach::Private), // RFC 1918
    (v4(192, 175, 48, 0, 24), Reach::Forbidden), // AS112 direct delegation
    (v4(198, 18, 0, 0, 15), Reach::Forbidden), // benchmarking
    (v4(198, 51, 100, 0, 24), Reach::Forbidden), // documentation
    (v4(203, 0, 113, 0, 24), Reach::Forbidden), // documentation
    (v4(224, 0, 0, 0, 4), Reach::Forbidden), // multicast
    (v4(240, 0, 0, 0, 4), Reach::Forbidden), // reserved; 255.255.255.255
];

/// Within or beside [`GLOBAL_UNICAST`]; what is in neither is refused.
const SPECIAL_V6: [(Ipv6Net, Reach); 8] = [
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), Reach::Private), // loopback
    (v6(0x64, 0xff9b, 1, 48), Reach::Forbidden), // local NAT64: the IPv4 part's place is unknown
    (v6(0x2001, 0, 0, 23), Reach::Forbidden),    // IETF assignments: Teredo, benchmarking, ORCHID
    (v6(0x2001, 0xdb8, 0, 32), Reach::Forbidden), // documentation
    (v6(0x2002, 0, 0, 16), Reach::Forbidden),    // 6to4
    (v6(0x2620, 0x4f, 0x8000, 48), Reach::Forbidden), // AS112 direct delegation
    (v6(0x3fff, 0, 0, 20), Reach::Forbidden),    // documentation
    (v6(0xfc00, 0, 0, 7), Reach::Private),       // unique local
];

/// The well-known NAT64 prefix (RFC 6052): on IPv6-only networks, public IPv4 hosts have such addresses.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

/// The only space from which public unicast addresses are given out (RFC 4291, section 2.4).
const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 0, 3);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: Reach, addresses: &[&str]) {
        for text in addresses {
            assert_eq!(reach(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn public_addresses_are_public() {
        check(
            Reach::Public,
            &[
                "1.1.1.1",
                "8.8.8.8",
                "9.255.255.255",
                "11.0.0.0",
                "100.63.255.255",
                "100.128.0.0",
                "126.255.255.255",
                "128.0.0.0",
                "169.253.255.255",
                "169.255.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "191.255.255.255",
                "192.0.1.0",
                "192.167.255.255",
                "192.169.0.0",
                "198.17.255.255",
                "198.20.0.0",
                "223.255.255.255",
                "2606:4700::1111",
                "2001:200::1",
                "2001:4860:4860::8888",
                "2a00::1",
                "::ffff:8.8.8.8",
                "64:ff9b::8.8.8.8",
                "2606:4700::200:5efe:808:808",
            ],
        );
    }

    #[test]
    fn the_networks_around_us_are_private() {
        check(
            Reach::Private,
            &[
                "10.0.0.0",
                "10.255.255.255",
                "100.64.0.0",
                "100.127.255.255",
                "127.0.0.1",
                "127.255.255.255",
                "172.16.0.0",
                "172.31.255.255",
                "192.168.0.1",
                "::1",
                "fc00::",
                "fdff:ffff::1",
                "::ffff:127.0.0.1",
                "::ffff:10.0.0.1",
                "64:ff9b::127.0.0.1",
                "64:ff9b::c0a8:1",
                "2606:4700::5efe:a00:1",
            ],
        );
    }

    #[test]
    fn metadata_and_special_ranges_are_forbidden() {
        check(
            Reach::Forbidden,
            &[
                "0.0.0.0",
                "0.1.2.3",
                "169.254.169.254",
                "169.254.170.2",
                "100.100.100.200",
                "168.63.129.16",
                "192.0.0.192",
                "192.0.0.1",
                "192.0.2.1",
                "192.88.99.1",
                "198.18.0.1",
                "198.19.255.255",
                "198.51.100.1",
                "203.0.113.1",
                "224.0.0.1",
                "239.255.255.255",
                "240.0.0.1",
                "255.255.255.255",
                "::",
                "::127.0.0.1",
                "::8.8.8.8",
                "fd00:ec2::254",
                "fd20:ce::254",
                "fe80::1",
                "febf::1",
                "fec0::1",
                "ff02::1",
                "2001::1",
                "2001:0:4136:e378:8000:63bf:3fff:fdd2",
                "2001:2::1",
                "2001:10::1",
                "2001:20::1",
                "2001:db8::1",
                "2002:7f00:1::",
                "2002:808:808::",
                "3fff::1",
                "5f00::1",
                "64:ff9b:1::808:808",
                "100::1",
                "4000::1",
                "::ffff:0:127.0.0.1",
                "::ffff:169.254.169.254",
                "64:ff9b::169.254.169.254",
            ],
        );
    }
}
