//! Captures hold every packet with every length and checksum right.

mod common;

use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;

use common::{Pair, at};
use parking_lot::Mutex;
use proxy_core::host::{Dial, Host, WallTime};
use proxy_core::tls::KeyLog;
use sim::fabric::{Effect, Scope};
use sim::pcap::read::{Contents, read};
use sim::pcap::{Capture, Files};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const EPOCH: WallTime = WallTime::from_unix_secs(1_700_000_000);

/// An echo of 10,000 bytes over a network with something wrong, and what a capture has of it.
fn echo_captured(to: &'static str, effect: Option<Effect>) -> (Contents, Pair) {
    let pair = Pair::new(1);
    let paper = Paper::default();
    let capture = Capture::new(Files::One(Box::new(paper.clone())), "a test");
    capture.attach(&pair.sim, EPOCH);
    capture.name_addresses([("10.0.1.1".parse::<IpAddr>().expect("an address"), "server".to_owned())]);
    pair.serve_echo(7);
    if let Some(effect) = effect {
        pair.sim.impair("test", Scope::default(), effect);
    }
    let (host, log) = (pair.client.clone(), capture.clone());
    pair.sim
        .block_on(&pair.client, "client", async move {
            let mut stream = host.dial(Dial::to(at(to))).await.expect("connects");
            log.log("CLIENT_RANDOM", &[1; 32], &[2; 48]);
            stream.write_all(&[7; 10_000]).await.expect("writes");
            let mut back = vec![0; 10_000];
            stream.read_exact(&mut back).await.expect("reads");
        })
        .expect("runs");
    pair.sim.run_until_idle().expect("runs");
    capture.finish().expect("paper is patient");
    let bytes = paper.0.lock().clone();
    (read(&bytes).expect("a right file"), pair)
}

#[test]
fn every_packet_is_there_once_with_its_checksums_right() {
    for to in ["10.0.1.1:7", "[fd00::1:1]:7"] {
        let (contents, pair) = echo_captured(to, None);
        assert_eq!(contents.packets.len() as u64, pair.sim.counters()["packets_sent"]);
        assert_eq!(contents.interfaces, ["client", "server"]);
        assert_eq!((contents.names, contents.secrets.len()), (1, 1));
        assert!(contents.packets.iter().all(|packet| packet.protocol == 6 && packet.comments.is_empty()));
        assert!(contents.packets.windows(2).all(|pair| pair[0].at <= pair[1].at));
        assert_eq!(contents.packets[0].at, EPOCH.unix_nanos());
        let bytes: usize =
            contents.packets.iter().map(|it| it.payload.len() - usize::from(it.payload[12] >> 4) * 4).sum();
        assert_eq!(bytes, 20_000);
    }
}

#[test]
fn comments_say_what_faults_did() {
    let commented = |effect| {
        let (contents, pair) = echo_captured("10.0.1.1:7", Some(effect));
        let comments: Vec<String> = contents.packets.into_iter().flat_map(|packet| packet.comments).collect();
        (comments, pair)
    };
    let (comments, pair) = commented(Effect::Loss(0.2));
    assert_eq!(comments.len() as u64, pair.sim.counters()["packets_dropped.injected_loss"]);
    assert!(comments.iter().all(|comment| comment == "dropped: fault: loss"));
    let (comments, pair) = commented(Effect::Duplicate(0.5));
    assert_eq!(comments.len() as u64, pair.sim.counters()["packets_duplicated"]);
    let delay = sim::fabric::Latency::Constant(std::time::Duration::from_millis(3));
    let (comments, _) = commented(Effect::Delay(delay));
    assert!(!comments.is_empty() && comments.iter().all(|it| it == "fault: arrives 3000 us later"));
}

#[test]
fn each_namespace_may_have_its_own_file_with_what_left_and_reached_it() {
    let pair = Pair::new(1);
    let papers: Arc<Mutex<Vec<(String, Paper)>>> = Arc::default();
    let opened = papers.clone();
    let opener = move |place: &str| -> io::Result<Box<dyn Write + Send>> {
        let paper = Paper::default();
        opened.lock().push((place.to_owned(), paper.clone()));
        Ok(Box::new(paper))
    };
    let capture = Capture::new(Files::Each(Box::new(opener)), "a test");
    capture.attach(&pair.sim, EPOCH);
    pair.serve_echo(7);
    let host = pair.client.clone();
    pair.sim
        .block_on(&pair.client, "client", async move { host.dial(Dial::to(at("10.0.1.1:7"))).await.map(drop) })
        .expect("runs")
        .expect("connects");
    pair.sim.run_until_idle().expect("runs");
    capture.finish().expect("paper is patient");
    let files: Vec<(String, Contents)> = papers
        .lock()
        .iter()
        .map(|(place, paper)| (place.clone(), read(&paper.0.lock()).expect("a right file")))
        .collect();
    let places: Vec<&str> = files.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["client", "server"]);
    let sent = pair.sim.counters()["packets_sent"];
    assert!(files.iter().all(|(_, contents)| contents.packets.len() as u64 == sent), "both ends see all of it");
}

#[test]
fn a_capture_changes_nothing() {
    let digest = |captured: bool| {
        let pair = Pair::new(3);
        if captured {
            Capture::new(Files::One(Box::new(io::sink())), "").attach(&pair.sim, EPOCH);
        }
        pair.serve_echo(7);
        let host = pair.client.clone();
        pair.sim
            .block_on(&pair.client, "client", async move { host.dial(Dial::to(at("10.0.1.1:7"))).await.map(drop) })
            .expect("runs")
            .expect("connects");
        pair.sim.digest()
    };
    assert_eq!(digest(true), digest(false));
}
