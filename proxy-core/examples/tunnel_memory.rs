//! How much heap an idle HBONE connection takes, both ends together: `cargo run --release --example tunnel_memory`.
//!
//! Opens connections over pipes in memory, lets them come to rest, and counts what stays allocated. Exits with an error
//! above the budget. The pipe itself is not counted: it stands for the network. Nor are the events this program keeps.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "this host is tokio's paused clock")]
#![allow(unsafe_code, reason = "a counting allocator is an unsafe trait")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use proxy_core::hbone::{PoolConfig, PoolKey};
use support::{Mesh, identity, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes, both ends of one idle connection, however much passed before.
const BUDGET: isize = 96 << 10;

fn main() -> Result<(), String> {
    const CONNECTIONS: usize = 200;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mesh = Mesh::new(1);
        let mut served = mesh.serve_default();
        let pool = mesh.pool(PoolConfig { connections_max: usize::MAX, ..PoolConfig::default() });
        let certificate = mesh.authority.certificate(&identity("client"));
        let mut open = async |number: usize, bytes: usize| {
            let key = PoolKey { source_workload: format!("pod-{number}").into(), ..mesh.key() };
            let connect = pool.connect(key, certificate.clone(), request("10.0.0.2:8080"));
            let accept = async { served.incoming.recv().await.map(|incoming| incoming.accept(None)) };
            let (client, server) = tokio::join!(biased; connect, accept);
            let mut client = client.map_err(|error| error.to_string())?.tunnel;
            let mut server = server.ok_or("no request")?.map_err(|error| error.to_string())?;
            let data = vec![7; bytes];
            let mut read = vec![0; bytes];
            let (sent, received) = tokio::join!(biased; client.write_all(&data), server.read_exact(&mut read));
            sent.and(received.map(drop)).map_err(|error| error.to_string())?;
            let (sent, received) = tokio::join!(biased; server.write_all(&data), client.read_exact(&mut read));
            sent.and(received.map(drop)).map_err(|error| error.to_string())?;
            Ok::<_, String>((client, server))
        };
        // Whatever is made once.
        drop(open(CONNECTIONS, 1000).await?);
        tokio::time::sleep(Duration::from_secs(1)).await;

        // What this program notes of each connection is not the connection's.
        let forget_events =
            || [&mesh.client_events, &mesh.server_events].map(|events| drop(std::mem::take(&mut *events.0.lock())));
        for bytes in [100, 64 << 10, 4 << 20] {
            forget_events();
            let before = LIVE.load(Ordering::Relaxed);
            let first = if bytes == 100 { 0 } else { CONNECTIONS * bytes };
            for number in first..first + CONNECTIONS {
                drop(open(number, bytes).await?);
            }
            tokio::time::sleep(Duration::from_secs(25)).await;
            forget_events();
            let each = (LIVE.load(Ordering::Relaxed) - before) / CONNECTIONS as isize;
            println!("idle after {bytes:>8} bytes each way: {:>6} bytes of heap for both ends", each);
            if each > BUDGET {
                return Err(format!("over the budget of {BUDGET} bytes"));
            }
        }
        forget_events();
        let before = LIVE.load(Ordering::Relaxed);
        let mut kept = Vec::with_capacity(100);
        for _ in 0..100 {
            kept.push(open(0, 100).await?);
        }
        forget_events();
        println!("an open tunnel adds {} bytes", (LIVE.load(Ordering::Relaxed) - before) / 100);
        Ok(())
    })
}
