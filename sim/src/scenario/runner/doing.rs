//! What a step has set in motion, until it is over.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::Host;
use proxy_core::host::Instant;
use proxy_core::identity::Identity;

use super::world::Clients;
use crate::app::{
    Client, HboneExchange, HboneRequest, HttpConnection, HttpExchange, HttpRequest, Order, Reading, RequestKind,
    StreamHandle, StreamSpec, hbone_request,
};
use crate::ground::{Ground, Process};
use crate::mesh::Mesh;
use crate::record::{AppPod, ConditionResult};
use crate::scenario::path::Wanted;
use crate::scenario::plan::{ConnectPlan, HbonePlan, RequestPlan, ShownCertificate};
use crate::scenario::schema::Signer;
use crate::scenario::token::TokenPlan;

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
    /// A hostile HBONE client. It is over by `limit`, unless its process is gone.
    Hbone { client: String, target: String, done: Arc<Mutex<Option<HboneExchange>>>, limit: Instant },
    /// More bytes on a held stream.
    Exchange {
        name: String,
        /// When they were to have come back.
        deadline: Instant,
    },
    /// A look at a held stream.
    Check { name: String },
    /// A look at an object's status: what was found.
    Inspect { conditions: Vec<ConditionResult> },
}

/// HTTP requests.
pub(super) struct Requests {
    pub(super) client: Arc<AppPod>,
    pub(super) target: String,
    pub(super) method: Arc<str>,
    /// Path and query.
    pub(super) path: Arc<str>,
    pub(super) wanted: usize,
    /// Whether it is told who decided what.
    pub(super) explain: bool,
    /// Those that are over, by number.
    pub(super) done: Arc<Mutex<BTreeMap<u32, HttpExchange>>>,
    /// They are over by then.
    pub(super) limit: Instant,
    /// Alive while somebody makes them: their client may go away.
    pub(super) makers: Weak<()>,
}

/// Begins the requests of a step.
pub(super) fn requests<H: Process>(clients: &Clients<H>, plan: &RequestPlan, now: Instant) -> Doing {
    let asked = format!("{} {}", plan.method, plan.to.target);
    let (client, target) = match (clients.first(&plan.from), clients.target(&plan.to)) {
        (Some(client), Some(target)) => (client, target),
        (client, _) => return impossible(client, &plan.from.name, asked),
    };
    let done = Arc::new(Mutex::new(BTreeMap::new()));
    let each = plan.timeout + plan.interval;
    let limit = now + each.saturating_mul(plan.count) + Duration::from_millis(1);
    let said = match plan.kind {
        RequestKind::Plain => plan.method.to_string(),
        RequestKind::Grpc(_) => "gRPC".to_owned(),
        RequestKind::WebSocket(_) => "WebSocket".to_owned(),
    };
    let maker = Arc::new(());
    let doing = Requests {
        client: client.pod.clone(),
        target: format!("{said} {target}"),
        method: plan.method.clone(),
        path: target.path.clone(),
        wanted: plan.count as usize,
        explain: plan.explain,
        done: done.clone(),
        limit,
        makers: Arc::downgrade(&maker),
    };
    let request = HttpRequest {
        target,
        method: plan.method.clone(),
        headers: plan.headers.clone(),
        body: plan.body.clone(),
        http2: plan.http2,
        kind: plan.kind.clone(),
        timeout: plan.timeout,
    };
    let host = client.host.clone();
    let lanes = plan.concurrency.min(plan.count);
    let lane = Lane {
        client,
        request,
        token: plan.token.clone(),
        count: plan.count,
        interval: plan.interval,
        keep_alive: plan.keep_alive,
        next: Arc::default(),
        done,
        _maker: maker,
    };
    host.spawn("scenario requests", lane.run(lanes));
    Doing::Requests(doing)
}

/// Requests one after another; several lanes are several at a time.
#[derive(Clone)]
struct Lane<H: Host> {
    client: Client<H>,
    request: HttpRequest,
    token: Option<TokenPlan>,
    count: u32,
    interval: Duration,
    keep_alive: bool,
    /// The number of the next request, shared by all lanes.
    next: Arc<Mutex<u32>>,
    done: Arc<Mutex<BTreeMap<u32, HttpExchange>>>,
    /// Shared by all lanes.
    _maker: Arc<()>,
}

impl<H: Host> Lane<H> {
    /// Makes all requests, in so many lanes.
    async fn run(self, lanes: u32) {
        let mut kept = None;
        if lanes > 1 {
            // The others share the first one's connection, if it can be shared: so it has to be there.
            if self.keep_alive && self.request.http2 {
                self.one(&mut kept).await;
            }
            for _ in 1..lanes {
                let (lane, kept) = (self.clone(), kept.as_ref().and_then(HttpConnection::shared));
                self.client.host.spawn("scenario requests", lane.follow(kept));
            }
        }
        self.follow(kept).await;
    }

    async fn follow(self, mut kept: Option<HttpConnection<H>>) {
        while self.one(&mut kept).await {}
        if let Some(connection) = kept {
            connection.close();
        }
    }

