//! Pods and pod templates as written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;

use super::metadata::{annotations, labels, one_of};
use super::place::Place;
use crate::cluster::diagnostic::Problem;
use crate::cluster::names;
use crate::cluster::pod::{Container, ContainerPort, PodSpec, PodTemplate, Protocol};

/// Grace period of pods that write none, as Kubernetes has it.
const GRACE_DEFAULT: Duration = Duration::from_secs(30);

/// A pod template; `place` is the template.
pub(super) fn template(place: Place<'_>, written: &core::PodTemplateSpec) -> Option<Arc<PodTemplate>> {
    let here = place.field("metadata");
    let metadata = written.metadata.as_ref();
    let labels = labels(here.field("labels"), metadata.and_then(|metadata| metadata.labels.as_ref()));
    let annotations =
        annotations(here.field("annotations"), metadata.and_then(|metadata| metadata.annotations.as_ref()));
    let spec = pod_spec(place, written.spec.as_ref())?;
    Some(Arc::new(PodTemplate { labels, annotations, spec }))
}

/// A pod spec; `place` is what has it: the pod or the template.
pub(super) fn pod_spec(place: Place<'_>, written: Option<&core::PodSpec>) -> Option<Arc<PodSpec>> {
    let here = place.field("spec");
    let Some(written) = written.filter(|spec| !spec.containers.is_empty()) else {
        here.error(Problem::new("a pod needs at least one container").hint("list them under `spec.containers`"));
        return None;
    };
    let mut container_names = BTreeSet::new();
    let mut port_names = BTreeMap::new();
    let mut containers = Vec::new();
    for (index, container) in written.containers.iter().enumerate() {
        let place = here.field("containers").item(index);
        containers.push(read_container(place, container, &mut container_names, &mut port_names));
    }
    for (index, container) in written.init_containers.iter().flatten().enumerate() {
        let place = here.field("initContainers").item(index);
        let read = read_container(place, container, &mut container_names, &mut port_names);
        if container.restart_policy.as_deref() == Some("Always") {
            containers.push(read);
        }
    }
    let service_account = written.service_account_name.as_deref().or(written.service_account.as_deref());
    if let Some(name) = service_account.filter(|name| !name.is_empty()) {
        account_place(place).check(names::dns_subdomain("ServiceAccount", name));
    }
    let grace = match written.termination_grace_period_seconds {
        None => GRACE_DEFAULT,
        Some(seconds) => match u64::try_from(seconds) {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let problem = Problem::new(format!("a grace period of {seconds} seconds is negative"));
                here.field("terminationGracePeriodSeconds").error(problem);
                GRACE_DEFAULT
            }
        },
    };
    for field in ["affinity", "topologySpreadConstraints", "schedulingGates"] {
        if here.field(field).is_written() {
            let problem = Problem::new(format!("`{field}` is not simulated: pods are spread evenly over the nodes"));
            here.field(field).notice(problem.hint("use `nodeName` or `nodeSelector` to place pods"));
        }
    }
    let readiness_delay = written.containers.iter().filter_map(readiness_delay).max().unwrap_or_default();
    Some(Arc::new(PodSpec {
        service_account: service_account.filter(|name| !name.is_empty()).unwrap_or("default").into(),
        containers,
        host_network: written.host_network.unwrap_or_default(),
        node_name: written.node_name.as_deref().filter(|name| !name.is_empty()).map(Into::into),
        node_selector: labels(here.field("nodeSelector"), written.node_selector.as_ref()),
        termination_grace_period: grace,
        readiness_delay,
    }))
}

/// Where the service account is written; `place` is what has the pod spec.
pub(super) fn account_place(place: Place<'_>) -> Place<'_> {
    let spec = place.field("spec");
    let name = spec.field("serviceAccountName");
    if name.is_written() { name } else { spec.field("serviceAccount") }
}

fn readiness_delay(container: &core::Container) -> Option<Duration> {
    let seconds = container.readiness_probe.as_ref()?.initial_delay_seconds?;
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

fn read_container(
    place: Place<'_>,
    written: &core::Container,
    container_names: &mut BTreeSet<String>,
    port_names: &mut BTreeMap<(String, String), u32>,
) -> Container {
    place.field("name").check(names::dns_label("container", &written.name));
    if !written.name.is_empty() && !container_names.insert(written.name.clone()) {
        place.field("name").error(Problem::new(format!("two containers are named `{}`", written.name)));
    }
    let mut ports = Vec::new();
    for (index, port) in written.ports.iter().flatten().enumerate() {
        ports.extend(container_port(place.field("ports").item(index), port, &written.name, port_names));
    }
    let environment = written.env.iter().flatten();
    Container {
        name: written.name.as_str().into(),
        image: written.image.as_deref().unwrap_or_default().into(),
        arguments: (written.command.iter().flatten().chain(written.args.iter().flatten()))
            .map(|argument| argument.as_str().into())
            .collect(),
        environment: environment
            .filter_map(|variable| Some((variable.name.as_str().into(), variable.value.as_deref()?.into())))
            .collect(),
        ports,
    }
}

fn container_port(
    place: Place<'_>,
    written: &core::ContainerPort,
    container: &str,
    port_names: &mut BTreeMap<(String, String), u32>,
) -> Option<ContainerPort> {
    if !place.field("containerPort").is_written() {
        place.error(Problem::new("this port has no number").hint("write `containerPort`"));
        return None;
    }
    let number = place.field("containerPort").check(names::port(written.container_port.into()));
    if let Some(host_port) = written.host_port.filter(|port| *port != 0) {
        place.field("hostPort").check(names::port(host_port.into()));
    }
    if let Some(name) = &written.name {
        place.field("name").check(names::port_name(name));
        let uses = port_names.entry((container.to_owned(), name.clone())).or_default();
        *uses += 1;
        if *uses == 2 {
            place.field("name").error(Problem::new(format!("two ports of container `{container}` are named `{name}`")));
        }
    }
    let protocol = protocol(place.field("protocol"), written.protocol.as_deref())?;
    Some(ContainerPort { name: written.name.as_deref().map(Into::into), number: number?, protocol })
}

/// A transport protocol; TCP if not written.
pub(super) fn protocol(place: Place<'_>, written: Option<&str>) -> Option<Protocol> {
    match written {
        None | Some("TCP" | "") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(other) => {
            place.error(one_of("protocol", other, &["TCP", "UDP", "SCTP"]));
            None
        }
    }
}
