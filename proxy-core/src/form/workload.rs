//! [`WorkloadForm`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::policy::PolicyKey;
use crate::state::{
    ApplicationProtocol, ApplicationTunnel, GatewayAddress, GatewayDestination, HealthStatus, Locality,
    NamespacedHostname, NetworkAddress, NetworkMode, TunnelProtocol, Workload, WorkloadType,
};

/// A workload as upstream writes it. Fields that have their default are left out where upstream leaves them out.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct WorkloadForm<S: Default> {
    #[serde(default)]
    pub workload_ips: Vec<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waypoint: Option<GatewayForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_gateway: Option<GatewayForm>,
    #[serde(default)]
    pub protocol: ProtocolForm,
    #[serde(default)]
    pub network_mode: NetworkModeForm,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(default)]
    pub name: String,
    pub namespace: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trust_domain: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service_account: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub network: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub workload_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub workload_type: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub canonical_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub canonical_revision: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    #[serde(default, skip_serializing_if = "is_false")]
    pub native_tunnel: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_tunnel: Option<TunnelForm>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_policies: Vec<String>,
    #[serde(default)]
    pub status: StatusForm,
    #[serde(default)]
    pub cluster_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locality: Option<LocalityForm>,
    /// In a dump a list of keys, in a local file a map with ports.
    #[serde(default)]
    pub services: S,
    #[serde(default = "one")]
    pub capacity: u32,
}

fn one() -> u32 {
    1
}

fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[allow(missing_docs, reason = "upstream's names")]
pub enum ProtocolForm {
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    #[serde(rename = "HBONE")]
    Hbone,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[allow(missing_docs, reason = "upstream's names")]
pub enum NetworkModeForm {
    #[default]
    Standard,
    HostNetwork,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[allow(missing_docs, reason = "upstream's names")]
pub enum StatusForm {
    #[default]
    Healthy,
    Unhealthy,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct LocalityForm {
    #[serde(default)]
    pub region: String,
    #[serde(default)]
    pub zone: String,
    #[serde(default)]
    pub subzone: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct GatewayForm {
    /// `network/address` or `namespace/hostname`.
    pub destination: String,
    pub hbone_mtls_port: u16,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct TunnelForm {
    pub protocol: TunnelProtocolForm,
    #[serde(default)]
    pub port: Option<u16>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[allow(missing_docs, reason = "upstream's names")]
pub enum TunnelProtocolForm {
    #[serde(rename = "NONE")]
    None,
    #[serde(rename = "PROXY")]
    Proxy,
}

/// `network/address`.
pub(super) fn network_address(text: &str) -> Option<NetworkAddress> {
    let (network, address) = text.split_once('/')?;
    Some(NetworkAddress { network: network.into(), address: address.parse().ok()? })
}

/// `namespace/hostname`.
pub(super) fn namespaced(text: &str) -> Result<NamespacedHostname, String> {
    let (namespace, hostname) =
        text.split_once('/').ok_or_else(|| format!("`{text}` is not written namespace/hostname"))?;
    Ok(NamespacedHostname::new(namespace, hostname))
}

impl GatewayForm {
    pub(super) fn read(&self) -> Result<GatewayAddress, String> {
        let destination = match network_address(&self.destination) {
            Some(address) => GatewayDestination::Address(address),
            None => GatewayDestination::Hostname(namespaced(&self.destination)?),
        };
        Ok(GatewayAddress { destination, hbone_mtls_port: self.hbone_mtls_port })
    }

    pub(super) fn write(gateway: &GatewayAddress) -> Self {
        let destination = match &gateway.destination {
            GatewayDestination::Hostname(name) => name.to_string(),
            GatewayDestination::Address(address) => address.to_string(),
        };
        GatewayForm { destination, hbone_mtls_port: gateway.hbone_mtls_port }
    }
}

const TYPES: [(WorkloadType, &str); 4] = [
    (WorkloadType::Deployment, "deployment"),
    (WorkloadType::CronJob, "cronjob"),
    (WorkloadType::Pod, "pod"),
    (WorkloadType::Job, "job"),
];

impl WorkloadForm<Vec<String>> {
    /// A record as it is dumped.
    pub fn write(workload: &Workload) -> Self {
        let kind = TYPES.iter().find(|(kind, _)| *kind == workload.workload_type).map_or("", |(_, name)| name);
        let locality = &workload.locality;
        WorkloadForm {
            workload_ips: workload.addresses.clone(),
            waypoint: workload.waypoint.as_ref().map(GatewayForm::write),
            network_gateway: workload.network_gateway.as_ref().map(GatewayForm::write),
            protocol: match workload.tunnel_protocol {
                TunnelProtocol::None => ProtocolForm::Tcp,
                TunnelProtocol::Hbone => ProtocolForm::Hbone,
            },
            network_mode: match workload.network_mode {
                NetworkMode::Standard => NetworkModeForm::Standard,
                NetworkMode::HostNetwork => NetworkModeForm::HostNetwork,
            },
            uid: workload.uid.to_string(),
            name: workload.name.to_string(),
            namespace: workload.namespace.to_string(),
            trust_domain: workload.trust_domain.to_string(),
            service_account: workload.service_account.to_string(),
            network: workload.network.to_string(),
            workload_name: workload.workload_name.to_string(),
            workload_type: kind.to_owned(),
            canonical_name: workload.canonical_name.to_string(),
            canonical_revision: workload.canonical_revision.to_string(),
            hostname: workload.hostname.as_deref().unwrap_or_default().to_owned(),
            node: workload.node.to_string(),
            native_tunnel: workload.native_tunnel,
            application_tunnel: workload.application_tunnel.map(|tunnel| TunnelForm {
                protocol: match tunnel.protocol {
                    ApplicationProtocol::None => TunnelProtocolForm::None,
                    ApplicationProtocol::Proxy => TunnelProtocolForm::Proxy,
                },
                port: tunnel.port,
            }),
            authorization_policies: workload.authorization_policies.iter().map(ToString::to_string).collect(),
            status: match workload.status {
                HealthStatus::Healthy => StatusForm::Healthy,
                HealthStatus::Unhealthy => StatusForm::Unhealthy,
            },
            cluster_id: workload.cluster_id.to_string(),
            locality: (*locality != Locality::default()).then(|| LocalityForm {
                region: locality.region.to_string(),
                zone: locality.zone.to_string(),
                subzone: locality.subzone.to_string(),
            }),
            services: workload.services.keys().map(ToString::to_string).collect(),
            capacity: workload.capacity,
        }
    }
}

impl<S: Default> WorkloadForm<S> {
    /// The record, without its services. What is empty has the default a control plane's empty field has; a workload
    /// without uid is known by `namespace/name`.
    pub(super) fn read(&self) -> Result<Workload, String> {
        let or = |text: &str, default: &str| -> Arc<str> { if text.is_empty() { default } else { text }.into() };
        let kind = match self.workload_type.as_str() {
            "" => WorkloadType::Pod,
            named => TYPES.iter().find(|(_, name)| *name == named).map_or(WorkloadType::Deployment, |(kind, _)| *kind),
        };
        let policy = |key: &String| {
            let (namespace, name) =
                key.split_once('/').ok_or_else(|| format!("policy `{key}` is not written namespace/name"))?;
            Ok::<_, String>(PolicyKey::new(namespace, name))
        };
        Ok(Workload {
            uid: or(&self.uid, &format!("{}/{}", self.namespace, self.name)),
            name: self.name.as_str().into(),
            namespace: self.namespace.as_str().into(),
            addresses: self.workload_ips.clone(),
            network: self.network.as_str().into(),
            tunnel_protocol: match self.protocol {
                ProtocolForm::Tcp => TunnelProtocol::None,
                ProtocolForm::Hbone => TunnelProtocol::Hbone,
            },
            trust_domain: or(&self.trust_domain, "cluster.local"),
            service_account: or(&self.service_account, "default"),
            waypoint: self.waypoint.as_ref().map(GatewayForm::read).transpose()?,
            node: self.node.as_str().into(),
            canonical_name: self.canonical_name.as_str().into(),
            canonical_revision: self.canonical_revision.as_str().into(),
            workload_type: kind,
            workload_name: self.workload_name.as_str().into(),
            native_tunnel: self.native_tunnel,
            authorization_policies: self.authorization_policies.iter().map(policy).collect::<Result<_, _>>()?,
            status: match self.status {
                StatusForm::Healthy => HealthStatus::Healthy,
                StatusForm::Unhealthy => HealthStatus::Unhealthy,
            },
            cluster_id: or(&self.cluster_id, "Kubernetes"),
            network_gateway: self.network_gateway.as_ref().map(GatewayForm::read).transpose()?,
            hostname: (!self.hostname.is_empty()).then(|| self.hostname.as_str().into()),
            services: BTreeMap::new(),
            application_tunnel: self.application_tunnel.as_ref().map(|tunnel| ApplicationTunnel {
                protocol: match tunnel.protocol {
                    TunnelProtocolForm::None => ApplicationProtocol::None,
                    TunnelProtocolForm::Proxy => ApplicationProtocol::Proxy,
                },
                port: tunnel.port,
            }),
            locality: self.locality.as_ref().map_or_else(Locality::default, |locality| Locality {
                region: locality.region.as_str().into(),
                zone: locality.zone.as_str().into(),
                subzone: locality.subzone.as_str().into(),
            }),
            network_mode: match self.network_mode {
                NetworkModeForm::Standard => NetworkMode::Standard,
                NetworkModeForm::HostNetwork => NetworkMode::HostNetwork,
            },
            capacity: self.capacity,
        })
    }
}
