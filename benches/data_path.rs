//! `cargo bench -p benches --bench data_path`: criterion's part, then the table of figures. With `-- figures` only the table;
//! with `-- leaks 100000` so many connections one after another, with the memory in use; status 1 if it grew.

use benches::data_path::{self, figures, world::World};

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["leaks", rest @ ..] => {
            let connections = rest.first().and_then(|text| text.parse().ok()).unwrap_or(100_000);
            return if figures::leaks(&World::start(), connections) { 0.into() } else { 1.into() };
        }
        ["figures"] => figures::print(&World::start()),
        // `cargo test` builds and asks, and measures nothing.
        _ if words.contains(&"--test") || words.contains(&"--list") => {}
        _ => {
            let world = World::start();
            let mut criterion = criterion::Criterion::default().configure_from_args();
            data_path::benchmarks(&mut criterion, &world);
            criterion.final_summary();
            if words.is_empty() {
                figures::print(&world);
            }
        }
    }
    0.into()
}
