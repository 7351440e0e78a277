//! [`hash_request`]: what consistent hashing looks up.

use std::net::IpAddr;

use http::HeaderValue;
use xxhash_rust::xxh64::xxh64;

use crate::host::Rng;
use crate::request::{RequestView, cookies};
use crate::route::HashKey;

/// A request's hash, and the cookie that keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHash {
    /// `None` if the request has nothing to hash: then any endpoint will do.
    pub hash: Option<u64>,
    /// A `set-cookie` for the response, when the client had no cookie yet.
    pub set_cookie: Option<HeaderValue>,
}

/// Hashes what `key` names. `client` is the original client's address.
pub fn hash_request(key: &HashKey, request: &RequestView<'_>, client: IpAddr, rng: &mut Rng) -> RequestHash {
    let of = |text: &str| xxh64(text.as_bytes(), 0);
    let hash = match key {
        HashKey::Header(name) => request.header(name).map(|text| of(&text)),
        HashKey::SourceAddress => Some(of(&client.to_canonical().to_string())),
        HashKey::QueryParameter(name) => request.query_parameter(name).map(of),
        HashKey::Cookie { name, path, lifetime } => {
            let known = cookies(request.headers).find(|(known, _)| **known == **name);
            match (known, lifetime) {
                (Some((_, value)), _) => Some(of(value)),
                (None, None) => None,
                (None, Some(lifetime)) => {
                    let value = format!("{:016x}", rng.next_u64());
                    let mut cookie = format!("{name}=\"{value}\"");
                    if !lifetime.is_zero() {
                        cookie.push_str(&format!("; Max-Age={}", lifetime.as_secs()));
                    }
                    if let Some(path) = path {
                        cookie.push_str(&format!("; Path={path}"));
                    }
                    cookie.push_str("; HttpOnly");
                    let set_cookie = HeaderValue::from_str(&cookie).ok();
                    return RequestHash { hash: Some(of(&value)), set_cookie };
                }
            }
        }
    };
    RequestHash { hash, set_cookie: None }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderName;

    use super::*;
    use crate::route::fixture::Request;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn hash(key: &HashKey, request: &Request) -> RequestHash {
        hash_request(key, &request.view(), CLIENT, &mut Rng::from_number(1))
    }

    #[test]
    fn the_same_value_has_the_same_hash_wherever_it_is() {
        let expected = Some(xxh64(b"alice", 0));
        let header = HashKey::Header(HeaderName::from_static("x-user"));
        let cookie = HashKey::Cookie { name: "user".into(), path: None, lifetime: None };
        assert_eq!(hash(&header, &Request::get("/").header("x-user", "alice")).hash, expected);
        assert_eq!(hash(&cookie, &Request::get("/").header("cookie", "a=b; user=alice")).hash, expected);
        assert_eq!(hash(&HashKey::QueryParameter("user".into()), &Request::get("/?user=alice")).hash, expected);
        assert_eq!(hash(&HashKey::SourceAddress, &Request::get("/")).hash, Some(xxh64(b"127.0.0.1", 0)));
        for key in [header, cookie, HashKey::QueryParameter("user".into())] {
            assert_eq!(hash(&key, &Request::get("/")), RequestHash::default());
        }
    }

    #[test]
    fn a_cookie_with_a_lifetime_is_given_to_clients_without_one_and_leads_back() {
        let key =
            HashKey::Cookie { name: "user".into(), path: Some("/".into()), lifetime: Some(Duration::from_secs(60)) };
        let given = hash(&key, &Request::get("/"));
        let cookie = given.set_cookie.unwrap();
        let cookie = cookie.to_str().unwrap();
        assert!(cookie.ends_with("; Max-Age=60; Path=/; HttpOnly"), "{cookie}");
        let pair: &'static str = Box::leak(cookie.split(';').next().unwrap().to_owned().into_boxed_str());
        assert_eq!(
            hash(&key, &Request::get("/").header("cookie", pair)),
            RequestHash { hash: given.hash, set_cookie: None }
        );
    }
}
