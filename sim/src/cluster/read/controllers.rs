//! Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs as written.

use std::sync::Arc;

use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata::{one_of, selector};
use super::place::Place;
use super::pods::template;
use crate::cluster::diagnostic::Problem;
use crate::cluster::object::{Kind, Meta};
use crate::cluster::pod::PodTemplate;
use crate::cluster::selector::Selector;
use crate::cluster::workloads::{Amount, Controller, ControllerSpec, REPLICAS_MAX, Strategy};

/// A quarter, rounded up for surge and down for unavailable: a rollout without downtime.
const QUARTER: Amount = Amount::Percent(25);

pub(super) fn deployment(place: Place<'_>, meta: Meta, written: &apps::Deployment) -> Option<Controller> {
    let spec = spec(place, "Deployment", written.spec.as_ref())?;
    let here = place.field("spec");
    let replicas = replicas(here, written.spec.as_ref()?.replicas);
    let strategy = strategy(here.field("strategy"), spec.strategy.as_ref());
    let (selector, template) = selected_template(here, "Deployment", &spec.selector, Some(&spec.template))?;
    Some(Controller::new(meta, ControllerSpec::Deployment { replicas, strategy: strategy? }, selector, template))
}

pub(super) fn replica_set(place: Place<'_>, meta: Meta, written: &apps::ReplicaSet) -> Option<Controller> {
    let spec = spec(place, "ReplicaSet", written.spec.as_ref())?;
    let here = place.field("spec");
    let replicas = replicas(here, spec.replicas);
    let (selector, template) = selected_template(here, "ReplicaSet", &spec.selector, spec.template.as_ref())?;
    Some(Controller::new(meta, ControllerSpec::ReplicaSet { replicas }, selector, template))
}

pub(super) fn stateful_set(place: Place<'_>, meta: Meta, written: &apps::StatefulSet) -> Option<Controller> {
    let spec = spec(place, "StatefulSet", written.spec.as_ref())?;
    let here = place.field("spec");
    let parallel = match spec.pod_management_policy.as_deref() {
        None | Some("OrderedReady") => false,
        Some("Parallel") => true,
        Some(other) => {
            let place = here.field("podManagementPolicy");
            place.error(one_of("pod management policy", other, &["OrderedReady", "Parallel"]));
            false
        }
    };
    let first = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or_default();
    let Ok(first_ordinal) = u32::try_from(first) else {
        here.field("ordinals").field("start").error(Problem::new(format!("the first ordinal `{first}` is negative")));
        return None;
    };
    let controller = ControllerSpec::StatefulSet {
        replicas: replicas(here, spec.replicas),
        service_name: spec.service_name.as_deref().unwrap_or_default().into(),
        parallel,
        first_ordinal,
    };
    let (selector, template) = selected_template(here, "StatefulSet", &spec.selector, Some(&spec.template))?;
    Some(Controller::new(meta, controller, selector, template))
}

pub(super) fn daemon_set(place: Place<'_>, meta: Meta, written: &apps::DaemonSet) -> Option<Controller> {
    let spec = spec(place, "DaemonSet", written.spec.as_ref())?;
    let here = place.field("spec");
    let (selector, template) = selected_template(here, "DaemonSet", &spec.selector, Some(&spec.template))?;
    Some(Controller::new(meta, ControllerSpec::DaemonSet, selector, template))
}

pub(super) fn job(place: Place<'_>, meta: Meta, written: &batch::Job) -> Option<Controller> {
    let spec = spec(place, "Job", written.spec.as_ref())?;
    let here = place.field("spec");
    let parallelism = count(here.field("parallelism"), "parallelism", spec.parallelism.unwrap_or(1));
    let completions = count(here.field("completions"), "completions", spec.completions.unwrap_or(i32::MAX));
    let template = template(here.field("template"), &spec.template)?;
    let pods = if spec.suspend == Some(true) { 0 } else { parallelism.min(completions).min(REPLICAS_MAX) };
    Some(Controller::new(meta, ControllerSpec::Job { pods }, Selector::default(), template))
}

fn spec<'a, T>(place: Place<'_>, kind: &str, written: Option<&'a T>) -> Option<&'a T> {
    if written.is_none() {
        place.error(Problem::new(format!("this {kind} has no `spec`")));
    }
    for field in ["paused", "minReadySeconds", "updateStrategy"] {
        let here = place.field("spec").field(field);
        if here.is_written() {
            here.notice(Problem::new(format!("`{field}` of a {kind} is not simulated")));
        }
    }
    written
}

