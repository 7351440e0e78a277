//! What a seed adds to what happens in a scenario: traffic between its workloads, and changes of what is written.

use proxy_core::host::Rng;
use serde_json::{Value, json};

use super::{millis, one_in};
use crate::cluster::yaml::{Node, Value as Written};
use crate::scenario::Plan;
use crate::scenario::quantity::{Size, Time};

/// Who and what manifests name.
#[derive(Default)]
pub(super) struct Cast {
    /// Deployments, pods and waypoints, as steps name them.
    pub(super) workloads: Vec<String>,
    /// Those that may ask: no waypoints.
    clients: Vec<String>,
    deployments: Vec<Deployment>,
    ports: Vec<Port>,
}

struct Deployment {
    name: String,
    namespace: String,
    /// A label of its pods, if they have one.
    label: Option<(String, String)>,
}

/// A service's port.
struct Port {
    /// `name.namespace:port`.
    place: String,
    /// Whether bytes are all it takes.
    raw: bool,
}

impl Cast {
    pub(super) fn of(plan: &Plan) -> Cast {
        let mut cast = Cast::default();
        for manifest in &plan.manifests {
            for document in &manifest.documents {
                cast.add(&document.root, &manifest.options.namespace);
            }
        }
        cast
    }

    fn add(&mut self, root: &Node, usual: &str) {
        let Some(name) = text(root, &["metadata", "name"]) else { return };
        let namespace = text(root, &["metadata", "namespace"]).unwrap_or(usual);
        match text(root, &["kind"]) {
            Some("Deployment") => {
                self.clients.push(format!("deploy/{name}.{namespace}"));
                self.workloads.push(format!("deploy/{name}.{namespace}"));
                let labels = at(root, &["spec", "template", "metadata", "labels"]);
                let label = labels.and_then(|labels| Some(("app".to_owned(), labels.get("app")?.as_str()?.to_owned())));
                self.deployments.push(Deployment { name: name.to_owned(), namespace: namespace.to_owned(), label });
            }
            Some("Pod") => {
                self.clients.push(format!("pod/{name}.{namespace}"));
                self.workloads.push(format!("pod/{name}.{namespace}"));
            }
            // A waypoint's pods belong to a deployment of its name.
            Some("Gateway") if text(root, &["spec", "gatewayClassName"]) == Some("istio-waypoint") => {
                self.workloads.push(format!("deploy/{name}.{namespace}"));
            }
            Some("Service") if at(root, &["spec", "selector"]).is_some() => {
                let Some(Written::Sequence(ports)) = at(root, &["spec", "ports"]).map(|node| &node.value) else {
                    return;
                };
                for port in ports.iter() {
                    let Some(number) = port.get("port").and_then(Node::as_str) else { continue };
                    let called = ["appProtocol", "name"].into_iter().find_map(|key| port.get(key)?.as_str());
                    let called = called.unwrap_or("http").to_ascii_lowercase();
                    let raw = called.starts_with("tcp");
                    if raw || matches!(&*called, "http" | "http1") || called.starts_with("http-") {
                        self.ports.push(Port { place: format!("{name}.{namespace}:{number}"), raw });
                    }
                }
            }
            _ => {}
        }
    }
}

fn at<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(node, |node, key| node.get(key))
}

fn text<'n>(node: &'n Node, path: &[&str]) -> Option<&'n str> {
    at(node, path)?.as_str()
}

pub(super) fn pick<'l, T>(list: &'l [T], dice: &mut Rng) -> Option<&'l T> {
    list.get(dice.below(list.len().max(1) as u64) as usize)
}

/// Up to three loads or streams between any two: steps, and loads.
pub(super) fn traffic(cast: &Cast, span: u64, dice: &mut Rng) -> (Vec<Value>, Vec<Value>) {
    let (mut steps, mut loads) = (Vec::new(), Vec::new());
    for number in 0..dice.below(4) {
        let (Some(client), Some(port)) = (pick(&cast.clients, dice), pick(&cast.ports, dice)) else { break };
        let begins = span / 20 + dice.below((span * 3 / 4).max(1));
        let size = Size(dice.below(256 << 10));
        if port.raw {
            let mut connect =
                json!({ "from": client, "to": format!("tcp://{}", port.place), "send": size.to_string() });
            match dice.below(4) {
                0 => connect["hold"] = true.into(),
                1 => connect["half_close"] = true.into(),
                2 => connect["read"] = Size((8 << 10) + dice.below(64 << 10)).to_string().into(),
                _ => {}
            }
            steps.push(json!({ "at": milliseconds(begins), "connect": connect }));
        } else {
            let ends = begins + 100 + dice.below((span - begins).clamp(1, 4000));
            loads.push(json!({
                "name": format!("drawn-{number}"),
                "from": client,
                "to": format!("http://{}/", port.place),
                "rate": format!("{}/s", 1 + dice.below(40)),
                "during": format!("{}..{}", milliseconds(begins), milliseconds(ends)),
                "keep_alive": one_in(2, dice),
                "body_size": Size(if one_in(2, dice) { 0 } else { size.0 / 4 }).to_string(),
            }));
        }
    }
    (steps, loads)
}

/// Up to two changes: a policy that denies for a while, a rollout, another number of pods.
pub(super) fn changes(cast: &Cast, span: u64, dice: &mut Rng) -> Vec<Value> {
    let mut steps = Vec::new();
    for number in 0..dice.below(3) {
        let Some(deployment) = pick(&cast.deployments, dice) else { break };
        let begins = span / 20 + dice.below((span * 3 / 4).max(1));
        let object = format!("deploy/{}.{}", deployment.name, deployment.namespace);
        match dice.below(4) {
            0 => steps.push(json!({ "at": milliseconds(begins), "restart": object })),
            1 => {
                let scale = json!({ "object": object, "replicas": 1 + dice.below(3) });
                steps.push(json!({ "at": milliseconds(begins), "scale": scale }));
            }
            _ => {
                let from = pick(&cast.deployments, dice).map_or("*", |it| &it.namespace);
                let policy = policy(&format!("drawn-{number}"), deployment, from, dice);
                steps.push(json!({ "at": milliseconds(begins), "apply": policy }));
                let name = format!("authorizationpolicy/drawn-{number}.{}", deployment.namespace);
                let ends = begins + millis(50, span / 2, dice).0.as_millis() as u64;
                steps.push(json!({ "at": milliseconds(ends), "delete": name }));
            }
        }
    }
    steps
}

fn policy(name: &str, deployment: &Deployment, from: &str, dice: &mut Rng) -> String {
    let selector = deployment
        .label
        .as_ref()
        .filter(|_| !one_in(3, dice))
        .map_or(String::new(), |(key, value)| format!("  selector: {{ matchLabels: {{ {key}: {value} }} }}\n"));
    let rule =
        if one_in(3, dice) { "{}".to_owned() } else { format!("from: [{{ source: {{ namespaces: [{from}] }} }}]") };
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{ name: {name}, namespace: {} }}\nspec:\n{selector}  action: DENY\n  rules:\n  - {rule}\n",
        deployment.namespace
    )
}

fn milliseconds(count: u64) -> String {
    Time(std::time::Duration::from_millis(count)).to_string()
}
