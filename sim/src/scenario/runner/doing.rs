//! What a step has set in motion, until it is over.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::Host;
use proxy_core::host::Instant;
use proxy_core::identity::Identity;

use super::world::{Clients, http_request};
use crate::app::{
    Client, HboneExchange, HboneRequest, HttpExchange, Order, Reading, StreamHandle, StreamSpec, hbone_request,
};
use crate::mesh::Mesh;
use crate::node::SimHost;
use crate::record::AppPod;
use crate::scenario::path::Wanted;
use crate::scenario::plan::{ConnectPlan, HbonePlan, RequestPlan, ShownCertificate};
use crate::scenario::schema::Signer;

/// Where node proxies take HBONE.
const HBONE_PORT: u16 = 15008;

/// What a step has set in motion.
pub(super) enum Doing {
    /// It was done at once.
    Done,
    /// It could not be begun, and why.
    Impossible {
        /// Who should have done it.
        client: String,
        /// Where to.
        target: String,
        /// In words.
        error: String,
    },
    /// HTTP requests under way.
    Requests(Requests),
    /// A raw stream.
    Stream { client: Arc<AppPod>, target: String, handle: StreamHandle, plan: ConnectPlan },
    /// A hostile HBONE client.
    Hbone { client: String, target: String, done: Arc<Mutex<Option<HboneExchange>>> },
    /// More bytes on a held stream.
    Exchange {
        name: String,
        /// When they were to have come back.
        deadline: Instant,
    },
    /// A look at a held stream.
    Check { name: String },
}

/// HTTP requests one after another.
pub(super) struct Requests {
    pub(super) client: Arc<AppPod>,
    pub(super) target: String,
    pub(super) wanted: usize,
    pub(super) done: Arc<Mutex<Vec<HttpExchange>>>,
    /// They are over by then, unless their client is gone.
    pub(super) limit: Instant,
}

/// Begins the requests of a step.
pub(super) fn requests(clients: &Clients, plan: &RequestPlan, now: Instant) -> Doing {
    let asked = format!("{} {}", plan.method, plan.to.target);
    let (client, target) = match (clients.first(&plan.from), clients.target(&plan.to)) {
        (Some(client), Some(target)) => (client, target),
        (client, _) => return impossible(client, &plan.from.name, asked),
    };
    let done = Arc::new(Mutex::new(Vec::new()));
    let each = plan.timeout + plan.interval;
    let limit = now + each.saturating_mul(plan.count) + Duration::from_millis(1);
    let doing = Requests {
        client: client.pod.clone(),
        target: format!("{} {target}", plan.method),
        wanted: plan.count as usize,
        done: done.clone(),
        limit,
    };
    let request = http_request(target, &plan.method, &plan.headers, &plan.body, plan.http2, plan.timeout);
    let (count, interval, keep_alive) = (plan.count, plan.interval, plan.keep_alive);
    let host = client.host.clone();
    host.spawn("scenario requests", async move {
        let mut kept = None;
        for number in 0..count {
            if number > 0 && !interval.is_zero() {
                client.host.sleep(interval).await;
            }
            let exchange = client.request(&request, keep_alive.then_some(&mut kept)).await;
            done.lock().push(exchange);
        }
        if let Some(connection) = kept {
            connection.close();
        }
    });
    Doing::Requests(doing)
}

/// Opens the stream of a step.
pub(super) fn stream(clients: &Clients, plan: &ConnectPlan) -> Doing {
    let (client, target) = match (clients.first(&plan.from), clients.target(&plan.to)) {
        (Some(client), Some(target)) => (client, target),
        (client, _) => return impossible(client, &plan.from.name, plan.to.target.to_string()),
    };
    let spec = StreamSpec {
        target: target.clone(),
        send: plan.send,
        half_close: plan.half_close,
        read: plan.read,
        hold: plan.hold,
        timeout: plan.timeout,
    };
    let handle = client.connect(spec);
    Doing::Stream { client: client.pod.clone(), target: target.to_string(), handle, plan: plan.clone() }
}

