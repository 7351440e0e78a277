use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::cluster::object::ObjectReference;
use crate::cluster::pod::{PodEvent, PodEventKind, PodPhase};
use crate::cluster::testing::{apply, at, cluster_of};
use crate::cluster::{AddressReuse, ClusterConfig, LabelChange};

fn deployment(name: &str, replicas: u32, extra: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {name} }}
spec:
  replicas: {replicas}
  selector: {{ matchLabels: {{ app: {name} }} }}
  {extra}
  template:
    metadata: {{ labels: {{ app: {name} }} }}
    spec: {{ terminationGracePeriodSeconds: 2, containers: [ {{ name: a, image: one, ports: [ {{ containerPort: 80 }} ] }} ] }}
"
    )
}

fn names(cluster: &Cluster) -> BTreeSet<String> {
    cluster.pods().map(|pod| pod.meta.name().to_owned()).collect()
}

fn reference(kind: Kind, name: &str) -> ObjectReference {
    ObjectReference::new(kind, "default", name)
}

/// Steps at each deadline up to a time; calls `look` after each.
fn walk(cluster: &mut Cluster, until: Instant, mut look: impl FnMut(&Cluster, Instant)) -> Vec<PodEvent> {
    let mut events = Vec::new();
    while let Some(deadline) = cluster.next_deadline().filter(|deadline| *deadline <= until) {
        events.extend(cluster.step(deadline));
        look(cluster, deadline);
    }
    events
}

#[test]
fn a_deployment_makes_a_replica_set_and_pods_named_as_kubernetes_does() {
    let (cluster, _) = cluster_of(&deployment("web", 3, ""));
    let hash = cluster.controller(&reference(Kind::Deployment, "web")).unwrap().template_hash.clone();
    let set = cluster.controller(&reference(Kind::ReplicaSet, &format!("web-{hash}"))).unwrap();
    assert_eq!(set.replicas(), Some(3));
    for pod in cluster.pods() {
        let suffix = pod.meta.name().strip_prefix(&format!("web-{hash}-")).unwrap();
        assert!(suffix.len() == 5 && suffix.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte)));
        assert_eq!(pod.meta.label("pod-template-hash"), Some(&*hash));
        assert_eq!(&*pod.meta.owner.as_ref().unwrap().name, set.meta.name());
        assert!(pod.is_healthy());
    }
    let nodes: BTreeSet<_> = cluster.pods().filter_map(|pod| pod.node.clone()).collect();
    assert_eq!(nodes.len(), 3, "pods of one owner spread over the nodes");
}

#[test]
fn equal_histories_give_equal_names_and_another_seed_others() {
    let text = deployment("web", 3, "");
    let run = |seed| {
        let mut cluster = Cluster::new(ClusterConfig { seed, ..ClusterConfig::with_nodes(3) });
        apply(&mut cluster, &text, at(0));
        cluster.step(at(1000))
    };
    assert_eq!(run(1), run(1));
    let names = |events: Vec<PodEvent>| -> BTreeSet<String> {
        events.iter().map(|event| event.pod.meta.name().to_owned()).collect()
    };
    assert!(names(run(1)).is_disjoint(&names(run(2))));
}

#[test]
fn pods_become_running_then_ready_at_their_times() {
    let mut cluster = Cluster::new(ClusterConfig::default());
    apply(&mut cluster, &deployment("web", 1, ""), at(100));
    let events: Vec<_> = walk(&mut cluster, at(5000), |_, _| {});
    let told: Vec<_> = events.iter().map(|event| (event.at, event.kind)).collect();
    assert_eq!(
        told,
        [(at(100), PodEventKind::Scheduled), (at(300), PodEventKind::Started), (at(600), PodEventKind::Ready)]
    );
    assert_eq!(cluster.next_deadline(), None);
}

#[test]
fn one_late_step_tells_the_same_as_many() {
    let mut often = Cluster::new(ClusterConfig::with_nodes(2));
    let mut once = often.clone();
    apply(&mut often, &deployment("web", 4, ""), at(0));
    apply(&mut once, &deployment("web", 4, ""), at(0));
    assert_eq!(walk(&mut often, at(9000), |_, _| {}), once.step(at(9000)));
}

