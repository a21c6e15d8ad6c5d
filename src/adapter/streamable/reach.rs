//! Which addresses a URL that came from outside may lead to: none of this machine, of its network
//! or of its cloud. Checked on what a name resolves to, which is what is then connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves names to public addresses alone. A name with one other is refused as a whole: nobody
/// says which of them a connection would take.
#[derive(Debug)]
pub(super) struct Public;

impl Resolve for Public {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            if let Some(private) = found.iter().find(|at| !is_public(at.ip())) {
                return Err(refusal(private.ip()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Why an address is not connected to.
pub(super) fn refusal(at: IpAddr) -> String {
    format!(
        "{at} is an address of this machine or of a private network, and this URL came from \
         outside: write the server into your own weft.yaml if you trust it"
    )
}

/// Whether anybody on the internet could have this address.
pub(super) fn is_public(at: IpAddr) -> bool {
    match at {
        IpAddr::V4(at) => is_public_v4(at),
        IpAddr::V6(at) => is_public_v6(at),
    }
}

/// The special ranges of <https://www.iana.org/assignments/iana-ipv4-special-registry>.
fn is_public_v4(at: Ipv4Addr) -> bool {
    let [a, b, c, _] = at.octets();
    let special = at.is_private()
        || at.is_loopback()
        || at.is_link_local()
        || at.is_documentation()
        || matches!((a, b, c), (0, ..) | (192, 0, 0) | (192, 88, 99) | (198, 18 | 19, _))
        // Shared address space of providers, which clouds use inside.
        || (a == 100 && b & 0xc0 == 64)
        // Multicast, reserved, broadcast.
        || a >= 224;
    !special
}

/// The special ranges of <https://www.iana.org/assignments/iana-ipv6-special-registry>; those with
/// an IPv4 address inside are as public as that one.
fn is_public_v6(at: Ipv6Addr) -> bool {
    let parts = at.segments();
    let v4 = |high: u16, low: u16| {
        is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
    };
    match parts {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => !at.is_loopback() && v4(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        // Global unicast, but for documentation and what IANA keeps for protocols.
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        [0x2001, second, ..] => second >= 0x0200,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for (text, public) in [
            ("8.8.8.8", true),
            ("127.0.0.1", false),
            ("127.255.0.9", false),
            ("10.0.0.1", false),
            ("172.15.255.255", true),
            ("172.16.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("192.169.0.1", true),
            ("169.254.169.254", false),
            ("100.63.0.1", true),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("0.0.0.0", false),
            ("198.18.0.1", false),
            ("198.20.0.1", true),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("2606:4700::1111", true),
            ("::1", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("::127.0.0.1", false),
            ("64:ff9b::10.0.0.1", false),
            ("64:ff9b::8.8.8.8", true),
            ("2002:7f00:1::", false),
            ("2002:808:808::", true),
            ("fc00::1", false),
            ("fd12:3456::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
            ("2001:db8::1", false),
            ("2001:0:1::1", false),
            ("2001:4860::8888", true),
        ] {
            assert_eq!(
                is_public(text.parse().expect("an address")),
                public,
                "{text}"
            );
        }
    }
}
