//! `istio.workload.Workload` and what services share with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::enumeration::{APPLICATION_PROTOCOL, NETWORK_MODE, STATUS, TUNNEL_PROTOCOL, WORKLOAD_TYPE};
use super::wire::istio::workload as wire;
use super::{address, octets, port};
use crate::policy::PolicyKey;
use crate::state::{
    ApplicationTunnel, GatewayAddress, GatewayDestination, Locality, NamespacedHostname, NetworkAddress, PortMapping,
    Workload, WorkloadType,
};

/// What an empty trust domain means; control planes leave it empty to save bytes.
const TRUST_DOMAIN: &str = "cluster.local";
const SERVICE_ACCOUNT: &str = "default";
const CLUSTER: &str = "Kubernetes";

/// A workload as we hold it, with defaults filled in.
pub(super) fn decode(wire: wire::Workload) -> Result<Workload, String> {
    let or = |text: String, default: &str| if text.is_empty() { default.into() } else { Arc::from(text) };
    let addresses = wire.addresses.iter().map(|bytes| address(bytes)).collect::<Result<_, _>>()?;
    let services = wire.services.into_iter().map(membership).collect::<Result<BTreeMap<_, _>, _>>()?;
    let policies = wire.authorization_policies.iter().map(|key| policy_key(key)).collect::<Result<_, _>>()?;
    Ok(Workload {
        uid: wire.uid.into(),
        name: wire.name.into(),
        namespace: wire.namespace.into(),
        addresses,
        network: wire.network.into(),
        tunnel_protocol: TUNNEL_PROTOCOL.read(wire.tunnel_protocol)?,
        trust_domain: or(wire.trust_domain, TRUST_DOMAIN),
        service_account: or(wire.service_account, SERVICE_ACCOUNT),
        waypoint: wire.waypoint.map(decode_gateway).transpose()?,
        node: wire.node.into(),
        canonical_name: wire.canonical_name.into(),
        canonical_revision: wire.canonical_revision.into(),
        // Only telemetry names it: what nobody knows yet need not cost the whole record.
        workload_type: WORKLOAD_TYPE.read_known(wire.workload_type).unwrap_or(WorkloadType::Deployment),
        workload_name: wire.workload_name.into(),
        native_tunnel: wire.native_tunnel,
        authorization_policies: policies,
        status: STATUS.read(wire.status)?,
        cluster_id: or(wire.cluster_id, CLUSTER),
        network_gateway: wire.network_gateway.map(decode_gateway).transpose()?,
        hostname: (!wire.hostname.is_empty()).then(|| wire.hostname.into()),
        services,
        application_tunnel: wire.application_tunnel.map(application_tunnel).transpose()?,
        locality: wire.locality.map_or_else(Locality::default, |locality| Locality {
            region: locality.region.into(),
            zone: locality.zone.into(),
            subzone: locality.subzone.into(),
        }),
        network_mode: NETWORK_MODE.read(wire.network_mode)?,
        capacity: wire.capacity.unwrap_or(1),
    })
}

fn membership((key, ports): (String, wire::PortList)) -> Result<(NamespacedHostname, Vec<PortMapping>), String> {
    let (namespace, hostname) =
        key.split_once('/').ok_or_else(|| format!("service `{key}` is not namespace/hostname"))?;
    let mapping = |ports: wire::Port| {
        Ok::<_, String>(PortMapping {
            service_port: port(ports.service_port, "service port")?,
            target_port: port(ports.target_port, "target port")?,
        })
    };
    let mappings = ports.ports.into_iter().map(mapping).collect::<Result<_, _>>()?;
    Ok((NamespacedHostname::new(namespace, hostname), mappings))
}

fn policy_key(text: &str) -> Result<PolicyKey, String> {
    let (namespace, name) = text.split_once('/').ok_or_else(|| format!("policy `{text}` is not namespace/name"))?;
    Ok(PolicyKey::new(namespace, name))
}

fn application_tunnel(wire: wire::ApplicationTunnel) -> Result<ApplicationTunnel, String> {
    let port = port(wire.port, "application tunnel port")?;
    Ok(ApplicationTunnel { protocol: APPLICATION_PROTOCOL.read(wire.protocol)?, port: (port != 0).then_some(port) })
}

