//! The certificate store under a clock that runs for days.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "this host is tokio's paused clock")]

mod support;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::Host;
use proxy_core::identity::store::{CertificateState, CertificateStore, IdentityUnavailable, StoreConfig};
use proxy_core::identity::{AuthorityError, CertificateAuthority, Identity, SignedChain, SigningRequest};
use proxy_core::telemetry::Event;
use support::memory::{MemoryHost, Network};
use support::{HOUR, Recorder, TestAuthority, identity};

const SECOND: Duration = Duration::from_secs(1);

/// Answers after a second, unless told to fail or hang.
#[derive(Clone)]
struct Slow(Arc<Inner>);

struct Inner {
    host: MemoryHost,
    authority: TestAuthority,
    mode: Mutex<Mode>,
    asked: Mutex<Vec<Identity>>,
    under_way: Mutex<(usize, usize)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Answer,
    Fail,
    Hang,
    WrongIdentity,
}

impl Slow {
    fn set(&self, mode: Mode) {
        *self.0.mode.lock() = mode;
    }

    fn asked(&self) -> usize {
        self.0.asked.lock().len()
    }
}

impl CertificateAuthority for Slow {
    fn sign(&self, request: SigningRequest) -> impl Future<Output = Result<SignedChain, AuthorityError>> + Send {
        let Inner { host, authority, mode, asked, under_way } = &*self.0;
        async move {
            asked.lock().push(request.impersonated.clone());
            {
                let mut counts = under_way.lock();
                counts.0 += 1;
                counts.1 = counts.1.max(counts.0);
            }
            host.sleep(SECOND).await;
            under_way.lock().0 -= 1;
            let mode = *mode.lock();
            match mode {
                Mode::Answer => {}
                Mode::Fail => return Err(AuthorityError::Unavailable("down".to_owned())),
                Mode::Hang => std::future::pending().await,
                Mode::WrongIdentity => {
                    let other = authority.certificate(&identity("other"));
                    return Ok(SignedChain { chain: other.chain.to_vec(), roots: other.roots.to_vec() });
                }
            }
            let (now, mut rng) = (host.wall_time(), authority.rng.lock());
            authority
                .issuer
                .issue(&request.csr_der, &request.impersonated, now, request.validity, &mut rng)
                .map_err(|error| AuthorityError::Refused(error.to_string()))
        }
    }
}

struct Setup {
    authority: Slow,
    store: CertificateStore<MemoryHost, Slow>,
    events: Arc<Recorder>,
}

fn setup() -> Setup {
    let host = Network::new(1).host("10.0.0.1");
    let inner = Inner {
        host: host.clone(),
        authority: TestAuthority::new(1),
        mode: Mutex::new(Mode::Answer),
        asked: Mutex::default(),
        under_way: Mutex::default(),
    };
    let authority = Slow(Arc::new(inner));
    let events: Arc<Recorder> = Arc::default();
    let store = CertificateStore::new(host, authority.clone(), StoreConfig::default(), events.clone());
    Setup { authority, store, events }
}

