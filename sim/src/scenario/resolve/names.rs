//! Names in a scenario file: object references and targets.

use proxy_core::identity::Identity;

use crate::app::{Scheme, Target};
use crate::cluster::diagnostic::{Problem, did_you_mean};
use crate::cluster::dns::Answer;
use crate::cluster::{Cluster, Kind, ObjectReference};
use crate::scenario::plan::Destination;

/// Reads `kind/name.namespace`; the namespace of namespaced kinds is `default` if none is written.
pub(in crate::scenario) fn reference(text: &str) -> Result<ObjectReference, Problem> {
    let shape = "write it like `deploy/name.namespace` or `namespace/name`";
    let (kind, name) = text
        .split_once('/')
        .filter(|(kind, name)| !kind.is_empty() && !name.is_empty() && !name.contains('/'))
        .ok_or_else(|| Problem::new(format!("`{text}` does not name an object")).hint(shape))?;
    let known = Kind::parse(kind).ok_or_else(|| {
        let names: Vec<String> = Kind::ALL.iter().map(|kind| kind.name().to_ascii_lowercase()).collect();
        Problem::new(format!("no kind is called `{kind}`"))
            .hint(shape)
            .maybe_hint(did_you_mean(&kind.to_ascii_lowercase(), names.iter().map(String::as_str)))
    })?;
    if !known.namespaced() {
        return Ok(ObjectReference::new(known, "", name));
    }
    let (name, namespace) = name.rsplit_once('.').unwrap_or((name, "default"));
    Ok(ObjectReference::new(known, namespace, name))
}

/// Checks that the object exists.
pub(in crate::scenario) fn exists(cluster: &Cluster, object: &ObjectReference) -> Result<(), Problem> {
    if names_of(cluster, object.kind, None)
        .any(|(namespace, name)| namespace == &*object.name.namespace && name == &*object.name.name)
    {
        return Ok(());
    }
    let kind = object.kind.name().to_ascii_lowercase();
    let (namespace, name) = (&*object.name.namespace, &*object.name.name);
    if !object.kind.namespaced() {
        let names: Vec<String> = names_of(cluster, object.kind, None).map(|(_, name)| name.to_owned()).collect();
        return Err(Problem::new(format!("no {kind} is called `{name}`"))
            .maybe_hint(did_you_mean(name, names.iter().map(String::as_str))));
    }
    let problem = Problem::new(format!("no {kind} `{name}` in namespace `{namespace}`"));
    if cluster.namespace(namespace).is_none() {
        let namespaces = cluster.namespaces().map(|namespace| namespace.meta.name());
        return Err(problem.hint("there is no such namespace").maybe_hint(did_you_mean(namespace, namespaces)));
    }
    let here: Vec<String> = names_of(cluster, object.kind, Some(namespace)).map(|(_, name)| name.to_owned()).collect();
    let elsewhere = names_of(cluster, object.kind, None)
        .find(|(_, known)| *known == name)
        .map(|(namespace, _)| format!("there is one in namespace `{namespace}`"));
    let all = match here.len() {
        0 => format!("there is no {kind} in this namespace"),
        1..=8 => format!("there are: {}", here.join(", ")),
        count => format!("there are {count} others"),
    };
    Err(problem.hint(all).maybe_hint(elsewhere).maybe_hint(did_you_mean(name, here.iter().map(String::as_str))))
}

/// Names and namespaces of all objects of a kind.
fn names_of<'a>(
    cluster: &'a Cluster,
    kind: Kind,
    namespace: Option<&'a str>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let metas: Box<dyn Iterator<Item = &'a crate::cluster::Meta> + 'a> = match kind {
        Kind::Namespace => Box::new(cluster.namespaces().map(|object| &object.meta)),
        Kind::Node => Box::new(cluster.nodes().map(|object| &object.meta)),
        Kind::ServiceAccount => Box::new(cluster.service_accounts().map(|object| &object.meta)),
        Kind::Service => Box::new(cluster.services().map(|object| &object.meta)),
        Kind::EndpointSlice => Box::new(cluster.endpoint_slices().map(|object| &object.meta)),
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job => {
            Box::new(cluster.controllers().filter(move |object| object.kind() == kind).map(|object| &object.meta))
        }
        Kind::Pod => Box::new(cluster.pods().map(|object| &object.meta)),
        Kind::ServiceEntry => Box::new(cluster.service_entries().map(|object| &object.meta)),
        Kind::WorkloadEntry => Box::new(cluster.workload_entries().map(|object| &object.meta)),
        Kind::AuthorizationPolicy => Box::new(cluster.authorization_policies().map(|object| &object.meta)),
        Kind::PeerAuthentication => Box::new(cluster.peer_authentications().map(|object| &object.meta)),
        _ => Box::new(cluster.traffic().filter(move |object| object.kind() == kind).map(|object| object.meta())),
    };
    metas
        .map(|meta| (meta.namespace(), meta.name()))
        .filter(move |(of, _)| namespace.is_none_or(|namespace| namespace == *of))
}

