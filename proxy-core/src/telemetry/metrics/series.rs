//! [`Series`]: one combination of traffic labels, kept as references to the records the labels are read from.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::sync::Arc;

use super::reporter_label;
use crate::identity::Identity;
use crate::state::{NamespacedHostname, Workload};
use crate::telemetry::{ConnectionInfo, ConnectionSecurity, Reporter, ResponseFlags};

/// What one label combination counts; `None` until first counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    pub(super) opened: Option<u64>,
    pub(super) closed: Option<u64>,
    pub(super) failed: Option<u64>,
    pub(super) received: Option<u64>,
    pub(super) sent: Option<u64>,
    /// When it was last counted in, by the count of counts.
    pub(super) touched: u64,
}

/// Two are equal when they print equal labels. Building one copies no string.
#[derive(Clone, Debug)]
pub(super) struct Series {
    reporter: Reporter,
    source: Option<Arc<Workload>>,
    source_identity: Option<Identity>,
    destination: Option<Arc<Workload>>,
    service: Option<NamespacedHostname>,
    service_name: Option<Arc<str>>,
    flags: ResponseFlags,
    security: ConnectionSecurity,
}

impl Series {
    pub(super) fn of(connection: &ConnectionInfo, flags: ResponseFlags) -> Self {
        let encrypted = connection.security == ConnectionSecurity::MutualTls;
        Series {
            reporter: connection.reporter,
            source: connection.source_workload.clone(),
            // Only a principal that was proven: never from the workload's record.
            source_identity: connection.source_identity.clone().filter(|_| encrypted),
            destination: connection.destination_workload.clone(),
            service: connection.destination_service.clone(),
            service_name: connection.destination_service_name.clone(),
            flags,
            security: connection.security,
        }
    }

    /// `name="value",…` in upstream's order, without braces.
    pub(super) fn write_labels(&self, out: &mut String) {
        let mut first = true;
        let mut label = |name: &str, value: &str| {
            if !first {
                out.push(',');
            }
            first = false;
            let _ = write!(out, "{name}=\"");
            write_value(out, if value.is_empty() { "unknown" } else { value });
            out.push('"');
        };
        let source = Facts::of(self.source.as_deref());
        let destination = Facts::of(self.destination.as_deref());
        let principal = |identity: Option<Identity>| identity.map(|identity| identity.to_string()).unwrap_or_default();
        let service = |part: fn(&NamespacedHostname) -> &str| self.service.as_ref().map_or("", part);

        label("reporter", reporter_label(self.reporter));
        label("source_workload", source.workload);
        label("source_canonical_service", source.canonical_name);
        label("source_canonical_revision", source.canonical_revision);
        label("source_workload_namespace", source.namespace);
        label("source_principal", &principal(self.source_identity.clone()));
        label("source_app", source.app);
        label("source_version", source.canonical_revision);
        label("source_cluster", source.cluster);
        label("destination_service", service(|key| &key.hostname));
        label("destination_service_namespace", service(|key| &key.namespace));
        label("destination_service_name", self.service_name.as_deref().unwrap_or(""));
        label("destination_workload", destination.workload);
        label("destination_canonical_service", destination.canonical_name);
        label("destination_canonical_revision", destination.canonical_revision);
        label("destination_workload_namespace", destination.namespace);
        label("destination_principal", &principal(self.destination.as_ref().map(|workload| workload.identity())));
        label("destination_app", destination.app);
        label("destination_version", destination.canonical_revision);
        label("destination_cluster", destination.cluster);
        label("request_protocol", "tcp");
        label("response_flags", &self.flags.to_string());
        label(
            "connection_security_policy",
            match self.security {
                ConnectionSecurity::Unknown => "unknown",
                ConnectionSecurity::MutualTls => "mutual_tls",
            },
        );
        if self.source.is_some() || self.destination.is_some() {
            label("source_region", source.region);
            label("source_zone", source.zone);
            label("destination_region", destination.region);
            label("destination_zone", destination.zone);
        }
    }
}

/// What labels say of a workload; empty strings where nothing is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Facts<'a> {
    known: bool,
    pub(super) workload: &'a str,
    pub(super) canonical_name: &'a str,
    pub(super) canonical_revision: &'a str,
    pub(super) namespace: &'a str,
    pub(super) app: &'a str,
    pub(super) cluster: &'a str,
    region: &'a str,
    zone: &'a str,
    trust_domain: &'a str,
    service_account: &'a str,
}

impl<'a> Facts<'a> {
    pub(super) fn of(workload: Option<&'a Workload>) -> Self {
        let Some(workload) = workload else { return Facts::default() };
        Facts {
            known: true,
            workload: &workload.workload_name,
            canonical_name: &workload.canonical_name,
            canonical_revision: &workload.canonical_revision,
            namespace: &workload.namespace,
            // A record without a uid was put together from the peer's baggage, which names no application.
            app: if workload.uid.is_empty() { &workload.workload_name } else { &workload.canonical_name },
            cluster: &workload.cluster_id,
            region: &workload.locality.region,
            zone: &workload.locality.zone,
            trust_domain: &workload.trust_domain,
            service_account: &workload.service_account,
        }
    }
}

fn compare_workloads(left: &Option<Arc<Workload>>, right: &Option<Arc<Workload>>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) if Arc::ptr_eq(left, right) => Ordering::Equal,
        _ => Facts::of(left.as_deref()).cmp(&Facts::of(right.as_deref())),
    }
}

impl Ord for Series {
    fn cmp(&self, other: &Self) -> Ordering {
        self.reporter
            .cmp(&other.reporter)
            .then_with(|| compare_workloads(&self.source, &other.source))
            .then_with(|| self.source_identity.cmp(&other.source_identity))
            .then_with(|| self.service.cmp(&other.service))
            .then_with(|| self.service_name.cmp(&other.service_name))
            .then_with(|| compare_workloads(&self.destination, &other.destination))
            .then_with(|| self.flags.cmp(&other.flags))
            .then_with(|| self.security.cmp(&other.security))
    }
}

impl PartialOrd for Series {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Series {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Series {}

/// A label's value, escaped.
pub(super) fn write_value(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}
