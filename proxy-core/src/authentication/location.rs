//! Where tokens are found in a request, and how they are taken out of it.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, header};

use super::{JwtRule, TokenLocations};
use crate::request::{RequestView, cookies, percent_decoded, query_pairs};

impl TokenLocations {
    /// Every token a request carries in these places. A header without its prefix carries none.
    pub(super) fn find<'a>(&self, request: &RequestView<'a>) -> Vec<Cow<'a, str>> {
        let mut found = Vec::new();
        for location in &self.headers {
            for value in request.headers.get_all(&location.name) {
                let text = String::from_utf8_lossy(value.as_bytes());
                let after = text.find(&*location.prefix).map(|place| place + location.prefix.len());
                if let Some(after) = after {
                    found.push(Cow::Owned(compact(&text[after..]).to_owned()));
                }
            }
        }
        for name in &self.parameters {
            if let Some((_, value)) = query_pairs(request.query()).find(|(known, _)| percent_decoded(known) == **name) {
                found.push(percent_decoded(value));
            }
        }
        for name in &self.cookies {
            if let Some((_, value)) = cookies(request.headers).find(|(known, _)| **known == **name) {
                found.push(Cow::Borrowed(value));
            }
        }
        found
    }
}

/// The token itself: without space around it and without what follows it.
fn compact(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '-' | '_' | '.' | '='));
    &text[..end.unwrap_or(text.len())]
}

/// Takes tokens a rule does not forward out of a request. Returns the new path and query if they changed.
pub(super) fn strip(rule: &JwtRule, headers: &mut HeaderMap, path_and_query: &str) -> Option<String> {
    for location in &rule.locations.headers {
        let carries = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).contains(&*location.prefix);
        if headers.get_all(&location.name).iter().any(carries) {
            headers.remove(&location.name);
        }
    }
    if cookies(headers).any(|(name, _)| rule.locations.cookies.iter().any(|wanted| **wanted == *name)) {
        strip_cookies(rule, headers);
    }
    let (path, query) = path_and_query.split_once('?')?;
    let stays = |pair: &&str| {
        let name = percent_decoded(pair.split_once('=').map_or(*pair, |(name, _)| name));
        !rule.locations.parameters.iter().any(|wanted| **wanted == *name)
    };
    let kept: Vec<&str> = query.split('&').filter(stays).collect();
    let query_now = kept.join("&");
    match query_now.is_empty() {
        _ if query_now == query => None,
        true => Some(path.to_owned()),
        false => Some(format!("{path}?{query_now}")),
    }
}

fn strip_cookies(rule: &JwtRule, headers: &mut HeaderMap) {
    let stays = |pair: &&str| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name).trim();
        !rule.locations.cookies.iter().any(|wanted| **wanted == *name)
    };
    let mut kept = Vec::new();
    for value in headers.get_all(header::COOKIE) {
        match value.to_str() {
            Ok(text) => {
                let rest: Vec<&str> = text.split(';').filter(stays).map(str::trim).collect();
                kept.extend(HeaderValue::from_str(&rest.join("; ")).ok().filter(|value| !value.is_empty()));
            }
            Err(_) => kept.push(value.clone()),
        }
    }
    headers.remove(header::COOKIE);
    for value in kept {
        headers.append(header::COOKIE, value);
    }
}
