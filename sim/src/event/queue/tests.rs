use proptest::prelude::*;
use proxy_core::host::Instant;

use super::Queue;

fn drain(queue: &mut Queue<u32>) -> Vec<(u64, u32)> {
    std::iter::from_fn(|| queue.pop_until(Instant::FAR_FUTURE)).map(|(at, event)| (at.as_nanos(), event)).collect()
}

#[test]
fn equal_times_come_out_in_the_order_pushed() {
    let mut queue = Queue::new();
    for number in 0..1000u32 {
        queue.push(Instant::from_nanos(u64::from(number % 3) * 1_000_003), number);
    }
    let popped = drain(&mut queue);
    let mut expected: Vec<(u64, u32)> = (0..1000).map(|number| (u64::from(number % 3) * 1_000_003, number)).collect();
    expected.sort_by_key(|&(at, _)| at);
    assert_eq!(popped, expected);
}

#[test]
fn nothing_after_the_limit_is_taken_and_earlier_events_may_still_be_pushed() {
    let mut queue = Queue::new();
    queue.push(Instant::from_nanos(1 << 40), 1);
    queue.push(Instant::from_nanos((1 << 40) + 5), 2);
    assert_eq!(queue.pop_until(Instant::from_nanos(1 << 39)), None);
    queue.push(Instant::from_nanos(17), 3);
    assert_eq!(drain(&mut queue), vec![(17, 3), (1 << 40, 1), ((1 << 40) + 5, 2)]);
}

#[test]
#[should_panic(expected = "into the past")]
fn time_never_goes_back() {
    let mut queue = Queue::new();
    queue.push(Instant::from_nanos(10), 1);
    queue.pop_until(Instant::FAR_FUTURE);
    queue.push(Instant::from_nanos(9), 2);
}

#[test]
fn the_farthest_future_is_a_time_like_any_other() {
    let mut queue = Queue::new();
    queue.push(Instant::FAR_FUTURE, 1);
    queue.push(Instant::from_nanos(1), 2);
    assert_eq!(drain(&mut queue), vec![(1, 2), (u64::MAX, 1)]);
}

#[derive(Clone, Debug)]
enum Step {
    Push(u64),
    Pop,
    PopWithin(u64),
    Sweep(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let delay = prop_oneof![Just(0u64), 0..4u64, 0..5_000u64, 0..20_000_000u64, 0..u64::MAX / 4];
    let step = prop_oneof![
        6 => delay.clone().prop_map(Step::Push),
        4 => Just(Step::Pop),
        1 => delay.prop_map(Step::PopWithin),
        1 => (2..5u32).prop_map(Step::Sweep),
    ];
    proptest::collection::vec(step, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn agrees_with_a_sorted_list(steps in steps()) {
        let mut queue = Queue::new();
        let mut model: Vec<(u64, u32)> = Vec::new();
        let (mut now, mut number) = (0u64, 0u32);
        for step in steps {
            match step {
                Step::Push(delay) => {
                    let at = now.saturating_add(delay);
                    queue.push(Instant::from_nanos(at), number);
                    let position = model.partition_point(|&(other, _)| other <= at);
                    model.insert(position, (at, number));
                    number += 1;
                }
                Step::Pop | Step::PopWithin(_) => {
                    let limit = if let Step::PopWithin(ahead) = step { now.saturating_add(ahead) } else { u64::MAX };
                    let expected = model.first().copied().filter(|&(at, _)| at <= limit);
                    prop_assert_eq!(queue.next_at().map(Instant::as_nanos), model.first().map(|&(at, _)| at));
                    let popped = queue.pop_until(Instant::from_nanos(limit)).map(|(at, event)| (at.as_nanos(), event));
                    prop_assert_eq!(popped, expected);
                    if let Some((at, _)) = expected {
                        prop_assert!(at >= now);
                        now = at;
                        model.remove(0);
                    }
                }
                Step::Sweep(modulus) => {
                    queue.sweep(|event| event % modulus != 0);
                    model.retain(|(_, event)| event % modulus != 0);
                }
            }
            prop_assert_eq!(queue.len(), model.len());
        }
        prop_assert_eq!(drain(&mut queue), model);
    }
}