    /// Makes the next request; `false` if there is none.
    async fn one(&self, kept: &mut Option<HttpConnection<H>>) -> bool {
        let number = {
            let mut next = self.next.lock();
            if *next >= self.count {
                return false;
            }
            *next += 1;
            *next - 1
        };
        if number > 0 && !self.interval.is_zero() {
            self.client.host.sleep(self.interval).await;
        }
        let exchange = match &self.token {
            None => self.client.request(&self.request, self.keep_alive.then_some(kept)).await,
            Some(token) => {
                let mut request = self.request.clone();
                token.attach(&mut request, self.client.host.wall_time());
                self.client.request(&request, self.keep_alive.then_some(kept)).await
            }
        };
        self.done.lock().insert(number, exchange);
        true
    }
}

/// Opens the stream of a step.
pub(super) fn stream<H: Process>(clients: &Clients<H>, plan: &ConnectPlan) -> Doing {
    let (client, target) = match (clients.first(&plan.from), clients.target(&plan.to)) {
        (Some(client), Some(target)) => (client, target),
        (client, _) => return impossible(client, &plan.from.name, plan.to.target.to_string()),
    };
    let spec = StreamSpec {
        target: target.clone(),
        send: plan.send,
        server_first: plan.server_first,
        half_close: plan.half_close,
        read: plan.read,
        hold: plan.hold,
        timeout: plan.timeout,
    };
    let handle = client.connect(spec);
    Doing::Stream { client: client.pod.clone(), target: target.to_string(), handle, plan: plan.clone() }
}

/// Begins the hostile client of a step.
pub(super) fn hbone<G: Ground>(clients: &Clients<G::Host>, plan: &HbonePlan, mesh: &Mesh<G>) -> Doing {
    let asked = format!("HBONE {}", plan.method);
    let (client, address) = match (clients.first(&plan.from), clients.address(&plan.to)) {
        (Some(client), Some(address)) => (client, address),
        (client, _) => return impossible(client, &plan.from.name, asked),
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
    let request = HboneRequest {
        to: SocketAddr::new(address, HBONE_PORT),
        authority: authority.as_str().into(),
        method: plan.method.as_str().into(),
        identity: match &plan.certificate {
            ShownCertificate::Own => clients.identity(&plan.from),
            ShownCertificate::Of(identity) => Some(identity.clone()),
            ShownCertificate::None => None,
        },
        expected: clients.identity(&plan.to).unwrap_or_else(|| Identity::new("", "", "")),
        mesh_root: mesh.authority().root().to_vec(),
        timeout: plan.timeout,
    };
    let target = format!("{asked} {authority} at {}", request.to);
    let authority = (plan.signed_by == Signer::Mesh).then(|| {
        // The authority signs only for who is scheduled: this client has stolen somebody's place.
        let node: Arc<str> = "hostile".into();
        if let Some(identity) = &request.identity {
            // Several may come from one pod at a time, each as somebody else.
            let pod = format!("{} as {identity}", client.pod.uid).into();
            mesh.authority().schedule(&node, &pod, identity.clone());
        }
        mesh.authority().for_node(&node)
    });
    let done = Arc::new(Mutex::new(None));
    let (host, place, journal) = (client.host.clone(), done.clone(), client.journal.clone());
    let limit = mesh.now() + plan.timeout + Duration::from_millis(1);
    let task = host.clone();
    host.spawn("hostile hbone client", async move {
        let exchange = hbone_request(&task, &request, authority.as_ref(), &journal).await;
        *place.lock() = Some(exchange);
    });
    Doing::Hbone { client: client.pod.to_string(), target, done, limit }
}

fn impossible<H: Host>(client: Option<Client<H>>, from: &crate::cluster::ObjectName, target: String) -> Doing {
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
            Doing::Done | Doing::Impossible { .. } | Doing::Check { .. } | Doing::Inspect { .. } => true,
            Doing::Requests(requests) => {
                let all = requests.done.lock().len() >= requests.wanted;
                all || now >= requests.limit || requests.makers.strong_count() == 0
            }
            Doing::Stream { handle, plan, .. } => {
                let report = handle.report();
                report.closed.is_some() || plan.hold && report.established.is_some()
            }
            Doing::Hbone { done, limit, .. } => done.lock().is_some() || now >= *limit,
            Doing::Exchange { name, deadline } => {
                let over = |handle: StreamHandle| {
                    let report = handle.report();
                    report.closed.is_some() || report.whole
                };
                now >= *deadline || held(name).is_none_or(over)
            }
        }
    }

    /// When it is over at the latest, by its own deadlines; `None` if it has none.
    pub(super) fn limit(&self) -> Option<Instant> {
        match self {
            Doing::Requests(requests) => Some(requests.limit),
            Doing::Stream { handle, plan, .. } => Some(handle.report().started + plan.timeout),
            Doing::Hbone { limit, .. } => Some(*limit),
            Doing::Exchange { deadline, .. } => Some(*deadline),
            Doing::Done | Doing::Impossible { .. } | Doing::Check { .. } | Doing::Inspect { .. } => None,
        }
    }

    /// Whose paths will be asked for when the step is judged.
    pub(super) fn wants(&self, wanted: &mut Wanted) {
        match self {
            Doing::Requests(requests) => {
                for exchange in requests.done.lock().values() {
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
            Doing::Done
            | Doing::Impossible { .. }
            | Doing::Exchange { .. }
            | Doing::Check { .. }
            | Doing::Inspect { .. } => {}
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
