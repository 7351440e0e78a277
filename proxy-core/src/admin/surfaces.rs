//! The three surfaces.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;
use parking_lot::Mutex;

use super::dump;
use super::http::{Reply, Request};
use crate::host::Host;
use crate::identity::CertificateAuthority;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{OPENMETRICS_CONTENT_TYPE, TEXT_CONTENT_TYPE};
use crate::waypoint::Waypoint;
use crate::ztunnel::Ztunnel;

/// Where upstream's administration is.
pub const ADMIN_PORT: u16 = 15000;
/// Where upstream's metrics are.
pub const METRICS_PORT: u16 = 15020;
/// Where upstream's readiness is.
pub const READINESS_PORT: u16 = 15021;

/// What is still to be done before the proxy is ready. Clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<&'static str>>>);

impl Readiness {
    /// Waits for these.
    pub fn new(tasks: &[&'static str]) -> Self {
        Readiness(Arc::new(Mutex::new(tasks.iter().copied().collect())))
    }

    /// One of them is done.
    pub fn done(&self, task: &str) {
        self.0.lock().remove(task);
    }

    /// What is left, in order of name.
    pub fn pending(&self) -> Vec<&'static str> {
        self.0.lock().iter().copied().collect()
    }
}

/// How much is logged, while the process runs.
pub trait LogLevels: Send + Sync + 'static {
    /// The present levels, as written in `/logging`.
    fn current(&self) -> String;
    /// Sets them: `level`, or `scope:level` or `scope=level`, separated by commas.
    ///
    /// # Errors
    /// What is wrong with them.
    fn set(&self, levels: &str) -> Result<(), String>;
    /// Goes back to what the process started with.
    fn reset(&self);
}

/// `/healthz/ready`.
pub fn readiness(readiness: Readiness) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    move |request| match (request.path.as_str(), request.method.as_str()) {
        ("/healthz/ready", "GET") => {
            let pending = readiness.pending();
            if pending.is_empty() {
                return Reply::text(StatusCode::OK, "ready\n");
            }
            let text = format!("not ready, pending: {}\n", pending.join(", "));
            Reply::text(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
        ("/healthz/ready", _) => Reply::empty(StatusCode::METHOD_NOT_ALLOWED),
        _ => Reply::empty(StatusCode::NOT_FOUND),
    }
}

/// `/metrics` and `/stats/prometheus`.
pub fn metrics(metrics: Arc<Metrics>) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    move |request| match request.path.as_str() {
        "/metrics" | "/stats/prometheus" => {
            let open = request.accept.iter().any(|accept| accept.contains("application/openmetrics-text"));
            let content_type = if open { OPENMETRICS_CONTENT_TYPE } else { TEXT_CONTENT_TYPE };
            Reply { status: StatusCode::OK, content_type, body: metrics.exposition() }
        }
        _ => Reply::empty(StatusCode::NOT_FOUND),
    }
}

const FRONT_PAGE: &str = "<!DOCTYPE html>
<html><head><title>{title}</title></head><body><h1>{title}</h1><ul>
<li><a href=\"config_dump\">config_dump</a>: what the proxy knows</li>
<li>POST logging: the log level; ?level=debug, ?level=scope:debug, ?reset</li>
<li>POST quitquitquit: drain and end</li>
</ul></body></html>
";

/// `/`, `/config_dump`, `/logging`, `/quitquitquit` of a node proxy. `settings` appear under `config`; `quit` begins the drain.
pub fn admin<H: Host, C: CertificateAuthority>(
    ztunnel: Ztunnel<H, C>,
    settings: serde_json::Value,
    levels: Arc<dyn LogLevels>,
    quit: impl Fn() + Send + Sync + 'static,
) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    administration("ztunnel", move || dump::dump(&ztunnel, &settings), levels, quit)
}

/// The same of a waypoint.
pub fn waypoint_admin<H: Host, C: CertificateAuthority>(
    waypoint: Waypoint<H, C>,
    settings: serde_json::Value,
    levels: Arc<dyn LogLevels>,
    quit: impl Fn() + Send + Sync + 'static,
) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    administration("waypoint", move || dump::known(&waypoint.state().snapshot(), &settings), levels, quit)
}

