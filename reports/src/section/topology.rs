//! Nodes and the pods on them.

use std::collections::BTreeMap;

use sim::record::{RunRecord, TopologyNode};

use crate::html::Html;
use crate::text;

/// Pods drawn per node; a larger node says how many more it has.
const PODS_MAX: usize = 24;
/// Nodes drawn; a larger mesh says how many more it has.
const NODES_MAX: usize = 40;

pub(crate) fn write(html: &mut Html, record: &RunRecord) {
    if record.topology.is_empty() {
        return;
    }
    html.element("section", &[], |html| {
        html.leaf("h2", &[], "Topology");
        html.leaf(
            "p",
            &[("class", "hint")],
            "Filled pods are enrolled: their traffic is captured by the node's ztunnel. Hollow ones are not.",
        );
        html.element("div", &[("class", "nodes")], |html| {
            for node in record.topology.iter().take(NODES_MAX) {
                write_node(html, node);
            }
        });
        if record.topology.len() > NODES_MAX {
            html.leaf("p", &[("class", "hint")], format!("and {} more nodes", record.topology.len() - NODES_MAX));
        }
    });
}

fn write_node(html: &mut Html, node: &TopologyNode) {
    let mut namespaces: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for pod in node.pods.iter().take(PODS_MAX) {
        namespaces.entry(&pod.namespace).or_default().push(pod);
    }
    html.element("div", &[("class", "node")], |html| {
        html.element("h3", &[], |html| {
            html.text(&node.name);
            if !node.zone.is_empty() {
                html.span("hint", format!(" zone {}", node.zone));
            }
        });
        for (namespace, pods) in namespaces {
            html.span("namespace", namespace);
            html.element("div", &[("class", "pods")], |html| {
                for pod in pods {
                    let identity = pod.identity.as_deref().unwrap_or("no identity");
                    let title = format!("{} · {} · {identity}", pod.name, pod.ips.join(", "));
                    let class = if pod.enrolled { "pod enrolled" } else { "pod" };
                    html.leaf("span", &[("class", class), ("title", &title)], text::shortened(&pod.name, 34));
                }
            });
        }
        if node.pods.len() > PODS_MAX {
            html.leaf("p", &[("class", "hint")], format!("and {} more pods", node.pods.len() - PODS_MAX));
        }
        html.leaf("p", &[("class", "ztunnel")], "ztunnel");
    });
}