fn replicas(here: Place<'_>, written: Option<i32>) -> u32 {
    let place = here.field("replicas");
    let replicas = count(place, "replicas", written.unwrap_or(1));
    if replicas > REPLICAS_MAX {
        place.error(Problem::new(format!(
            "{replicas} replicas are more than {REPLICAS_MAX}, the most that is simulated"
        )));
    }
    replicas.min(REPLICAS_MAX)
}

fn count(place: Place<'_>, what: &str, written: i32) -> u32 {
    u32::try_from(written).unwrap_or_else(|_| {
        place.error(Problem::new(format!("{what} `{written}` is negative")));
        0
    })
}

fn selected_template(
    here: Place<'_>,
    kind: &str,
    written: &meta::LabelSelector,
    template_written: Option<&core::PodTemplateSpec>,
) -> Option<(Selector, Arc<PodTemplate>)> {
    let place = here.field("selector");
    let selector = selector(place, written);
    if selector.is_empty() {
        place.error(Problem::new(format!("this {kind} selects no pods")).hint("write `spec.selector.matchLabels`"));
    }
    let place_of_template = here.field("template");
    let Some(template_written) = template_written else {
        place_of_template.error(Problem::new(format!("this {kind} has no `spec.template`")));
        return None;
    };
    let template = template(place_of_template, template_written)?;
    if !selector.matches(&template.labels) {
        let differing = selector.labels.iter().find(|(key, value)| template.labels.get(*key) != Some(value));
        let (place, detail) = match differing {
            Some((key, value)) => (
                place.field("matchLabels").field(key),
                match template.labels.get(key) {
                    Some(other) => format!("the template has `{key}: {other}`, the selector wants `{value}`"),
                    None => format!("add `{key}: {value}` to `spec.template.metadata.labels`"),
                },
            ),
            None => (place.field("matchExpressions"), "the expressions exclude the template's own labels".to_owned()),
        };
        let problem = Problem::new(format!("the selector of this {kind} does not match the labels of its template"));
        place.error(problem.hint(detail));
    }
    let policy = template_written.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    if let Some(other) = policy.filter(|policy| *policy != "Always") {
        let place = place_of_template.field("spec").field("restartPolicy");
        place.error(Problem::new(format!("restart policy `{other}` is not possible in a {kind}")).hint("use `Always`"));
    }
    Some((selector, template))
}

fn strategy(place: Place<'_>, written: Option<&apps::DeploymentStrategy>) -> Option<Strategy> {
    let rolling = written.and_then(|strategy| strategy.rolling_update.as_ref());
    match written.and_then(|strategy| strategy.type_.as_deref()) {
        None | Some("RollingUpdate") => {
            let here = place.field("rollingUpdate");
            let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref());
            let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
            Some(Strategy::RollingUpdate {
                max_surge: surge.map_or(Some(QUARTER), |amount| read_amount(here.field("maxSurge"), amount))?,
                max_unavailable: unavailable
                    .map_or(Some(QUARTER), |amount| read_amount(here.field("maxUnavailable"), amount))?,
            })
        }
        Some("Recreate") => {
            if rolling.is_some() {
                let problem = Problem::new("`rollingUpdate` means nothing with strategy `Recreate`");
                place.field("rollingUpdate").error(problem.hint("remove it"));
            }
            Some(Strategy::Recreate)
        }
        Some(other) => {
            place.field("type").error(one_of("strategy", other, &["RollingUpdate", "Recreate"]));
            None
        }
    }
}

fn read_amount(place: Place<'_>, written: &IntOrString) -> Option<Amount> {
    let amount = match written {
        IntOrString::Int(count) => u32::try_from(*count).ok().map(Amount::Count),
        IntOrString::String(text) => {
            text.strip_suffix('%').and_then(|percent| percent.parse().ok()).map(Amount::Percent)
        }
    };
    if amount.is_none() {
        let text = match written {
            IntOrString::Int(count) => count.to_string(),
            IntOrString::String(text) => text.clone(),
        };
        place.error(Problem::new(format!("`{text}` is not a number of pods")).hint("write `1` or `25%`"));
    }
    amount
}

/// Whether the manifest itself says how many pods: if not, an apply leaves what `scale` has set.
pub(super) fn says_replicas(place: Place<'_>, kind: Kind) -> bool {
    match kind {
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet => place.field("spec").field("replicas").is_written(),
        _ => true,
    }
}
