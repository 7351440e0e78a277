use proxy_core::host::Instant;
use proxy_core::policy::{Connection, Verdict, authorize};

use super::*;
use crate::cluster::{Cluster, ClusterConfig, ObjectName};
use MutualTlsMode::{Disable, Permissive, Strict, Unset};

const ROOT: &str = "istio-system";

struct Owned(PeerAuthentication);

impl AsRef<PeerAuthentication> for Owned {
    fn as_ref(&self) -> &PeerAuthentication {
        &self.0
    }
}

fn peer(namespace: &str, name: &str, mode: MutualTlsMode, ports: &[(u16, MutualTlsMode)], order: u64) -> Owned {
    let cluster = Cluster::new(ClusterConfig::default());
    let mut meta = cluster.namespace("default").expect("always there").meta.clone();
    (meta.key, meta.created, meta.order) = (ObjectName::new(namespace, name), Instant::START, order);
    let selector = name.starts_with("select").then(app);
    Owned(PeerAuthentication { meta, selector, mode, port_modes: ports.iter().copied().collect() })
}

fn app() -> Labels {
    Labels::from([("app".into(), "a".into())])
}

/// Whether plaintext from anyone to this port of a workload `app: a` in `foo` is admitted.
fn admits_plaintext(peers: &[Owned], port: u16) -> bool {
    let modes = PeerModes::new(ROOT, peers.iter());
    let attached = modes.attached("foo", &app());
    let authorizations = modes.authorizations();
    let applying: Vec<&Authorization> = authorizations.iter().filter(|it| Some(&it.key) == attached.as_ref()).collect();
    assert_eq!(applying.len(), usize::from(attached.is_some()), "a named policy must be sent: {attached:?}");
    let connection = Connection {
        identity: None,
        source: "10.0.0.9:1234".parse().unwrap(),
        destination: std::net::SocketAddr::new("10.0.0.1".parse().unwrap(), port),
    };
    let admitted = authorize(applying.iter().copied(), &connection).verdict == Verdict::Allowed { by: None };
    let identity = Some(proxy_core::identity::Identity::new("cluster.local", "x", "y"));
    let proven = authorize(applying.iter().copied(), &Connection { identity, ..connection }).verdict;
    assert!(proven.is_allowed(), "a proven caller is never refused");
    admitted
}

#[test]
fn scopes_override_each_other_from_mesh_to_workload() {
    // Mesh, namespace, workload; whether plaintext is admitted.
    let table = [
        (None, None, None, true),
        (Some(Strict), None, None, false),
        (Some(Permissive), None, None, true),
        (Some(Disable), None, None, true),
        (Some(Unset), None, None, true),
        (None, Some(Strict), None, false),
        (Some(Strict), Some(Permissive), None, true),
        (Some(Strict), Some(Disable), None, true),
        (Some(Strict), Some(Unset), None, false),
        (Some(Permissive), Some(Strict), None, false),
        (None, None, Some(Strict), false),
        (Some(Strict), None, Some(Permissive), true),
        (Some(Strict), None, Some(Disable), true),
        (Some(Strict), None, Some(Unset), false),
        (Some(Strict), Some(Permissive), Some(Unset), true),
        (Some(Permissive), Some(Strict), Some(Unset), false),
        (Some(Permissive), Some(Permissive), Some(Strict), false),
    ];
    for (mesh, namespace, workload, admitted) in table {
        let peers: Vec<Owned> = [
            mesh.map(|mode| peer(ROOT, "mesh", mode, &[], 0)),
            namespace.map(|mode| peer("foo", "namespace", mode, &[], 1)),
            workload.map(|mode| peer("foo", "select", mode, &[], 2)),
        ]
        .into_iter()
        .flatten()
        .collect();
        assert_eq!(admits_plaintext(&peers, 80), admitted, "{mesh:?} {namespace:?} {workload:?}");
    }
}

