//! [`Handlers`]: applications of a test's own.

use std::fmt;

use crate::cluster::ObjectReference;
use crate::mesh::{App, AppFactory, AppStart};
use crate::node::SimHost;
use crate::scenario::workload::owns;

/// Applications of a test's own, in place of the echo servers, for the pods they are attached to.
///
/// They are ordinary asynchronous code over [`Host`](proxy_core::Host), on the simulated network and in virtual time; what they
/// do between two waits takes no time. A run stays repeatable as long as they draw time and chance from their host.
///
/// ```
/// use std::net::{Ipv4Addr, SocketAddr};
/// use std::path::Path;
///
/// use proxy_core::Host;
/// use proxy_core::host::Listener;
/// use sim::cluster::{Kind, ObjectReference};
/// use sim::mesh::AppStart;
/// use sim::record::Verdict;
/// use sim::scenario::{Handlers, Plan, RunOptions, run_with};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// let scenario = "
/// name: a-teapot
/// description: What a handler answers arrives over mutual TLS.
/// cluster:
///   nodes: 2
///   manifests:
///     - |
///       { apiVersion: v1, kind: Namespace, metadata: { name: kitchen, labels: { istio.io/dataplane-mode: ambient } } }
///       ---
///       { apiVersion: v1, kind: Pod, metadata: { name: pot, namespace: kitchen }, spec: { containers: [ { name: a } ] } }
///       ---
///       { apiVersion: v1, kind: Pod, metadata: { name: cook, namespace: kitchen }, spec: { containers: [ { name: a } ] } }
/// steps:
///   - at: 1s
///     request: { from: pod/cook.kitchen, to: 'http://{pod/pot.kitchen}:8080/' }
///     expect: { status: 418, via: [ztunnel, ztunnel] }
/// ";
/// let plan = Plan::parse("teapot.yaml", scenario, Path::new(".")).expect("a scenario");
///
/// let teapot = |start: AppStart<'_>| {
///     let host = start.host.clone();
///     start.host.spawn("teapot", async move {
///         let at = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080));
///         let listener = host.listen(at).expect("the port is free");
///         while let Ok(mut accepted) = listener.accept().await {
///             let mut request = [0; 1024];
///             let _ = accepted.stream.read(&mut request).await;
///             let answer = b"HTTP/1.1 418 I'm a teapot\r\ncontent-length: 0\r\n\r\n";
///             let _ = accepted.stream.write_all(answer).await;
///         }
///     });
///     None
/// };
/// let pot = ObjectReference::new(Kind::Pod, "kitchen", "pot");
/// let handlers = Handlers::default().attach(pot, teapot);
/// let record = run_with(&plan, &RunOptions::default(), handlers).expect("a run");
/// assert_eq!(record.verdict, Verdict::Passed, "{:?}", record.steps);
/// ```
pub struct Handlers<H = SimHost>(Vec<(ObjectReference, Box<dyn AppFactory<H>>)>);

impl<H> Default for Handlers<H> {
    fn default() -> Self {
        Handlers(Vec::new())
    }
}

impl<H> Handlers<H> {
    /// The pods of `object`, a pod or an owner of pods, run what `factory` starts: no echo server listens there. What is
    /// attached last wins.
    #[must_use]
    pub fn attach(mut self, object: ObjectReference, factory: impl AppFactory<H> + 'static) -> Self {
        self.0.push((object, Box::new(factory)));
        self
    }

    /// What runs in this pod, if it is one of ours.
    pub(super) fn start(&mut self, start: AppStart<'_, H>) -> Option<Option<Box<dyn App>>> {
        let (_, factory) = self.0.iter_mut().rev().find(|(object, _)| owns(object, start.pod))?;
        Some(factory.start(start))
    }
}

impl<H> fmt::Debug for Handlers<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(object, _)| object.to_string())).finish()
    }
}
