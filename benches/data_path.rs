//! `cargo bench -p benches --bench data_path`: criterion's part, then the table of figures. With `-- figures` only the table;
//! with `-- leaks 100000` so many connections one after another, with the memory in use; status 1 if it grew.

use benches::data_path::{self, figures, world, world::World};

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["leaks", rest @ ..] => {
            let connections = rest.first().and_then(|text| text.parse().ok()).unwrap_or(100_000);
            return if figures::leaks(&World::start(), connections) { 0.into() } else { 1.into() };
        }
        ["memory", name] => {
            let way = world::Way::MEASURED.into_iter().find(|way| way.name() == *name).expect("a way of this name");
            let figures::Memory { idle, active } = figures::memory(&World::start(), way);
            let word = |value: Option<f64>| value.map_or("unknown".to_owned(), |value| value.to_string());
            println!("{} {}", word(idle), word(active));
        }
        ["figures"] => {
            let memory = figures::memory_of_all();
            figures::print(&World::start(), &memory);
        }
        // `cargo test` builds and asks, and measures nothing.
        _ if words.contains(&"--test") || words.contains(&"--list") => {}
        _ => {
            let memory = if words.is_empty() { figures::memory_of_all() } else { Vec::new() };
            let world = World::start();
            let mut criterion = criterion::Criterion::default().configure_from_args();
            data_path::benchmarks(&mut criterion, &world);
            criterion.final_summary();
            if words.is_empty() {
                figures::print(&world, &memory);
            }
        }
    }
    0.into()
}
