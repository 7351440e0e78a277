//! What is counted of a run: exact, and functions of scenario, seed and build.

use std::collections::BTreeMap;

use sim::record::{LoadResult, Outcome, QuantilesNs, RunRecord};

use super::baseline::Figures;

/// The counters of the engine, and what clients waited in virtual time: requests of steps together, each load by its name.
/// Failures of a load are counted together: a reason that appears for the first time is no new figure.
pub(crate) fn of(record: &RunRecord) -> Figures {
    let mut figures = record.counters.clone();
    figures.insert("virtual_time_ns".to_owned(), record.virtual_time_ns);
    requests(record, &mut figures);
    let mut names = BTreeMap::new();
    for load in &record.load {
        let seen = names.entry(load.name.as_str()).or_insert(0);
        *seen += 1;
        let name = if *seen == 1 { load.name.clone() } else { format!("{}-{seen}", load.name) };
        of_load(load, &format!("load.{name}"), &mut figures);
    }
    figures
}

/// Whether a figure is listed only if it is not zero: one that is missing is none.
pub(crate) fn is_zero_if_missing(figure: &str) -> bool {
    ["packets_dropped.", "packets_corrupted", "packets_duplicated"].iter().any(|start| figure.starts_with(start))
}

fn of_load(load: &LoadResult, prefix: &str, figures: &mut Figures) {
    let mut put = |name: &str, value| figures.insert(format!("{prefix}.{name}"), value);
    put("sent", load.sent);
    put("answered", load.succeeded);
    put("failed", load.failed.values().sum());
    let QuantilesNs { min, p50, p90, p99, p999, max, mean } = load.latency;
    let quantiles =
        [("min", min), ("p50", p50), ("p90", p90), ("p99", p99), ("p999", p999), ("max", max), ("mean", mean)];
    for (name, nanos) in quantiles {
        put(&format!("latency_ns.{name}"), nanos);
    }
}

fn requests(record: &RunRecord, figures: &mut Figures) {
    let all = || record.steps.iter().flat_map(|step| &step.requests);
    let completed = all().filter(|request| request.outcome == Outcome::Completed);
    let mut latencies: Vec<u64> = completed.map(|request| request.ended_ns.saturating_sub(request.at_ns)).collect();
    latencies.sort_unstable();
    figures.insert("requests.made".to_owned(), all().count() as u64);
    figures.insert("requests.completed".to_owned(), latencies.len() as u64);
    for (name, hundredths) in [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)] {
        if let Some(nanos) = quantile(&latencies, hundredths) {
            figures.insert(format!("requests.latency_ns.{name}"), nanos);
        }
    }
}

/// The least value that so many hundredths of all do not exceed.
fn quantile(sorted: &[u64], hundredths: usize) -> Option<u64> {
    let rank = (sorted.len() * hundredths).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!(quantile(&values, 50), Some(100));
        assert_eq!(quantile(&values, 99), Some(198));
        assert_eq!(quantile(&values, 100), Some(200));
        assert_eq!(quantile(&[7], 50), Some(7));
        assert_eq!(quantile(&[], 50), None);
    }
}
