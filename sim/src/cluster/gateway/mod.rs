//! Gateway API objects as stored: the API's defaults filled in, its field names gone.

mod class;
mod route;

pub use class::{
    AllowedNamespaces, Gateway, GatewayAddress, GatewayClass, Listener, MESH_CONTROLLER, ReferenceGrant,
    ReferenceGrantFrom, ReferenceGrantTo, WAYPOINT_CLASS,
};
pub use route::{
    BackendReference, CorsFilter, Filter, FilterAction, GrpcMethodMatch, HeaderChanges, MirrorFilter, NamedMatch,
    ParentReference, PathChange, PathMatch, PathMatchKind, RedirectFilter, RetryPolicy, RewriteFilter, Route,
    RouteMatch, RouteRule, RouteTimeouts, TextMatch,
};
