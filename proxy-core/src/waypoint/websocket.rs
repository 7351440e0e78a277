//! Connections that were switched to another protocol.

use std::sync::Arc;

use ::http::Response;

use super::exchange::Turn;
use super::http::body::{self, Body};
use super::http::io::FromHyper;
use super::log::RequestLog;
use crate::host::Host;
use crate::identity::CertificateAuthority;
use crate::net::copy::{Meter, OnResets, Side, copy};
use crate::net::race::race;

/// Bytes of a connection that was upgraded count as the request's.
struct Upgraded(Arc<RequestLog>);

impl Meter for Upgraded {
    fn forwarded(&self, to: Side, bytes: u64) {
        match to {
            Side::Client => self.0.counts().add(0, bytes),
            Side::Server => self.0.counts().add(bytes, 0),
        }
    }
}

/// Joins the two sides once both have been let go of. The answer is the server's, without a body.
pub(super) fn switch<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    client: Option<hyper::upgrade::OnUpgrade>,
    mut response: Response<Body>,
) -> Response<Body> {
    let server = hyper::upgrade::on(&mut response);
    let (parts, _) = response.into_parts();
    if let Some(client) = client {
        let watcher = turn.shared.drain.watcher();
        let meter = Upgraded(turn.log.clone());
        turn.shared.host.spawn("websocket", async move {
            let joined = async {
                let (Ok(client), Ok(server)) = (client.await, server.await) else { return };
                let _ = copy(&mut FromHyper(client), &mut FromHyper(server), OnResets::APPLICATIONS, &meter).await;
            };
            race(watcher.cut(), joined).await;
            meter.0.finish();
        });
    }
    Response::from_parts(parts, body::empty())
}
