//! A Kubernetes-like cluster: objects from YAML, controllers, scheduler, address management, pods and their lives.
//! Pure: time comes as an argument, nothing is awaited, and equal histories give equal clusters.
//!
//! - [`diagnostic`]: what is wrong with an input, where, and the next step.
//! - [`yaml`]: documents that remember where everything was written, and strict typed reading of them.
//! - [`object`], [`selector`], [`pod`], [`workloads`], [`service`], [`istio`]: the model. Kubernetes field names stop there.
//! - [`config`]: what a cluster is before anything is applied to it.
//! - [`store`]: [`Cluster`], the objects and the operations on them.

pub mod config;
pub mod diagnostic;
pub mod istio;
pub mod object;
pub mod pod;
pub mod selector;
pub mod service;
pub mod store;
pub mod workloads;
pub mod yaml;

pub use config::{AddressReuse, ClusterConfig, NodeConfig};
pub use diagnostic::{Diagnostic, Problem, Source, did_you_mean};
pub use object::{Kind, Labels, Meta, ObjectName, ObjectReference, OwnerReference};
pub use pod::{
    Container, ContainerPort, Pod, PodEvent, PodEventKind, PodPhase, PodSpec, PodTemplate, PodTimes, Protocol,
    Redirection,
};
pub use selector::Selector;
pub use service::{EndpointSlice, Exposure, IpFamily, Service, ServicePort, TargetPort};
pub use store::{Applied, ApplyOptions, Change, ChangeKind, Cluster, LabelChange, Namespace, Node, ServiceAccount};
pub use workloads::{Controller, ControllerSpec};
