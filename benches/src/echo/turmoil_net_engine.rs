//! On turmoil-net, under its own fixture.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use turmoil_net::fixture::ClientServer;
use turmoil_net::shim::tokio::net::{TcpListener, TcpStream};

use crate::stopwatch::Stopwatch;

use super::{Form, Outcome, PERIOD, PORT, WARM_UP, application};

/// Runs the workload. A host more keeps the time: the fixture ends with its client.
///
/// # Panics
/// If a host fails.
pub(super) fn run(form: Form, hosts: usize, span: Duration) -> Outcome {
    let echoes = Rc::new(Cell::new(0));
    let mut fixture = ClientServer::new();
    for pair in 0..hosts / 2 {
        let server = format!("server-{pair}");
        fixture = fixture.server(server.as_str(), serve());
        fixture = fixture
            .server(format!("client-{pair}").as_str(), drive(server, form.phase(pair, hosts / 2), Rc::clone(&echoes)));
    }
    fixture.run("timekeeper", async move {
        tokio::time::sleep(WARM_UP).await;
        let before = echoes.get();
        let stopwatch = Stopwatch::start();
        tokio::time::sleep(span).await;
        Outcome { worked: stopwatch.elapsed(), echoes: echoes.get() - before }
    })
}

async fn serve() {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await.expect("the port is free");
    application::serve(listener.accept().await.expect("a client comes").0).await;
}

async fn drive(server: String, phase: Duration, echoes: Rc<Cell<u64>>) {
    let mut stream = TcpStream::connect((server.as_str(), PORT)).await.expect("the server listens");
    let mut next = tokio::time::Instant::now() + phase;
    loop {
        tokio::time::sleep_until(next).await;
        application::exchange(&mut stream).await.expect("the server answers");
        echoes.set(echoes.get() + 1);
        next += PERIOD;
    }
}