/// A waypoint or network gateway.
pub(super) fn decode_gateway(wire: wire::GatewayAddress) -> Result<GatewayAddress, String> {
    use wire::gateway_address::Destination;
    let destination = match wire.destination.ok_or("a gateway has no destination")? {
        Destination::Hostname(name) => {
            GatewayDestination::Hostname(NamespacedHostname::new(&name.namespace, &name.hostname))
        }
        Destination::Address(at) => {
            GatewayDestination::Address(NetworkAddress { network: at.network.into(), address: address(&at.address)? })
        }
    };
    Ok(GatewayAddress { destination, hbone_mtls_port: port(wire.hbone_mtls_port, "gateway port")? })
}

/// A workload as it travels. What equals the reader's default is left out where upstream leaves it out.
pub(super) fn encode(workload: &Workload) -> wire::Workload {
    let trust_domain = if &*workload.trust_domain == TRUST_DOMAIN { "" } else { &workload.trust_domain };
    let locality = &workload.locality;
    wire::Workload {
        name: workload.name.to_string(),
        namespace: workload.namespace.to_string(),
        addresses: workload.addresses.iter().map(|address| octets(*address)).collect(),
        network: workload.network.to_string(),
        tunnel_protocol: TUNNEL_PROTOCOL.write(workload.tunnel_protocol),
        trust_domain: trust_domain.to_owned(),
        service_account: workload.service_account.to_string(),
        waypoint: workload.waypoint.as_ref().map(encode_gateway),
        node: workload.node.to_string(),
        canonical_name: workload.canonical_name.to_string(),
        canonical_revision: workload.canonical_revision.to_string(),
        workload_type: WORKLOAD_TYPE.write(workload.workload_type),
        workload_name: workload.workload_name.to_string(),
        native_tunnel: workload.native_tunnel,
        authorization_policies: workload.authorization_policies.iter().map(ToString::to_string).collect(),
        status: STATUS.write(workload.status),
        cluster_id: workload.cluster_id.to_string(),
        network_gateway: workload.network_gateway.as_ref().map(encode_gateway),
        uid: workload.uid.to_string(),
        hostname: workload.hostname.as_deref().unwrap_or_default().to_owned(),
        services: workload.services.iter().map(|(key, mappings)| (key.to_string(), port_list(mappings))).collect(),
        application_tunnel: workload.application_tunnel.map(|tunnel| wire::ApplicationTunnel {
            protocol: APPLICATION_PROTOCOL.write(tunnel.protocol),
            port: tunnel.port.unwrap_or(0).into(),
        }),
        locality: (*locality != Locality::default()).then(|| wire::Locality {
            region: locality.region.to_string(),
            zone: locality.zone.to_string(),
            subzone: locality.subzone.to_string(),
        }),
        network_mode: NETWORK_MODE.write(workload.network_mode),
        capacity: (workload.capacity != 1).then_some(workload.capacity),
    }
}

fn port_list(mappings: &[PortMapping]) -> wire::PortList {
    let port = |mapping: &PortMapping| wire::Port {
        service_port: mapping.service_port.into(),
        target_port: mapping.target_port.into(),
        app_protocol: 0,
    };
    wire::PortList { ports: mappings.iter().map(port).collect() }
}

pub(super) fn encode_gateway(gateway: &GatewayAddress) -> wire::GatewayAddress {
    use wire::gateway_address::Destination;
    let destination = match &gateway.destination {
        GatewayDestination::Hostname(name) => Destination::Hostname(wire::NamespacedHostname {
            namespace: name.namespace.to_string(),
            hostname: name.hostname.to_string(),
        }),
        GatewayDestination::Address(at) => Destination::Address(encode_address(at, None)),
    };
    wire::GatewayAddress { destination: Some(destination), hbone_mtls_port: gateway.hbone_mtls_port.into() }
}

pub(super) fn encode_address(at: &NetworkAddress, length: Option<u8>) -> wire::NetworkAddress {
    wire::NetworkAddress { network: at.network.to_string(), address: octets(at.address), length: length.map(u32::from) }
}
