//! [`Baggage`]: who a workload is, for the peer's labels. Never trusted for decisions.

use std::sync::Arc;

use http::HeaderValue;

use crate::state::{Workload, WorkloadType};

/// The longest header that is looked at. Header lists are capped at 64 KiB by HTTP/2 settings; labels need far less.
const LENGTH_MAX: usize = 8 * 1024;

/// The `baggage` header of an HBONE request (describes the source) or response (describes the destination).
///
/// Empty strings are absent fields.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Baggage {
    /// `k8s.cluster.name`.
    pub cluster: Arc<str>,
    /// `k8s.namespace.name`.
    pub namespace: Arc<str>,
    /// The middle word of `k8s.<deployment|cronjob|pod|job>.name`.
    pub workload_type: Option<WorkloadType>,
    /// `k8s.<type>.name`.
    pub workload_name: Arc<str>,
    /// `service.name`: the canonical name.
    pub service_name: Arc<str>,
    /// `service.version`: the canonical revision.
    pub service_version: Arc<str>,
    /// `cloud.region`.
    pub region: Arc<str>,
    /// `cloud.availability_zone`.
    pub zone: Arc<str>,
}

impl Baggage {
    /// What is said of a workload.
    pub fn of(workload: &Workload) -> Self {
        Baggage {
            cluster: workload.cluster_id.clone(),
            namespace: workload.namespace.clone(),
            workload_type: Some(workload.workload_type),
            workload_name: workload.workload_name.clone(),
            service_name: workload.canonical_name.clone(),
            service_version: workload.canonical_revision.clone(),
            region: workload.locality.region.clone(),
            zone: workload.locality.zone.clone(),
        }
    }

    /// The header's value; `None` when every field is empty.
    pub fn to_header(&self) -> Option<HeaderValue> {
        let workload_key = match self.workload_type {
            Some(WorkloadType::Deployment) => "k8s.deployment.name",
            Some(WorkloadType::CronJob) => "k8s.cronjob.name",
            Some(WorkloadType::Job) => "k8s.job.name",
            Some(WorkloadType::Pod) | None => "k8s.pod.name",
        };
        let mut text = String::new();
        for (key, value) in [
            ("k8s.cluster.name", &self.cluster),
            ("k8s.namespace.name", &self.namespace),
            (workload_key, &self.workload_name),
            ("service.name", &self.service_name),
            ("service.version", &self.service_version),
            ("cloud.region", &self.region),
            ("cloud.availability_zone", &self.zone),
        ] {
            if value.is_empty() {
                continue;
            }
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(key);
            text.push('=');
            push_escaped(&mut text, value);
        }
        if text.is_empty() { None } else { HeaderValue::try_from(text).ok() }
    }

    /// Reads a header's value. Never fails: unknown keys, repeated keys after the first, properties and nonsense are
    /// skipped, and a header longer than 8 KiB or not ASCII is as good as absent.
    pub fn from_header(value: &HeaderValue) -> Self {
        let mut baggage = Baggage::default();
        let text = match value.to_str() {
            Ok(text) if text.len() <= LENGTH_MAX => text,
            _ => return baggage,
        };
        for member in text.split(',') {
            // `key=value;property`: properties carry nothing for us.
            let member = member.split(';').next().unwrap_or_default();
            let Some((key, value)) = member.split_once('=') else { continue };
            let (key, value) = (key.trim(), unescape(value.trim()));
            let workload_type = match key {
                "k8s.deployment.name" => Some(WorkloadType::Deployment),
                "k8s.cronjob.name" => Some(WorkloadType::CronJob),
                "k8s.pod.name" => Some(WorkloadType::Pod),
                "k8s.job.name" => Some(WorkloadType::Job),
                _ => None,
            };
            let field = match key {
                "k8s.cluster.name" => &mut baggage.cluster,
                "k8s.namespace.name" => &mut baggage.namespace,
                "service.name" => &mut baggage.service_name,
                "service.version" => &mut baggage.service_version,
                "cloud.region" => &mut baggage.region,
                "cloud.availability_zone" => &mut baggage.zone,
                _ if workload_type.is_some() => &mut baggage.workload_name,
                _ => continue,
            };
            if field.is_empty() && !value.is_empty() {
                *field = value.into();
                baggage.workload_type = baggage.workload_type.or(workload_type);
            }
        }
        baggage
    }
}

/// Percent-escapes what would end or split a member. Kubernetes names never need it.
fn push_escaped(text: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'"' | b',' | b';' | b'\\' | b'%' | b' ' => text.push_str(&format!("%{byte:02X}")),
            0x21..=0x7e => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// Undoes [`push_escaped`]; a `%` that escapes nothing stands for itself, and bytes that are not UTF-8 are replaced.
fn unescape(value: &str) -> String {
    let bytes = value.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = bytes.get(at + 1..at + 3).filter(|_| byte == b'%').and_then(|digits| {
            let high = char::from(digits[0]).to_digit(16)?;
            let low = char::from(digits[1]).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        });
        out.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Baggage {
        Baggage {
            cluster: "Kubernetes".into(),
            namespace: "a".into(),
            workload_type: Some(WorkloadType::Deployment),
            workload_name: "client".into(),
            service_name: "client".into(),
            service_version: "v1".into(),
            region: "r1".into(),
            zone: "z1".into(),
        }
    }

    #[test]
    fn fields_are_written_in_the_order_of_the_wire() {
        assert_eq!(
            full().to_header().unwrap(),
            "k8s.cluster.name=Kubernetes,k8s.namespace.name=a,k8s.deployment.name=client,service.name=client,\
             service.version=v1,cloud.region=r1,cloud.availability_zone=z1"
        );
    }

    #[test]
    fn empty_fields_are_left_out_and_nothing_is_no_header() {
        assert_eq!(Baggage::default().to_header(), None);
        let only = Baggage { namespace: "a".into(), ..Baggage::default() };
        assert_eq!(only.to_header().unwrap(), "k8s.namespace.name=a");
    }

    #[test]
    fn baggage_survives_a_round_trip_even_with_separators_inside() {
        let odd = Baggage { cluster: "a,b=c;d%2 é".into(), ..full() };
        assert_eq!(Baggage::from_header(&odd.to_header().unwrap()), odd);
    }

    #[test]
    fn hostile_baggage_is_skipped_not_fatal() {
        for text in ["", ",,,", "=", "k8s.pod.name", "k8s.pod.name=", "a=b=c;d,%", "service.name=%zz%", "%%%%%1"] {
            Baggage::from_header(&HeaderValue::from_static(text));
        }
        let not_ascii = HeaderValue::from_bytes(b"service.name=\xff").unwrap();
        assert_eq!(Baggage::from_header(&not_ascii), Baggage::default());
        let long = HeaderValue::try_from(format!("service.name={}", "x".repeat(LENGTH_MAX))).unwrap();
        assert_eq!(Baggage::from_header(&long), Baggage::default());
    }

    #[test]
    fn the_first_of_repeated_keys_wins() {
        let baggage = Baggage::from_header(&HeaderValue::from_static("service.name=a,service.name=b"));
        assert_eq!(&*baggage.service_name, "a");
    }
}
