//! `/config_dump`: everything the proxy knows, in upstream's shape.

use serde_json::{Map, Value, json};

use crate::form::{PolicyForm, ServiceForm, WorkloadForm};
use crate::host::{Host, WallTime};
use crate::identity::store::CertificateState;
use crate::identity::{CertificateAuthority, Identity};
use crate::state::Snapshot;
use crate::telemetry::{ConnectionSecurity, Reporter};
use crate::tls::{self, pem};
use crate::ztunnel::{LiveConnection, Ztunnel};

pub(super) fn dump<H: Host, C: CertificateAuthority>(ztunnel: &Ztunnel<H, C>, settings: &Value) -> Value {
    let certificates: Vec<Value> =
        ztunnel.certificates().list().iter().map(|(identity, state)| certificate(identity, state)).collect();
    let up = if ztunnel.is_ready() { "Up" } else { "Pending" };
    let connections = ztunnel.connections();
    let mut states = Map::new();
    for info in ztunnel.workloads() {
        let of = connections.iter().find(|(uid, _)| *uid == info.uid);
        let live = of.map(|(_, live)| live.as_slice()).unwrap_or_default();
        let side = |reporter| {
            let these = live.iter().filter(|connection| connection.info.reporter == reporter);
            these.map(connection).collect::<Vec<Value>>()
        };
        let state = json!({
            "state": up,
            "connections": {"inbound": side(Reporter::Destination), "outbound": side(Reporter::Source)},
            "info": {
                "name": &*info.name, "namespace": &*info.namespace, "serviceAccount": &*info.service_account,
            },
        });
        states.insert(info.uid.to_string(), state);
    }
    let mut dump = known(&ztunnel.state().snapshot(), settings);
    dump["certificates"] = certificates.into();
    dump["workloadState"] = states.into();
    dump
}

/// What a proxy of any kind was told.
pub(super) fn known(snapshot: &Snapshot, settings: &Value) -> Value {
    let workloads: Vec<_> = snapshot.workloads().map(|workload| WorkloadForm::write(workload)).collect();
    let services: Vec<_> = snapshot.services().map(|service| ServiceForm::write(service, snapshot)).collect();
    let policies: Vec<_> = snapshot.policies().map(|policy| PolicyForm::write(policy)).collect();
    json!({
        "workloads": workloads,
        "services": services,
        "policies": policies,
        // Endpoints of services not known yet: here they are kept with their workloads.
        "stagedServices": {},
        // Local files are read before, and shown as what they came to.
        "staticConfig": {"workloads": [], "services": [], "policies": []},
        "version": {"version": env!("CARGO_PKG_VERSION"), "gitTag": env!("CARGO_PKG_VERSION")},
        "config": settings,
    })
}

fn connection(live: &LiveConnection) -> Value {
    let info = &live.info;
    let protocol = if info.security == ConnectionSecurity::MutualTls { "HBONE" } else { "TCP" };
    json!({
        "src": info.source.to_string(),
        "originalDst": info.original_destination.to_string(),
        "actualDst": info.destination.unwrap_or(info.original_destination).to_string(),
        "protocol": protocol,
    })
}

fn certificate(identity: &Identity, state: &CertificateState) -> Value {
    let (words, chain, roots) = match state {
        CertificateState::Initializing => ("Initializing".to_owned(), Vec::new(), Vec::new()),
        CertificateState::Unavailable(why) => (format!("Unavailable: {why}"), Vec::new(), Vec::new()),
        CertificateState::Available(held) => {
            let each = |ders: &[Vec<u8>]| ders.iter().map(|der| one(der)).collect();
            ("Available".to_owned(), each(&held.chain), each(&held.roots))
        }
    };
    json!({"identity": identity.to_string(), "state": words, "certChain": chain, "rootCerts": roots})
}

fn one(der: &[u8]) -> Value {
    let (from, until) = match tls::validity(der) {
        Ok((from, until)) => (rfc3339(from), rfc3339(until)),
        Err(_) => (String::new(), String::new()),
    };
    json!({
        "pem": pem::base64(pem::encode_certificate(der).as_bytes()),
        "serialNumber": tls::serial_number(der).map(|serial| decimal(&serial)).unwrap_or_default(),
        "validFrom": from,
        "expirationTime": until,
    })
}

fn rfc3339(at: WallTime) -> String {
    let mut text = crate::telemetry::timestamp(at);
    text.truncate("2026-01-01T00:00:00".len());
    text + "Z"
}

/// A big-endian number in decimal.
fn decimal(bytes: &[u8]) -> String {
    let mut digits: Vec<u8> = vec![0];
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += u32::from(*digit) << 8;
            *digit = (carry % 10) as u8;
            carry /= 10;
        }
        while carry > 0 {
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
    }
    digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_numbers_are_written_in_decimal() {
        assert_eq!(decimal(&[]), "0");
        assert_eq!(decimal(&[0, 255]), "255");
        assert_eq!(decimal(&[0xff; 16]), u128::MAX.to_string());
        assert_eq!(decimal(&[1, 0]), "256");
    }

    #[test]
    fn times_are_written_to_the_second() {
        assert_eq!(rfc3339(WallTime::from_unix_secs(1_767_225_600)), "2026-01-01T00:00:00Z");
    }
}
