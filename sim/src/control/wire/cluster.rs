//! [`ServedCluster`]: manifests behind a control plane, where no mesh runs them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use proxy_core::Host;
use proxy_core::host::Instant;
use proxy_core::identity::Identity;
use proxy_core::tls::TlsError;
use tokio::sync::Notify;

use super::{WireConfig, WireServer};
use crate::cluster::yaml::Document;
use crate::cluster::{
    Applied, ApplyOptions, Cluster, ClusterConfig, Diagnostic, ObjectReference, PodPhase, Redirection, enrollment,
};
use crate::control::{AuthorityConfig, ControlPlane, MeshAuthority, PolicyNotice, PushConfig, Translation, translate};

/// What a cluster that is served is made of.
#[derive(Clone, Debug, Default)]
pub struct ServedConfig {
    /// Nodes, domains, address blocks.
    pub cluster: ClusterConfig,
    /// Debounce and delay of configuration.
    pub push: PushConfig,
    /// The certificate authority.
    pub authority: AuthorityConfig,
}

/// A cluster of manifests, its control plane and its authority, for proxies that run somewhere else.
///
/// Owns the cluster and moves it with its host's clock: controllers make pods, pods get nodes and addresses and become
/// ready. Nothing runs in them; whoever serves at a pod's address is taken for it. Pods whose labels ask for it count as
/// enrolled at once.
pub struct ServedCluster<H: Host> {
    host: H,
    control: ControlPlane<H>,
    authority: MeshAuthority<H>,
    state: Mutex<State>,
    /// The cluster was changed from outside.
    changed: Notify,
}

struct State {
    cluster: Cluster,
    /// What the documents of the last [`ServedCluster::replace`] made.
    objects: BTreeSet<ObjectReference>,
    /// The revision of the cluster that was noted last.
    noted: Option<u64>,
    identities: BTreeMap<Arc<str>, BTreeSet<Identity>>,
    notices: Vec<PolicyNotice>,
}

impl<H: Host> ServedCluster<H> {
    /// An empty cluster that follows its host's clock from now on.
    ///
    /// # Errors
    /// The authority's root cannot be written.
    pub fn start(host: H, config: ServedConfig) -> Result<Arc<Self>, TlsError> {
        let authority = MeshAuthority::new(host.clone(), config.authority)?;
        let control = ControlPlane::new(host.clone(), config.push, Arc::new(()));
        let state = State {
            cluster: Cluster::new(config.cluster),
            objects: BTreeSet::new(),
            noted: None,
            identities: BTreeMap::new(),
            notices: Vec::new(),
        };
        let served =
            ServedCluster { host: host.clone(), control, authority, state: Mutex::new(state), changed: Notify::new() };
        let served = Arc::new(served);
        host.spawn("served cluster", follow(served.clone()));
        Ok(served)
    }

    /// Has the cluster consist of these documents: what earlier documents made and these do not name is deleted. All or
    /// nothing.
    ///
    /// # Errors
    /// Everything that is wrong with them; nothing has changed then.
    pub fn replace(&self, manifests: &[(Vec<Document>, ApplyOptions)]) -> Result<Applied, Vec<Diagnostic>> {
        let now = self.host.now();
        let mut state = self.state.lock();
        let mut cluster = state.cluster.clone();
        let mut all = Applied { changes: Vec::new(), notices: Vec::new() };
        for (documents, options) in manifests {
            let mut applied = cluster.apply(documents, options, now)?;
            all.changes.append(&mut applied.changes);
            all.notices.append(&mut applied.notices);
        }
        let objects: BTreeSet<ObjectReference> = all.changes.iter().map(|change| change.object.clone()).collect();
        for gone in state.objects.difference(&objects) {
            // Whatever it belonged to may have taken it along.
            let _ = cluster.delete(gone, None, now);
        }
        state.cluster = cluster;
        state.objects = objects;
        drop(state);
        self.changed.notify_waiters();
        Ok(all)
    }

