//! What choosing a route costs, by the number of routes and by what they match; beside a plain scan of the same list, which
//! is what the index spares.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proxy_core::host::Rng;
use proxy_core::net::NamespacedHostname;
use proxy_core::request::{RequestView, TextMatch};
use proxy_core::route::{
    Backend, BackendTarget, Decision, Filters, Forward, HeaderMatch, HttpMatch, HttpRoute, HttpRoutes, PathKind,
    PathMatch, PortProtocol, PortRoutes, RouteAction, RouteKind, RouteOrigin, WeightedBackend, choose,
};

const HEADER: HeaderName = HeaderName::from_static("x-tenant");

/// What the routes of a list tell requests apart by.
#[derive(Clone, Copy, Debug)]
pub enum By {
    /// The whole path.
    ExactPath,
    /// A prefix of whole segments.
    PathPrefix,
    /// A prefix of characters, as VirtualServices have it.
    TextPrefix,
    /// A header.
    Header,
    /// The host, as VirtualServices with several hosts have it.
    Host,
}

const KINDS: [(&str, By); 5] = [
    ("exact", By::ExactPath),
    ("prefix", By::PathPrefix),
    ("text_prefix", By::TextPrefix),
    ("header", By::Header),
    ("host", By::Host),
];

/// So many routes, all different; [`Request`] of number `count - 1` matches the last.
pub fn routes(by: By, count: usize) -> Vec<Arc<HttpRoute>> {
    (0..count).map(|number| Arc::new(route(by, number))).collect()
}

fn route(by: By, number: usize) -> HttpRoute {
    let path = |kind| Some(PathMatch { kind, ignore_case: false });
    let matches = match by {
        By::ExactPath => HttpMatch { path: path(PathKind::Exact(path_of(number).into())), ..HttpMatch::default() },
        By::PathPrefix => {
            HttpMatch { path: path(PathKind::SegmentPrefix(prefix_of(number).into())), ..HttpMatch::default() }
        }
        By::TextPrefix => {
            HttpMatch { path: path(PathKind::TextPrefix(prefix_of(number).into())), ..HttpMatch::default() }
        }
        By::Header => {
            let value = TextMatch::Exact(tenant_of(number).into());
            HttpMatch { headers: vec![HeaderMatch { name: HEADER, value }], ..HttpMatch::default() }
        }
        By::Host => HttpMatch { authority: Some(TextMatch::Exact(host_of(number).into())), ..HttpMatch::default() },
    };
    let backend = Backend { service: NamespacedHostname::new("shop", "cart"), port: 80, subset: None };
    let backends = vec![WeightedBackend::new(1, BackendTarget::Service(backend))];
    HttpRoute {
        origin: RouteOrigin {
            kind: RouteKind::HttpRoute,
            namespace: "shop".into(),
            name: "cart".into(),
            rule: number,
            rule_name: None,
            entry: 0,
        },
        matches,
        filters: Filters::default(),
        action: RouteAction::Forward(Forward { backends, ..Forward::default() }),
    }
}

fn prefix_of(number: usize) -> String {
    format!("/api/v1/team-{number}/")
}

fn path_of(number: usize) -> String {
    format!("/api/v1/team-{number}/items")
}

fn tenant_of(number: usize) -> String {
    format!("tenant-{number}")
}

fn host_of(number: usize) -> String {
    format!("team-{number}.shop.example.com")
}

/// A request that owns its head, with a dozen headers.
#[derive(Debug)]
pub struct Request {
    method: Method,
    path: String,
    authority: String,
    headers: HeaderMap,
}

impl Request {
    /// The request that only the route of this number matches.
    pub fn new(number: usize) -> Self {
        let mut headers: HeaderMap = (0..11)
            .filter_map(|index| {
                let name = HeaderName::try_from(format!("x-header-{index}")).ok()?;
                Some((name, HeaderValue::from_static("some value of ordinary length")))
            })
            .collect();
        if let Ok(value) = HeaderValue::try_from(tenant_of(number)) {
            headers.insert(HEADER, value);
        }
        Request { method: Method::GET, path: path_of(number), authority: host_of(number), headers }
    }

    /// As decisions see it.
    pub fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            scheme: "http",
            authority: &self.authority,
            path_and_query: &self.path,
            headers: &self.headers,
            claims: None,
        }
    }
}

/// Registers the benchmarks of this file.
///
/// # Panics
/// If the index and the scan disagree.
pub fn benchmarks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    for (name, by) in KINDS {
        for count in [10, 100, 1_000] {
            let list = routes(by, count);
            let port =
                PortRoutes { http: Some(HttpRoutes::new(list.clone())), ..PortRoutes::implicit(PortProtocol::Http) };
            let request = Request::new(count - 1);
            let mut rng = Rng::from_number(1);
            let chosen = match choose(&port, None, &request.view(), &mut rng) {
                Decision::Matched(matched) => matched.route.origin.rule,
                other => panic!("{other:?}"),
            };
            assert_eq!(scan(&list, &request.view()), Some(chosen), "the index changes nothing");
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher
                    .iter(|| matches!(choose(black_box(&port), None, &request.view(), &mut rng), Decision::Matched(_)));
            });
            group.bench_function(BenchmarkId::new(format!("{name}_by_scan"), count), |bencher| {
                bencher.iter(|| scan(black_box(&list), &request.view()));
            });
        }
    }
    group.finish();
}

/// The reference: each in turn.
fn scan(routes: &[Arc<HttpRoute>], request: &RequestView<'_>) -> Option<usize> {
    routes.iter().find(|route| route.matches.matches(request)).map(|route| route.origin.rule)
}
