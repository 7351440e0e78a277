//! The properties of every host, on real sockets.

use proxy_core::TokioHost;
use proxy_core::host::suite::{Pair, Property};

async fn all_hold_on(address: &str) {
    let host = TokioHost::new();
    let pair = Pair { server: host.clone(), client: host, address: address.parse().unwrap() };
    let mut failures = Vec::new();
    for property in Property::ALL {
        if let Err(failure) = property.check(&pair).await {
            failures.push(failure);
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_property_holds_on_ipv4_loopback() {
    all_hold_on("127.0.0.1").await;
}

#[tokio::test]
async fn every_property_holds_on_ipv6_loopback_and_one_thread() {
    all_hold_on("::1").await;
}
