//! Waypoints: each Gateway of the waypoint class gets a ServiceAccount, a Deployment and a Service of its name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Instant;

use crate::cluster::gateway::{Gateway, GatewayAddress};
use crate::cluster::object::{Kind, Labels, Meta, ObjectName, ObjectReference, OwnerReference};
use crate::cluster::pod::{Container, ContainerPort, MANAGED_LABEL, MANAGED_VALUE, PodSpec, PodTemplate, Protocol};
use crate::cluster::selector::Selector;
use crate::cluster::service::{Exposure, Service, ServicePort, TargetPort};
use crate::cluster::store::{Cluster, ServiceAccount, builtin};
use crate::cluster::traffic::Traffic;
use crate::cluster::workloads::{Amount, Controller, ControllerSpec, Strategy};

/// Names the gateway a pod belongs to.
pub const GATEWAY_NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// The ports of a waypoint's Service: name, number, `appProtocol`.
const SERVICE_PORTS: [(&str, u16, &str); 2] = [("status-port", 15021, "tcp"), ("mesh", 15008, "hbone")];

/// The declared ports of its container: merged metrics, health, raw metrics.
const CONTAINER_PORTS: [(&str, u16); 3] = [("metrics", 15020), ("status-port", 15021), ("http-envoy-prom", 15090)];

impl Cluster {
    /// Makes what waypoints need and notes those that have become ready. True if that changes anything.
    pub(in crate::cluster) fn reconcile_gateways(&mut self, at: Instant) -> bool {
        let gateways: Vec<Arc<Traffic>> =
            self.traffic.values().filter(|object| object.kind() == Kind::Gateway).cloned().collect();
        let mut changed = false;
        for object in gateways {
            let Traffic::Gateway(gateway) = &*object else { continue };
            if gateway.is_waypoint() && is_of_this_revision(&gateway.meta) {
                changed |= self.keep_waypoint(gateway, at);
                changed |= self.publish_addresses(gateway);
            }
        }
        changed
    }

    fn keep_waypoint(&mut self, gateway: &Gateway, at: Instant) -> bool {
        let namespace = self.namespaces.get(&gateway.meta.key.namespace);
        if namespace.is_none_or(|namespace| namespace.deleting) {
            return false;
        }
        let key = gateway.meta.key.clone();
        let mut changed = false;
        if !self.service_accounts.contains_key(&key) {
            let meta = self.meta_for(gateway, at);
            self.service_accounts.insert_mut(key.clone(), Arc::new(ServiceAccount { meta }));
            changed = true;
        }
        if !self.services.contains_key(&key) {
            let mut service = self.service_for(gateway, at);
            self.give_addresses(&mut service, None);
            self.services.insert_mut(key.clone(), Arc::new(service));
            changed = true;
        }
        let deployment = ObjectReference { kind: Kind::Deployment, name: key };
        let template = template_for(gateway);
        match self.controllers.get(&deployment) {
            None => {
                let meta = self.meta_for(gateway, at);
                let strategy =
                    Strategy::RollingUpdate { max_surge: Amount::Percent(25), max_unavailable: Amount::Percent(25) };
                let selector = Selector {
                    labels: [(GATEWAY_NAME_LABEL.into(), gateway.meta.key.name.clone())].into(),
                    ..Selector::default()
                };
                let spec = ControllerSpec::Deployment { replicas: 1, strategy };
                let made = Controller::new(meta, spec, selector, Arc::new(template));
                self.controllers.insert_mut(deployment, Arc::new(made));
                changed = true;
            }
            // Somebody else's of the same name is left alone.
            Some(made) if is_owned(&made.meta, gateway) && *made.template != template => {
                let mut made = Controller::clone(made);
                made.template = Arc::new(template);
                made.restart(made.restarted);
                self.controllers.insert_mut(deployment, Arc::new(made));
                changed = true;
            }
            Some(_) => {}
        }
        if changed {
            self.revision += 1;
        }
        changed
    }

    /// Sets the addresses of a gateway once one of its pods is ready; they stay when the pods go.
    fn publish_addresses(&mut self, gateway: &Gateway) -> bool {
        if gateway.is_usable() {
            return false;
        }
        let (namespace, name) = (&gateway.meta.key.namespace, &gateway.meta.key.name);
        let ready = self.pods.values().any(|pod| {
            pod.meta.key.namespace == *namespace && pod.meta.label(GATEWAY_NAME_LABEL) == Some(name) && pod.is_healthy()
        });
        let Some(service) = self.services.get(&gateway.meta.key).filter(|_| ready) else { return false };
        let hostname = format!("{name}.{namespace}.svc.{}", self.config.cluster_domain);
        let addresses = service.cluster_ips().iter().map(|address| GatewayAddress::Address(*address));
        let addresses = std::iter::once(GatewayAddress::Hostname(hostname.into())).chain(addresses).collect();
        let object = ObjectReference { kind: Kind::Gateway, name: gateway.meta.key.clone() };
        if let Some(stored) = self.traffic.get_mut(&object)
            && let Traffic::Gateway(stored) = Arc::make_mut(stored)
        {
            stored.addresses = addresses;
        }
        self.revision += 1;
        true
    }

