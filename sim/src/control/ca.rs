//! [`MeshAuthority`]: the mesh's certificate authority, asked by each node's proxy through a [`NodeAuthority`].

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::Host;
use proxy_core::host::{Rng, WallTime};
use proxy_core::identity::{AuthorityError, CertificateAuthority, Identity, SignedChain, SigningRequest};
use proxy_core::tls::issue::Issuer;
use proxy_core::tls::{ServerCertificate, TlsError};
use sha2::{Digest, Sha256};

use super::accounts::{Caller, ServiceAccounts};

/// What the authority signs for how long, and how far away it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityConfig {
    /// Name of the root certificate.
    pub name: String,
    /// Validity of the root. Default ten years.
    pub root_validity: Duration,
    /// Longest validity of a leaf; longer requests get this. Default 90 days, as istiod's.
    pub leaf_validity_max: Duration,
    /// Least time from asking to answer. Default 1 ms.
    pub delay_least: Duration,
    /// Most time from asking to answer; each request draws its own. Default 5 ms.
    pub delay_most: Duration,
    /// From when the first root is valid; `None` is when the authority is made. Default `None`.
    pub root_since: Option<WallTime>,
    /// What the first root's key is made of; `None` draws it from the host. Default `None`. Whoever knows it can sign for
    /// anyone.
    pub secret: Option<[u8; 32]>,
}

impl Default for AuthorityConfig {
    fn default() -> Self {
        AuthorityConfig {
            name: "meshsim root".to_owned(),
            root_validity: Duration::from_secs(10 * 365 * 24 * 3600),
            leaf_validity_max: Duration::from_secs(90 * 24 * 3600),
            delay_least: Duration::from_millis(1),
            delay_most: Duration::from_millis(5),
            root_since: None,
            secret: None,
        }
    }
}

/// Whether the authority answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Availability {
    /// It does.
    #[default]
    Answering,
    /// Connections to it are refused.
    Refusing,
    /// Requests reach it and no answer comes back.
    Silent,
}

/// A step of changing the root, in the only order that never leaves two proxies without a root in common: each is to be
/// followed by the next only once every certificate has been renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// A new root is made and published beside the old one. The old one signs.
    Publish,
    /// The new one signs. Both are published.
    Switch,
    /// The old one is published no more.
    Retire,
}

/// The mesh's certificate authority. Cheap to clone; clones are the same authority.
///
/// Owns the root key and the list of who runs where: it signs an identity only for the proxy of a node on which a pod of
/// that service account is scheduled. Validity counts from its own wall clock, so a proxy with a skewed one sees that.
///
/// Deterministic because serial numbers and delays of a certificate depend on the seed, the node, the identity and how
/// many it asked for before, and on nothing else.
pub struct MeshAuthority<H: Host> {
    host: H,
    shared: Arc<Shared>,
}

impl<H: Host> Clone for MeshAuthority<H> {
    fn clone(&self) -> Self {
        MeshAuthority { host: self.host.clone(), shared: self.shared.clone() }
    }
}

struct Shared {
    config: AuthorityConfig,
    /// The first root; what signs now is in the state.
    issuer: Issuer,
    seed: [u8; 32],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    availability: Availability,
    /// By node, then pod uid.
    scheduled: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Identity>>,
    /// Requests by node and identity.
    asked: BTreeMap<(Arc<str>, Identity), u64>,
    /// Bearer tokens of node proxies, and whose they are.
    tokens: BTreeMap<String, Arc<str>>,
    /// Who recognises other tokens.
    accounts: Option<Arc<ServiceAccounts>>,
    under_way: usize,
    signed: u64,
    /// Instead of the configured delay.
    slow: Option<Duration>,
    /// Nodes that cannot reach it.
    unreachable: BTreeSet<Arc<str>>,
    /// Roots made since the first.
    made: u64,
    /// What signs, if not the first root.
    signing: Option<Issuer>,
    /// Made and not signing yet.
    next: Option<Issuer>,
    /// What is published, if not the first root alone.
    published: Option<Vec<Vec<u8>>>,
}

/// A request that has been asked and not been answered; counted as long as it lives.
pub(crate) struct UnderWay(Arc<Shared>);

impl UnderWay {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.state.lock().under_way += 1;
        UnderWay(shared.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.state.lock().under_way -= 1;
    }
}

