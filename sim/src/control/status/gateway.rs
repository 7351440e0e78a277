//! Gateways, their listeners, their classes.

use super::Condition;
use crate::cluster::gateway::{Gateway, GatewayClass, Listener};
use crate::control::translate::binding::is_ours;

/// The one listener of a waypoint.
const PORT: u16 = 15008;
const PROTOCOL: &str = "HBONE";

pub(super) fn conditions(gateway: &Gateway) -> Vec<Condition> {
    if !is_ours(gateway) {
        return Vec::new(); // of another class or revision: not ours to say anything of
    }
    let mut conditions = vec![Condition::new("Accepted", true, "Accepted", "this control plane runs it")];
    conditions.push(if gateway.is_usable() {
        Condition::new("Programmed", true, "Programmed", "it has been ready and has addresses")
    } else {
        let message = "none of its pods has been ready yet: it has no address";
        Condition::new("Programmed", false, "AddressNotAssigned", message)
    });
    let several = gateway.listeners.len() > 1;
    for listener in &gateway.listeners {
        conditions.push(of_listener(listener, several).of(&format!("listener {}", listener.name)));
    }
    conditions
}

fn of_listener(listener: &Listener, several: bool) -> Condition {
    let good = listener.port == PORT && *listener.protocol == *PROTOCOL;
    match (good, several) {
        (true, false) => Condition::new("Accepted", true, "Accepted", "a waypoint's listener"),
        (true, true) => Condition::new("Accepted", false, "UnsupportedProtocol", "a waypoint has one listener only"),
        (false, _) => {
            let message = format!(
                "a waypoint listens on port {PORT} with protocol {PROTOCOL}, not on {} with {}",
                listener.port, listener.protocol
            );
            Condition::new("Accepted", false, "UnsupportedProtocol", message)
        }
    }
}

pub(super) fn of_class(class: &GatewayClass) -> Vec<Condition> {
    match &*class.controller {
        crate::cluster::gateway::MESH_CONTROLLER => {
            vec![Condition::new("Accepted", true, "Accepted", "its gateways are waypoints")]
        }
        _ => Vec::new(),
    }
}
