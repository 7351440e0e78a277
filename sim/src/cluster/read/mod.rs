//! From documents to objects: which kind it is, strict typed reading, and checks that need only the object itself.
//!
//! - [`place`]: a spot in a document, and the report of what is wrong there.
//! - [`kinds`]: which kinds are simulated, and what to say about the others.
//! - [`metadata`], [`pods`], [`controllers`], [`services`], [`policies`], [`entries`]: one file per family of kinds.
//! - [`traffic`]: what waypoints are and do, by [`gateways`], [`routes`], [`filters`], [`virtual_services`],
//!   [`destination_rules`], [`authentications`], [`mesh_options`].

mod authentications;
mod controllers;
mod destination_rules;
mod entries;
mod filters;
mod gateways;
mod kinds;
mod mesh_options;
mod metadata;
mod place;
mod pods;
mod policies;
mod routes;
mod services;
mod traffic;
mod virtual_services;

pub(crate) use authentications::is_literal;
pub(crate) use virtual_services::grpc_status;

use std::sync::Arc;

use k8s_openapi::api::{apps::v1 as apps, batch::v1 as batch, core::v1 as core, discovery::v1 as discovery};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::config::ClusterConfig;
use super::diagnostic::{Diagnostic, Problem, Source, did_you_mean, in_order_of_writing};
use super::enrollment::{DATAPLANE_MODE_LABEL, INJECT_LABEL};
use super::object::{Kind, Labels, Meta, ObjectReference};
use super::pod::{Pod, PodPhase, PodTimes};
use super::store::{Namespace, Node, Object, ServiceAccount};
use super::yaml::{self, Document};
use place::{Place, Report};

/// An object as read, with what the store needs to know about how it was written.
pub(super) struct Written {
    /// The object; what the cluster gives (uid, times, addresses) is blank.
    pub(super) object: Object,
    /// Whether the manifest says how many replicas there are.
    pub(super) says_replicas: bool,
    /// Where its namespace is written, or its name.
    pub(super) namespace_source: Source,
    /// Where its service account is written, if it makes pods.
    pub(super) account_source: Option<Source>,
    /// Where its virtual address is written.
    pub(super) address_source: Source,
    /// Where the target port of each service port is written.
    pub(super) target_sources: Vec<Source>,
}

/// What documents hold.
#[derive(Default)]
pub(super) struct Contents {
    /// In order of writing.
    pub(super) objects: Vec<Written>,
    /// In order of writing; kinds that are not simulated come last, each once.
    pub(super) notices: Vec<Diagnostic>,
}

/// Reads every object of the documents.
///
/// # Errors
/// Everything that is wrong, in order of writing.
pub(super) fn read(
    documents: &[Document],
    namespace: &Arc<str>,
    config: &ClusterConfig,
) -> Result<Contents, Vec<Diagnostic>> {
    let mut contents = Contents::default();
    let mut errors = Vec::new();
    let mut others = kinds::Others::default();
    for document in documents {
        let report = Report::new(document);
        let root = Place::root(&report, &document.root);
        for place in kinds::expand(root) {
            match kinds::identify(place, &mut others) {
                Some(kind) => contents.objects.extend(read_object(place, kind, namespace, config)),
                None => continue,
            }
        }
        let (wrong, notices) = report.finish();
        errors.extend(wrong);
        contents.notices.extend(notices);
    }
    contents.notices = in_order_of_writing(contents.notices);
    contents.notices.extend(others.notices());
    if errors.is_empty() { Ok(contents) } else { Err(in_order_of_writing(errors)) }
}

/// The names of the objects the documents hold, in order of writing; only kind and metadata are looked at.
///
/// # Errors
/// Everything that is wrong with those.
pub(super) fn read_names(
    documents: &[Document],
    namespace: &Arc<str>,
) -> Result<Vec<(ObjectReference, Source)>, Vec<Diagnostic>> {
    let mut names = Vec::new();
    let mut errors = Vec::new();
    let mut others = kinds::Others::default();
    for document in documents {
        let report = Report::new(document);
        for place in kinds::expand(Place::root(&report, &document.root)) {
            let Some(kind) = kinds::identify(place, &mut others) else { continue };
            let Some(node) = place.field("metadata").node() else {
                place.error(Problem::new(format!("this {kind} has no name")).hint("write `metadata.name`"));
                continue;
            };
            match yaml::from_node::<ObjectMeta>(report.file(), node) {
                Ok(written) => names.extend(
                    metadata::metadata(place, kind, &written, namespace)
                        .map(|meta| (ObjectReference { kind, name: meta.key }, meta.source)),
                ),
                Err(wrong) => report.extend(wrong),
            }
        }
        errors.extend(report.finish().0);
    }
    if errors.is_empty() { Ok(names) } else { Err(in_order_of_writing(errors)) }
}

