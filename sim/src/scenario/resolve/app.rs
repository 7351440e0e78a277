//! Workloads that do something else than echo.

use std::sync::Arc;

use bytes::Bytes;

use super::{Resolver, names};
use crate::app::{Answer, Behaviour, CountedBy, Delay, ErrorShare, FailFirst, Failure, GrpcEnd, Role, key_set};
use crate::cluster::Cluster;
use crate::cluster::diagnostic::Problem;
use crate::scenario::plan::AppRule;
use crate::scenario::schema::{AnswerWay, AppSection, CountWay, DelayForm, FailureForm, RoleWay};

impl Resolver {
    /// A workload that is there at the start, or (the cluster has been played to its end by now) that a step makes.
    pub(super) fn app(&mut self, app: &AppSection, start: &Cluster) -> Option<AppRule> {
        let position = app.workload.position;
        let workload = names::pods_of(start, &app.workload).or_else(|_| names::pods_of(&self.cluster, &app.workload));
        let workload = self.check(position, workload)?;
        if let Some(status) = app.status.filter(|status| !(200..=599).contains(status)) {
            self.complain(position, Problem::new(format!("an answer cannot have status {status}")));
        }
        if app.fail.as_ref().is_some_and(|fail| fail.tries == 0) {
            self.complain(position, Problem::new("`tries` is at least 1").hint("take `fail` out"));
        }
        if [app.body_rate, app.read_rate].contains(&Some(crate::scenario::quantity::Size(0))) {
            self.complain(position, Problem::new("a rate is at least one byte a second"));
        }
        let mut headers = self.headers(&app.headers, position)?;
        let trailers = self.headers(&app.trailers, position)?;
        let body = match (&app.text, &app.jwks) {
            (Some(_), Some(jwks)) => {
                let problem = Problem::new("an answer has either `text` or `jwks`");
                self.complain(jwks.position, problem);
                None
            }
            (Some(text), None) => Some(Bytes::from(text.clone())),
            (None, Some(names)) => {
                let mut keys = Vec::new();
                for (name, position) in names.items() {
                    keys.extend(self.key(name, position).cloned());
                }
                if !headers.iter().any(|(name, _)| name == "content-type") {
                    headers.push(("content-type".to_owned(), "application/json".to_owned()));
                }
                Some(Bytes::from(key_set(&keys)))
            }
            (None, None) => None,
        };
        if body.is_some() && app.body.is_some() {
            let problem = Problem::new("`body` is the size of what is echoed, and here nothing is");
            self.complain(position, problem.hint("take `body` out, or make the text longer"));
        }
        let behaviour = Behaviour {
            role: match app.role {
                RoleWay::Echo => Role::Echo,
                RoleWay::ExtAuthz => Role::ExternalAuthorization,
                RoleWay::SpeaksFirst => Role::SpeaksFirst,
            },
            status: app.status.unwrap_or(200),
            headers,
            trailers,
            delay: match app.delay {
                None => Delay::None,
                Some(DelayForm::Fixed(time)) => Delay::Fixed(time.0),
                Some(DelayForm::Range(span)) => Delay::Uniform { least: span.from, most: span.to },
                Some(DelayForm::Mixed(mixed)) => {
                    Delay::Mixed { mostly: mixed.mostly.0, sometimes: mixed.sometimes.0, millionths: mixed.share.0 }
                }
            },
            body,
            body_bytes: app.body.map_or(0, |size| size.0),
            body_rate: app.body_rate.map(|size| size.0),
            grpc: app
                .grpc
                .as_ref()
                .map(|end| GrpcEnd { status: end.status, message: end.message.clone() })
                .unwrap_or_default(),
            fail: app.fail.as_ref().map(|fail| FailFirst {
                tries: fail.tries,
                counted_by: match fail.counted_by {
                    CountWay::Request => CountedBy::Request,
                    CountWay::Path => CountedBy::Path,
                },
                with: failure(fail.with),
            }),
            errors: app
                .errors
                .as_ref()
                .map(|errors| ErrorShare { millionths: errors.share.0, with: failure(errors.with) }),
            answer: match app.answer {
                AnswerWay::Echo => Answer::Echo,
                AnswerWay::EchoThenClose => Answer::EchoThenClose,
                AnswerWay::HalfClose => Answer::HalfClose,
                AnswerWay::Never => Answer::Never,
                AnswerWay::Close => Answer::Close,
                AnswerWay::Reset => Answer::Reset,
            },
            read_rate: app.read_rate.map(|size| size.0),
        };
        Some(AppRule { workload, port: app.port, behaviour: Arc::new(behaviour) })
    }
}

fn failure(form: FailureForm) -> Failure {
    match form {
        FailureForm::Status(status) => Failure::Status(status),
        FailureForm::Grpc(code) => Failure::Grpc(code),
        FailureForm::Reset => Failure::Reset,
        FailureForm::Close => Failure::Close,
    }
}