impl<H: Host> MeshAuthority<H> {
    /// An authority with a new root, on the clock and the dice of `host`.
    ///
    /// # Errors
    /// The root certificate cannot be written, e.g. because of its name.
    pub fn new(host: H, config: AuthorityConfig) -> Result<Self, TlsError> {
        let mut seed = [0; 32];
        host.fill_random("control/ca", &mut seed);
        // Serial numbers must not repeat when an authority of the same root is started again.
        let mut rng = Rng::from_seed(digest(&config.secret.unwrap_or(seed), &[b"root"]));
        let issuer = Issuer::new(
            &config.name,
            config.root_since.unwrap_or_else(|| host.wall_time()),
            config.root_validity,
            &mut rng,
        )?;
        let shared = Shared { config, issuer, seed, state: Mutex::new(State::default()) };
        Ok(MeshAuthority { host, shared: Arc::new(shared) })
    }

    /// The first root certificate, DER. See [`MeshAuthority::roots`] once it has been rotated.
    pub fn root(&self) -> &[u8] {
        self.shared.issuer.root()
    }

    /// Notes that a pod of this identity is scheduled on `node`.
    pub fn schedule(&self, node: &Arc<str>, pod: &Arc<str>, identity: Identity) {
        self.shared.state.lock().scheduled.entry(node.clone()).or_default().insert(pod.clone(), identity);
    }

    /// Notes that it is gone.
    pub fn unschedule(&self, node: &str, pod: &str) {
        let mut state = self.shared.state.lock();
        if let Some(pods) = state.scheduled.get_mut(node) {
            pods.remove(pod);
        }
    }

    /// The bearer token that the proxy of `node` shows. The same each time.
    pub fn token(&self, node: &Arc<str>) -> String {
        let secret = digest(&self.shared.seed, &[b"token", node.as_bytes()]);
        let token: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        self.admit(&token, node);
        token
    }

    /// Takes whoever shows `token` for the proxy of `node` from now on.
    pub fn admit(&self, token: &str, node: &Arc<str>) {
        self.shared.state.lock().tokens.insert(token.to_owned(), node.clone());
    }

    /// Takes tokens of service accounts too from now on.
    pub fn admit_accounts(&self, accounts: Arc<ServiceAccounts>) {
        self.shared.state.lock().accounts = Some(accounts);
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// Nobody's that is known here; in words for whoever shows it.
    pub fn caller(&self, token: &str) -> Result<Caller, &'static str> {
        let state = self.shared.state.lock();
        if let Some(node) = state.tokens.get(token) {
            return Ok(Caller::proxy_of(node));
        }
        let accounts = state.accounts.clone();
        drop(state);
        let accounts = accounts.ok_or("no node's proxy has this token")?;
        accounts.recognise(token, self.host.wall_time())
    }

    /// Notes who runs where, and forgets what was noted before: by node, then pod uid.
    pub fn reschedule(&self, scheduled: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Identity>>) {
        self.shared.state.lock().scheduled = scheduled;
    }

    /// A certificate for a server known by these names, valid from now.
    ///
    /// # Errors
    /// A name cannot be written into a certificate.
    pub fn issue_server(
        &self,
        names: &[String],
        validity: Duration,
        dice: &mut Rng,
    ) -> Result<ServerCertificate, TlsError> {
        self.shared.issuer.issue_server(names, self.host.wall_time(), validity, dice)
    }

    /// Breaks or restores the authority. Requests under way are treated as it is when their answer is due.
    pub fn set_availability(&self, availability: Availability) {
        self.shared.state.lock().availability = availability;
    }

    /// Has every answer take this long; `None` as configured.
    pub fn set_slow(&self, delay: Option<Duration>) {
        self.shared.state.lock().slow = delay;
    }

    /// Has a node's proxy unable to reach it, or able again.
    pub fn set_reachable(&self, node: &Arc<str>, reachable: bool) {
        let mut state = self.shared.state.lock();
        if reachable {
            state.unreachable.remove(node);
        } else {
            state.unreachable.insert(node.clone());
        }
    }

    /// Takes a step of changing the root. A step out of turn does nothing.
    ///
    /// # Errors
    /// The new root cannot be written.
    pub fn rotate(&self, step: RotationStep) -> Result<(), TlsError> {
        let mut state = self.shared.state.lock();
        let signing = state.signing.as_ref().unwrap_or(&self.shared.issuer).root().to_vec();
        match (step, state.next.take()) {
            (RotationStep::Publish, None) => {
                state.made += 1;
                let number = state.made;
                let mut dice = Rng::from_seed(digest(&self.shared.seed, &[b"root", &number.to_be_bytes()]));
                let config = &self.shared.config;
                let name = format!("{} {}", config.name, number + 1);
                let next = Issuer::new(&name, self.host.wall_time(), config.root_validity, &mut dice)?;
                state.published = Some(vec![signing, next.root().to_vec()]);
                state.next = Some(next);
            }
            (RotationStep::Switch, Some(next)) => state.signing = Some(next),
            (RotationStep::Retire, None) => state.published = Some(vec![signing]),
            (_, next) => state.next = next,
        }
        Ok(())
    }

