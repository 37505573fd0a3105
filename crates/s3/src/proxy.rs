//! Proxies as `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` name them.
//!
//! The lower-case names win, as in curl. A request for `http` goes to the proxy in absolute form;
//! for `https` the proxy is asked for a tunnel (CONNECT) and sees only host and port.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::connection::Duplex;
use crate::endpoint::Endpoint;
use crate::environment::Environment;
use crate::error::{Error, Result};

/// A proxy to go through.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub endpoint: Endpoint,
    /// The variable that names it.
    pub variable: &'static str,
    /// `Proxy-Authorization`, marked as sensitive.
    pub authorization: Option<HeaderValue>,
}

impl Proxy {
    /// The proxy for `target`, if the environment names one and does not except the target.
    pub fn for_target(environment: &Environment, target: &Endpoint) -> Result<Option<Self>> {
        let variables =
            if target.tls { ["https_proxy", "HTTPS_PROXY"] } else { ["http_proxy", "HTTP_PROXY"] };
        let found = variables.iter().find_map(|name| Some((*name, environment.get(name)?)));
        let Some((variable, url)) = found else { return Ok(None) };
        let exceptions = environment.get("no_proxy").or_else(|| environment.get("NO_PROXY"));
        if exceptions.is_some_and(|list| is_excepted(list, target)) {
            return Ok(None);
        }
        Self::parse(url, variable).map(Some)
    }

    /// Reads `[http[s]://][user[:password]@]host[:port]`. No error repeats the URL: it may hold a
    /// password.
    pub(crate) fn parse(url: &str, variable: &'static str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        let endpoint = Endpoint::parse(&format!("{scheme}://{host}"), variable)?;
        let authorization = user.map(|user| authorization(user, variable)).transpose()?;
        Ok(Self { endpoint, variable, authorization })
    }
}

fn authorization(user: &str, variable: &str) -> Result<HeaderValue> {
    let wrong = || Error::Configuration {
        setting: variable.to_owned(),
        reason: "user and password are not percent-encoded correctly".to_owned(),
    };
    let plain = crate::encoding::decode_listed(user.replace('+', "%2B").as_bytes());
    let plain = plain.ok_or_else(wrong)?;
    let plain = if plain.contains(&b':') { plain } else { [&plain[..], b":"].concat() };
    let text = format!("Basic {}", STANDARD.encode(plain));
    let mut value = HeaderValue::from_str(&text).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok(value)
}

/// `NO_PROXY`: hosts and domains (with or without a leading dot), optional port, addresses,
/// networks (`10.0.0.0/8`), or `*`.
fn is_excepted(list: &str, target: &Endpoint) -> bool {
    let address: Option<IpAddr> = target.host.parse().ok();
    list.split([',', ' ']).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let (Some((network, bits)), Some(address)) = (entry.split_once('/'), address) {
            return is_within(network, bits, address);
        }
        let Some((host, port)) = crate::endpoint::split_authority(entry) else { return false };
        if port.is_some_and(|port| port != target.port) {
            return false;
        }
        let domain = host.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
        let below = target.host.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'));
        target.host == domain || (below && address.is_none())
    })
}

fn is_within(network: &str, bits: &str, address: IpAddr) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let ((left, width), (right, other_width)) = (number(network), number(address));
    let shift = 128_u32.saturating_sub(bits);
    width == other_width && bits <= width && (shift == 128 || left >> shift == right >> shift)
}

/// Asks the proxy at the other end of `socket` for a tunnel to `target`.
pub(crate) async fn tunnel(
    socket: &mut dyn Duplex,
    proxy: &Proxy,
    target: &Endpoint,
) -> std::result::Result<(), String> {
    let host = target.host_and_port();
    let mut request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
    if let Some(authorization) = &proxy.authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    socket.write_all(&request).await.map_err(|error| error.to_string())?;
    socket.flush().await.map_err(|error| error.to_string())?;
    let head = read_head(socket).await?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status.starts_with('2') && status.len() == 3 {
        return Ok(());
    }
    let line = head.lines().next().unwrap_or_default();
    Err(format!("the proxy refused a tunnel to {host}: {}", line.escape_debug()))
}

/// Reads one byte at a time: what follows the head belongs to the tunnel.
async fn read_head(socket: &mut dyn Duplex) -> std::result::Result<String, String> {
    const HEAD_BYTES_MAX: usize = 16 * 1024;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = socket.read_u8().await;
        head.push(byte.map_err(|error| format!("the proxy closed the connection: {error}"))?);
        if head.len() > HEAD_BYTES_MAX {
            return Err("the proxy's reply is too long".to_owned());
        }
    }
    String::from_utf8(head).map_err(|_| "the proxy's reply is not text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::parse(url, "endpoint").unwrap()
    }

    fn proxy_for(variables: &[(&str, &str)], target: &str) -> Option<Proxy> {
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let environment = Environment { variables, home: None };
        Proxy::for_target(&environment, &endpoint(target)).unwrap()
    }

    #[test]
    fn the_scheme_of_the_target_chooses_the_proxy() {
        let both = [("HTTPS_PROXY", "http://secure:1"), ("HTTP_PROXY", "plain:2")];
        assert_eq!(proxy_for(&both, "https://s3.org").unwrap().endpoint.host, "secure");
        assert_eq!(proxy_for(&both, "http://s3.org").unwrap().endpoint.host_and_port(), "plain:2");
        assert!(proxy_for(&[("HTTPS_PROXY", "p:1")], "http://s3.org").is_none());
    }

    #[test]
    fn passwords_go_into_the_header_and_never_into_a_message() {
        let url = "http://us%40er:p%3Aw+@proxy:3128";
        let proxy = proxy_for(&[("https_proxy", url)], "https://s3.org").unwrap();
        assert_eq!(proxy.authorization.as_ref().unwrap(), "Basic dXNAZXI6cDp3Kw==");
        assert!(!format!("{proxy:?}").contains("dXNA"));
        let error = Proxy::parse("socks5://user:CANARY@host", "HTTPS_PROXY").unwrap_err();
        assert!(!error.to_string().contains("CANARY"), "{error}");
    }

    #[test]
    fn exceptions() {
        for (list, target, excepted) in [
            ("*", "https://a.b", true),
            ("s3.org", "https://s3.org", true),
            (".s3.org", "https://b.s3.org", true),
            ("s3.org", "https://b.s3.org", true),
            ("s3.org", "https://evils3.org", false),
            ("other, 10.0.0.0/8", "http://10.1.2.3:9000", true),
            ("10.0.0.0/8", "http://11.1.2.3:9000", false),
            ("10.0.0.0/99", "http://10.1.2.3", false),
            ("::/0", "http://10.1.2.3", false),
            ("fd00::/8", "http://[fd12::1]:9000", true),
            ("127.0.0.1:9000", "http://127.0.0.1:9000", true),
            ("127.0.0.1:9001", "http://127.0.0.1:9000", false),
            ("", "https://a.b", false),
        ] {
            assert_eq!(is_excepted(list, &endpoint(target)), excepted, "{list} for {target}");
        }
    }
}
