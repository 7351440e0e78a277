//! `istio.workload.Service`.

use super::enumeration::{HEALTH_POLICY, IP_FAMILIES, LOAD_BALANCING_MODE, ROUTING_SCOPE, VISIBILITY};
use super::wire::istio::workload as wire;
use super::workload::{decode_gateway, encode_address, encode_gateway};
use super::{address, port};
use crate::policy::{full_length, masked};
use crate::state::{
    CidrVip, LoadBalancing, NamespacedHostname, NetworkAddress, Service, ServicePort, Visibility, WeightedWaypoint,
};

pub(super) fn decode(wire: wire::Service) -> Result<Service, String> {
    let (mut vips, mut cidr_vips) = (Vec::new(), Vec::new());
    for vip in wire.addresses {
        let address = address(&vip.address)?;
        let network = vip.network.into();
        let full = full_length(address);
        match vip.length.unwrap_or(full.into()) {
            length if length == u32::from(full) => vips.push(NetworkAddress { network, address }),
            length => {
                let length = u8::try_from(length).ok().filter(|length| *length < full);
                let prefix_length = length.ok_or_else(|| format!("bad prefix length of {address}"))?;
                let base = NetworkAddress { network, address: masked(address, prefix_length) };
                cidr_vips.push(CidrVip { base, prefix_length });
            }
        }
    }
    let declared = |wire: wire::Port| {
        Ok::<_, String>(ServicePort {
            service_port: port(wire.service_port, "service port")?,
            target_port: port(wire.target_port, "target port")?,
        })
    };
    let weighted = |wire: wire::WeightedWaypoint| {
        let destination = decode_gateway(wire.destination.ok_or("a weighted waypoint has no destination")?)?;
        Ok::<_, String>(WeightedWaypoint { destination, weight: wire.weight })
    };
    let key = NamespacedHostname::new(&wire.namespace, &wire.hostname);
    let readable = |name: &String| {
        name.parse()
            .inspect_err(|error| tracing::warn!(service = %key, %error, "a subject alternative name is ignored"))
    };
    Ok(Service {
        name: wire.name.into(),
        vips,
        cidr_vips,
        ports: wire.ports.into_iter().map(declared).collect::<Result<_, _>>()?,
        subject_alt_names: wire.subject_alt_names.iter().flat_map(readable).collect(),
        waypoint: wire.waypoint.map(decode_gateway).transpose()?,
        weighted_waypoints: wire.weighted_waypoints.into_iter().map(weighted).collect::<Result<_, _>>()?,
        load_balancing: wire.load_balancing.map(load_balancing).transpose()?,
        ip_families: IP_FAMILIES.read(wire.ip_families)?,
        canonical: wire.canonical,
        visibility: VISIBILITY.read_known(wire.visibility).unwrap_or(Visibility::Public),
        key,
    })
}

fn load_balancing(wire: wire::LoadBalancing) -> Result<LoadBalancing, String> {
    let scopes = wire.routing_preference.into_iter();
    Ok(LoadBalancing {
        routing_preference: scopes.map(|scope| ROUTING_SCOPE.read(scope)).collect::<Result<_, _>>()?,
        mode: LOAD_BALANCING_MODE.read(wire.mode)?,
        health_policy: HEALTH_POLICY.read(wire.health_policy)?,
    })
}

pub(super) fn encode(service: &Service) -> wire::Service {
    let vips = service.vips.iter().map(|vip| encode_address(vip, None));
    let blocks = service.cidr_vips.iter().map(|block| encode_address(&block.base, Some(block.prefix_length)));
    let declared = |port: &ServicePort| wire::Port {
        service_port: port.service_port.into(),
        target_port: port.target_port.into(),
        app_protocol: 0,
    };
    let weighted = |waypoint: &WeightedWaypoint| wire::WeightedWaypoint {
        destination: Some(encode_gateway(&waypoint.destination)),
        weight: waypoint.weight,
    };
    wire::Service {
        name: service.name.to_string(),
        namespace: service.key.namespace.to_string(),
        hostname: service.key.hostname.to_string(),
        addresses: vips.chain(blocks).collect(),
        ports: service.ports.iter().map(declared).collect(),
        subject_alt_names: service.subject_alt_names.iter().map(ToString::to_string).collect(),
        waypoint: service.waypoint.as_ref().map(encode_gateway),
        load_balancing: service.load_balancing.as_ref().map(|balancing| wire::LoadBalancing {
            routing_preference: balancing.routing_preference.iter().map(|scope| ROUTING_SCOPE.write(*scope)).collect(),
            mode: LOAD_BALANCING_MODE.write(balancing.mode),
            health_policy: HEALTH_POLICY.write(balancing.health_policy),
        }),
        ip_families: IP_FAMILIES.write(service.ip_families),
        canonical: service.canonical,
        ingress_use_waypoint: false,
        weighted_waypoints: service.weighted_waypoints.iter().map(weighted).collect(),
        visibility: VISIBILITY.write(service.visibility),
    }
}
