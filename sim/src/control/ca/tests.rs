use proxy_core::host::Instant;
use proxy_core::tls::SigningKey;
use proxy_core::tls::issue::signing_request;

use super::*;
use crate::fabric::NodeSpec;
use crate::node::{Sim, SimConfig, SimHost};

const DAY: Duration = Duration::from_secs(24 * 3600);

struct Bench {
    sim: Sim,
    host: SimHost,
    authority: MeshAuthority<SimHost>,
}

fn bench() -> Bench {
    let sim = Sim::new(SimConfig::default());
    let node = sim.add_node(NodeSpec { name: "cp".to_owned(), ..NodeSpec::default() });
    let host = sim.process(sim.node_namespace(node), "control-plane");
    let authority = MeshAuthority::new(host.clone(), AuthorityConfig::default()).expect("a root");
    authority.schedule(&"n1".into(), &"pod-1".into(), identity());
    Bench { sim, host, authority }
}

fn identity() -> Identity {
    Identity::new("cluster.local", "shop", "web")
}

impl Bench {
    fn sign(&self, node: &str, asked_for: &Identity, in_request: &Identity) -> Result<SignedChain, AuthorityError> {
        let key = SigningKey::generate(&mut Rng::from_number(5));
        let csr_der = signing_request(&key, in_request).expect("a request");
        let request = SigningRequest { csr_der, impersonated: asked_for.clone(), validity: DAY };
        let authority = self.authority.for_node(node);
        self.sim.block_on(&self.host, "sign", async move { authority.sign(request).await }).expect("ends")
    }
}

#[test]
fn an_identity_scheduled_on_the_node_is_signed_after_the_modelled_delay() {
    let bench = bench();
    let signed = bench.sign("n1", &identity(), &identity()).expect("signed");
    assert!(bench.sim.now() >= Instant::START + AuthorityConfig::default().delay_least);
    assert_eq!(signed.roots, [bench.authority.root().to_vec()]);
    assert!(!signed.chain.is_empty());
    assert!(bench.authority.is_idle());
    assert_eq!(bench.authority.signed(), 1);
}

#[test]
fn a_node_is_refused_what_it_does_not_run() {
    let bench = bench();
    let refused = |result: Result<SignedChain, AuthorityError>| matches!(result, Err(AuthorityError::Refused(_)));
    assert!(refused(bench.sign("n2", &identity(), &identity())));
    let other = Identity::new("cluster.local", "shop", "admin");
    assert!(refused(bench.sign("n1", &other, &other)));
    assert!(refused(bench.sign("n1", &identity(), &other)), "the request must ask for what it was sent for");
    bench.authority.unschedule("n1", "pod-1");
    assert!(refused(bench.sign("n1", &identity(), &identity())));
}

#[test]
fn an_identity_stays_as_long_as_one_pod_of_it() {
    let bench = bench();
    bench.authority.schedule(&"n1".into(), &"pod-2".into(), identity());
    bench.authority.unschedule("n1", "pod-1");
    assert!(bench.sign("n1", &identity(), &identity()).is_ok());
}

#[test]
fn an_outage_is_an_error_and_ends() {
    let bench = bench();
    bench.authority.set_availability(Availability::Refusing);
    assert!(matches!(bench.sign("n1", &identity(), &identity()), Err(AuthorityError::Unavailable(_))));
    bench.authority.set_availability(Availability::Answering);
    assert!(bench.sign("n1", &identity(), &identity()).is_ok());
}

#[test]
fn equal_seeds_sign_equal_bytes_whatever_others_asked_before() {
    let first = bench().sign("n1", &identity(), &identity()).expect("signed");
    let second = bench();
    let other = Identity::new("cluster.local", "shop", "admin");
    second.authority.schedule(&"n2".into(), &"pod-2".into(), other.clone());
    second.sign("n2", &other, &other).expect("signed");
    let again = second.sign("n1", &identity(), &identity()).expect("signed");
    assert_eq!(first.roots, again.roots);
    // The serial number does not depend on other requests; validity is later by the other's delay.
    assert_eq!(first.chain[0].len(), again.chain[0].len());
    let repeated = bench().sign("n1", &identity(), &identity()).expect("signed");
    assert_eq!(first, repeated);
}