#[test]
fn port_modes_are_exceptions_from_the_mode_in_force() {
    // Mesh mode, workload mode, modes of port 80 and 81; whether plaintext is admitted on 80, 81 and 82.
    let table = [
        (Permissive, Strict, [Permissive, Strict], [true, false, false]),
        (Permissive, Strict, [Disable, Permissive], [true, true, false]),
        (Permissive, Strict, [Strict, Strict], [false, false, false]),
        (Permissive, Strict, [Unset, Permissive], [false, true, false]),
        (Strict, Permissive, [Strict, Permissive], [false, true, true]),
        (Strict, Permissive, [Unset, Strict], [true, false, true]),
        (Strict, Disable, [Strict, Strict], [false, false, true]),
        (Strict, Permissive, [Permissive, Disable], [true, true, true]),
        (Strict, Unset, [Permissive, Unset], [true, false, false]),
        // Upstream leaves this one strict on port 80, though it converts DISABLE as PERMISSIVE.
        (Strict, Unset, [Disable, Strict], [true, false, false]),
        (Permissive, Unset, [Strict, Unset], [false, true, true]),
        (Permissive, Unset, [Permissive, Disable], [true, true, true]),
    ];
    for (mesh, workload, ports, admitted) in table {
        let ports = [(80, ports[0]), (81, ports[1])];
        let peers = [peer(ROOT, "mesh", mesh, &[], 0), peer("foo", "select", workload, &ports, 1)];
        let found = [80, 81, 82].map(|port| admits_plaintext(&peers, port));
        assert_eq!(found, admitted, "mesh {mesh:?}, workload {workload:?}, ports {ports:?}");
    }
}

#[test]
fn exceptions_of_strict_are_clauses_of_one_rule_and_replace_the_static_policy() {
    let ports = [(80, Permissive), (81, Disable)];
    let peers = [peer("foo", "select", Strict, &ports, 0)];
    let modes = PeerModes::new(ROOT, peers.iter());
    let key = PolicyKey::new("foo", "converted_peer_authentication_select");
    assert_eq!(modes.attached("foo", &app()), Some(key.clone()));
    let authorizations = modes.authorizations();
    let converted = authorizations.iter().find(|it| it.key == key).unwrap();
    let except = |port| Clause { matches: vec![Match { not_destination_ports: vec![port], ..Match::default() }] };
    let expected = Rule { clauses: vec![Clause { matches: vec![no_identity()] }, except(80), except(81)] };
    assert_eq!(converted.rules, [expected]);
    assert_eq!((converted.action, converted.scope), (Action::Deny, Scope::WorkloadSelector));
}

#[test]
fn strict_ports_of_a_permissive_workload_are_rules_of_their_own() {
    let peers = [peer("foo", "select", Permissive, &[(80, Strict), (81, Strict)], 0)];
    let authorizations = PeerModes::new(ROOT, peers.iter()).authorizations();
    let converted = authorizations.last().unwrap();
    assert_eq!(converted.rules.len(), 2);
    assert!(converted.rules.iter().all(|rule| rule.clauses.len() == 1));
}

#[test]
fn the_static_policy_exists_once_any_peer_authentication_does() {
    assert!(PeerModes::new(ROOT, std::iter::empty::<&Owned>()).authorizations().is_empty());
    let peers = [peer("foo", "namespace", Permissive, &[], 0)];
    let authorizations = PeerModes::new(ROOT, peers.iter()).authorizations();
    assert_eq!(authorizations.len(), 1);
    assert_eq!(authorizations[0].key.to_string(), "istio-system/istio_converted_static_strict");
}

#[test]
fn the_oldest_of_one_scope_wins() {
    let peers = [peer("foo", "b", Permissive, &[], 1), peer("foo", "a", Strict, &[], 2)];
    assert!(admits_plaintext(&peers, 80));
    let peers = [peer("foo", "select-b", Permissive, &[], 2), peer("foo", "select-a", Strict, &[], 1)];
    assert!(!admits_plaintext(&peers, 80));
}

#[test]
fn selectors_in_the_root_namespace_and_port_modes_without_selector_are_ignored() {
    assert!(admits_plaintext(&[peer(ROOT, "select", Strict, &[], 0)], 80));
    assert!(!admits_plaintext(&[peer("foo", "namespace", Strict, &[(80, Permissive)], 0)], 80));
}
