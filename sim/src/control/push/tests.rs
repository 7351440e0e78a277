use proxy_core::state::{Resource, Update, Workload};

use super::schedule::{Schedule, Step};
use super::*;

const FAR: Duration = Duration::from_secs(60);

fn at(millis: u64) -> Instant {
    Instant::START + Duration::from_millis(millis)
}

/// The resources of workloads `uid` on node `node`.
fn state(workloads: &[(&str, &str)]) -> Resources {
    let mut resources = Resources::new();
    for (uid, node) in workloads {
        let workload = Workload { uid: (*uid).into(), node: (*node).into(), ..Workload::default() };
        resources.insert(Resource::Workload(Arc::new(workload)));
    }
    resources
}

fn schedule() -> Schedule {
    Schedule::new(PushConfig::default(), [7; 32])
}

/// Changes, waits out the debounce and commits.
fn commit(schedule: &mut Schedule, now: Instant, resources: Resources) -> Instant {
    schedule.changed(now);
    let due = schedule.commit_due().expect("something to commit");
    schedule.commit(due, resources);
    due
}

/// Runs one subscriber until its next push.
fn receive(schedule: &mut Schedule, mut now: Instant, node: &str, generation: u64) -> (Instant, Push) {
    loop {
        match schedule.poll(now, node, generation) {
            Step::Deliver(push) => return (now, push),
            Step::At(due) => now = due,
            other => panic!("no push on its way: {other:?}"),
        }
    }
}

fn uids(update: &Update) -> Vec<String> {
    update.upserted.iter().map(|resource| resource.name().to_string()).collect()
}

#[test]
fn changes_in_quick_succession_are_one_push() {
    let mut schedule = schedule();
    assert_eq!(schedule.changed(at(0)), 1);
    assert_eq!(schedule.commit_due(), Some(at(100)));
    assert_eq!(schedule.changed(at(60)), 2);
    assert_eq!(schedule.commit_due(), Some(at(160)));
    schedule.commit(at(160), state(&[("a", "n"), ("b", "n")]));
    let node: Arc<str> = "n".into();
    let generation = schedule.subscribe(at(160), &node, None);
    let (now, push) = receive(&mut schedule, at(160), "n", generation);
    assert!(push.initial);
    assert_eq!(uids(&push.update), ["a", "b"]);
    schedule.answer(now, &node, generation, push.nonce, &[]);
    assert_eq!(schedule.acked("n"), Some(2));
}

#[test]
fn endless_changes_are_pushed_after_the_debounce_maximum() {
    let mut schedule = schedule();
    for step in 0..200 {
        schedule.changed(at(step * 90));
    }
    assert_eq!(schedule.commit_due(), Some(at(10_000)));
}

#[test]
fn an_early_subscriber_waits_for_the_first_commit() {
    let mut schedule = schedule();
    let node: Arc<str> = "n".into();
    let generation = schedule.subscribe(at(0), &node, None);
    assert!(matches!(schedule.poll(at(0), "n", generation), Step::Wait));
    let committed = commit(&mut schedule, at(5), Resources::new());
    let (delivered, push) = receive(&mut schedule, committed, "n", generation);
    assert!(push.initial && push.update.upserted.is_empty());
    assert!(delivered >= committed + PushConfig::default().delay_least);
    assert!(delivered <= committed + PushConfig::default().delay_most);
}

#[test]
fn nodes_in_step_share_one_update() {
    let mut schedule = schedule();
    let committed = commit(&mut schedule, at(0), state(&[("a", "n")]));
    let nodes: [Arc<str>; 2] = ["n1".into(), "n2".into()];
    let pushes: Vec<Push> = nodes
        .iter()
        .map(|node| {
            let generation = schedule.subscribe(committed, node, None);
            receive(&mut schedule, committed, node, generation).1
        })
        .collect();
    assert!(Arc::ptr_eq(&pushes[0].update, &pushes[1].update));
}

#[test]
fn a_slow_node_is_sent_the_merged_difference_after_it_answers() {
    let mut schedule = schedule();
    let node: Arc<str> = "n".into();
    let committed = commit(&mut schedule, at(0), state(&[("a", "n")]));
    let generation = schedule.subscribe(committed, &node, None);
    let (_, first) = receive(&mut schedule, committed, "n", generation);
    commit(&mut schedule, at(1_000), state(&[("a", "n"), ("b", "n")]));
    commit(&mut schedule, at(2_000), state(&[("c", "n")]));
    assert!(matches!(schedule.poll(at(3_000), "n", generation), Step::Wait), "one push at a time");
    let acknowledged = schedule.answer(at(3_000), &node, generation, first.nonce, &[]).expect("outstanding");
    assert_eq!((acknowledged.revision, schedule.acked("n")), (1, Some(1)));
    assert!(!schedule.settled());
    let (now, second) = receive(&mut schedule, at(3_000), "n", generation);
    assert!(!second.initial);
    assert_eq!(uids(&second.update), ["c"]);
    assert_eq!(second.update.removed.len(), 1, "`b` came and went unseen");
    schedule.answer(now, &node, generation, second.nonce, &[]).expect("outstanding");
    assert_eq!(schedule.acked("n"), Some(3));
    assert!(schedule.settled());
}

