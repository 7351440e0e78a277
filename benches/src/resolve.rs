//! What finding an upstream costs in a large cluster, and what taking in its configuration costs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use criterion::{BatchSize, Criterion};
use proxy_core::host::Rng;
use proxy_core::state::{
    HealthStatus, NamespacedHostname, NetworkAddress, PortMapping, Purpose, Resolution, Resource, Service, ServicePort,
    Snapshot, Update, Workload,
};

const WORKLOADS: u32 = 10_000;
/// Endpoints of a service.
const ENDPOINTS: u32 = 10;

fn pod_address(index: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + index))
}

fn service_address(index: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a60_0000 + index))
}

fn service_key(index: u32) -> NamespacedHostname {
    NamespacedHostname::new("default", &format!("service-{index}.default.svc.cluster.local"))
}

fn workload(index: u32) -> Workload {
    let name: Arc<str> = format!("pod-{index}").into();
    let mapping = PortMapping { service_port: 80, target_port: 8080 };
    Workload {
        uid: format!("Kubernetes//Pod/default/{name}").into(),
        name,
        namespace: "default".into(),
        addresses: vec![pod_address(index)],
        node: format!("node-{}", index % 200).into(),
        services: [(service_key(index / ENDPOINTS), vec![mapping])].into(),
        ..Workload::default()
    }
}

fn service(index: u32) -> Service {
    Service {
        name: format!("service-{index}").into(),
        key: service_key(index),
        vips: vec![NetworkAddress { network: "".into(), address: service_address(index) }],
        ports: vec![ServicePort { service_port: 80, target_port: 8080 }],
        ..Service::default()
    }
}

/// Everything a proxy of a cluster of 10,000 pods and 1,000 services is told.
pub fn everything() -> Update {
    let workloads = (0..WORKLOADS).map(|index| Resource::Workload(Arc::new(workload(index))));
    let services = (0..WORKLOADS / ENDPOINTS).map(|index| Resource::Service(Arc::new(service(index))));
    Update { removed: Vec::new(), upserted: services.chain(workloads).collect() }
}

/// Registers the benchmarks of this file.
pub fn benchmarks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resolve");
    let update = everything();
    let (snapshot, _) = Snapshot::apply(&Snapshot::empty(), &update);
    let source = workload(0);
    let mut rng = Rng::from_number(1);
    let mut resolve = |destination: SocketAddr| {
        let resolution = snapshot.resolve("", &source, destination, Purpose::Application, &mut rng);
        assert!(matches!(resolution, Resolution::Upstream(_)), "{destination} is known");
        resolution
    };
    let mut next = 0;
    group.bench_function("service_of_10000_workloads", |bencher| {
        bencher.iter(|| {
            next = (next + 7) % (WORKLOADS / ENDPOINTS);
            resolve(SocketAddr::new(service_address(next), 80))
        });
    });
    group.bench_function("pod_of_10000_workloads", |bencher| {
        bencher.iter(|| {
            next = (next + 7) % WORKLOADS;
            resolve(SocketAddr::new(pod_address(next), 8080))
        });
    });
    group.sample_size(10);
    group.bench_function("apply_10000_workloads", |bencher| {
        bencher.iter_batched(Snapshot::empty, |base| Snapshot::apply(&base, &update), BatchSize::LargeInput);
    });
    let unready = Workload { status: HealthStatus::Unhealthy, ..workload(4_321) };
    let changed = Update { removed: Vec::new(), upserted: vec![Resource::Workload(Arc::new(unready))] };
    group.bench_function("apply_1_of_10000_workloads", |bencher| {
        bencher.iter(|| Snapshot::apply(&snapshot, &changed));
    });
    group.finish();
}
