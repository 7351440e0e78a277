//! What criterion has no column for: all figures of each way in one table, and the watch for leaks.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::world::{Way, World};
use super::{ECHO_BYTES, client, process};

/// Echoes a latency is the median of.
const ECHOES: usize = 5_000;
/// Connections opened one after another.
const OPENED: usize = 1_000;
/// Connections held at once while memory is looked at.
const HELD: usize = 500;
/// What a bulk transfer carries in all.
const BULK: u64 = 512 << 20;

/// Prints the table.
///
/// # Panics
/// If a byte goes astray.
pub fn print(world: &World, memory: &[(Way, Memory)]) {
    println!("\n1 KiB echo, connections one after another, bulk one way, memory of this process beyond `direct`'s:");
    println!(
        "{:<18}{:>11}{:>11}{:>11}{:>9}{:>9}{:>9}{:>12}{:>11}{:>12}",
        "", "echo p50", "echo p99", "opened", "1 stream", "2", "8", "CPU s/GiB", "KiB/idle", "KiB/active"
    );
    let mut base = None;
    for way in Way::MEASURED.into_iter().chain([Way::HboneNewTunnel]) {
        let memory = memory.iter().find(|(of, _)| *of == way).map(|(_, memory)| *memory);
        let figures = Figures::of(world, way, memory.unwrap_or_default());
        figures.print(way, base.as_ref());
        base.get_or_insert(figures);
    }
    println!(
        "latency in µs, connections a second, MiB a second; processors of all parties together, clients' included"
    );
}

struct Figures {
    echo: [f64; 2],
    opened: f64,
    /// For tunnels that carry several: what one carries is not their business.
    bulk: Option<[f64; 3]>,
    processor: Option<f64>,
    idle: Option<f64>,
    active: Option<f64>,
}

impl Figures {
    fn of(world: &World, way: Way, memory: Memory) -> Self {
        let pooled = way != Way::HboneNewTunnel;
        let bulk = pooled.then(|| [1, 2, 8].map(|streams| throughput(world, way, streams)));
        Figures {
            echo: echo(world, way),
            opened: opened(world, way),
            bulk: bulk.map(|bulk| bulk.map(|(rate, _)| rate)),
            processor: bulk.and_then(|bulk| bulk[0].1),
            idle: memory.idle,
            active: memory.active,
        }
    }

    fn print(&self, way: Way, base: Option<&Figures>) {
        let number = |value: Option<f64>, width: usize, decimals: usize| match value {
            Some(value) => format!("{value:>width$.decimals$}"),
            None => format!("{:>width$}", "–"),
        };
        let beyond =
            |mine: Option<f64>, theirs: fn(&Figures) -> Option<f64>| Some(mine? - base.and_then(theirs).unwrap_or(0.0));
        let bulk = |index: usize| number(self.bulk.map(|bulk| bulk[index]), 9, 0);
        println!(
            "{:<18}{}{}{}{}{}{}{}{}{}",
            way.name(),
            number(Some(self.echo[0]), 11, 1),
            number(Some(self.echo[1]), 11, 1),
            number(Some(self.opened), 11, 0),
            bulk(0),
            bulk(1),
            bulk(2),
            number(self.processor, 12, 2),
            number(beyond(self.idle, |base| base.idle), 11, 1),
            number(beyond(self.active, |base| base.active), 12, 1),
        );
    }
}

/// Median and 99th percentile in microseconds.
fn echo(world: &World, way: Way) -> [f64; 2] {
    let mut stream = client::open(world.echo(way));
    client::echo(&mut stream, ECHO_BYTES);
    let mut took: Vec<Duration> = (0..ECHOES)
        .map(|_| {
            let started = Instant::now();
            client::echo(&mut stream, ECHO_BYTES);
            started.elapsed()
        })
        .collect();
    took.sort_unstable();
    [took[ECHOES / 2], took[ECHOES * 99 / 100]].map(|took| took.as_secs_f64() * 1e6)
}

