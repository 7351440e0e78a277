//! Filters and backends of routes as written. The API has a type of its own for each place a filter may stand in.

use std::sync::Arc;

use gateway_api::apis::experimental::grpcroutes::{
    GrpcRouteRulesBackendRefsFilters, GrpcRouteRulesBackendRefsFiltersType, GrpcRouteRulesFilters,
    GrpcRouteRulesFiltersType,
};
use gateway_api::apis::experimental::httproutes::{
    HttpRouteRulesBackendRefsFilters, HttpRouteRulesBackendRefsFiltersType, HttpRouteRulesFilters,
    HttpRouteRulesFiltersType,
};

use super::place::Place;
use crate::cluster::diagnostic::Problem;
use crate::cluster::gateway::{
    BackendReference, CorsFilter, Filter, FilterAction, HeaderChanges, MirrorFilter, PathChange, RedirectFilter,
    RewriteFilter,
};
use crate::cluster::names;
use crate::cluster::object::Meta;

/// The status codes a redirect may have.
const REDIRECTS: [i64; 5] = [301, 302, 303, 307, 308];

/// The heaviest a backend may be.
const WEIGHT_MAX: i32 = 1_000_000;

/// Reads a reference to a backend, which every place has a type of its own for.
macro_rules! backend {
    ($here:expr, $meta:expr, $written:expr, $weight:expr) => {{
        let (here, written) = ($here, $written);
        super::filters::backend_reference(
            here,
            super::filters::Reference {
                group: written.group.as_deref(),
                kind: written.kind.as_deref(),
                namespace: written.namespace.as_deref().unwrap_or($meta.namespace()),
                name: &written.name,
                port: written.port,
                weight: $weight,
            },
        )
    }};
}
pub(super) use backend;

/// What all types of references to a backend have.
pub(super) struct Reference<'a> {
    pub(super) group: Option<&'a str>,
    pub(super) kind: Option<&'a str>,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) port: Option<i32>,
    pub(super) weight: Option<i32>,
}

pub(super) fn backend_reference(here: Place<'_>, written: Reference<'_>) -> Option<BackendReference> {
    let port = match written.port {
        Some(port) => Some(here.field("port").check(names::port(port.into()))?),
        None => None,
    };
    let weight = match written.weight {
        None => 1,
        Some(weight @ 0..=WEIGHT_MAX) => u32::try_from(weight).unwrap_or_default(),
        Some(weight) => {
            let problem = Problem::new(format!("weight `{weight}` is not possible"));
            here.field("weight").error(problem.hint(format!("0 to {WEIGHT_MAX} is")));
            return None;
        }
    };
    let group: Arc<str> = match written.group {
        None | Some("core") => "".into(),
        Some(group) => group.into(),
    };
    Some(BackendReference {
        group,
        kind: written.kind.unwrap_or("Service").into(),
        namespace: written.namespace.into(),
        name: written.name.into(),
        port,
        weight,
        filters: Vec::new(),
    })
}

/// Reads changes of headers.
macro_rules! header_changes {
    ($here:expr, $written:expr) => {{
        let (here, written) = ($here, $written);
        let mut changes = HeaderChanges::default();
        for (index, header) in written.set.iter().flatten().enumerate() {
            changes.set.extend(self::header(here.field("set").item(index), &header.name, &header.value));
        }
        for (index, header) in written.add.iter().flatten().enumerate() {
            changes.add.extend(self::header(here.field("add").item(index), &header.name, &header.value));
        }
        changes.remove = written.remove.iter().flatten().map(|name| name.as_str().into()).collect();
        changes
    }};
}

fn header(place: Place<'_>, name: &str, value: &str) -> Option<(Arc<str>, Arc<str>)> {
    place.field("name").check(names::header_name("header", name))?;
    Some((name.into(), value.into()))
}

/// Reads a mirror.
macro_rules! mirror {
    ($here:expr, $meta:expr, $written:expr) => {{
        let (here, written) = ($here, $written);
        let target = &written.backend_ref;
        let fraction = written.fraction.as_ref().map(|fraction| (fraction.numerator, fraction.denominator));
        let backend = backend!(here.field("backendRef"), $meta, target, None);
        let fraction = share(here, written.percent, fraction);
        backend.map(|backend| MirrorFilter { backend, fraction })
    }};
}