#[test]
fn a_wrong_nonce_acknowledges_nothing() {
    let mut schedule = schedule();
    let node: Arc<str> = "n".into();
    let committed = commit(&mut schedule, at(0), state(&[("a", "n")]));
    let generation = schedule.subscribe(committed, &node, None);
    let (now, push) = receive(&mut schedule, committed, "n", generation);
    assert_eq!(schedule.answer(now, &node, generation, push.nonce + 1, &[]), None);
    assert_eq!(schedule.acked("n"), None);
}

#[test]
fn a_change_that_comes_to_nothing_is_not_pushed_and_counts_as_held() {
    let mut schedule = schedule();
    let node: Arc<str> = "n".into();
    let committed = commit(&mut schedule, at(0), state(&[("a", "n")]));
    let generation = schedule.subscribe(committed, &node, None);
    let (now, push) = receive(&mut schedule, committed, "n", generation);
    schedule.answer(now, &node, generation, push.nonce, &[]);
    schedule.changed(at(5_000));
    assert!(!schedule.settled());
    let implied = schedule.commit(at(5_100), state(&[("a", "n")]));
    assert_eq!(implied, [Acknowledged { node: node.clone(), revision: 2 }]);
    assert!(matches!(schedule.poll(at(5_100), "n", generation), Step::Wait));
    assert_eq!(schedule.acked("n"), Some(2));
    assert!(schedule.settled());
}

#[test]
fn a_node_that_was_cut_off_learns_of_removals_when_it_returns() {
    let mut schedule = schedule();
    let node: Arc<str> = "n".into();
    let committed = commit(&mut schedule, at(0), state(&[("a", "n"), ("b", "n")]));
    let generation = schedule.subscribe(committed, &node, None);
    let (now, push) = receive(&mut schedule, committed, "n", generation);
    schedule.answer(now, &node, generation, push.nonce, &[]);
    schedule.set_connected(at(1_000), "n", false);
    let committed = commit(&mut schedule, at(1_000), state(&[("a", "n")]));
    assert!(matches!(schedule.poll(committed + FAR, "n", generation), Step::Wait));
    assert!(!schedule.settled());
    schedule.set_connected(at(90_000), "n", true);
    let (_, push) = receive(&mut schedule, at(90_000), "n", generation);
    assert!(!push.initial);
    assert_eq!(push.update.removed.len(), 1);
}

#[test]
fn a_new_subscription_of_a_node_ends_the_old_one() {
    let mut schedule = schedule();
    let node: Arc<str> = "n".into();
    let committed = commit(&mut schedule, at(0), state(&[("a", "n")]));
    let old = schedule.subscribe(committed, &node, None);
    let new = schedule.subscribe(committed, &node, None);
    assert!(matches!(schedule.poll(committed + FAR, "n", old), Step::Over));
    schedule.unsubscribe("n", old);
    assert!(receive(&mut schedule, committed, "n", new).1.initial);
}

#[test]
fn a_refused_resource_is_remembered_until_it_is_sent_anew() {
    let mut schedule = schedule();
    let node: Arc<str> = "n".into();
    let committed = commit(&mut schedule, at(0), state(&[("a", "n"), ("b", "n")]));
    let generation = schedule.subscribe(committed, &node, None);
    let (now, push) = receive(&mut schedule, committed, "n", generation);
    let refused = Rejected { name: push.update.upserted[0].name(), reason: "no".to_owned() };
    schedule.answer(now, &node, generation, push.nonce, std::slice::from_ref(&refused));
    assert!(schedule.settled());
    assert_eq!(schedule.rejected(), [(node.clone(), refused)]);
    let committed = commit(&mut schedule, at(5_000), state(&[("a", "other"), ("b", "n")]));
    let (now, push) = receive(&mut schedule, committed, "n", generation);
    assert_eq!(uids(&push.update), ["a"], "the same is not sent again");
    schedule.answer(now, &node, generation, push.nonce, &[]);
    assert!(schedule.rejected().is_empty());
}