    /// Serves it at `at`. Gives the address, with the port the network chose when 0 was asked.
    ///
    /// # Errors
    /// It cannot listen there, or its certificate cannot be made.
    pub fn serve(&self, at: SocketAddr, config: &WireConfig) -> io::Result<SocketAddr> {
        WireServer::start(self.host.clone(), at, self.control.clone(), self.authority.clone(), config)
    }

    /// The configuration path; subscriptions within the process begin here.
    pub fn control(&self) -> &ControlPlane<H> {
        &self.control
    }

    /// The certificate authority.
    pub fn authority(&self) -> &MeshAuthority<H> {
        &self.authority
    }

    /// The cluster as it is.
    pub fn cluster(&self) -> Cluster {
        self.state.lock().cluster.clone()
    }

    /// Who runs where, as of the last push: identities by node; under the empty name those without a node.
    pub fn identities(&self) -> BTreeMap<Arc<str>, BTreeSet<Identity>> {
        self.state.lock().identities.clone()
    }

    /// Policies that proxies enforce otherwise than written, as of the last push.
    pub fn notices(&self) -> Vec<PolicyNotice> {
        self.state.lock().notices.clone()
    }

    /// Does what is due. Gives when something is due next.
    fn turn(&self) -> Option<Instant> {
        let now = self.host.now();
        let mut state = self.state.lock();
        while state.cluster.next_deadline().is_some_and(|due| due <= now) {
            state.cluster.step(now);
            enroll(&mut state.cluster, now);
        }
        let revision = state.cluster.revision();
        if state.noted != Some(revision) {
            state.noted = Some(revision);
            self.control.changed();
        }
        if self.control.commit_due().is_some_and(|due| due <= now) {
            let Translation { resources, notices } = translate(&state.cluster);
            let mut scheduled: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Identity>> = BTreeMap::new();
            state.identities.clear();
            for workload in resources.workloads() {
                let (node, identity) = (workload.node.clone(), workload.identity());
                state.identities.entry(node.clone()).or_default().insert(identity.clone());
                scheduled.entry(node).or_default().insert(workload.uid.clone(), identity);
            }
            // Before the push: who hears of a pod may ask for its certificate.
            self.authority.reschedule(scheduled);
            state.notices = notices;
            self.control.commit(resources);
        }
        [state.cluster.next_deadline(), self.control.commit_due()].into_iter().flatten().min()
    }
}

async fn follow<H: Host>(served: Arc<ServedCluster<H>>) {
    loop {
        // Registered before looking, so that nothing that happens in between is missed.
        let mut changed = std::pin::pin!(served.changed.notified());
        changed.as_mut().enable();
        match served.turn() {
            None => changed.await,
            Some(due) => {
                let mut sleep = std::pin::pin!(served.host.sleep_until(due));
                std::future::poll_fn(|context| {
                    let changed = changed.as_mut().poll(context).is_ready();
                    if changed || sleep.as_mut().poll(context).is_ready() {
                        std::task::Poll::Ready(())
                    } else {
                        std::task::Poll::Pending
                    }
                })
                .await;
            }
        }
    }
}

/// Has every pod be in the mesh or out as its labels ask, and waypoints be ready.
fn enroll(cluster: &mut Cluster, now: Instant) {
    let config = cluster.config().clone();
    let pods: Vec<_> = cluster.pods().filter(|pod| !pod.addresses.is_empty()).cloned().collect();
    for pod in pods {
        let Some(namespace) = cluster.namespace(pod.meta.namespace()) else { continue };
        let intent = enrollment::intent(&pod, namespace, &config.excluded_namespaces, &config.root_namespace);
        let wanted = intent.is_enrolled().then_some(Redirection::Enabled);
        if pod.redirection() != wanted {
            cluster.set_redirection(&pod.meta.key, wanted);
        }
        if pod.is_waypoint() && pod.phase == PodPhase::Running && !pod.ready {
            cluster.set_ready(&pod.meta.key, true, now);
        }
    }
}