#[test]
fn a_restart_replaces_every_pod_without_downtime() {
    let (mut cluster, _) = cluster_of(&deployment("web", 4, ""));
    let before = names(&cluster);
    cluster.restart(&reference(Kind::Deployment, "web"), at(10_000)).unwrap();
    let mut most = 0;
    let events = walk(&mut cluster, at(60_000), |cluster, _| {
        let healthy = cluster.pods().filter(|pod| pod.is_healthy()).count();
        let living = cluster.pods().filter(|pod| pod.phase != PodPhase::Terminating).count();
        assert!(healthy >= 3, "at most a quarter unavailable");
        assert!(living <= 5, "at most a quarter more");
        most = most.max(living);
    });
    assert_eq!(most, 5);
    assert!(before.is_disjoint(&names(&cluster)));
    assert_eq!(cluster.pods().count(), 4);
    assert_eq!(events.iter().filter(|event| event.kind == PodEventKind::Gone).count(), 4);
}

#[test]
fn a_rollout_of_pods_that_never_get_ready_stops() {
    let text = deployment("web", 4, "");
    let (mut cluster, _) = cluster_of(&text);
    let broken = text.replace("image: one", "image: two, readinessProbe: { initialDelaySeconds: 100000 }");
    apply(&mut cluster, &broken, at(10_000));
    walk(&mut cluster, at(60_000), |_, _| {});
    let old_and_healthy = cluster.pods().filter(|pod| pod.is_healthy()).count();
    assert_eq!((old_and_healthy, cluster.pods().count()), (3, 5));
    apply(&mut cluster, &text, at(70_000));
    walk(&mut cluster, at(99_000), |_, _| {});
    assert_eq!(cluster.pods().filter(|pod| pod.is_healthy()).count(), 4, "rolled back");
}

#[test]
fn recreate_ends_old_pods_before_new_ones_come() {
    let (mut cluster, _) = cluster_of(&deployment("web", 2, "strategy: { type: Recreate }"));
    let before = names(&cluster);
    cluster.restart(&reference(Kind::Deployment, "web"), at(10_000)).unwrap();
    walk(&mut cluster, at(60_000), |cluster, _| {
        let old = cluster.pods().filter(|pod| before.contains(pod.meta.name())).count();
        assert!(old == 0 || old == cluster.pods().count());
    });
    assert_eq!(cluster.pods().filter(|pod| pod.is_healthy()).count(), 2);
}

#[test]
fn scaling_takes_the_youngest_pods_and_zero_takes_all() {
    let (mut cluster, _) = cluster_of(&deployment("web", 2, ""));
    let first = names(&cluster);
    let web = reference(Kind::Deployment, "web");
    cluster.scale(&web, 4, at(10_000)).unwrap();
    walk(&mut cluster, at(20_000), |_, _| {});
    assert_eq!(cluster.pods().count(), 4);
    cluster.scale(&web, 2, at(20_000)).unwrap();
    walk(&mut cluster, at(30_000), |_, _| {});
    assert_eq!(names(&cluster), first);
    cluster.scale(&web, 0, at(30_000)).unwrap();
    let events = walk(&mut cluster, at(40_000), |_, _| {});
    assert_eq!(cluster.pods().count(), 0);
    let gone: Vec<_> = events.iter().filter(|event| event.kind == PodEventKind::Gone).map(|event| event.at).collect();
    assert_eq!(gone, [at(32_000), at(32_000)], "after the grace period");
}

#[test]
fn an_apply_that_says_no_replicas_leaves_what_scale_has_set() {
    let silent = deployment("web", 1, "").replace("replicas: 1", "");
    let (mut cluster, _) = cluster_of(&silent);
    cluster.scale(&reference(Kind::Deployment, "web"), 3, at(10_000)).unwrap();
    let applied = apply(&mut cluster, &silent, at(11_000));
    assert_eq!(applied.changes[0].kind, crate::cluster::ChangeKind::Unchanged);
    cluster.step(at(20_000));
    assert_eq!(cluster.pods().count(), 3);
    apply(&mut cluster, &deployment("web", 1, ""), at(20_000));
    cluster.step(at(40_000));
    assert_eq!(cluster.pods().count(), 1);
}