/// An object of Istio's.
#[derive(Default, Deserialize)]
#[serde(default, bound = "S: Default + Deserialize<'de>", deny_unknown_fields)]
struct Resource<S> {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: ObjectMeta,
    spec: S,
    #[serde(rename = "status")]
    _status: IgnoredAny,
}

fn typed<T: DeserializeOwned>(place: Place<'_>) -> Option<T> {
    let report = place.report();
    yaml::from_node(report.file(), place.node()?).map_err(|wrong| report.extend(wrong)).ok()
}

/// Reads one object; `None` after reporting what is wrong with it.
fn read_object(place: Place<'_>, kind: Kind, namespace: &Arc<str>, config: &ClusterConfig) -> Option<Written> {
    let meta = |written: &ObjectMeta| metadata::metadata(place, kind, written, namespace);
    let spec = place.field("spec");
    let mut pod_place = spec.field("template");
    let mut target_sources = Vec::new();
    let object = match kind {
        Kind::Namespace => {
            Object::Namespace(Namespace { meta: meta(&typed::<core::Namespace>(place)?.metadata)?, deleting: false })
        }
        Kind::Node => {
            let written: core::Node = typed(place)?;
            let taints = written.spec.as_ref().and_then(|spec| spec.taints.as_ref());
            if taints.is_some_and(|taints| !taints.is_empty()) {
                spec.field("taints").notice(Problem::new("taints are not simulated"));
            }
            Object::Node(Node { meta: meta(&written.metadata)?, index: 0, addresses: Vec::new() })
        }
        Kind::ServiceAccount => {
            Object::ServiceAccount(ServiceAccount { meta: meta(&typed::<core::ServiceAccount>(place)?.metadata)? })
        }
        Kind::Service => {
            let written: core::Service = typed(place)?;
            let service = services::service(place, meta(&written.metadata)?, &written, &config.ip_families)?;
            let ports = spec.field("ports");
            target_sources = (0..ports.len()).map(|index| ports.item(index).field("targetPort").source()).collect();
            Object::Service(service)
        }
        Kind::EndpointSlice => {
            let written: discovery::EndpointSlice = typed(place)?;
            Object::EndpointSlice(services::endpoint_slice(place, meta(&written.metadata)?, &written)?)
        }
        Kind::Deployment => {
            let written: apps::Deployment = typed(place)?;
            Object::Controller(controllers::deployment(place, meta(&written.metadata)?, &written)?)
        }
        Kind::ReplicaSet => {
            let written: apps::ReplicaSet = typed(place)?;
            Object::Controller(controllers::replica_set(place, meta(&written.metadata)?, &written)?)
        }
        Kind::StatefulSet => {
            let written: apps::StatefulSet = typed(place)?;
            Object::Controller(controllers::stateful_set(place, meta(&written.metadata)?, &written)?)
        }
        Kind::DaemonSet => {
            let written: apps::DaemonSet = typed(place)?;
            Object::Controller(controllers::daemon_set(place, meta(&written.metadata)?, &written)?)
        }
        Kind::Job => {
            let written: batch::Job = typed(place)?;
            Object::Controller(controllers::job(place, meta(&written.metadata)?, &written)?)
        }
        Kind::Pod => {
            let written: core::Pod = typed(place)?;
            pod_place = place;
            let meta = meta(&written.metadata)?;
            let spec = pods::pod_spec(place, written.spec.as_ref())?;
            Object::Pod(Pod {
                meta,
                spec,
                phase: PodPhase::Pending,
                ready: false,
                node: None,
                addresses: Vec::new(),
                times: PodTimes::default(),
            })
        }
        Kind::ServiceEntry => {
            let written: Resource<entries::ServiceEntrySpec> = typed(place)?;
            Object::ServiceEntry(entries::service_entry(place, meta(&written.metadata)?, written.spec)?)
        }
        Kind::WorkloadEntry => {
            let written: Resource<entries::EndpointSpec> = typed(place)?;
            Object::WorkloadEntry(entries::workload_entry(place, meta(&written.metadata)?, written.spec)?)
        }
        Kind::AuthorizationPolicy => {
            let written: Resource<_> = typed(place)?;
            Object::AuthorizationPolicy(policies::authorization_policy(place, meta(&written.metadata)?, written.spec)?)
        }
        Kind::PeerAuthentication => {
            let written: Resource<_> = typed(place)?;
            let meta = meta(&written.metadata)?;
            let root = &config.root_namespace;
            Object::PeerAuthentication(policies::peer_authentication(place, meta, written.spec, root)?)
        }
        _ => Object::Traffic(Box::new(traffic::traffic(place, kind, meta)?)),
    };
    notice_sidecars(place, pod_place, &object);
    notice_modes(place, pod_place, &object);
    let metadata = place.field("metadata");
    let namespace_written = metadata.field("namespace");
    let makes_pods = matches!(object, Object::Pod(_) | Object::Controller(_));
    let cluster_ip =
        if spec.field("clusterIP").is_written() { spec.field("clusterIP") } else { spec.field("clusterIPs") };
    Some(Written {
        object,
        says_replicas: controllers::says_replicas(place, kind),
        namespace_source: if namespace_written.is_written() { namespace_written } else { metadata.field("name") }
            .source(),
        account_source: makes_pods.then(|| pods::account_place(pod_place).source()),
        address_source: cluster_ip.source(),
        target_sources,
    })
}

