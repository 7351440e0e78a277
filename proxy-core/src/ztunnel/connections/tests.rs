use std::future::Future;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::identity::Identity;
use crate::policy::{Action, Authorization, Clause, Connection, Match, PolicyKey, Rule, Scope, StringMatch};
use crate::state::{Resource, ResourceName, SharedUpdate, StateHandle, Update};
use crate::telemetry::{ConnectionSecurity, Event, Hop, Reporter, Sink, TraceId};

const CLIENT: &str = "cluster.local/ns/a/sa/client";
const SERVER: &str = "k//Pod/b/server";

#[derive(Default)]
struct Collected(Mutex<Vec<Event>>);

impl Sink for Collected {
    fn record(&self, event: Event) {
        self.0.lock().push(event);
    }
}

fn server(policies: &[&str]) -> Resource {
    Resource::Workload(Arc::new(Workload {
        uid: SERVER.into(),
        name: "server".into(),
        namespace: "b".into(),
        addresses: vec!["10.0.0.2".parse().unwrap()],
        authorization_policies: policies.iter().map(|name| PolicyKey::new("b", name)).collect(),
        ..Workload::default()
    }))
}

fn policy(name: &str, scope: Scope, action: Action, principal: &str) -> Resource {
    let matched = Match { principals: vec![StringMatch::Exact(principal.into())], ..Match::default() };
    Resource::Authorization(Arc::new(Authorization {
        key: PolicyKey::new("b", name),
        scope,
        action,
        rules: vec![Rule { clauses: vec![Clause { matches: vec![matched] }] }],
        dry_run: false,
    }))
}

struct Setup {
    state: StateHandle,
    connections: Connections,
    sink: Arc<Collected>,
}

impl Setup {
    fn with(resources: Vec<Resource>) -> Self {
        let (state, sink) = (StateHandle::new(), Arc::new(Collected::default()));
        let setup = Setup { state, connections: Connections::default(), sink };
        setup.push(resources);
        setup
    }

    fn push(&self, upserted: Vec<Resource>) {
        self.state.apply(&SharedUpdate::new(Update { removed: Vec::new(), upserted }));
    }

    fn workload(&self) -> Option<Arc<Workload>> {
        self.state.snapshot().workload(SERVER).cloned()
    }

    fn admit(&self, id: u64) -> Tracked {
        let source: SocketAddr = "10.0.0.1:41000".parse().unwrap();
        let info = Arc::new(ConnectionInfo {
            id: ConnectionId(id),
            trace: TraceId::default(),
            reporter: Reporter::Destination,
            local_workload: self.workload(),
            source,
            source_workload: None,
            source_identity: None,
            original_destination: "10.0.0.2:15008".parse().unwrap(),
            destination: None,
            authority: None,
            destination_workload: self.workload(),
            destination_service: None,
            destination_service_name: None,
            hop: Hop::Hbone,
            security: ConnectionSecurity::MutualTls,
        });
        let connection = Connection {
            identity: Some(Identity::new("cluster.local", "a", "client")),
            source,
            destination: "10.0.0.2:8080".parse().unwrap(),
        };
        self.connections.track(Record::new(info, Some(connection), Instant::START, self.sink.clone()))
    }

    fn recheck(&self, policies: bool, workload: bool) -> usize {
        let snapshot = self.state.snapshot();
        let ours = self.workload();
        self.connections.recheck(&snapshot, ours.as_ref(), Change { policies, workload }, Instant::START)
    }
}

fn ordered(tracked: &Tracked) -> Option<Reason> {
    let waiting = std::pin::pin!(tracked.ordered_to_end());
    match waiting.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(failure) => Some(failure.reason),
        Poll::Pending => None,
    }
}

#[test]
fn a_new_deny_of_the_namespace_cuts_what_it_refuses() {
    let setup = Setup::with(vec![server(&[])]);
    let live = setup.admit(1);
    setup.push(vec![policy("deny", Scope::Namespace, Action::Deny, "somebody/else")]);
    assert_eq!(setup.recheck(true, false), 0);
    assert_eq!(ordered(&live), None);
    setup.push(vec![policy("deny", Scope::Namespace, Action::Deny, CLIENT)]);
    assert_eq!(setup.recheck(true, false), 1);
    assert_eq!(ordered(&live), Some(Reason::PolicyChanged));
    assert!(setup.sink.0.lock().iter().any(|event| matches!(event, Event::Judged { .. })));
}

#[test]
fn a_new_attachment_of_the_workload_cuts_what_it_refuses() {
    let deny = policy("deny", Scope::WorkloadSelector, Action::Deny, CLIENT);
    let setup = Setup::with(vec![server(&[]), deny]);
    let live = setup.admit(1);
    setup.push(vec![server(&["deny"])]);
    assert_eq!(setup.recheck(false, true), 1);
    assert_eq!(ordered(&live), Some(Reason::WorkloadChanged));
}

#[test]
fn a_workload_that_is_gone_cuts_everything() {
    let setup = Setup::with(vec![server(&[])]);
    let live = setup.admit(1);
    let removed = vec![ResourceName::Workload(SERVER.into())];
    setup.state.apply(&SharedUpdate::new(Update { removed, upserted: Vec::new() }));
    assert_eq!(setup.recheck(false, true), 1);
    assert_eq!(ordered(&live), Some(Reason::WorkloadRemoved));
}

#[test]
fn a_closed_table_cuts_what_it_holds_and_what_comes_later() {
    let setup = Setup::with(vec![server(&[])]);
    let early = setup.admit(1);
    setup.connections.close(&Failure::new(Reason::Drained, "drained"));
    setup.connections.close(&Failure::new(Reason::WorkloadRemoved, "later"));
    let late = setup.admit(2);
    assert_eq!((ordered(&early), ordered(&late)), (Some(Reason::Drained), Some(Reason::Drained)));
}

#[test]
fn connections_leave_the_table_when_they_end() {
    let setup = Setup::with(vec![server(&[])]);
    let (first, second) = (setup.admit(1), setup.admit(2));
    drop(first);
    assert_eq!(setup.connections.list().iter().map(|live| live.info.id.0).collect::<Vec<_>>(), [2]);
    drop(second);
    assert!(setup.connections.list().is_empty());
}
