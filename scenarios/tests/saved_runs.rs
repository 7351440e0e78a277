//! A run can be kept, run again, captured and drawn.

mod support;

use std::path::Path;
use std::process::Command;

use sim::pcap::read::read;
use sim::scenario::replay::Artefact;
use sim::scenario::{Plan, RunOptions};
use support::{catalogue, meshsim, said};

const SCENARIO: &str = "catalog/faults/corruption-is-caught.yaml";

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn a_saved_run_is_reproduced_and_the_first_difference_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run.json");
    let (status, _, errors) = said(&meshsim().args(["run", SCENARIO, "--save", path(&file)]).output().expect("runs"));
    assert_eq!((status, errors.as_str()), (0, ""));
    let (status, out, _) = said(&meshsim().args(["replay", path(&file)]).output().expect("runs"));
    assert_eq!(status, 0);
    assert!(out.contains("reproduced bit for bit"), "{out}");
    let (status, out, _) = said(&meshsim().args(["replay", path(&file), "--until", "2150ms"]).output().expect("runs"));
    assert_eq!(status, 0, "{out}");
    let trace = ["replay", path(&file), "--trace", "--node", "node-2"];
    let (_, out, _) = said(&meshsim().args(trace).output().expect("runs"));
    assert!(out.contains("altered (Corrupted)") && !out.contains(" node-1 "), "{out}");

    let mut artefact = Artefact::read(&std::fs::read(&file).expect("a file")).expect("a saved run");
    artefact.log.events[20].what.push_str(" otherwise");
    std::fs::write(&file, serde_json::to_vec(&artefact).expect("JSON")).expect("writes");
    let (status, out, _) = said(&meshsim().args(["replay", path(&file)]).output().expect("runs"));
    assert_eq!(status, 1);
    assert!(out.contains("the runs part at") && out.contains(" on node-") && out.contains(" otherwise"), "{out}");
    std::fs::write(&file, "{\"format\": 99}").expect("writes");
    let (status, _, errors) = said(&meshsim().args(["replay", path(&file)]).output().expect("runs"));
    assert_eq!(status, 2);
    assert!(errors.contains("format is 99"), "{errors}");
}

#[test]
fn a_saved_run_needs_none_of_its_files() {
    let plan = Plan::load(&catalogue().join("faults/a-proxy-crashes.yaml")).expect("a scenario");
    let (record, artefact) =
        Artefact::record(&plan, &RunOptions { seed: Some(9), ..RunOptions::default() }).expect("runs");
    assert!(artefact.sources.len() > 1 && artefact.sources.contains_key("../clusters/bookshop.yaml"));
    let moved = artefact.plan().expect("the same scenario");
    let replayed = artefact.replay(&moved, None).expect("runs");
    assert_eq!((replayed.divergence, replayed.record.digest), (None, record.digest));
}

#[test]
fn only_what_did_not_hold_is_kept_in_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("kept");
    let save = format!("{}/", path(&kept));
    let arguments = ["run", SCENARIO, "--seeds", "1..2", "--save", &save, "--quiet"];
    let (status, ..) = said(&meshsim().args(arguments).output().expect("runs"));
    assert_eq!((status, kept.exists()), (0, false));
}

#[test]
fn a_trace_for_perfetto_is_json_with_every_span_begun_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trace.json");
    let (status, ..) = said(&meshsim().args(["run", SCENARIO, "--perfetto", path(&file)]).output().expect("runs"));
    assert_eq!(status, 0);
    let trace: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let of = |phase: &str| -> Vec<&str> {
        events.iter().filter(|event| event["ph"] == phase).filter_map(|event| event["id"].as_str()).collect()
    };
    let (begun, ended) = (of("b"), of("e"));
    assert!(begun.iter().any(|id| id.starts_with("fault/")) && begun.iter().any(|id| id.starts_with("tunnel/")));
    assert!(ended.iter().all(|id| begun.contains(id)));
    let once: std::collections::BTreeSet<_> = begun.iter().collect();
    assert_eq!(once.len(), begun.len());
}

#[test]
fn a_capture_is_right_names_addresses_and_can_be_decrypted() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run.pcapng");
    let (status, ..) = said(&meshsim().args(["run", SCENARIO, "--pcap", path(&file)]).output().expect("runs"));
    assert_eq!(status, 0);
    let contents = read(&std::fs::read(&file).expect("a file")).expect("a right capture");
    assert!(contents.names > 5 && contents.secrets.iter().any(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 ")));
    assert!(contents.packets.iter().any(|packet| packet.comments.iter().any(|comment| comment.starts_with("fault: "))));
    let Some(tshark) = tshark() else { return };
    let fields = |filter: &str, field: &str| -> Vec<String> {
        let checks = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE"];
        let mut command = Command::new(tshark);
        command.args(["-r", path(&file), "-N", "n", "-Y", filter, "-T", "fields", "-e", field]);
        checks.iter().for_each(|check| {
            command.args(["-o", check]);
        });
        let output = command.output().expect("tshark runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    };
    assert_eq!(fields("_ws.malformed", "frame.number"), [] as [String; 0]);
    let wrong = "ip.checksum.status == \"Bad\" || tcp.checksum.status == \"Bad\" || udp.checksum.status == \"Bad\"";
    assert_eq!(fields(wrong, "frame.number"), [] as [String; 0]);
    // The one thing Wireshark warns of is a reset, and those are real.
    let warned = "_ws.expert.severity >= 0x00600000 && !(tcp.flags.reset == 1)";
    assert_eq!(fields(warned, "frame.number"), [] as [String; 0]);
    let tunnelled = fields("http2.headers.method == \"CONNECT\"", "ip.src_host");
    assert!(!tunnelled.is_empty() && tunnelled.iter().all(|host| host.starts_with("storefront-")), "{tunnelled:?}");
}

/// The program, if it is there.
fn tshark() -> Option<&'static str> {
    let there = Command::new("tshark").arg("--version").output().is_ok_and(|output| output.status.success());
    there.then_some("tshark")
}
