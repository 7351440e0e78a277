//! What waypoints are and do, as written: every kind of [`Traffic`].

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::place::Place;
use super::{Resource, authentications, destination_rules, gateways, mesh_options, routes, typed, virtual_services};
use crate::cluster::object::{Kind, Meta};
use crate::cluster::traffic::Traffic;

/// One object; `None` after reporting what is wrong with it.
pub(super) fn traffic(place: Place<'_>, kind: Kind, meta: impl Fn(&ObjectMeta) -> Option<Meta>) -> Option<Traffic> {
    fn read<S: Default + for<'de> Deserialize<'de>>(
        place: Place<'_>,
        meta: impl Fn(&ObjectMeta) -> Option<Meta>,
    ) -> Option<(Meta, S)> {
        let written: Resource<S> = typed(place)?;
        Some((meta(&written.metadata)?, written.spec))
    }
    Some(match kind {
        Kind::GatewayClass => {
            let (meta, spec) = read(place, meta)?;
            Traffic::GatewayClass(gateways::gateway_class(place, meta, spec)?)
        }
        Kind::Gateway => {
            let (meta, spec) = read(place, meta)?;
            Traffic::Gateway(gateways::gateway(place, meta, spec)?)
        }
        Kind::HttpRoute => {
            let (meta, spec) = read(place, meta)?;
            Traffic::Route(routes::http_route(place, meta, spec)?)
        }
        Kind::GrpcRoute => {
            let (meta, spec) = read(place, meta)?;
            Traffic::Route(routes::grpc_route(place, meta, spec)?)
        }
        Kind::TcpRoute => {
            let (meta, spec) = read(place, meta)?;
            Traffic::Route(routes::tcp_route(place, meta, spec)?)
        }
        Kind::TlsRoute => {
            let (meta, spec) = read(place, meta)?;
            Traffic::Route(routes::tls_route(place, meta, spec)?)
        }
        Kind::ReferenceGrant => {
            let (meta, spec) = read(place, meta)?;
            Traffic::ReferenceGrant(gateways::reference_grant(meta, spec))
        }
        Kind::VirtualService => {
            let (meta, spec) = read(place, meta)?;
            Traffic::VirtualService(virtual_services::virtual_service(place, meta, spec))
        }
        Kind::DestinationRule => {
            let (meta, spec) = read(place, meta)?;
            Traffic::DestinationRule(destination_rules::destination_rule(place, meta, spec))
        }
        Kind::RequestAuthentication => {
            let (meta, spec) = read(place, meta)?;
            Traffic::RequestAuthentication(authentications::request_authentication(place, meta, spec))
        }
        Kind::Telemetry => {
            let (meta, spec) = read(place, meta)?;
            Traffic::Telemetry(authentications::telemetry(place, meta, spec))
        }
        Kind::ConfigMap => {
            let written: core::ConfigMap = typed(place)?;
            let meta = meta(&written.metadata)?;
            Traffic::MeshOptions(mesh_options::mesh_options(place, meta, &written)?)
        }
        _ => return None,
    })
}