/// Sidecar injection is asked for: not simulated, but it keeps pods out of the ambient mesh.
fn notice_sidecars(place: Place<'_>, pod_place: Place<'_>, object: &Object) {
    let labels = match object {
        Object::Namespace(_) => place,
        _ => pod_place,
    }
    .field("metadata")
    .field("labels");
    let (label, who) = match object {
        Object::Namespace(namespace) if namespace.meta.label("istio-injection") == Some("enabled") => {
            ("istio-injection", "pods of this namespace")
        }
        Object::Namespace(namespace) if namespace.meta.label("istio.io/rev").is_some() => {
            ("istio.io/rev", "pods of this namespace")
        }
        Object::Controller(made) if asks_for_sidecar(&made.template.labels) => (INJECT_LABEL, "these pods"),
        Object::Pod(pod) if asks_for_sidecar(&pod.meta.labels) => (INJECT_LABEL, "this pod"),
        _ => return,
    };
    let problem = Problem::new(format!("sidecar injection is not simulated: {who} will have no proxy at all"));
    labels.key(label).notice(problem.hint("remove the label, and use `istio.io/dataplane-mode: ambient`"));
}

fn asks_for_sidecar(labels: &Labels) -> bool {
    labels.get(INJECT_LABEL).is_some_and(|value| &**value == "true")
}

/// A label that enrolls whom it names has two words; any other means nothing, and is seldom meant to.
fn notice_modes(place: Place<'_>, pod_place: Place<'_>, object: &Object) {
    let (holder, value) = match object {
        Object::Namespace(namespace) => (place, namespace.meta.label(DATAPLANE_MODE_LABEL)),
        Object::Controller(made) => (pod_place, made.template.labels.get(DATAPLANE_MODE_LABEL).map(|value| &**value)),
        Object::Pod(pod) => (pod_place, pod.meta.label(DATAPLANE_MODE_LABEL)),
        _ => return,
    };
    let Some(value) = value.filter(|value| !matches!(*value, "ambient" | "none")) else { return };
    let problem = Problem::new(format!("`{DATAPLANE_MODE_LABEL}: {value}` enrolls nobody and excludes nobody"));
    let hint = did_you_mean(value, ["ambient", "none"]);
    let hint = hint.unwrap_or_else(|| "its values are `ambient` and `none`".to_owned());
    holder.field("metadata").field("labels").key(DATAPLANE_MODE_LABEL).notice(problem.hint(hint));
}

/// The meta of an object.
pub(super) fn meta_of(object: &Object) -> &Meta {
    match object {
        Object::Namespace(object) => &object.meta,
        Object::Node(object) => &object.meta,
        Object::ServiceAccount(object) => &object.meta,
        Object::Service(object) => &object.meta,
        Object::EndpointSlice(object) => &object.meta,
        Object::Controller(object) => &object.meta,
        Object::Pod(object) => &object.meta,
        Object::ServiceEntry(object) => &object.meta,
        Object::WorkloadEntry(object) => &object.meta,
        Object::AuthorizationPolicy(object) => &object.meta,
        Object::PeerAuthentication(object) => &object.meta,
        Object::Traffic(object) => object.meta(),
    }
}
