//! The layer-7 proxy in front of services and pods: terminates HBONE, routes what is inside, sends it on over HBONE.
//!
//! - [`Waypoint`]: one instance.
//! - `attach`: what a tunnel leads to, by address alone.
//! - `inbound`, `stream`: tunnels and what is spoken in them; `tcp` and `exchange` carry it.
//! - `http`: HTTP/1.1 and HTTP/2, strict and bounded.
//! - `upstream`: endpoints, and connections to them that are used again.
//! - `follow`: what each push of configuration leads to.

mod attach;
mod config;
mod exchange;
mod ext_authz;
mod filters;
mod follow;
mod forward;
mod head;
mod http;
mod inbound;
mod lately;
mod listener;
mod local_reply;
mod log;
mod mirror;
mod routing;
mod shared;
mod status;
mod stream;
mod tcp;
mod tries;
mod upstream;
mod websocket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

pub use config::WaypointConfig;

use crate::hbone::PoolStats;
use crate::host::{Host, Instant};
use crate::identity::CertificateAuthority;
use crate::net::drain::{self, Phase};
use crate::state::{ConfigSource, StateHandle};
use crate::telemetry::{Metrics, Reason, Sink};
use shared::Shared;

/// Where clients' proxies connect.
pub const HBONE_PORT: u16 = 15008;
/// Where readiness is asked for.
pub const HEALTH_PORT: u16 = 15021;
/// Where metrics are scraped.
pub const METRICS_PORTS: [u16; 2] = [15020, 15090];

/// One instance of a waypoint. Cheap to clone; clones are the same instance.
pub struct Waypoint<H: Host, C> {
    shared: Arc<Shared<H, C>>,
}

impl<H: Host, C> Clone for Waypoint<H, C> {
    fn clone(&self) -> Self {
        Waypoint { shared: self.shared.clone() }
    }
}

impl<H: Host, C: CertificateAuthority> Waypoint<H, C> {
    /// Binds the listeners and starts following `source`. `host` is the waypoint's process in its pod's namespace;
    /// certificates come from `authority`; everything there is to tell goes to `sink`. Clients are served once the first
    /// full configuration is there, this waypoint's own settings included.
    ///
    /// # Errors
    /// When a listener cannot be bound; nothing is left behind.
    pub fn start(
        host: H,
        config: WaypointConfig,
        source: impl ConfigSource,
        authority: C,
        sink: Arc<dyn Sink>,
    ) -> io::Result<Self> {
        let own = |port| SocketAddr::new(config.address(), port);
        let health = host.listen(own(HEALTH_PORT))?;
        let hbone = host.listen(own(HBONE_PORT))?;
        let (trigger, watcher) = drain::channel();
        let shared = Arc::new(Shared::new(host.clone(), config, authority, sink, trigger));
        shared.certificates.prefetch(shared.config.identity.clone());
        host.spawn("configuration", follow::follow(shared.clone(), source));
        host.spawn("health listener", status::serve(shared.clone(), health, None));
        let serving = shared.clone();
        host.spawn("waypoint listener", async move {
            serving.ready().await;
            listener::serve(serving, hbone, watcher, "waypoint connection", |shared, accepted, watcher| {
                inbound::serve(shared, accepted, watcher)
            })
            .await;
        });
        Ok(Waypoint { shared })
    }

    /// Whether the first full configuration has been applied, this waypoint's own settings included, and no drain has
    /// begun.
    pub fn is_ready(&self) -> bool {
        self.shared.is_ready()
    }

    /// Whether it has been drained or cut: nothing is under way any more.
    pub fn is_over(&self) -> bool {
        matches!(self.shared.drain.phase(), Phase::Cut { .. })
    }

    /// Completes once it is configured. Has no limit of its own.
    pub async fn ready(&self) {
        self.shared.ready().await;
    }

    /// Drains: clients are told (GOAWAY outside and inside, `Connection: close`), nothing new is taken, and what is under
    /// way has until `deadline` before it is cut. Returns whether anything was cut.
    pub async fn drain(&self, deadline: Instant) -> bool {
        let cut = self.shared.drain.drain(&self.shared.host, deadline).await;
        self.shared.clients.close();
        if cut {
            self.shared.pool.close(Reason::Drained);
        } else {
            self.shared.pool.drain();
        }
        self.shared.drain.cut();
        cut
    }

    /// Serves metrics on [`METRICS_PORTS`] from now on.
    ///
    /// # Errors
    /// When a listener cannot be bound; nothing is left behind.
    pub fn serve_metrics(&self, metrics: &Arc<Metrics>) -> io::Result<()> {
        let host = &self.shared.host;
        let own = self.shared.config.address();
        let listeners = METRICS_PORTS.map(|port| host.listen(SocketAddr::new(own, port)));
        for listener in listeners.into_iter().collect::<io::Result<Vec<_>>>()? {
            let serving = status::serve(self.shared.clone(), listener, Some(metrics.clone()));
            host.spawn("metrics listener", serving);
        }
        Ok(())
    }

    /// What the control plane has said.
    pub fn state(&self) -> &StateHandle {
        &self.shared.state
    }

    /// Tunnels to endpoints.
    pub fn tunnels(&self) -> PoolStats {
        self.shared.pool.stats()
    }
}

impl<H: Host, C: CertificateAuthority> Shared<H, C> {
    fn is_configured(&self) -> bool {
        self.state.is_synced() && self.settings(&self.state.snapshot()).is_some()
    }

    fn is_ready(&self) -> bool {
        self.is_configured() && self.drain.phase() == Phase::Running
    }

    async fn ready(&self) {
        let mut version = 0;
        while !self.is_configured() {
            (version, _) = self.state.changed(version).await;
        }
    }
}
