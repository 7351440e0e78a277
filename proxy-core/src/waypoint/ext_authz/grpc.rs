//! A provider over gRPC: `envoy.service.auth.v3.Authorization/Check`.

use std::net::SocketAddr;

use ::http::uri::PathAndQuery;
use ::http::{HeaderName, HeaderValue, Method, Request, header};
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use super::super::exchange::Incoming;
use super::super::head;
use super::super::http::body::{self, Body};
use super::super::upstream::target::Version;
use super::messages::{
    Address, Asked, Attributes, CheckRequest, CheckResponse, HeaderOption, Http, Peer, Socket, Timestamp,
};
use super::{Allowed, Answer, Asking, Unanswered, lossy, provider_authority};
use crate::host::Host;
use crate::identity::{CertificateAuthority, Identity};

const METHOD: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The call about a request and the start of its body, or about an opaque connection.
pub(super) fn question<H: Host, C: CertificateAuthority>(
    asking: &Asking<'_, H, C>,
    request: Option<(&Incoming, &Bytes)>,
) -> Result<Request<Body>, Unanswered> {
    let question = attributes(asking, request).encode_to_vec();
    let mut framed = BytesMut::with_capacity(question.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(question.len()).map_err(|_| Unanswered("the question is too long".to_owned()))?);
    framed.extend_from_slice(&question);
    let mut call = Request::new(());
    *call.method_mut() = Method::POST;
    call.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    call.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
    let authority = provider_authority(asking.provider);
    head::retarget(&mut call, PathAndQuery::from_static(METHOD), &authority, true)
        .ok_or_else(|| Unanswered("the provider's name cannot be sent".to_owned()))?;
    let (parts, ()) = call.into_parts();
    Ok(Request::from_parts(parts, body::full(framed.freeze())))
}

/// Asks.
pub(super) async fn ask<H: Host, C: CertificateAuthority>(
    asking: &Asking<'_, H, C>,
    question: Request<Body>,
) -> Result<Answer, Unanswered> {
    let (answer, message) = asking.send(Version::Http2, question).await?;
    match answer.headers().get("grpc-status").map(lossy) {
        Some(code) if code == "0" => {}
        code => return Err(Unanswered(format!("it answered with gRPC status {code:?}"))),
    }
    let message = message.get(5..).ok_or_else(|| Unanswered("its answer is empty".to_owned()))?;
    let answer = CheckResponse::decode(message).map_err(|error| Unanswered(error.to_string()))?;
    Ok(read(answer))
}

fn read(answer: CheckResponse) -> Answer {
    if answer.status.is_none_or(|status| status.code == 0) {
        let ok = answer.ok.unwrap_or_default();
        let appends = |option: &&HeaderOption| option.append.is_some_and(|append| append.value);
        return Answer::Allowed(Allowed {
            set: pairs(ok.headers.iter().filter(|option| !appends(option))),
            append: pairs(ok.headers.iter().filter(appends)),
            remove: ok.headers_to_remove.iter().filter_map(|name| name.parse().ok()).collect(),
            response: pairs(ok.response_headers.iter()),
        });
    }
    let denied = answer.denied.unwrap_or_default();
    let status = denied.status.map_or(403, |status| u16::try_from(status.code).unwrap_or(403));
    Answer::Denied {
        status: if (200..600).contains(&status) { status } else { 403 },
        headers: pairs(denied.headers.iter()),
        body: denied.body,
    }
}

fn pairs<'a>(options: impl Iterator<Item = &'a HeaderOption>) -> Vec<(HeaderName, HeaderValue)> {
    options
        .filter_map(|option| {
            let header = option.header.as_ref()?;
            let value = if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value };
            Some((header.key.parse().ok()?, HeaderValue::from_bytes(value).ok()?))
        })
        .collect()
}

fn attributes<H: Host, C: CertificateAuthority>(
    asking: &Asking<'_, H, C>,
    request: Option<(&Incoming, &Bytes)>,
) -> CheckRequest {
    let now = asking.shared.host.wall_time();
    let time = Timestamp {
        seconds: i64::try_from(now.unix_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(now.unix_nanos() % 1_000_000_000).unwrap_or_default(),
    };
    let as_bytes = asking.provider.body.is_some_and(|body| body.pack_as_bytes);
    let http = request.map(|(incoming, body)| {
        let mut headers: std::collections::BTreeMap<String, String> = incoming
            .head
            .headers()
            .keys()
            .map(|name| {
                let values: Vec<_> = incoming.head.headers().get_all(name).iter().map(lossy).collect();
                (name.as_str().to_owned(), values.join(","))
            })
            .collect();
        let method = incoming.head.method().to_string();
        let (authority, path) = (incoming.authority.to_string(), incoming.path.to_string());
        for (name, value) in [(":authority", &authority), (":method", &method), (":path", &path)] {
            headers.insert(name.to_owned(), value.clone());
        }
        headers.insert(":scheme".to_owned(), "http".to_owned());
        let text = if as_bytes { String::new() } else { String::from_utf8_lossy(body).into_owned() };
        Http {
            id: headers.get(head::REQUEST_ID.as_str()).cloned().unwrap_or_default(),
            method,
            headers,
            path,
            host: authority,
            scheme: "http".to_owned(),
            size: i64::try_from(body.len()).unwrap_or(i64::MAX),
            protocol: if incoming.head.version() == ::http::Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" }.to_owned(),
            body: text,
            raw_body: if as_bytes { body.to_vec() } else { Vec::new() },
        }
    });
    let downstream = asking.downstream;
    CheckRequest {
        attributes: Some(Attributes {
            source: Some(peer(downstream.client, &downstream.identity)),
            destination: Some(peer(downstream.attached.destination(), &asking.shared.config.identity)),
            request: Some(Asked { time: Some(time), http }),
        }),
    }
}

fn peer(address: SocketAddr, identity: &Identity) -> Peer {
    let socket = Socket { address: address.ip().to_string(), port: u32::from(address.port()) };
    Peer { address: Some(Address { socket: Some(socket) }), principal: identity.to_string() }
}
