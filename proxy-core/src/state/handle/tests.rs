use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::state::Update;
use crate::state::fixture::*;

fn local(name: &str) -> LocalWorkload {
    LocalWorkload { name: name.into(), namespace: "ns".into(), service_account: name.into(), node: "node-1".into() }
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn change_is_seen_whether_it_comes_before_or_during_the_wait() {
    let handle = StateHandle::new();
    let mut early = pin!(handle.changed(0));
    assert!(poll(early.as_mut()).is_pending());
    handle.apply(&SharedUpdate::new(upsert([pod("a", "10.0.0.1")], [], [])));
    let Poll::Ready((version, snapshot)) = poll(early.as_mut()) else { panic!("news was lost") };
    assert_eq!((version, snapshot.workload_count()), (1, 1));
    assert!(poll(pin!(handle.changed(0))).is_ready(), "a late waiter sees what it missed");
    assert!(poll(pin!(handle.changed(version))).is_pending());
}

#[test]
fn several_changes_may_be_seen_as_one() {
    let handle = StateHandle::new();
    for name in ["a", "b"] {
        handle.apply(&SharedUpdate::new(upsert([pod(name, "10.0.0.1")], [], [])));
    }
    let Poll::Ready((version, _)) = poll(pin!(handle.changed(0))) else { panic!("news was lost") };
    assert_eq!(version, 2);
}

#[test]
fn workload_is_waited_for_through_other_news() {
    let handle = StateHandle::new();
    let wanted = local("b");
    let mut wait = pin!(handle.wait_for_workload(&wanted));
    assert!(poll(wait.as_mut()).is_pending());
    handle.apply(&SharedUpdate::new(upsert([pod("a", "10.0.0.1")], [], [])));
    assert!(poll(wait.as_mut()).is_pending());
    handle.apply(&SharedUpdate::new(upsert([pod("b", "10.0.0.1")], [], [])));
    let Poll::Ready(found) = poll(wait.as_mut()) else { panic!("news was lost") };
    assert_eq!(&*found.name, "b");
}

#[test]
fn handle_is_in_sync_after_the_initial_push_and_stays_so() {
    let handle = StateHandle::new();
    let mut synced = pin!(handle.synced());
    let push = |initial| Push { nonce: 1, update: SharedUpdate::new(Update::default()), initial };
    handle.apply_push(&push(false));
    assert!(poll(synced.as_mut()).is_pending());
    handle.apply_push(&push(true));
    assert!(poll(synced.as_mut()).is_ready());
    handle.apply_push(&push(false));
    assert!(handle.is_synced());
}

#[test]
fn waiting_may_move_between_threads() {
    fn send<T: Send>(future: T) -> T {
        future
    }
    let handle = StateHandle::new();
    drop(send(handle.changed(0)));
}

#[test]
fn handles_that_apply_the_same_updates_share_one_snapshot() {
    let handles: Vec<StateHandle> = (0..3).map(|_| StateHandle::new()).collect();
    let updates = ["a", "b"].map(|name| SharedUpdate::new(upsert([pod(name, "10.0.0.1")], [], [])));
    for update in &updates {
        let applied: Vec<_> = handles.iter().map(|handle| handle.apply(update)).collect();
        assert!(applied.iter().all(|one| Arc::ptr_eq(one, &applied[0])));
    }
    assert!(handles.iter().all(|handle| Arc::ptr_eq(&handle.snapshot(), &handles[0].snapshot())));
    // A handle with another past gets its own, right result.
    let late = StateHandle::new();
    late.apply(&updates[1]);
    assert_eq!(late.snapshot().workload_count(), 1);
}

#[test]
fn late_proxy_that_is_told_everything_shares_with_the_others() {
    let early = StateHandle::new();
    let updates = ["a", "b"].map(|name| SharedUpdate::new(upsert([pod(name, "10.0.0.1")], [], [])));
    updates.iter().for_each(|update| drop(early.apply(update)));
    let all = || upsert([pod("a", "10.0.0.1"), pod("b", "10.0.0.1")], [], []);
    let late = StateHandle::new();
    let applied = late.apply(&SharedUpdate::everything(all(), &early.snapshot()));
    assert!(Arc::ptr_eq(&late.snapshot(), &early.snapshot()));
    assert_eq!(applied.workloads_changed.len(), 2);
    // Told something else, it holds something else.
    let other = StateHandle::new();
    other.apply(&SharedUpdate::everything(upsert([pod("a", "10.0.0.1")], [], []), &early.snapshot()));
    assert_eq!(other.snapshot().workload_count(), 1);
}