#[test]
fn a_deleted_pod_is_replaced_and_its_address_is_not_given_out_at_once() {
    let (mut cluster, _) = cluster_of(&deployment("web", 1, ""));
    let old = cluster.pods().next().unwrap().clone();
    let pod = ObjectReference { kind: Kind::Pod, name: old.meta.key.clone() };
    cluster.delete(&pod, Some(Duration::ZERO), at(10_000)).unwrap();
    cluster.step(at(20_000));
    let new = cluster.pods().next().unwrap();
    assert_ne!((new.meta.name(), &new.meta.uid), (old.meta.name(), &old.meta.uid));
    assert_ne!(new.addresses, old.addresses);
}

#[test]
fn immediate_reuse_gives_the_address_of_a_gone_pod_to_the_next_one_on_its_node() {
    let config = ClusterConfig { address_reuse: AddressReuse::Immediate, ..ClusterConfig::default() };
    let mut cluster = Cluster::new(config);
    apply(&mut cluster, &deployment("web", 1, ""), at(0));
    apply(&mut cluster, &deployment("other", 0, ""), at(0));
    cluster.step(at(5_000));
    let old = cluster.pods().next().unwrap().addresses.clone();
    cluster.scale(&reference(Kind::Deployment, "web"), 0, at(5_000)).unwrap();
    cluster.step(at(10_000));
    cluster.scale(&reference(Kind::Deployment, "other"), 1, at(10_000)).unwrap();
    cluster.step(at(11_000));
    assert_eq!(cluster.pods().next().unwrap().addresses, old);
}

#[test]
fn a_stateful_set_comes_and_goes_in_order() {
    let text = "
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db }
spec:
  replicas: 3
  serviceName: db
  selector: { matchLabels: { app: db } }
  template:
    metadata: { labels: { app: db } }
    spec: { terminationGracePeriodSeconds: 1, containers: [ { name: a } ] }
";
    let mut cluster = Cluster::new(ClusterConfig::default());
    apply(&mut cluster, text, at(0));
    let story = |events: Vec<PodEvent>| -> Vec<String> {
        let kinds = [PodEventKind::Ready, PodEventKind::Scheduled, PodEventKind::Gone];
        let told = events.into_iter().filter(|event| kinds.contains(&event.kind));
        told.map(|event| format!("{:?} {}", event.kind, event.pod.meta.name())).collect()
    };
    assert_eq!(
        story(cluster.step(at(10_000))),
        ["Scheduled db-0", "Ready db-0", "Scheduled db-1", "Ready db-1", "Scheduled db-2", "Ready db-2"]
    );
    cluster.restart(&reference(Kind::StatefulSet, "db"), at(10_000)).unwrap();
    assert_eq!(
        story(cluster.step(at(20_000))),
        [
            "Gone db-2",
            "Scheduled db-2",
            "Ready db-2",
            "Gone db-1",
            "Scheduled db-1",
            "Ready db-1",
            "Gone db-0",
            "Scheduled db-0",
            "Ready db-0"
        ]
    );
    cluster.scale(&reference(Kind::StatefulSet, "db"), 1, at(20_000)).unwrap();
    assert_eq!(story(cluster.step(at(30_000))), ["Gone db-2", "Gone db-1"]);
}

#[test]
fn a_daemon_set_has_a_pod_on_each_node_that_fits() {
    let text = "
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: agent }
spec:
  selector: { matchLabels: { app: agent } }
  template:
    metadata: { labels: { app: agent } }
    spec: { hostNetwork: true, terminationGracePeriodSeconds: 0, nodeSelector: { agent: 'yes' }, containers: [ { name: a } ] }
";
    let (mut cluster, _) = cluster_of(text);
    assert_eq!(cluster.pods().count(), 0);
    for node in ["node-1", "node-3"] {
        let change = LabelChange::Set("agent".into(), "yes".into());
        cluster.label(&reference(Kind::Node, node), &[change], at(10_000)).unwrap();
    }
    cluster.step(at(20_000));
    let places = |cluster: &Cluster| -> Vec<_> {
        cluster.pods().map(|pod| (pod.node.as_deref().unwrap().to_owned(), pod.addresses[0].to_string())).collect()
    };
    let mut found = places(&cluster);
    found.sort();
    assert_eq!(found, [("node-1".into(), "172.18.0.2".into()), ("node-3".into(), "172.18.0.4".into())]);
    cluster.restart(&reference(Kind::DaemonSet, "agent"), at(20_000)).unwrap();
    walk(&mut cluster, at(30_000), |cluster, _| assert!(cluster.pods().filter(|pod| pod.is_healthy()).count() >= 1));
    assert_eq!(cluster.pods().filter(|pod| pod.is_healthy()).count(), 2);
    apply(
        &mut cluster,
        "{ apiVersion: v1, kind: Node, metadata: { name: fourth, labels: { agent: 'yes' } } }",
        at(30_000),
    );
    cluster.step(at(40_000));
    assert_eq!(cluster.pods().count(), 3);
    cluster.delete(&reference(Kind::Node, "node-1"), None, at(40_000)).unwrap();
    cluster.step(at(40_000));
    assert_eq!(cluster.pods().count(), 2);
}