fn administration(
    title: &'static str,
    dump: impl Fn() -> serde_json::Value + Send + Sync + 'static,
    levels: Arc<dyn LogLevels>,
    quit: impl Fn() + Send + Sync + 'static,
) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    move |request| {
        let is_post = request.method == "POST";
        match request.path.as_str() {
            "/" => {
                let body = FRONT_PAGE.replace("{title}", title);
                Reply { status: StatusCode::OK, content_type: "text/html; charset=utf-8", body }
            }
            "/config_dump" => {
                let mut body = format!("{:#}", dump());
                body.push('\n');
                Reply { status: StatusCode::OK, content_type: "application/json", body }
            }
            "/quitquitquit" if is_post => {
                quit();
                Reply::text(StatusCode::OK, "shutdown now\n")
            }
            "/logging" if is_post => logging(request.query.as_deref(), &*levels),
            "/quitquitquit" | "/logging" => Reply::empty(StatusCode::METHOD_NOT_ALLOWED),
            _ => Reply::empty(StatusCode::NOT_FOUND),
        }
    }
}

fn logging(query: Option<&str>, levels: &dyn LogLevels) -> Reply {
    for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let done = match key {
            "reset" => {
                levels.reset();
                Ok(())
            }
            "level" if !value.is_empty() => levels.set(&value.replace("%3A", ":").replace("%2C", ",")),
            _ => Err(format!("unknown parameter `{part}`: use level=… or reset")),
        };
        if let Err(wrong) = done {
            return Reply::text(StatusCode::BAD_REQUEST, format!("{wrong}\n"));
        }
    }
    Reply::text(StatusCode::OK, format!("current log level is {}\n", levels.current()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str) -> Request {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query.to_owned())));
        Request { method: method.to_owned(), path: path.to_owned(), query, accept: vec![] }
    }

    #[test]
    fn readiness_names_what_is_pending_in_order() {
        let state = Readiness::new(&["state manager", "proxy"]);
        let answer = readiness(state.clone());
        let pending = answer(&request("GET", "/healthz/ready"));
        assert_eq!(
            (pending.status.as_u16(), pending.body.as_str()),
            (500, "not ready, pending: proxy, state manager\n")
        );
        state.done("proxy");
        state.done("state manager");
        let ready = answer(&request("GET", "/healthz/ready"));
        assert_eq!((ready.status.as_u16(), ready.body.as_str()), (200, "ready\n"));
        assert_eq!(answer(&request("POST", "/healthz/ready")).status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer(&request("GET", "/healthz")).status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn metrics_come_in_the_type_that_is_asked_for() {
        let answer = metrics(Arc::new(Metrics::new("1.2.3")));
        let plain = answer(&request("GET", "/metrics"));
        assert_eq!(plain.content_type, "text/plain; charset=utf-8");
        assert!(plain.body.contains("istio_build{component=\"ztunnel\",tag=\"1.2.3\"} 1"));
        let mut open = request("POST", "/stats/prometheus");
        open.accept = vec!["text/html, application/openmetrics-text; version=1.0.0".to_owned()];
        assert_eq!(answer(&open).content_type, "application/openmetrics-text;charset=utf-8;version=1.0.0");
        assert_eq!(answer(&request("GET", "/")).status, StatusCode::NOT_FOUND);
    }

    struct Levels(Mutex<String>);

    impl LogLevels for Levels {
        fn current(&self) -> String {
            self.0.lock().clone()
        }
        fn set(&self, levels: &str) -> Result<(), String> {
            if levels == "nonsense" {
                return Err("`nonsense` is no level".to_owned());
            }
            levels.clone_into(&mut self.0.lock());
            Ok(())
        }
        fn reset(&self) {
            "info".clone_into(&mut self.0.lock());
        }
    }

    #[test]
    fn log_levels_are_told_set_and_reset() {
        let levels = Levels(Mutex::new("info".to_owned()));
        let say = |query: Option<&str>| {
            let reply = logging(query, &levels);
            (reply.status.as_u16(), reply.body)
        };
        assert_eq!(say(None), (200, "current log level is info\n".to_owned()));
        assert_eq!(say(Some("level=h2%3Adebug")), (200, "current log level is h2:debug\n".to_owned()));
        assert_eq!(say(Some("level=nonsense")), (400, "`nonsense` is no level\n".to_owned()));
        assert_eq!(say(Some("reset")), (200, "current log level is info\n".to_owned()));
    }
}
