//! [`ServiceForm`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::workload::{GatewayForm, StatusForm, network_address};
use crate::policy::{full_length, masked};
use crate::state::{
    CidrVip, HealthPolicy, HealthStatus, IpFamilies, LoadBalancing, LoadBalancingMode, NamespacedHostname,
    RoutingScope, Service, ServicePort, Snapshot, Visibility, WeightedWaypoint,
};

/// A service as upstream writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct ServiceForm {
    pub name: String,
    pub namespace: String,
    pub hostname: String,
    /// `network/address`, or `network/address/length` for a block.
    #[serde(default)]
    pub vips: Vec<String>,
    /// Service port to target port.
    #[serde(default)]
    pub ports: BTreeMap<String, u16>,
    /// Of a dump only; a local file says it in its workloads.
    #[serde(default)]
    pub endpoints: BTreeMap<String, EndpointForm>,
    #[serde(default)]
    pub subject_alt_names: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waypoint: Option<GatewayForm>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weighted_waypoints: Vec<WeightedForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<BalancerForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_families: Option<FamilyForm>,
    #[serde(default)]
    pub canonical: bool,
    #[serde(default)]
    pub visibility: VisibilityForm,
}

/// An endpoint as upstream dumps it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct EndpointForm {
    pub workload_uid: String,
    pub port: BTreeMap<String, u16>,
    pub status: StatusForm,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct WeightedForm {
    pub destination: GatewayForm,
    pub weight: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct BalancerForm {
    #[serde(default)]
    pub routing_preferences: Vec<ScopeForm>,
    pub mode: ModeForm,
    #[serde(default)]
    pub health_policy: HealthForm,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[allow(missing_docs, reason = "upstream's names")]
pub enum ScopeForm {
    Region,
    Zone,
    Subzone,
    Node,
    Cluster,
    Network,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[allow(missing_docs, reason = "upstream's names")]
pub enum ModeForm {
    Standard,
    Strict,
    Failover,
    Passthrough,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[allow(missing_docs, reason = "upstream's names")]
pub enum HealthForm {
    #[default]
    OnlyHealthy,
    AllowAll,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[allow(missing_docs, reason = "upstream's names")]
pub enum FamilyForm {
    Dual,
    IPv4,
    IPv6,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[allow(missing_docs, reason = "upstream's names")]
pub enum VisibilityForm {
    #[default]
    Public,
    Namespace,
}

/// `80: 8080` as a pair.
pub(super) fn port(text: &str, what: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("{what} `{text}` is not a port"))
}

impl ServiceForm {
    /// A record as it is dumped, with the endpoints `snapshot` knows.
    pub fn write(service: &Service, snapshot: &Snapshot) -> Self {
        let blocks = service.cidr_vips.iter().map(|block| format!("{}/{}", block.base, block.prefix_length));
        let endpoint = |workload: &std::sync::Arc<crate::state::Workload>| {
            let mappings = workload.services.get(&service.key).into_iter().flatten();
            let port = mappings.map(|mapping| (mapping.service_port.to_string(), mapping.target_port)).collect();
            let status = match workload.status {
                HealthStatus::Healthy => StatusForm::Healthy,
                HealthStatus::Unhealthy => StatusForm::Unhealthy,
            };
            (workload.uid.to_string(), EndpointForm { workload_uid: workload.uid.to_string(), port, status })
        };
        let weighted = |waypoint: &WeightedWaypoint| WeightedForm {
            destination: GatewayForm::write(&waypoint.destination),
            weight: waypoint.weight,
        };
        ServiceForm {
            name: service.name.to_string(),
            namespace: service.key.namespace.to_string(),
            hostname: service.key.hostname.to_string(),
            vips: service.vips.iter().map(ToString::to_string).chain(blocks).collect(),
            ports: service.ports.iter().map(|port| (port.service_port.to_string(), port.target_port)).collect(),
            endpoints: snapshot.endpoints(&service.key).iter().map(endpoint).collect(),
            subject_alt_names: service.subject_alt_names.iter().map(ToString::to_string).collect(),
            waypoint: service.waypoint.as_ref().map(GatewayForm::write),
            weighted_waypoints: service.weighted_waypoints.iter().map(weighted).collect(),
            load_balancer: service.load_balancing.as_ref().map(BalancerForm::write),
            ip_families: match service.ip_families {
                IpFamilies::Automatic => None,
                IpFamilies::Ipv4Only => Some(FamilyForm::IPv4),
                IpFamilies::Ipv6Only => Some(FamilyForm::IPv6),
                IpFamilies::Dual => Some(FamilyForm::Dual),
            },
            canonical: service.canonical,
            visibility: match service.visibility {
                Visibility::Public => VisibilityForm::Public,
                Visibility::Namespace => VisibilityForm::Namespace,
            },
        }
    }

    pub(super) fn read(&self) -> Result<Service, String> {
        let (mut vips, mut cidr_vips) = (Vec::new(), Vec::new());
        for text in &self.vips {
            let wrong = || format!("`{text}` is not written network/address");
            if let Some(vip) = network_address(text) {
                vips.push(vip);
                continue;
            }
            let (base, length) = text.rsplit_once('/').ok_or_else(wrong)?;
            let mut base = network_address(base).ok_or_else(wrong)?;
            let length = length.parse().ok().filter(|length| *length <= full_length(base.address));
            let prefix_length = length.ok_or_else(|| format!("bad prefix length: {text}"))?;
            base.address = masked(base.address, prefix_length);
            cidr_vips.push(CidrVip { base, prefix_length });
        }
        let declared = |(service_port, target_port): (&String, &u16)| {
            Ok::<_, String>(ServicePort {
                service_port: port(service_port, "service port")?,
                target_port: *target_port,
            })
        };
        let weighted = |form: &WeightedForm| {
            Ok::<_, String>(WeightedWaypoint { destination: form.destination.read()?, weight: form.weight })
        };
        let identity = |name: &String| name.parse().map_err(|error| format!("{error}"));
        Ok(Service {
            name: self.name.as_str().into(),
            key: NamespacedHostname::new(&self.namespace, &self.hostname),
            vips,
            cidr_vips,
            ports: self.ports.iter().map(declared).collect::<Result<_, _>>()?,
            subject_alt_names: self.subject_alt_names.iter().map(identity).collect::<Result<_, _>>()?,
            waypoint: self.waypoint.as_ref().map(GatewayForm::read).transpose()?,
            weighted_waypoints: self.weighted_waypoints.iter().map(weighted).collect::<Result<_, _>>()?,
            load_balancing: self.load_balancer.as_ref().map(BalancerForm::read),
            ip_families: match self.ip_families {
                None => IpFamilies::Automatic,
                Some(FamilyForm::IPv4) => IpFamilies::Ipv4Only,
                Some(FamilyForm::IPv6) => IpFamilies::Ipv6Only,
                Some(FamilyForm::Dual) => IpFamilies::Dual,
            },
            canonical: self.canonical,
            visibility: match self.visibility {
                VisibilityForm::Public => Visibility::Public,
                VisibilityForm::Namespace => Visibility::Namespace,
            },
        })
    }
}

impl BalancerForm {
    fn write(balancing: &LoadBalancing) -> Self {
        let scope = |scope: &RoutingScope| match scope {
            RoutingScope::Region => ScopeForm::Region,
            RoutingScope::Zone => ScopeForm::Zone,
            RoutingScope::Subzone => ScopeForm::Subzone,
            RoutingScope::Node => ScopeForm::Node,
            RoutingScope::Cluster => ScopeForm::Cluster,
            RoutingScope::Network => ScopeForm::Network,
        };
        BalancerForm {
            routing_preferences: balancing.routing_preference.iter().map(scope).collect(),
            mode: match balancing.mode {
                LoadBalancingMode::Unspecified => ModeForm::Standard,
                LoadBalancingMode::Strict => ModeForm::Strict,
                LoadBalancingMode::Failover => ModeForm::Failover,
                LoadBalancingMode::Passthrough => ModeForm::Passthrough,
            },
            health_policy: match balancing.health_policy {
                HealthPolicy::OnlyHealthy => HealthForm::OnlyHealthy,
                HealthPolicy::AllowAll => HealthForm::AllowAll,
            },
        }
    }

    fn read(&self) -> LoadBalancing {
        let scope = |scope: &ScopeForm| match scope {
            ScopeForm::Region => RoutingScope::Region,
            ScopeForm::Zone => RoutingScope::Zone,
            ScopeForm::Subzone => RoutingScope::Subzone,
            ScopeForm::Node => RoutingScope::Node,
            ScopeForm::Cluster => RoutingScope::Cluster,
            ScopeForm::Network => RoutingScope::Network,
        };
        LoadBalancing {
            routing_preference: self.routing_preferences.iter().map(scope).collect(),
            mode: match self.mode {
                ModeForm::Standard => LoadBalancingMode::Unspecified,
                ModeForm::Strict => LoadBalancingMode::Strict,
                ModeForm::Failover => LoadBalancingMode::Failover,
                ModeForm::Passthrough => LoadBalancingMode::Passthrough,
            },
            health_policy: match self.health_policy {
                HealthForm::OnlyHealthy => HealthPolicy::OnlyHealthy,
                HealthForm::AllowAll => HealthPolicy::AllowAll,
            },
        }
    }
}