/// Reads an object whose pods are meant.
pub(super) fn pods_of(cluster: &Cluster, text: &str) -> Result<ObjectReference, Problem> {
    let object = reference(text)?;
    match object.kind {
        Kind::Pod | Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job => {
            exists(cluster, &object)?;
            Ok(object)
        }
        kind => Err(Problem::new(format!("a {} has no pods of its own", kind.name()))
            .hint("name a pod, or a deployment or another owner of pods")),
    }
}

/// Splits `{deploy/name.namespace}rest` into the reference and the rest.
pub(super) fn braced(cluster: &Cluster, text: &str) -> Result<Option<(ObjectReference, String)>, Problem> {
    let Some(inner) = text.strip_prefix('{') else { return Ok(None) };
    let (name, rest) =
        inner.split_once('}').ok_or_else(|| Problem::new(format!("`{text}` has a `{{` without a `}}`")))?;
    Ok(Some((pods_of(cluster, name)?, rest.to_owned())))
}

/// Reads a target; `tcp` or `http` only. Whether its host exists is the caller's question.
pub(super) fn destination(cluster: &Cluster, text: &str, scheme: Scheme) -> Result<Destination, Problem> {
    let shape = match scheme {
        Scheme::Http => "write it like http://name.namespace:port/path",
        Scheme::Tcp => "write it like tcp://name.namespace:port",
    };
    let wrong = |what: String| Problem::new(format!("`{text}` is not a target: {what}")).hint(shape);
    let (written, authority) = text.split_once("://").ok_or_else(|| wrong("the scheme is missing".to_owned()))?;
    let (target, pod) = match braced(cluster, authority)? {
        // Any host will do: it is replaced at run time.
        Some((pod, rest)) => (format!("{written}://0.0.0.0{rest}"), Some(pod)),
        None => (text.to_owned(), None),
    };
    let target = Target::parse(&target).map_err(wrong)?;
    if target.scheme != scheme {
        let wanted = if scheme == Scheme::Http { "http" } else { "tcp" };
        return Err(Problem::new(format!("a {wanted} target is needed here")).hint(shape));
    }
    Ok(Destination { target, pod })
}

/// Checks that a host a client of `namespace` asks for can be resolved.
pub(super) fn host_exists(cluster: &Cluster, host: &str, namespace: &str) -> Result<(), Problem> {
    if !matches!(cluster.resolve(host, namespace), Answer::NoSuchName) {
        return Ok(());
    }
    let suffix = format!(".svc.{}", cluster.config().cluster_domain);
    let short = host.strip_suffix(&suffix).or_else(|| host.strip_suffix(".svc")).unwrap_or(host);
    let (name, of) = short.split_once('.').unwrap_or((short, namespace));
    let services = cluster.services().filter(|service| service.meta.namespace() == of);
    let here: Vec<&str> = services.map(|service| service.meta.name()).collect();
    if of.contains('.') {
        return Err(Problem::new(format!("no service entry has a host `{host}`")));
    }
    if cluster.namespace(of).is_none() {
        let namespaces = cluster.namespaces().map(|namespace| namespace.meta.name());
        return Err(Problem::new(format!("no service `{name}` in namespace `{of}`"))
            .hint("there is no such namespace")
            .maybe_hint(did_you_mean(of, namespaces)));
    }
    let all = match here.len() {
        0 => "there is no service in this namespace".to_owned(),
        1..=8 => format!("there are: {}", here.join(", ")),
        count => format!("there are {count} others"),
    };
    let elsewhere = cluster
        .services()
        .find(|service| service.meta.name() == name)
        .map(|service| format!("there is one in namespace `{}`", service.meta.namespace()));
    Err(Problem::new(format!("no service `{name}` in namespace `{of}`"))
        .hint(all)
        .maybe_hint(elsewhere)
        .maybe_hint(did_you_mean(name, here)))
}

/// Reads a SPIFFE id.
pub(super) fn identity(text: &str) -> Result<Identity, Problem> {
    text.parse::<Identity>().map_err(|error| Problem::new(error.to_string()))
}