fn share(place: Place<'_>, percent: Option<i32>, fraction: Option<(i32, Option<i32>)>) -> (u32, u32) {
    if percent.is_some() && fraction.is_some() {
        place.field("percent").error(Problem::new("`percent` and `fraction` exclude each other"));
    }
    let (field, numerator, denominator) = match (percent, fraction) {
        (None, None) => return (100, 100),
        (Some(percent), _) => ("percent", percent, 100),
        (None, Some((numerator, denominator))) => ("fraction", numerator, denominator.unwrap_or(100)),
    };
    match (u32::try_from(numerator), u32::try_from(denominator)) {
        (Ok(numerator), Ok(denominator)) if denominator > 0 && numerator <= denominator => (numerator, denominator),
        _ => {
            place.field(field).error(Problem::new(format!("`{numerator}` of `{denominator}` is no share")));
            (0, 1)
        }
    }
}

/// Reads filters that may be in any HTTP place.
macro_rules! http_filters {
    ($name:ident, $filters:ty, $kinds:ident) => {
        pub(super) fn $name(place: Place<'_>, meta: &Meta, written: Option<&[$filters]>) -> Vec<Filter> {
            let mut filters = Vec::new();
            for (index, written) in written.into_iter().flatten().enumerate() {
                let here = place.item(index);
                let (field, action) = match written.r#type {
                    $kinds::RequestHeaderModifier => ("requestHeaderModifier", {
                        let here = here.field("requestHeaderModifier");
                        let changes = written.request_header_modifier.as_ref();
                        changes.map(|written| FilterAction::RequestHeaders(header_changes!(here, written)))
                    }),
                    $kinds::ResponseHeaderModifier => ("responseHeaderModifier", {
                        let here = here.field("responseHeaderModifier");
                        let changes = written.response_header_modifier.as_ref();
                        changes.map(|written| FilterAction::ResponseHeaders(header_changes!(here, written)))
                    }),
                    $kinds::RequestMirror => ("requestMirror", {
                        let here = here.field("requestMirror");
                        let mirror = written.request_mirror.as_ref();
                        mirror.and_then(|written| mirror!(here, meta, written)).map(FilterAction::Mirror)
                    }),
                    $kinds::RequestRedirect => ("requestRedirect", {
                        let here = here.field("requestRedirect");
                        written.request_redirect.as_ref().map(|written| {
                            let scheme = here.field("scheme").node().and_then(|node| node.as_str());
                            let path =
                                written.path.as_ref().map(|path| (&path.replace_full_path, &path.replace_prefix_match));
                            FilterAction::Redirect(RedirectFilter {
                                scheme: scheme.map(Into::into),
                                hostname: written.hostname.as_deref().map(Into::into),
                                port: written.port.and_then(|port| here.field("port").check(names::port(port.into()))),
                                path: path.and_then(|(full, prefix)| path_change(here.field("path"), full, prefix)),
                                status: redirect_status(here.field("statusCode"), written.status_code),
                            })
                        })
                    }),
                    $kinds::UrlRewrite => ("urlRewrite", {
                        let here = here.field("urlRewrite");
                        written.url_rewrite.as_ref().map(|written| {
                            let path =
                                written.path.as_ref().map(|path| (&path.replace_full_path, &path.replace_prefix_match));
                            FilterAction::Rewrite(RewriteFilter {
                                hostname: written.hostname.as_deref().map(Into::into),
                                path: path.and_then(|(full, prefix)| path_change(here.field("path"), full, prefix)),
                            })
                        })
                    }),
                    $kinds::Cors => (
                        "cors",
                        written.cors.as_ref().map(|written| {
                            let list = |list: &Option<Vec<String>>| -> Vec<Arc<str>> {
                                list.iter().flatten().map(|text| text.as_str().into()).collect()
                            };
                            FilterAction::Cors(CorsFilter {
                                allow_origins: list(&written.allow_origins),
                                allow_methods: list(&written.allow_methods),
                                allow_headers: list(&written.allow_headers),
                                expose_headers: list(&written.expose_headers),
                                allow_credentials: written.allow_credentials.unwrap_or_default(),
                                max_age: std::time::Duration::from_secs(
                                    written.max_age.and_then(|age| u64::try_from(age).ok()).unwrap_or(5),
                                ),
                            })
                        }),
                    ),
                    $kinds::ExtensionRef | $kinds::ExternalAuth => {
                        filters.push(unsupported(here));
                        continue;
                    }
                };
                filters.extend(chosen(here, field, action));
            }
            filters
        }
    };
}

