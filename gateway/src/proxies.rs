//! Who sent a request: whoever has connected, or whom a trusted proxy names (`docs/contract.md`, "The client's address").

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    /// Whether the client speaks TLS, to us or to the proxy before us.
    pub(crate) is_https: bool,
}

/// The proxies whose headers are believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    pub(crate) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    pub(crate) fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Finds out who sent a request that came from `peer`. Of its `X-Forwarded-For` only what stands before the client
    /// is left: what the client claims.
    ///
    /// Each proxy adds the address that has connected to it at the end. So the client is the last address that is no
    /// trusted proxy; everything before it may be made up.
    pub(crate) fn client(&self, peer: SocketAddr, is_https: bool, headers: &mut HeaderMap) -> Client {
        let mut client = Client { address: peer.ip().to_canonical(), is_https };
        if !self.has(client.address) {
            return client;
        }
        let texts = headers.get_all(FORWARDED_FOR).iter();
        let texts: Vec<_> = texts.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let mut claimed: Vec<&str> = texts.iter().flat_map(|text| text.split(',')).map(str::trim).collect();
        while self.has(client.address)
            && let Some(address) = claimed.last().and_then(|text| address(text))
        {
            client.address = address;
            claimed.pop();
        }
        let left = HeaderValue::try_from(claimed.join(", "));
        let proto = headers.get_all(FORWARDED_PROTO).iter().next_back().and_then(|value| value.to_str().ok());
        if let Some(proto) = proto.and_then(|proto| proto.rsplit(',').next()) {
            client.is_https = proto.trim().eq_ignore_ascii_case("https");
        }
        headers.remove(FORWARDED_FOR);
        if let Ok(left) = left
            && !left.is_empty()
        {
            headers.insert(FORWARDED_FOR, left);
        }
        client
    }
}

/// Reads an address, which some proxies write with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip())).or_else(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client of a request with these headers from this peer, and what is left of `X-Forwarded-For`.
    fn client_of(peer: &str, headers: &[(&'static str, &str)]) -> (String, bool, String) {
        let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
        let proxies = Proxies::new(networks.to_vec());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let Client { address, is_https } =
            proxies.client(SocketAddr::new(peer.parse().unwrap(), 1), false, &mut map);
        let left = map.get_all(FORWARDED_FOR).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        (address.to_string(), is_https, left.join("|"))
    }

    #[test]
    fn a_client_is_the_last_address_that_is_no_trusted_proxy() {
        let of = |peer, forwarded_for| {
            let (address, _, left) = client_of(peer, &[("x-forwarded-for", forwarded_for)]);
            (address, left)
        };
        let is = |address: &str, left: &str| (address.to_owned(), left.to_owned());
        assert_eq!(of("10.1.1.1", "192.0.2.1"), is("192.0.2.1", ""));
        assert_eq!(of("10.1.1.1", "1.1.1.1, 192.0.2.1,10.2.2.2"), is("192.0.2.1", "1.1.1.1"));
        assert_eq!(of("::ffff:10.1.1.1", "192.0.2.1:4711"), is("192.0.2.1", ""));
        assert_eq!(of("2001:db8::1", "[2001:db9::1]:443"), is("2001:db9::1", ""));
        assert_eq!(of("2001:db8::1", "[2001:db9::1]"), is("2001:db9::1", ""));
        assert_eq!(of("10.1.1.1", "10.3.3.3, 10.2.2.2"), is("10.3.3.3", ""));
        // What nobody can read is no address: then the client is the proxy that wrote it.
        assert_eq!(of("10.1.1.1", "192.0.2.1, unknown"), is("10.1.1.1", "192.0.2.1, unknown"));
        assert_eq!(of("10.1.1.1", "192.0.2.1, unknown, 10.2.2.2"), is("10.2.2.2", "192.0.2.1, unknown"));
        // A stranger may claim what it likes.
        assert_eq!(of("192.0.2.9", "198.51.100.1"), is("192.0.2.9", "198.51.100.1"));
    }

    #[test]
    fn several_headers_are_one_list() {
        let headers = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "192.0.2.1, 10.2.2.2")];
        assert_eq!(client_of("10.1.1.1", &headers), ("192.0.2.1".to_owned(), false, "1.1.1.1".to_owned()));
    }

    #[test]
    fn only_a_trusted_proxy_tells_that_a_client_speaks_tls() {
        for (peer, value, is_https) in [
            ("10.1.1.1", "https", true),
            ("10.1.1.1", "http, HTTPS", true),
            ("10.1.1.1", "https, http", false),
            ("192.0.2.9", "https", false),
        ] {
            assert_eq!(client_of(peer, &[("x-forwarded-proto", value)]).1, is_https, "{peer} {value}");
        }
    }
}
