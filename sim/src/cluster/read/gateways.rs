//! GatewayClasses, Gateways and ReferenceGrants as written.

use std::collections::BTreeSet;

use gateway_api::apis::experimental::gatewayclasses::GatewayClassSpec;
use gateway_api::apis::experimental::gateways::{
    GatewayListeners, GatewayListenersAllowedRoutesNamespacesFrom as From,
    GatewayListenersAllowedRoutesNamespacesSelector, GatewaySpec,
};
use gateway_api::apis::experimental::referencegrants::ReferenceGrantSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use super::metadata::{annotations, labels, selector};
use super::place::Place;
use crate::cluster::diagnostic::Problem;
use crate::cluster::gateway::{
    AllowedNamespaces, Gateway, GatewayClass, Listener, ReferenceGrant, ReferenceGrantFrom, ReferenceGrantTo,
    WAYPOINT_CLASS,
};
use crate::cluster::names;
use crate::cluster::object::Meta;

/// What `istio.io/waypoint-for` may say.
const WAYPOINT_FOR: [&str; 4] = ["service", "workload", "all", "none"];

pub(super) fn gateway_class(place: Place<'_>, meta: Meta, spec: GatewayClassSpec) -> Option<GatewayClass> {
    let here = place.field("spec");
    if spec.controller_name.is_empty() {
        here.field("controllerName").error(Problem::new("a GatewayClass needs `controllerName`"));
    }
    if spec.parameters_ref.is_some() {
        here.field("parametersRef").notice(Problem::new("`parametersRef` of a GatewayClass is not simulated"));
    }
    waypoint_for(place, &meta);
    Some(GatewayClass { meta, controller: spec.controller_name.into() })
}

/// An unknown value counts as the default; upstream takes it without a word.
fn waypoint_for(place: Place<'_>, meta: &Meta) {
    let Some(value) = meta.label("istio.io/waypoint-for").filter(|value| !WAYPOINT_FOR.contains(value)) else { return };
    let here = place.field("metadata").field("labels").field("istio.io/waypoint-for");
    here.notice(super::metadata::one_of("kind of traffic", value, &WAYPOINT_FOR));
}

pub(super) fn gateway(place: Place<'_>, meta: Meta, spec: GatewaySpec) -> Option<Gateway> {
    let here = place.field("spec");
    if spec.gateway_class_name.is_empty() {
        here.field("gatewayClassName").error(
            Problem::new("a Gateway needs `gatewayClassName`").hint(format!("a waypoint's is `{WAYPOINT_CLASS}`")),
        );
    }
    for (field, written) in [
        ("addresses", spec.addresses.is_some()),
        ("allowedListeners", spec.allowed_listeners.is_some()),
        ("defaultScope", spec.default_scope.is_some()),
        ("tls", spec.tls.is_some()),
    ] {
        if written {
            here.field(field).notice(Problem::new(format!("`{field}` of a Gateway is not simulated")));
        }
    }
    if spec.gateway_class_name != WAYPOINT_CLASS {
        let problem =
            Problem::new(format!("class `{}` is not simulated: nothing is deployed", spec.gateway_class_name));
        here.field("gatewayClassName").notice(problem.hint(format!("waypoints are of class `{WAYPOINT_CLASS}`")));
    }
    waypoint_for(place, &meta);
    let place_of_listeners = here.field("listeners");
    if spec.listeners.is_empty() {
        place_of_listeners.error(
            Problem::new("a Gateway needs at least one listener")
                .hint("a waypoint's is `{name: mesh, port: 15008, protocol: HBONE}`"),
        );
    }
    let mut names = BTreeSet::new();
    let mut listeners = Vec::new();
    for (index, written) in spec.listeners.iter().enumerate() {
        let here = place_of_listeners.item(index);
        if !names.insert(written.name.as_str()) {
            here.field("name").error(Problem::new(format!("two listeners are named `{}`", written.name)));
        }
        listeners.extend(listener(here, written));
    }
    let infrastructure = spec.infrastructure.unwrap_or_default();
    let place_of_infrastructure = here.field("infrastructure");
    if infrastructure.parameters_ref.is_some() {
        let problem = Problem::new("`parametersRef` of a Gateway is not simulated");
        place_of_infrastructure.field("parametersRef").notice(problem);
    }
    Some(Gateway {
        class: spec.gateway_class_name.into(),
        listeners,
        infrastructure_labels: labels(place_of_infrastructure.field("labels"), infrastructure.labels.as_ref()),
        infrastructure_annotations: annotations(
            place_of_infrastructure.field("annotations"),
            infrastructure.annotations.as_ref(),
        ),
        addresses: Vec::new(),
        meta,
    })
}

fn listener(place: Place<'_>, written: &GatewayListeners) -> Option<Listener> {
    let here = place.field("allowedRoutes").field("namespaces");
    let namespaces = written.allowed_routes.as_ref().and_then(|allowed| allowed.namespaces.as_ref());
    let from = namespaces.and_then(|namespaces| namespaces.from.as_ref());
    let selection = namespaces.and_then(|namespaces| namespaces.selector.as_ref());
    let allowed = match (from, selection) {
        (Some(From::All), _) => AllowedNamespaces::All,
        (Some(From::Selector), Some(written)) => {
            AllowedNamespaces::Selector(selector(here.field("selector"), &label_selector(written)))
        }
        (Some(From::Selector), None) => {
            here.error(Problem::new("`from: Selector` needs a `selector`"));
            AllowedNamespaces::Same
        }
        (Some(From::Same) | None, _) => AllowedNamespaces::Same,
    };
    if selection.is_some() && !matches!(from, Some(From::Selector)) {
        here.field("selector").notice(Problem::new("a `selector` counts only beside `from: Selector`"));
    }
    Some(Listener {
        name: written.name.as_str().into(),
        port: place.field("port").check(names::port(written.port.into()))?,
        protocol: written.protocol.as_str().into(),
        allowed,
    })
}

fn label_selector(written: &GatewayListenersAllowedRoutesNamespacesSelector) -> meta::LabelSelector {
    let expressions = written.match_expressions.iter().flatten().map(|written| meta::LabelSelectorRequirement {
        key: written.key.clone(),
        operator: written.operator.clone(),
        values: written.values.clone(),
    });
    meta::LabelSelector { match_expressions: Some(expressions.collect()), match_labels: written.match_labels.clone() }
}

pub(super) fn reference_grant(meta: Meta, spec: ReferenceGrantSpec) -> ReferenceGrant {
    let from = spec.from.into_iter().map(|from| ReferenceGrantFrom {
        group: from.group.into(),
        kind: from.kind.into(),
        namespace: from.namespace.into(),
    });
    let to = spec.to.into_iter().map(|to| ReferenceGrantTo {
        group: to.group.into(),
        kind: to.kind.into(),
        name: to.name.filter(|name| !name.is_empty()).map(Into::into),
    });
    ReferenceGrant { meta, from: from.collect(), to: to.collect() }
}