#[test]
fn a_job_keeps_its_pods_running() {
    let (cluster, _) = cluster_of(
        "
apiVersion: batch/v1
kind: Job
metadata: { name: load }
spec:
  parallelism: 2
  completions: 5
  template: { metadata: { labels: { app: load } }, spec: { restartPolicy: Never, containers: [ { name: a } ] } }
",
    );
    assert_eq!(cluster.pods().filter(|pod| pod.is_healthy() && pod.meta.label("job-name") == Some("load")).count(), 2);
}

#[test]
fn a_pod_whose_labels_no_longer_match_is_let_go_and_replaced() {
    let (mut cluster, _) = cluster_of(&deployment("web", 1, ""));
    let pod = cluster.pods().next().unwrap().meta.key.clone();
    let object = ObjectReference { kind: Kind::Pod, name: pod.clone() };
    cluster.label(&object, &[LabelChange::Set("app".into(), "quarantine".into())], at(10_000)).unwrap();
    cluster.step(at(20_000));
    assert_eq!(cluster.pods().count(), 2);
    assert_eq!(cluster.pod(&pod).unwrap().meta.owner, None);
}

#[test]
fn a_deleted_namespace_takes_everything_and_goes_with_its_last_pod() {
    let mut cluster = Cluster::new(ClusterConfig::default());
    let text = deployment("web", 2, "").replace("{ name: web }", "{ name: web, namespace: shop }");
    apply(
        &mut cluster,
        &format!("{{ apiVersion: v1, kind: Namespace, metadata: {{ name: shop }} }}\n---{text}"),
        at(0),
    );
    cluster.step(at(5_000));
    cluster.delete(&ObjectReference::new(Kind::Namespace, "", "shop"), None, at(5_000)).unwrap();
    cluster.step(at(5_000));
    assert!(cluster.namespace("shop").unwrap().deleting && cluster.controllers().count() == 0);
    assert!(cluster.pods().all(|pod| pod.phase == PodPhase::Terminating));
    cluster.step(at(7_000));
    assert!(cluster.namespace("shop").is_none() && cluster.pods().count() == 0);
}

#[test]
fn namespaces_kubernetes_needs_cannot_be_deleted() {
    let mut cluster = Cluster::new(ClusterConfig::default());
    let problem = cluster.delete(&ObjectReference::new(Kind::Namespace, "", "default"), None, at(0)).unwrap_err();
    assert_eq!(problem.message, "namespace `default` cannot be deleted");
}

#[test]
fn pods_that_fit_nowhere_wait_for_a_node() {
    let (mut cluster, _) = cluster_of(
        "{ apiVersion: v1, kind: Pod, metadata: { name: p }, spec: { nodeName: late, containers: [ { name: a } ] } }",
    );
    assert_eq!(cluster.unscheduled().count(), 1);
    apply(&mut cluster, "{ apiVersion: v1, kind: Node, metadata: { name: late } }", at(10_000));
    cluster.step(at(20_000));
    assert!(cluster.pods().all(|pod| pod.is_healthy()));
}

#[test]
fn copies_of_a_large_cluster_are_cheap_and_independent() {
    let mut cluster = Cluster::new(ClusterConfig::with_nodes(20));
    apply(&mut cluster, &deployment("web", 2000, ""), at(0));
    cluster.step(at(5_000));
    let copy = cluster.clone();
    cluster.scale(&reference(Kind::Deployment, "web"), 0, at(5_000)).unwrap();
    cluster.step(at(20_000));
    assert_eq!((copy.pods().count(), cluster.pods().count()), (2000, 0));
}
