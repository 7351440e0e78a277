//! [`NodeDescription`]: what a node proxy says of itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::proto::wire::envoy::config::core::v3::Node;
use crate::proto::wire::{Struct, Value, value};

/// What a node proxy says of itself when it subscribes; upstream's node id and metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeDescription {
    /// The proxy's own address; upstream says 1.1.1.1 if it knows none.
    pub address: Option<IpAddr>,
    /// The proxy's own pod.
    pub pod: String,
    /// The namespace of that pod.
    pub namespace: String,
    /// The node it serves.
    pub node: String,
    /// More metadata, by key, as strings.
    pub metadata: BTreeMap<String, String>,
}

impl NodeDescription {
    /// As it travels. The id is `ztunnel~<address>~<pod>.<namespace>~<namespace>.svc.cluster.local`.
    pub fn to_wire(&self) -> Node {
        let NodeDescription { pod, namespace, node, .. } = self;
        let address = self.address.unwrap_or(IpAddr::from([1, 1, 1, 1]));
        let own = [
            ("NAME", pod.clone()),
            ("NAMESPACE", namespace.clone()),
            ("INSTANCE_IPS", address.to_string()),
            ("NODE_NAME", node.clone()),
        ];
        let mut fields: BTreeMap<String, String> = self.metadata.clone();
        fields.extend(own.map(|(key, value)| (key.to_owned(), value)));
        let string = |text| Value { kind: Some(value::Kind::StringValue(text)) };
        let fields = fields.into_iter().map(|(key, text)| (key, string(text))).collect();
        Node {
            id: format!("ztunnel~{address}~{pod}.{namespace}~{namespace}.svc.cluster.local"),
            cluster: String::new(),
            metadata: Some(Struct { fields }),
        }
    }
}
