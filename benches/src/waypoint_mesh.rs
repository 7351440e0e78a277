//! What a request through a waypoint costs to simulate, client's node proxy, waypoint and server's node proxy included, and how
//! that grows with services and routes; beside the same request without a waypoint, through the two node proxies alone.
//!
//! One iteration is a whole run with a load less the same run without it, so what remains is the requests'.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use sim::record::{RunRecord, Verdict};
use sim::scenario::{Plan, RunOptions, run};

use crate::stopwatch::Stopwatch;

/// Requests of one run.
const REQUESTS: u64 = 2_000;
/// Rules of one route object: more than 16 it may not have.
const RULES: usize = 10;

/// What is built.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Whether a waypoint stands before the services.
    pub waypoint: bool,
    /// Services of the namespace, the one that is asked included.
    pub services: usize,
    /// Routes of the service that is asked.
    pub routes: usize,
}

const SHAPES: [(&str, Shape); 6] = [
    ("node_proxies/1_service", Shape { waypoint: false, services: 1, routes: 0 }),
    ("waypoint/1_service", Shape { waypoint: true, services: 1, routes: 0 }),
    ("waypoint/100_services", Shape { waypoint: true, services: 100, routes: 0 }),
    ("waypoint/10_routes", Shape { waypoint: true, services: 1, routes: 10 }),
    ("waypoint/100_routes", Shape { waypoint: true, services: 1, routes: 100 }),
    ("waypoint/1000_routes", Shape { waypoint: true, services: 1, routes: 1_000 }),
];

impl Shape {
    /// A scenario of this shape, with or without the load.
    ///
    /// # Panics
    /// If the scenario cannot be read.
    pub fn plan(self, loaded: bool) -> Plan {
        let mut text = String::from("name: waypoint-mesh\ndescription: A load through a waypoint, or past it.\n");
        text += "cluster:\n  nodes: 3\n  manifests:\n    - |\n";
        for line in self.manifests().lines() {
            let _ = writeln!(text, "      {line}");
        }
        let path = if self.routes == 0 { "/".to_owned() } else { format!("/team-{}/x", self.routes - 1) };
        let rate = REQUESTS / 4;
        if loaded {
            let _ = write!(
                text,
                "load:\n  - name: steady\n    from: pod/client.shop\n    to: http://service-0.shop{path}\n    rate: {rate}/s\n    \
                 during: 5s..9s\n    expect: {{ success: 100% }}\n"
            );
        } else {
            text +=
                "steps:\n  - at: 9s\n    request: { from: pod/client.shop, to: \"http://service-0.shop/nobody\" }\n";
        }
        Plan::parse("waypoint-mesh.yaml", &text, Path::new(".")).unwrap_or_else(|wrong| panic!("{wrong:?}"))
    }

    fn manifests(self) -> String {
        let binding = if self.waypoint { ", istio.io/use-waypoint: waypoint" } else { "" };
        let mut text = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  \
             labels: {{ istio.io/dataplane-mode: ambient{binding} }}\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata: {{ name: client, namespace: shop }}\n\
             spec: {{ containers: [{{ name: client, image: client }}] }}\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata: {{ name: server, namespace: shop, labels: {{ app: server }} }}\n\
             spec: {{ containers: [{{ name: server, image: server, ports: [{{ name: http, containerPort: 8080 }}] }}] }}\n"
        );
        if self.waypoint {
            text += "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
                     metadata: { name: waypoint, namespace: shop }\n\
                     spec: { gatewayClassName: istio-waypoint, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }\n";
        }
        for number in 0..self.services {
            let _ = write!(
                text,
                "---\napiVersion: v1\nkind: Service\nmetadata: {{ name: service-{number}, namespace: shop }}\n\
                 spec: {{ selector: {{ app: server }}, ports: [{{ name: http, port: 80, targetPort: 8080 }}] }}\n"
            );
        }
        for first in (0..self.routes).step_by(RULES) {
            let _ = write!(
                text,
                "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
                 metadata: {{ name: routes-{first}, namespace: shop }}\n\
                 spec:\n  parentRefs: [{{ group: \"\", kind: Service, name: service-0 }}]\n  rules:\n"
            );
            for rule in first..(first + RULES).min(self.routes) {
                let _ = write!(
                    text,
                    "  - matches: [{{ path: {{ type: PathPrefix, value: /team-{rule} }} }}]\n    \
                     backendRefs: [{{ name: service-0, port: 80 }}]\n"
                );
            }
        }
        text
    }
}

/// The run, and what it took.
fn timed(plan: &Plan) -> (RunRecord, Duration) {
    let watch = Stopwatch::start();
    let record = run(plan, &RunOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    (record, watch.elapsed())
}

/// Registers the benchmarks of this file; prints what one request took.
///
/// # Panics
/// If a request is not answered.
pub fn benchmarks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("waypoint_mesh");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(REQUESTS));
    for (name, shape) in SHAPES {
        let mut plans = None;
        let mut worked = (Duration::ZERO, 0);
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let (idle, loaded) = plans.get_or_insert_with(|| (shape.plan(false), shape.plan(true)));
            bencher.iter_custom(|iterations| {
                let mut total = Duration::ZERO;
                for _ in 0..iterations {
                    let (_, without) = timed(idle);
                    let (record, with) = timed(loaded);
                    assert_eq!(record.verdict, Verdict::Passed, "{:?}", record.load);
                    assert_eq!(record.load[0].succeeded, REQUESTS, "{:?}", record.load);
                    // On a busy machine a run may take longer than one that does more.
                    total += with.saturating_sub(without).max(Duration::from_nanos(1));
                }
                worked = (worked.0 + total, worked.1 + iterations);
                total
            });
        });
        if worked.1 > 0 {
            let each = worked.0.as_secs_f64() * 1e6 / (worked.1 * REQUESTS) as f64;
            println!("waypoint_mesh/{name}: {each:.1} µs a request");
        }
    }
    group.finish();
}