/// Begins the hostile client of a step.
pub(super) fn hbone(clients: &Clients, plan: &HbonePlan, mesh: &Mesh) -> Doing {
    let asked = format!("HBONE {}", plan.method);
    let (client, address, server) =
        match (clients.first(&plan.from), clients.address(&plan.to), clients.first(&plan.to)) {
            (Some(client), Some(address), Some(server)) => (client, address, server),
            (client, ..) => return impossible(client, &plan.from.name, asked),
        };
    let bracketed = |address: IpAddr| SocketAddr::new(address, 0).to_string().trim_end_matches(":0").to_owned();
    let authority = match &plan.authority {
        None => SocketAddr::new(address, 80).to_string(),
        Some((None, text)) => text.clone(),
        Some((Some(object), rest)) => match clients.address(object) {
            Some(address) => format!("{}{rest}", bracketed(address)),
            None => return impossible(Some(client), &plan.from.name, asked),
        },
    };
    let identity_of = |pod: &Client<SimHost>| clients.identity(&pod.pod);
    let request = HboneRequest {
        to: SocketAddr::new(address, HBONE_PORT),
        authority: authority.as_str().into(),
        method: plan.method.as_str().into(),
        identity: match &plan.certificate {
            ShownCertificate::Own => identity_of(&client),
            ShownCertificate::Of(identity) => Some(identity.clone()),
            ShownCertificate::None => None,
        },
        expected: identity_of(&server).unwrap_or_else(|| Identity::new("", "", "")),
        mesh_root: mesh.authority().root().to_vec(),
        timeout: plan.timeout,
    };
    let target = format!("{asked} {authority} at {}", request.to);
    let authority = (plan.signed_by == Signer::Mesh).then(|| {
        // The authority signs only for who is scheduled: this client has stolen somebody's place.
        let (node, pod): (Arc<str>, Arc<str>) = ("hostile".into(), client.pod.uid.clone());
        if let Some(identity) = &request.identity {
            mesh.authority().schedule(&node, &pod, identity.clone());
        }
        mesh.authority().for_node(&node)
    });
    let done = Arc::new(Mutex::new(None));
    let (host, place, journal) = (client.host.clone(), done.clone(), client.journal.clone());
    let task = host.clone();
    host.spawn("hostile hbone client", async move {
        let exchange = hbone_request(&task, &request, authority.as_ref(), &journal).await;
        *place.lock() = Some(exchange);
    });
    Doing::Hbone { client: client.pod.to_string(), target, done }
}

fn impossible(client: Option<Client<SimHost>>, from: &crate::cluster::ObjectName, target: String) -> Doing {
    match client {
        Some(client) => {
            let error = "the destination has no running pod".to_owned();
            Doing::Impossible { client: client.pod.to_string(), target, error }
        }
        None => {
            Doing::Impossible { client: from.to_string(), target, error: "the client has no running pod".to_owned() }
        }
    }
}

impl Doing {
    /// Whether nothing more is to come of it. `held` finds held streams by name.
    pub(super) fn is_over(&self, now: Instant, held: impl Fn(&str) -> Option<StreamHandle>) -> bool {
        match self {
            Doing::Done | Doing::Impossible { .. } | Doing::Check { .. } => true,
            Doing::Requests(requests) => requests.done.lock().len() >= requests.wanted || now >= requests.limit,
            Doing::Stream { handle, plan, .. } => {
                let report = handle.report();
                report.closed.is_some() || plan.hold && report.established.is_some()
            }
            Doing::Hbone { done, .. } => done.lock().is_some(),
            Doing::Exchange { name, deadline } => {
                let over = |handle: StreamHandle| {
                    let report = handle.report();
                    report.closed.is_some() || report.whole
                };
                now >= *deadline || held(name).is_none_or(over)
            }
        }
    }

    /// Whose paths will be asked for when the step is judged.
    pub(super) fn wants(&self, wanted: &mut Wanted) {
        match self {
            Doing::Requests(requests) => {
                for exchange in requests.done.lock().iter() {
                    wanted.flows.insert(exchange.flow);
                    wanted.locals.extend(exchange.local);
                }
            }
            Doing::Stream { handle, .. } => {
                let report = handle.report();
                wanted.flows.insert(report.flow);
                wanted.locals.extend(report.local);
            }
            Doing::Hbone { done, .. } => wanted.locals.extend(done.lock().as_ref().and_then(|exchange| exchange.local)),
            Doing::Done | Doing::Impossible { .. } | Doing::Exchange { .. } | Doing::Check { .. } => {}
        }
    }

    /// Lets go of what is held open.
    pub(super) fn finish(&self) {
        let Doing::Stream { handle, plan, .. } = self else { return };
        if plan.hold {
            // What is never read to the end cannot end in good order.
            handle.order(if plan.read == Reading::All { Order::Finish } else { Order::Reset });
        }
    }
}
