//! `cargo bench -p benches`, or a part of it: `cargo bench -p benches -- echo`.

fn main() {
    let mut criterion = criterion::Criterion::default().configure_from_args();
    benches::benchmarks(&mut criterion);
    criterion.final_summary();
}
