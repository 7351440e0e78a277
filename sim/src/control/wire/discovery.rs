//! The task of one stream of delta discovery.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use prost::Message;
use proxy_core::Host;
use proxy_core::grpc::{Code, ServerCall, Status};
use proxy_core::proto::wire::envoy::config::core::v3::Node;
use proxy_core::proto::wire::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use proxy_core::proto::wire::value;
use proxy_core::state::{ConfigSource, Push};

use super::encoding::{Encodings, Frame};
use super::stream::{Answered, Outgoing, Stream};
use crate::control::{ControlPlane, Subscription};

/// Where a proxy says what to call it, in its metadata; without, it is called by its node. A proxy that takes another's place
/// needs a name of its own, since a later stream of one name ends the earlier.
pub const INSTANCE: &str = "MESHSIM_INSTANCE";

/// Serves one subscriber until either side ends the stream. Gives the status to end with.
pub(super) async fn serve<H: Host>(call: &mut ServerCall, control: &ControlPlane<H>, encodings: &Encodings) -> Status {
    match subscriber(call, control, encodings).await {
        Ok(()) => Status::ok(),
        Err(status) => status,
    }
}

enum Heard {
    Message(Option<Bytes>),
    Push(Option<Push>),
}

async fn subscriber<H: Host>(
    call: &mut ServerCall,
    control: &ControlPlane<H>,
    encodings: &Encodings,
) -> Result<(), Status> {
    let Some(first) = call.receive().await? else { return Ok(()) };
    let mut request = read(&first)?;
    let nameless = || Status::new(Code::InvalidArgument, "the first request does not say whose it is");
    let caller = request.node.as_ref().ok_or_else(nameless)?;
    let node = named(caller, "NODE_NAME").unwrap_or(&caller.id);
    if node.is_empty() {
        return Err(nameless());
    }
    let mut stream = Stream::new(node.into());
    let mut source = control.subscribe(named(caller, INSTANCE).unwrap_or(node));
    loop {
        answer(&mut stream, &mut source, &request);
        let told = source.told();
        for outgoing in stream.request(request, told.as_deref()) {
            for frame in frames(encodings, outgoing) {
                call.send_frame(frame.bytes.clone())?;
                stream.sent_beside(frame);
            }
        }
        loop {
            match hear(call, &mut source, stream.is_subscribed()).await? {
                Heard::Message(None) => return Ok(()),
                Heard::Message(Some(message)) => {
                    request = read(&message)?;
                    break;
                }
                Heard::Push(None) => {
                    return Err(Status::new(Code::Aborted, "another stream of this proxy has taken over"));
                }
                Heard::Push(Some(push)) => {
                    let all = source.told().unwrap_or_default();
                    let mut sent = Vec::new();
                    for outgoing in stream.push(&push, &all) {
                        sent.extend(frames(encodings, outgoing));
                    }
                    for frame in &sent {
                        call.send_frame(frame.bytes.clone())?;
                    }
                    if let Some(Answered { push, rejected }) = stream.sent(push.nonce, sent) {
                        source.answer(push, &rejected);
                    }
                }
            }
        }
    }
}

fn answer<H: Host>(stream: &mut Stream, source: &mut Subscription<H>, request: &DeltaDiscoveryRequest) {
    if request.response_nonce.is_empty() {
        return;
    }
    let complaint = request.error_detail.as_ref().map(|detail| detail.message.as_str());
    if let Some(Answered { push, rejected }) = stream.answer(&request.response_nonce, complaint) {
        source.answer(push, &rejected);
    }
}

fn frames(encodings: &Encodings, outgoing: Outgoing) -> Vec<Frame> {
    match outgoing {
        Outgoing::Shared(update, before) => encodings.of_update(&update, &before).to_vec(),
        Outgoing::Own(kind, content) => vec![encodings.of_content(kind, content)],
    }
}

/// Whatever comes first; the subscriber's words win.
async fn hear<H: Host>(call: &mut ServerCall, source: &mut Subscription<H>, pushes: bool) -> Result<Heard, Status> {
    let mut message = pin!(call.receive());
    let mut push = pin!(source.next());
    poll_fn(|context| {
        if let Poll::Ready(message) = message.as_mut().poll(context) {
            return Poll::Ready(message.map(Heard::Message));
        }
        if !pushes {
            return Poll::Pending;
        }
        push.as_mut().poll(context).map(|push| Ok(Heard::Push(push)))
    })
    .await
}

fn read(message: &Bytes) -> Result<DeltaDiscoveryRequest, Status> {
    DeltaDiscoveryRequest::decode(message.clone())
        .map_err(|error| Status::new(Code::InvalidArgument, format!("the request cannot be read: {error}")))
}

/// Text that a subscriber says of itself.
fn named<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    match node.metadata.as_ref()?.fields.get(key)?.kind.as_ref()? {
        value::Kind::StringValue(name) if !name.is_empty() => Some(name),
        _ => None,
    }
}
