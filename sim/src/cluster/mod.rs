//! A Kubernetes-like cluster: objects from YAML, controllers, scheduler, address management, pods and their lives.
//! Pure: time comes as an argument, nothing is awaited, and equal histories give equal clusters.
//!
//! - [`diagnostic`]: what is wrong with an input, where, and the next step.
//! - [`yaml`]: documents that remember where everything was written, and strict typed reading of them.
//! - [`object`], [`selector`], [`pod`], [`workloads`], [`service`], [`istio`], [`gateway`], [`traffic`]: the model. Kubernetes field names stop there.
//! - [`config`]: what a cluster is before anything is applied to it.
//! - [`names`]: what names, labels, ports and addresses may look like.
//! - [`read`]: from documents to objects, with everything that is wrong.
//! - [`store`]: [`Cluster`], all objects.
//! - [`enrollment`], [`naming`], [`dns`]: who should be in the mesh, what pods are called in telemetry, what names resolve to.
//! - [`apply`], [`check`], [`operations`]: what kubectl does to it.
//! - [`lifecycle`], [`reconcile`], [`scheduler`], [`ipam`]: what Kubernetes does then: pods come, go, get nodes and addresses.

mod apply;
mod check;
pub mod config;
pub mod diagnostic;
pub mod dns;
pub mod enrollment;
pub mod gateway;
mod ipam;
pub mod istio;
mod lifecycle;
pub mod names;
pub mod naming;
pub mod object;
mod operations;
mod ownership;
pub mod pod;
mod read;
mod reconcile;
mod scheduler;
pub mod selector;
pub mod service;
pub mod store;
#[cfg(test)]
pub(crate) mod testing;
pub mod traffic;
pub mod workloads;
pub mod yaml;

pub use config::{AddressReuse, ClusterConfig, NodeConfig};
pub use diagnostic::{Diagnostic, Problem, Source, did_you_mean};
pub use object::{Kind, Labels, Meta, ObjectName, ObjectReference, OwnerReference};
pub use ownership::owns;
pub use pod::{
    Container, ContainerPort, Pod, PodEvent, PodEventKind, PodPhase, PodSpec, PodTemplate, PodTimes, Protocol,
    Redirection,
};
pub(crate) use read::{grpc_status, is_literal};
pub(crate) use reconcile::is_of_this_revision;
pub use reconcile::{GATEWAY_NAME_LABEL, gateway_of};
pub use selector::Selector;
pub use service::{EndpointSlice, Exposure, IpFamily, Service, ServicePort, TargetPort};
pub use store::{Applied, ApplyOptions, Change, ChangeKind, Cluster, LabelChange, Namespace, Node, ServiceAccount};
pub use traffic::Traffic;
pub use workloads::{Controller, ControllerSpec};