    /// The roots published now, DER.
    pub fn roots(&self) -> Vec<Vec<u8>> {
        let published = self.shared.state.lock().published.clone();
        published.unwrap_or_else(|| vec![self.shared.issuer.root().to_vec()])
    }

    /// Whether it answers.
    pub fn availability(&self) -> Availability {
        self.shared.state.lock().availability
    }

    /// A request to this authority that is under way as long as this lives, wherever it is.
    pub(crate) fn under_way(&self) -> UnderWay {
        UnderWay::new(&self.shared)
    }

    /// Whether nobody waits for an answer.
    pub fn is_idle(&self) -> bool {
        self.shared.state.lock().under_way == 0
    }

    /// How many certificates it signed.
    pub fn signed(&self) -> u64 {
        self.shared.state.lock().signed
    }

    /// The authority as the proxy of `node` reaches it.
    pub fn for_node(&self, node: &str) -> NodeAuthority<H> {
        NodeAuthority { authority: self.clone(), node: node.into(), own: None }
    }

    /// The authority as this caller reaches it: for its own identity, and for those of its node if it serves that.
    pub fn for_caller(&self, caller: &Caller) -> NodeAuthority<H> {
        NodeAuthority { authority: self.clone(), node: caller.node.clone(), own: caller.identity.clone() }
    }
}

impl Shared {
    /// The dice of the next request of this node for this identity.
    fn dice(&self, node: &Arc<str>, identity: &Identity) -> Rng {
        let mut state = self.state.lock();
        let asked = state.asked.entry((node.clone(), identity.clone())).or_default();
        *asked += 1;
        let (identity, asked) = (identity.to_string(), asked.to_be_bytes());
        let parts = [node.as_bytes(), identity.as_bytes(), &asked];
        Rng::from_seed(digest(&self.seed, &parts))
    }
}

/// The hash of a seed and parts, each with its length before it.
fn digest(seed: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed);
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The authority as one node's proxy reaches it: with that node's credentials, after a modelled delay.
pub struct NodeAuthority<H: Host> {
    authority: MeshAuthority<H>,
    node: Arc<str>,
    /// Who asks, and so may be asked for wherever it runs.
    own: Option<Identity>,
}

impl<H: Host> CertificateAuthority for NodeAuthority<H> {
    async fn sign(&self, request: SigningRequest) -> Result<SignedChain, AuthorityError> {
        let MeshAuthority { host, shared } = &self.authority;
        let identity = &request.impersonated;
        let _under_way = UnderWay::new(shared);
        let mut dice = shared.dice(&self.node, identity);
        let spread = shared.config.delay_most.saturating_sub(shared.config.delay_least);
        let spread = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX).saturating_add(1);
        let drawn = shared.config.delay_least + Duration::from_nanos(dice.below(spread));
        let slow = shared.state.lock().slow;
        host.sleep(slow.unwrap_or(drawn)).await;
        let availability = {
            let state = shared.state.lock();
            if state.unreachable.contains(&self.node) { Availability::Silent } else { state.availability }
        };
        match availability {
            Availability::Answering => {}
            Availability::Refusing => {
                return Err(AuthorityError::Unavailable(
                    "connection refused; is the control plane running?".to_owned(),
                ));
            }
            Availability::Silent => pending().await,
        }
        let mut state = shared.state.lock();
        let here = state.scheduled.get(&self.node).into_iter().flat_map(BTreeMap::values);
        let is_own = self.own.as_ref() == Some(identity);
        if !is_own && !here.into_iter().any(|scheduled| scheduled == identity) {
            return Err(AuthorityError::Refused(format!("no pod of {identity} is scheduled on node {}", self.node)));
        }
        let validity = request.validity.min(shared.config.leaf_validity_max);
        let issuer = state.signing.as_ref().unwrap_or(&shared.issuer);
        let mut signed = issuer.issue(&request.csr_der, identity, host.wall_time(), validity, &mut dice);
        if let (Ok(chain), Some(published)) = (&mut signed, &state.published) {
            chain.roots.clone_from(published);
        }
        state.signed += u64::from(signed.is_ok());
        signed.map_err(|error| AuthorityError::Refused(error.to_string()))
    }
}

#[cfg(test)]
mod tests;
