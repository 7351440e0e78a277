//! On turmoil.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use turmoil::net::{TcpListener, TcpStream};

use crate::stopwatch::Stopwatch;

use super::{Form, Outcome, PERIOD, PORT, WARM_UP, application};

const TICK: Duration = Duration::from_millis(1);

/// Runs the workload: a message takes one tick each way.
///
/// # Panics
/// If a host fails.
pub(super) fn run(form: Form, hosts: usize, span: Duration) -> Outcome {
    let mut sim = turmoil::Builder::new()
        .rng_seed(1)
        .tick_duration(TICK)
        .min_message_latency(TICK)
        .max_message_latency(TICK)
        .simulation_duration(WARM_UP + span + Duration::from_secs(1))
        .build();
    let echoes = Rc::new(Cell::new(0));
    for pair in 0..hosts / 2 {
        let server = format!("server-{pair}");
        sim.host(server.as_str(), || async {
            let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
            application::serve(listener.accept().await?.0).await;
            Ok(())
        });
        let (echoes, phase) = (Rc::clone(&echoes), form.phase(pair, hosts / 2));
        sim.host(format!("client-{pair}"), move || {
            let (server, echoes) = (server.clone(), Rc::clone(&echoes));
            async move {
                let mut stream = TcpStream::connect((server.as_str(), PORT)).await?;
                let mut next = tokio::time::Instant::now() + phase;
                loop {
                    tokio::time::sleep_until(next).await;
                    application::exchange(&mut stream).await?;
                    echoes.set(echoes.get() + 1);
                    next += PERIOD;
                }
            }
        });
    }
    while sim.elapsed() < WARM_UP {
        sim.step().expect("connections open");
    }
    let before = echoes.get();
    let stopwatch = Stopwatch::start();
    while sim.elapsed() < WARM_UP + span {
        sim.step().expect("the run goes on");
    }
    Outcome { worked: stopwatch.elapsed(), echoes: echoes.get() - before }
}
