//! The HTTP/1.1 side of a server.

use std::net::IpAddr;
use std::sync::Arc;

use proxy_core::Host;
use proxy_core::host::Stream;

use super::answer::{Fate, Reply, failure_of, fate};
use super::behaviour::Answer;
use super::flow::ending_of;
use super::http1::{MessageError, Messages, RequestHead, header, keeps_alive, phrase};
use super::raw_server::{chunk_at, time_for};
use super::server::Session;
use super::wire::Wire;
use super::{echo, websocket};
use crate::record::{Ending, ReceivedHead};

/// Answers requests one after another until the client is done.
pub(crate) async fn serve<H: Host>(mut session: Session<H>, wire: Wire<H::Tcp>) {
    let mut messages = Messages::new(wire);
    let ending = match converse(&mut session, &mut messages).await {
        Ok(Next::Close) => {
            let _ = messages.finish().await;
            Ending::Finished
        }
        Ok(Next::Drop) => Ending::ClosedByUs,
        Ok(Next::Reset) => {
            session.end.ended(Ending::ClosedByUs);
            return messages.into_wire().into_inner().reset();
        }
        Err(MessageError::Ended) => Ending::Finished,
        Err(MessageError::Truncated) => Ending::ClosedByPeer,
        Err(MessageError::Malformed(_)) => {
            let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = messages.write(answer).await;
            Ending::ClosedByUs
        }
        Err(MessageError::Stream(error)) => ending_of(&error),
    };
    session.end.ended(ending);
}

enum Next {
    Close,
    Drop,
    Reset,
}

async fn converse<H: Host>(session: &mut Session<H>, messages: &mut Messages<H::Tcp>) -> Result<Next, MessageError> {
    loop {
        let head = messages.read_request().await?;
        let framing = head.framing();
        let keeps_alive = keeps_alive(head.minor, &head.headers);
        let head = Arc::new(received(head));
        if let Some(flow) = echo::flow_of(&head.headers) {
            session.accepted(flow, Some(head.clone()));
        }
        let failure = failure_of(&session.server, &head);
        messages.read_body(framing?, 0).await?;
        session.think().await;
        let source: IpAddr = session.peer.ip();
        let reply = match fate(&session.server, &head, source, failure) {
            Fate::Reply(reply) => reply,
            Fate::Never => {
                messages.stirred().await;
                return Err(MessageError::Ended);
            }
            Fate::Close => return Ok(Next::Drop),
            Fate::Reset => return Ok(Next::Reset),
        };
        if failure.is_none()
            && let Some(key) = websocket::asked_for(&head)
        {
            let server = &session.server;
            websocket::serve(messages, key, &server.pod, source, &server.behaviour.headers).await?;
            return Ok(Next::Close);
        }
        let goes_on = keeps_alive && session.server.behaviour.answer == Answer::Echo;
        write(session, messages, &reply, &head.method, goes_on).await?;
        if !goes_on {
            return Ok(Next::Close);
        }
    }
}

fn received(head: RequestHead) -> ReceivedHead {
    ReceivedHead {
        host: header(&head.headers, "host").unwrap_or_default().to_owned(),
        method: head.method,
        path: head.target,
        proto: if head.minor == 0 { "HTTP/1.0" } else { "HTTP/1.1" },
        headers: head.headers,
    }
}

async fn write<H: Host>(
    session: &Session<H>,
    messages: &mut Messages<H::Tcp>,
    reply: &Reply,
    method: &str,
    goes_on: bool,
) -> Result<(), MessageError> {
    let chunked = reply.has_body() && !reply.trailers.is_empty();
    let (own, more) = reply.headers.split_at(reply.headers.len().min(1));
    let mut bytes = format!("HTTP/1.1 {} {}\r\n", reply.status, phrase(reply.status)).into_bytes();
    let put = |bytes: &mut Vec<u8>, name: &str, value: &str| {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    };
    for (name, value) in own {
        put(&mut bytes, name, value);
    }
    if chunked {
        let names: Vec<&str> = reply.trailers.iter().map(|(name, _)| name.as_str()).collect();
        put(&mut bytes, "transfer-encoding", "chunked");
        put(&mut bytes, "trailer", &names.join(", "));
    } else if reply.has_body() {
        put(&mut bytes, "content-length", &reply.body.len().to_string());
    }
    for (name, value) in more {
        put(&mut bytes, name, value);
    }
    if !goes_on {
        put(&mut bytes, "connection", "close");
    }
    bytes.extend_from_slice(b"\r\n");
    if method == "HEAD" || !reply.has_body() {
        return Ok(messages.write(&bytes).await?);
    }
    let rate = session.server.behaviour.body_rate;
    let most = rate.map_or(usize::MAX, chunk_at);
    let mut rest = &reply.body[..];
    loop {
        let (part, later) = rest.split_at(rest.len().min(most));
        rest = later;
        if chunked && !part.is_empty() {
            bytes.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        }
        bytes.extend_from_slice(part);
        if chunked && !part.is_empty() {
            bytes.extend_from_slice(b"\r\n");
        }
        if rest.is_empty() {
            break;
        }
        messages.write(&bytes).await?;
        bytes.clear();
        if let Some(rate) = rate {
            session.server.host.sleep(time_for(part.len(), rate)).await;
        }
    }
    if chunked {
        bytes.extend_from_slice(b"0\r\n");
        for (name, value) in &reply.trailers {
            put(&mut bytes, name, value);
        }
        bytes.extend_from_slice(b"\r\n");
    }
    Ok(messages.write(&bytes).await?)
}