http_filters!(filters, HttpRouteRulesFilters, HttpRouteRulesFiltersType);
http_filters!(backend_filters, HttpRouteRulesBackendRefsFilters, HttpRouteRulesBackendRefsFiltersType);

/// Reads filters that may be in any place of a GRPCRoute.
macro_rules! grpc_filters {
    ($name:ident, $filters:ty, $kinds:ident) => {
        pub(super) fn $name(place: Place<'_>, meta: &Meta, written: Option<&[$filters]>) -> Vec<Filter> {
            let mut filters = Vec::new();
            for (index, written) in written.into_iter().flatten().enumerate() {
                let here = place.item(index);
                let (field, action) = match written.r#type {
                    $kinds::RequestHeaderModifier => ("requestHeaderModifier", {
                        let here = here.field("requestHeaderModifier");
                        let changes = written.request_header_modifier.as_ref();
                        changes.map(|written| FilterAction::RequestHeaders(header_changes!(here, written)))
                    }),
                    $kinds::ResponseHeaderModifier => ("responseHeaderModifier", {
                        let here = here.field("responseHeaderModifier");
                        let changes = written.response_header_modifier.as_ref();
                        changes.map(|written| FilterAction::ResponseHeaders(header_changes!(here, written)))
                    }),
                    $kinds::RequestMirror => ("requestMirror", {
                        let here = here.field("requestMirror");
                        let mirror = written.request_mirror.as_ref();
                        mirror.and_then(|written| mirror!(here, meta, written)).map(FilterAction::Mirror)
                    }),
                    $kinds::ExtensionRef => {
                        filters.push(unsupported(here));
                        continue;
                    }
                };
                filters.extend(chosen(here, field, action));
            }
            filters
        }
    };
}

grpc_filters!(grpc_filters, GrpcRouteRulesFilters, GrpcRouteRulesFiltersType);
grpc_filters!(grpc_backend_filters, GrpcRouteRulesBackendRefsFilters, GrpcRouteRulesBackendRefsFiltersType);

/// The filter its type names; an error if what it needs is not there, or something else is.
fn chosen(place: Place<'_>, field: &str, action: Option<FilterAction>) -> Option<Filter> {
    const FIELDS: [&str; 8] = [
        "requestHeaderModifier",
        "responseHeaderModifier",
        "requestMirror",
        "requestRedirect",
        "urlRewrite",
        "cors",
        "extensionRef",
        "externalAuth",
    ];
    for other in FIELDS.iter().filter(|other| **other != field && place.field(other).is_written()) {
        let problem = Problem::new(format!("`{other}` does not belong into a filter of this type"));
        place.key(other).error(problem.hint(format!("only `{field}` does")));
    }
    if !place.field(field).is_written() {
        place.field("type").error(Problem::new(format!("a filter of this type needs `{field}`")));
    }
    action.map(Filter::Action)
}

fn unsupported(place: Place<'_>) -> Filter {
    let kind = place.field("type").node().and_then(|node| node.as_str()).unwrap_or_default();
    let problem = Problem::new(format!("no waypoint has filter `{kind}`: this route will not be programmed"));
    place.field("type").notice(problem);
    Filter::Unsupported(kind.into())
}

fn redirect_status(place: Place<'_>, written: Option<i64>) -> u16 {
    match written {
        None => 302,
        Some(code) if REDIRECTS.contains(&code) => u16::try_from(code).unwrap_or(302),
        Some(code) => {
            place.error(Problem::new(format!("{code} is no redirect")).hint("one of 301, 302, 303, 307, 308"));
            302
        }
    }
}

fn path_change(place: Place<'_>, full: &Option<String>, prefix: &Option<String>) -> Option<PathChange> {
    let kind = place.field("type").node().and_then(|node| node.as_str()).unwrap_or_default();
    let (field, text) = match kind {
        "ReplaceFullPath" => ("replaceFullPath", full),
        _ => ("replacePrefixMatch", prefix),
    };
    let Some(text) = text else {
        place.error(Problem::new(format!("a path of type `{kind}` needs `{field}`")));
        return None;
    };
    Some(if field == "replaceFullPath" {
        PathChange::Full(text.as_str().into())
    } else {
        PathChange::Prefix(text.as_str().into())
    })
}