    /// Deletes an object that says what waypoints do; a waypoint's Gateway with all that was made for it.
    pub(in crate::cluster) fn delete_traffic(
        &mut self,
        object: &ObjectReference,
        grace: Option<Duration>,
        now: Instant,
    ) {
        let Some(deleted) = self.traffic.get(object).cloned() else { return };
        self.traffic.remove_mut(object);
        let Traffic::Gateway(gateway) = &*deleted else { return };
        let key = &gateway.meta.key;
        let deployment = ObjectReference { kind: Kind::Deployment, name: key.clone() };
        if self.controllers.get(&deployment).is_some_and(|made| is_owned(&made.meta, gateway)) {
            self.delete_controller(&deployment, grace, now);
        }
        if let Some(service) = self.services.get(key).filter(|made| is_owned(&made.meta, gateway)).cloned() {
            self.free_addresses(service.cluster_ips());
            self.services.remove_mut(key);
        }
        if self.service_accounts.get(key).is_some_and(|made| is_owned(&made.meta, gateway)) {
            self.service_accounts.remove_mut(key);
        }
    }

    fn meta_for(&mut self, gateway: &Gateway, at: Instant) -> Meta {
        let mut meta = builtin(gateway.meta.key.clone(), labels_for(gateway));
        meta.annotations = gateway.infrastructure_annotations.clone();
        meta.source = gateway.meta.source.clone();
        meta.owner = Some(OwnerReference {
            kind: Kind::Gateway.name().into(),
            name: gateway.meta.key.name.clone(),
            uid: gateway.meta.uid.clone(),
        });
        self.stamp(&mut meta, at);
        meta
    }

    fn service_for(&mut self, gateway: &Gateway, at: Instant) -> Service {
        let mut meta = self.meta_for(gateway, at);
        meta.annotations.insert("networking.istio.io/traffic-distribution".into(), "PreferClose".into());
        let ports = SERVICE_PORTS.map(|(name, number, protocol)| ServicePort {
            name: Some(name.into()),
            number,
            protocol: Protocol::Tcp,
            target: TargetPort::Number(number),
            app_protocol: Some(protocol.into()),
        });
        Service {
            meta,
            exposure: Exposure::ClusterIp(Vec::new()),
            selector: Some([(GATEWAY_NAME_LABEL.into(), gateway.meta.key.name.clone())].into()),
            ports: ports.into(),
            ip_families: self.config.ip_families.clone(),
            internal_traffic_local: false,
            traffic_distribution: None,
            publish_not_ready_addresses: false,
        }
    }
}

/// A gateway of another revision of the control plane is not ours to act on.
pub(crate) fn is_of_this_revision(meta: &Meta) -> bool {
    meta.label("istio.io/rev").is_none_or(|revision| revision == "default")
}

fn is_owned(meta: &Meta, gateway: &Gateway) -> bool {
    meta.owner.as_ref().is_some_and(|owner| owner.uid == gateway.meta.uid)
}

/// Labels of everything made for a gateway.
fn labels_for(gateway: &Gateway) -> Labels {
    let mut labels = gateway.infrastructure_labels.clone();
    labels.extend([
        (GATEWAY_NAME_LABEL.into(), gateway.meta.key.name.clone()),
        ("gateway.networking.k8s.io/gateway-class-name".into(), gateway.class.clone()),
        (MANAGED_LABEL.into(), MANAGED_VALUE.into()),
    ]);
    labels
}

fn template_for(gateway: &Gateway) -> PodTemplate {
    let mut labels = labels_for(gateway);
    labels.extend([
        ("istio.io/dataplane-mode".into(), "none".into()),
        ("sidecar.istio.io/inject".into(), "false".into()),
        ("service.istio.io/canonical-name".into(), gateway.meta.key.name.clone()),
        ("service.istio.io/canonical-revision".into(), "latest".into()),
    ]);
    let ports = CONTAINER_PORTS.map(|(name, number)| ContainerPort {
        name: Some(name.into()),
        number,
        protocol: Protocol::Tcp,
    });
    let container = Container {
        name: "istio-proxy".into(),
        image: "waypoint".into(),
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        ports: ports.into(),
    };
    let spec = PodSpec {
        service_account: gateway.meta.key.name.clone(),
        containers: vec![container],
        host_network: false,
        node_name: None,
        node_selector: Labels::new(),
        termination_grace_period: Duration::from_secs(30),
        readiness_delay: Duration::ZERO,
    };
    PodTemplate { labels, annotations: gateway.infrastructure_annotations.clone(), spec: Arc::new(spec) }
}

/// The gateway a pod is an instance of.
pub fn gateway_of(namespace: &Arc<str>, labels: &Labels) -> Option<ObjectName> {
    let name = labels.get(GATEWAY_NAME_LABEL)?;
    Some(ObjectName { namespace: namespace.clone(), name: name.clone() })
}