#[tokio::test(start_paused = true)]
async fn callers_at_once_share_one_fetch() {
    let Setup { authority, store, .. } = setup();
    let id = identity("a");
    let (one, two) = tokio::join!(biased; store.fetch(&id), store.fetch(&id));
    assert!(Arc::ptr_eq(&one.unwrap(), &two.unwrap()));
    assert_eq!(authority.asked(), 1);
    store.fetch(&id).await.unwrap();
    assert_eq!(authority.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_prefetches_run_eight_at_a_time_and_a_waiting_caller_goes_first() {
    let Setup { authority, store, .. } = setup();
    for number in 0..40 {
        store.prefetch(identity(&format!("pod-{number:02}")));
    }
    let before = tokio::time::Instant::now();
    tokio::task::yield_now().await;
    store.fetch(&identity("urgent")).await.unwrap();
    assert!(before.elapsed() <= 2 * SECOND);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(authority.asked(), 41);
    assert_eq!(authority.0.under_way.lock().1, 8);
    assert!(store.list().iter().all(|(_, state)| matches!(state, CertificateState::Available(_))));
}

#[tokio::test(start_paused = true)]
async fn certificates_are_refreshed_at_half_life_for_ever() {
    let Setup { authority, store, events } = setup();
    let first = store.fetch(&identity("a")).await.unwrap();
    tokio::time::sleep(12 * HOUR - 10 * SECOND).await;
    assert_eq!(authority.asked(), 1);
    tokio::time::sleep(20 * SECOND).await;
    assert_eq!(authority.asked(), 2);
    let second = store.fetch(&identity("a")).await.unwrap();
    assert!(second.not_after > first.not_after);
    assert_ne!(second.key.public_point(), first.key.public_point());
    tokio::time::sleep(120 * HOUR).await;
    // Each refresh comes half a life and the second it takes after the one before.
    assert_eq!(authority.asked(), 11);
    assert_eq!(events.0.lock().len(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_failing_authority_is_asked_ever_more_rarely_and_callers_are_told_at_once() {
    let Setup { authority, store, events } = setup();
    authority.set(Mode::Fail);
    let failed = store.fetch(&identity("a")).await.unwrap_err();
    assert!(failed.to_string().contains("down"), "{failed}");
    let before = tokio::time::Instant::now();
    assert!(store.fetch(&identity("a")).await.is_err());
    assert_eq!(before.elapsed(), Duration::ZERO);
    tokio::time::sleep(HOUR).await;
    // 1, 2, 4 … 128 s, then every 150 s, each ±20 % and a second of waiting.
    let asked = authority.asked();
    assert!((25..=40).contains(&asked), "{asked}");
    let failures =
        events.0.lock().iter().filter(|event| matches!(event, Event::Certificate { outcome: Err(_), .. })).count();
    assert_eq!(failures, asked);
    authority.set(Mode::Answer);
    tokio::time::sleep(200 * SECOND).await;
    store.fetch(&identity("a")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_valid_certificate_is_kept_through_failures_and_never_beyond_its_end() {
    let Setup { authority, store, .. } = setup();
    store.fetch(&identity("a")).await.unwrap();
    authority.set(Mode::Fail);
    tokio::time::sleep(24 * HOUR - 5 * SECOND).await;
    assert!(authority.asked() > 100);
    assert!(store.fetch(&identity("a")).await.is_ok());
    tokio::time::sleep(10 * SECOND).await;
    assert!(matches!(store.fetch(&identity("a")).await, Err(IdentityUnavailable::Failed { .. })));
    assert!(store.current(&identity("a")).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_hanging_authority_is_waited_for_thirty_seconds() {
    let Setup { authority, store, .. } = setup();
    authority.set(Mode::Hang);
    let before = tokio::time::Instant::now();
    let error = store.fetch(&identity("a")).await.unwrap_err();
    assert_eq!(before.elapsed(), 30 * SECOND);
    assert!(matches!(error, IdentityUnavailable::Timeout { .. } | IdentityUnavailable::Failed { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_somebody_else_is_not_taken() {
    let Setup { authority, store, .. } = setup();
    authority.set(Mode::WrongIdentity);
    let error = store.fetch(&identity("a")).await.unwrap_err();
    assert!(error.to_string().contains("/sa/other"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_identity_is_not_refreshed_and_its_waiters_are_told() {
    let Setup { authority, store, .. } = setup();
    let id = identity("a");
    let forget = async {
        tokio::time::sleep(SECOND / 2).await;
        store.forget(&id);
    };
    let (waited, ()) = tokio::join!(biased; store.fetch(&id), forget);
    assert_eq!(waited.unwrap_err(), IdentityUnavailable::Forgotten(id.clone()));
    tokio::time::sleep(48 * HOUR).await;
    assert_eq!(authority.asked(), 1);
    assert!(store.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_stores_tasks_end_with_the_store() {
    let Setup { authority, store, .. } = setup();
    store.fetch(&identity("a")).await.unwrap();
    drop(store);
    tokio::time::sleep(48 * HOUR).await;
    assert_eq!(authority.asked(), 1);
    assert_eq!(Arc::strong_count(&authority.0), 1);
}
