//! [`LocalConfig`]: a local file.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::service::port;
use super::workload::namespaced;
use super::{PolicyForm, ServiceForm, WorkloadForm};
use crate::state::{PortMapping, Resource, Update, Workload};

/// A workload of a local file; it says itself which services it serves, and where: `namespace/hostname` to service port
/// to target port.
pub type LocalWorkload = WorkloadForm<BTreeMap<String, BTreeMap<String, u16>>>;

/// Everything a proxy is told by a file instead of a control plane.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalConfig {
    /// Workloads.
    pub workloads: Vec<LocalWorkload>,
    /// Services.
    pub services: Vec<ServiceForm>,
    /// Policies.
    pub policies: Vec<PolicyForm>,
}

impl LocalConfig {
    /// The records, policies first.
    ///
    /// # Errors
    /// Which record cannot be meant, and why; all of them.
    pub fn to_update(&self) -> Result<Update, Vec<String>> {
        let (mut upserted, mut wrong) = (Vec::new(), Vec::new());
        for form in &self.policies {
            match form.read() {
                Ok(policy) => upserted.push(Resource::Authorization(Arc::new(policy))),
                Err(why) => wrong.push(format!("policy {}/{}: {why}", form.namespace, form.name)),
            }
        }
        for form in &self.services {
            match form.read() {
                Ok(service) => upserted.push(Resource::Service(Arc::new(service))),
                Err(why) => wrong.push(format!("service {}/{}: {why}", form.namespace, form.hostname)),
            }
        }
        for form in &self.workloads {
            match workload(form) {
                Ok(workload) => upserted.push(Resource::Workload(Arc::new(workload))),
                Err(why) => wrong.push(format!("workload {}/{}: {why}", form.namespace, form.name)),
            }
        }
        if wrong.is_empty() { Ok(Update { removed: Vec::new(), upserted }) } else { Err(wrong) }
    }
}

fn workload(form: &LocalWorkload) -> Result<Workload, String> {
    let mut workload = form.read()?;
    for (key, ports) in &form.services {
        let mapping = |(service_port, target_port): (&String, &u16)| {
            let service_port = port(service_port, "service port")?;
            Ok::<_, String>(PortMapping { service_port, target_port: *target_port })
        };
        workload.services.insert(namespaced(key)?, ports.iter().map(mapping).collect::<Result<_, _>>()?);
    }
    Ok(workload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::proto::arbitrary::policy;
    use crate::state::arbitrary::{service, workload as any_workload};
    use crate::state::{NamespacedHostname, Snapshot};

    fn read(value: serde_json::Value) -> Result<Update, Vec<String>> {
        serde_json::from_value::<LocalConfig>(value).map_err(|error| vec![error.to_string()])?.to_update()
    }

    #[test]
    fn a_local_file_gives_policies_services_and_workloads() {
        let update = read(json!({
            "workloads": [{
                "uid": "u", "name": "local", "namespace": "default", "workloadIps": ["127.0.0.1"],
                "protocol": "HBONE", "node": "local",
                "services": {"default/example.com": {"80": 8080}},
            }],
            "services": [{
                "name": "local", "namespace": "default", "hostname": "example.com",
                "vips": ["/127.10.0.1", "net/10.0.0.0/8"], "ports": {"80": 0},
            }],
            "policies": [{
                "name": "p", "namespace": "default", "scope": "Namespace", "action": "Deny",
                "rules": [[[{"notDestinationPorts": [9999], "principals": [{"Presence": []}, {"Exact": "x"}]}]]],
            }],
        }))
        .unwrap();
        let [Resource::Authorization(policy), Resource::Service(service), Resource::Workload(workload)] =
            &update.upserted[..]
        else {
            panic!("{update:?}")
        };
        assert_eq!(policy.rules[0].clauses[0].matches[0].not_destination_ports, [9999]);
        assert_eq!(policy.rules[0].clauses[0].matches[0].principals.len(), 2);
        assert_eq!(service.vips[0].to_string(), "/127.10.0.1");
        assert_eq!(service.cidr_vips[0].prefix_length, 8);
        let mapping = PortMapping { service_port: 80, target_port: 8080 };
        assert_eq!(workload.services[&NamespacedHostname::new("default", "example.com")], [mapping]);
        assert_eq!(&*workload.service_account, "default");
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        let wrong = read(json!({
            "workloads": [{"name": "w", "namespace": "n", "services": {"x": {}}}],
            "services": [{"name": "s", "namespace": "n", "hostname": "h", "vips": ["nonsense"]}],
            "policies": [{"name": "p", "namespace": "n", "scope": "Global", "action": "Allow",
                          "rules": [[[{"sourceIps": ["1.2.3.4/40"]}]]]}],
        }));
        assert_eq!(
            wrong.unwrap_err(),
            [
                "policy n/p: `1.2.3.4/40` is not an address block: write it like 10.0.0.0/8",
                "service n/h: `nonsense` is not written network/address",
                "workload n/w: `x` is not written namespace/hostname",
            ]
        );
        assert!(read(json!({"workloads": [{"namespace": "n", "nmae": "w"}]})).unwrap_err()[0].contains("nmae"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_dumped_can_be_read_back(workload in any_workload(), service in service(), policy in policy()) {
            let form = serde_json::to_value(WorkloadForm::write(&workload)).unwrap();
            let read: WorkloadForm<Vec<String>> = serde_json::from_value(form).unwrap();
            prop_assert_eq!(read.services.len(), workload.services.len());
            let bare = Workload { services: Default::default(), ..workload };
            prop_assert_eq!(read.read().unwrap(), bare);

            let form = serde_json::to_value(ServiceForm::write(&service, &Snapshot::empty())).unwrap();
            let read: ServiceForm = serde_json::from_value(form).unwrap();
            prop_assert_eq!(&read.read().unwrap().vips, &service.vips);

            let form = serde_json::to_value(PolicyForm::write(&policy)).unwrap();
            let read: PolicyForm = serde_json::from_value(form).unwrap();
            prop_assert_eq!(read.read().unwrap(), policy);
        }
    }
}
