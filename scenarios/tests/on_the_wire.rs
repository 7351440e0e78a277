//! With the control plane on the network every scenario comes out as with modelled delivery.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use sim::mesh::Delivery;
use sim::record::Verdict;
use sim::scenario::{Plan, RunOptions, run};

const THREADS: usize = 2;

#[test]
fn every_scenario_holds_with_the_control_plane_on_the_network() {
    let paths = support::scenarios();
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let plan = Plan::load(path).expect("a scenario that can be read");
                    let options = RunOptions { delivery: Some(Delivery::Wire), ..RunOptions::default() };
                    let record = run(&plan, &options).expect("a record");
                    if record.verdict != Verdict::Passed {
                        let failed: Vec<_> = record.steps.iter().filter(|step| !step.held).collect();
                        wrong.lock().push(format!("{}: {failed:?} {:?}", path.display(), record.violations));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner();
    assert!(wrong.is_empty(), "{} of {} scenarios:\n{}", wrong.len(), paths.len(), wrong.join("\n"));
}
