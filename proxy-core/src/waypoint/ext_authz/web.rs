//! A provider over HTTP: the request's own head is sent to it; 200 allows.

use ::http::uri::PathAndQuery;
use ::http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use bytes::Bytes;

use super::super::exchange::Incoming;
use super::super::head;
use super::super::http::body::{self, Body};
use super::super::upstream::target::Version;
use super::{Allowed, Answer, Asking, Unanswered};
use crate::host::Host;
use crate::identity::CertificateAuthority;
use crate::request::TextMatch;
use crate::route::ProviderProtocol;

/// The request that asks.
pub(super) fn question<H: Host, C: CertificateAuthority>(
    asking: &Asking<'_, H, C>,
    incoming: &Incoming,
    body: Bytes,
) -> Result<Request<Body>, Unanswered> {
    let ProviderProtocol::Http { path_prefix, include_request_headers, additional_headers, .. } =
        &asking.provider.protocol
    else {
        return Err(Unanswered("the provider does not speak HTTP".to_owned()));
    };
    let malformed = |what: &str| Unanswered(format!("{what} cannot be sent"));
    let mut question = Request::new(());
    *question.method_mut() = incoming.head.method().clone();
    let headers = question.headers_mut();
    for (name, value) in incoming.head.headers() {
        if *name == header::AUTHORIZATION || wanted(include_request_headers, name) {
            headers.append(name, value.clone());
        }
    }
    for (name, value) in additional_headers {
        let name: HeaderName = name.parse().map_err(|_| malformed(name))?;
        headers.insert(name, HeaderValue::try_from(&**value).map_err(|_| malformed(value))?);
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let path = format!("{path_prefix}{}", incoming.path.as_str());
    let path = PathAndQuery::try_from(path).map_err(|_| malformed("the path"))?;
    head::retarget(&mut question, path, &incoming.authority, false).ok_or_else(|| malformed("the authority"))?;
    let (parts, ()) = question.into_parts();
    Ok(Request::from_parts(parts, body::full(body)))
}

/// Asks.
pub(super) async fn ask<H: Host, C: CertificateAuthority>(
    asking: &Asking<'_, H, C>,
    question: Request<Body>,
) -> Result<Answer, Unanswered> {
    let ProviderProtocol::Http { to_upstream_on_allow, to_downstream_on_allow, to_downstream_on_deny, .. } =
        &asking.provider.protocol
    else {
        return Err(Unanswered("the provider does not speak HTTP".to_owned()));
    };
    let (answer, text) = asking.send(Version::Http1, question).await?;
    let status = answer.status().as_u16();
    if status >= 500 {
        return Err(Unanswered(format!("it answered {status}")));
    }
    if status == 200 {
        return Ok(Answer::Allowed(Allowed {
            set: chosen(answer.headers(), |name| wanted(to_upstream_on_allow, name)),
            response: chosen(answer.headers(), |name| wanted(to_downstream_on_allow, name)),
            ..Allowed::default()
        }));
    }
    let seen = |name: &HeaderName| to_downstream_on_deny.is_empty() || wanted(to_downstream_on_deny, name);
    Ok(Answer::Denied {
        status,
        headers: chosen(answer.headers(), seen),
        body: String::from_utf8_lossy(&text).into_owned(),
    })
}

fn wanted(patterns: &[TextMatch], name: &HeaderName) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name.as_str()))
}

/// Those of the provider's headers, but never what frames its own answer.
fn chosen(headers: &HeaderMap, wanted: impl Fn(&HeaderName) -> bool) -> Vec<(HeaderName, HeaderValue)> {
    let framing = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION];
    headers
        .iter()
        .filter(|(name, _)| !framing.contains(name) && wanted(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