/// Connections a second, each opened after the one before, with a byte there and back.
fn opened(world: &World, way: Way) -> f64 {
    let started = Instant::now();
    for _ in 0..OPENED {
        client::echo(&mut client::open(world.echo(way)), 1);
    }
    OPENED as f64 / started.elapsed().as_secs_f64()
}

/// MiB a second, and seconds of processor time for each GiB.
fn throughput(world: &World, way: Way, streams: u64) -> (f64, Option<f64>) {
    client::send(world.sink(way), streams, 1 << 20);
    let (before, started) = (process::processor_time(), Instant::now());
    client::send(world.sink(way), streams, BULK / streams);
    let took = started.elapsed().as_secs_f64();
    let processor = process::processor_time().zip(before).map(|(after, before)| (after - before).as_secs_f64());
    let gib = BULK as f64 / (1u64 << 30) as f64;
    (BULK as f64 / (1 << 20) as f64 / took, processor.map(|seconds| seconds / gib))
}

/// What a connection takes of memory, in KiB; nothing where the system does not say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// While it is open and silent.
    pub idle: Option<f64>,
    /// At the most, while all of them echo 16 KiB at once.
    pub active: Option<f64>,
}

/// Measures the memory of every way, each in a process of its own: what an allocator keeps of connections that were closed
/// would hide what new ones take. Must be called before a [`World`] starts in this process, for both would listen at the
/// same addresses.
///
/// # Panics
/// If such a process does not end well.
pub fn memory_of_all() -> Vec<(Way, Memory)> {
    let program = std::env::current_exe().expect("this program");
    let measure = |way: Way| {
        let output = std::process::Command::new(&program).args(["memory", way.name()]).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout);
        let mut numbers = said.split_whitespace().map(|word| word.parse().ok());
        (way, Memory { idle: numbers.next().flatten(), active: numbers.next().flatten() })
    };
    Way::MEASURED.map(measure).to_vec()
}

/// Measures the memory of one way; [`memory_of_all`] reads what [`Memory`]'s fields say here.
///
/// # Panics
/// If a byte goes astray.
pub fn memory(world: &World, way: Way) -> Memory {
    // Tunnels and certificates are there before anybody looks.
    client::echo(&mut client::open(world.echo(way)), 1);
    settle();
    let before = process::resident();
    let mut streams: Vec<TcpStream> = (0..HELD).map(|_| client::open(world.echo(way))).collect();
    streams.iter_mut().for_each(|stream| client::echo(stream, 1));
    settle();
    let idle = process::resident();
    let mut most = idle;
    for _ in 0..3 {
        for stream in &mut streams {
            std::io::Write::write_all(stream, &[7; 16 << 10]).expect("the echo takes it");
        }
        most = most.max(process::resident());
        for stream in &mut streams {
            std::io::Read::read_exact(stream, &mut [0; 16 << 10]).expect("the echo gives it back");
        }
        most = most.max(process::resident());
    }
    let each = |now: Option<u64>| Some((now? as f64 - before? as f64) / 1024.0 / HELD as f64);
    Memory { idle: each(idle), active: each(most) }
}

/// Connections that were closed are closed at every hop a moment later.
fn settle() {
    std::thread::sleep(Duration::from_millis(300));
}

/// Opens and closes so many connections through two node proxies, and prints what memory is in use on the way. Returns
/// whether it stayed within a tenth, or 4 MiB, of what it was after the first tenth of them.
///
/// # Panics
/// If a byte goes astray.
pub fn leaks(world: &World, connections: u64) -> bool {
    let mut first = None;
    let mut last = 0;
    for tenth in 1..=10 {
        for _ in 0..connections / 10 {
            client::echo(&mut client::open(world.echo(Way::Hbone)), 1);
        }
        settle();
        last = process::resident().unwrap_or(0);
        let before = *first.get_or_insert(last);
        let grown = (last as f64 - before as f64) / 1024.0;
        println!("{:>8} connections: {:>7} KiB in use, {grown:+} KiB", connections / 10 * tenth, last / 1024);
    }
    let first = first.unwrap_or(0);
    last <= first + (first / 10).max(4 << 20)
}
