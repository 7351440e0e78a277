use std::time::Duration;

use super::*;
use crate::tls::SigningKey;

const HOUR: Duration = Duration::from_secs(3600);

fn wall(hours: u32) -> WallTime {
    WallTime::from_unix_secs(1_767_225_600) + hours * HOUR
}

fn now(hours: u32) -> Instant {
    Instant::START + hours * HOUR
}

fn identity(name: &str) -> Identity {
    Identity::new("cluster.local", "default", name)
}

fn certificate(name: &str, from: u32, until: u32) -> Arc<WorkloadCertificate> {
    Arc::new(WorkloadCertificate {
        identity: identity(name),
        chain: [].into(),
        roots: [].into(),
        key: SigningKey::generate(&mut Rng::from_number(1)),
        not_before: wall(from),
        not_after: wall(until),
    })
}

fn ledger() -> Ledger {
    Ledger::new(StoreConfig::default(), Rng::from_number(1))
}

fn is_pending(found: Found) -> Option<Ticket> {
    match found {
        Found::Pending(_, ticket) => Some(ticket),
        _ => None,
    }
}

#[test]
fn an_identity_is_fetched_by_one_fetch_at_a_time() {
    let mut ledger = ledger();
    assert!(is_pending(ledger.ask(&identity("a"), None, wall(0), now(0))).is_some());
    assert!(is_pending(ledger.ask(&identity("a"), None, wall(0), now(0))).is_some());
    assert_eq!(ledger.start(now(0)), Ok(identity("a")));
    assert_eq!(ledger.start(now(0)), Err(Instant::FAR_FUTURE));
    ledger.finish(&identity("a"), Ok(certificate("a", 0, 24)), wall(0), now(0));
    assert!(matches!(ledger.ask(&identity("a"), None, wall(0), now(0)), Found::Certificate(_)));
}

#[test]
fn at_most_eight_fetches_are_in_flight_and_connections_go_first() {
    let mut ledger = ledger();
    for number in 0..10 {
        ledger.want(&identity(&format!("warm-{number}")), Priority::Warmup, now(0));
    }
    ledger.ask(&identity("urgent"), None, wall(0), now(0));
    ledger.ask(&identity("warm-9"), None, wall(0), now(0));
    let started: Vec<_> = std::iter::from_fn(|| ledger.start(now(0)).ok()).collect();
    assert_eq!(started.len(), 8);
    assert_eq!(started[..3], [identity("urgent"), identity("warm-9"), identity("warm-0")]);
    ledger.finish(&identity("urgent"), Ok(certificate("urgent", 0, 24)), wall(0), now(0));
    assert!(ledger.start(now(0)).is_ok());
}

#[test]
fn a_refresh_is_due_at_half_life_and_its_failure_keeps_the_valid_certificate() {
    let mut ledger = ledger();
    ledger.want(&identity("a"), Priority::Warmup, now(0));
    ledger.start(now(0)).unwrap();
    ledger.finish(&identity("a"), Ok(certificate("a", 0, 24)), wall(0), now(0));
    assert_eq!(ledger.start(now(11)), Err(now(12)));
    assert_eq!(ledger.start(now(12)), Ok(identity("a")));
    ledger.finish(&identity("a"), Err("no".to_owned()), wall(12), now(12));
    assert!(matches!(ledger.ask(&identity("a"), None, wall(13), now(13)), Found::Certificate(_)));
    assert!(ledger.current(&identity("a"), wall(23)).is_some());
}

#[test]
fn an_expired_certificate_is_never_served() {
    let mut ledger = ledger();
    ledger.want(&identity("a"), Priority::Warmup, now(0));
    ledger.start(now(0)).unwrap();
    ledger.finish(&identity("a"), Ok(certificate("a", 0, 24)), wall(0), now(0));
    assert!(ledger.current(&identity("a"), wall(24)).is_none());
    // The wall clock stepped far ahead: nothing failed, so callers wait, and the fetch is due at once.
    assert!(is_pending(ledger.ask(&identity("a"), None, wall(30), now(1))).is_some());
    assert_eq!(ledger.start(now(1)), Ok(identity("a")));
    ledger.finish(&identity("a"), Err("no".to_owned()), wall(30), now(1));
    assert!(matches!(ledger.ask(&identity("a"), None, wall(30), now(1)), Found::Failed(_)));
}

#[test]
fn a_failure_is_told_at_once_until_the_retry_succeeds() {
    let mut ledger = ledger();
    let ticket = is_pending(ledger.ask(&identity("a"), None, wall(0), now(0)));
    ledger.start(now(0)).unwrap();
    ledger.finish(&identity("a"), Err("no".to_owned()), wall(0), now(0));
    assert!(matches!(ledger.ask(&identity("a"), ticket, wall(0), now(0)), Found::Failed(error) if error == "no"));
    assert!(matches!(ledger.ask(&identity("a"), None, wall(0), now(0)), Found::Failed(_)));
    let retry = ledger.start(now(0)).unwrap_err();
    assert!(retry > now(0) && retry <= now(0) + Duration::from_millis(1200), "{retry}");
    assert_eq!(ledger.start(retry), Ok(identity("a")));
    assert!(matches!(ledger.ask(&identity("a"), None, wall(0), now(0)), Found::Failed(_)));
    ledger.finish(&identity("a"), Ok(certificate("a", 0, 24)), wall(0), retry);
    assert!(matches!(ledger.ask(&identity("a"), None, wall(0), retry), Found::Certificate(_)));
}

#[test]
fn who_waits_for_a_forgotten_identity_is_told_and_no_second_fetch_starts_beside_the_first() {
    let mut ledger = ledger();
    let ticket = is_pending(ledger.ask(&identity("a"), None, wall(0), now(0)));
    ledger.start(now(0)).unwrap();
    ledger.forget(&identity("a"));
    assert!(ledger.list(wall(0)).is_empty());
    assert!(matches!(ledger.ask(&identity("a"), ticket, wall(0), now(0)), Found::Forgotten));
    // Wanted again: the fetch under way will do.
    assert!(is_pending(ledger.ask(&identity("a"), None, wall(0), now(0))).is_some());
    assert_eq!(ledger.start(now(0)), Err(Instant::FAR_FUTURE));
    ledger.finish(&identity("a"), Ok(certificate("a", 0, 24)), wall(0), now(0));
    assert!(ledger.current(&identity("a"), wall(0)).is_some());
    // Forgotten for good.
    ledger.forget(&identity("a"));
    assert!(ledger.current(&identity("a"), wall(0)).is_none());
    assert_eq!(ledger.start(now(20)), Err(Instant::FAR_FUTURE));
}
