//! Shows that the checks can fail: one copy of meshsim with every deliberate defect in it, each switched on in turn.

mod patch;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use patch::Defect;
use trial::{Caught, SEEDS, Trial};

/// What of the workspace the copy needs.
const COPIED: [&str; 8] =
    ["Cargo.toml", "Cargo.lock", "rustfmt.toml", "proxy-core", "sim", "reports", "scenarios", "benches"];

/// The copy is built once and runs for minutes: building it quickly counts for more than how fast it then is.
const QUICKER: [&str; 7] = [
    "profile.release.lto=false",
    "profile.release.package.proxy-core.opt-level=1",
    "profile.release.package.proxy-core.codegen-units=16",
    "profile.release.package.sim.opt-level=1",
    "profile.release.package.sim.codegen-units=16",
    "profile.release.package.scenarios.opt-level=1",
    "profile.release.package.scenarios.codegen-units=16",
];

/// Between these lines of the README stands the table.
const TABLE: &str = "<!-- table -->";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = folder.parent().and_then(Path::parent).ok_or("the package stands in no workspace")?;
    let (mut write, mut quick, mut chosen) = (false, false, Vec::new());
    for argument in std::env::args().skip(1) {
        match argument.parse::<u32>() {
            Ok(number) => chosen.push(number),
            Err(_) if argument == "--write" => write = true,
            Err(_) if argument == "--quick" => quick = true,
            Err(_) => return Err("usage: .ci/defects [--quick] [--write] [NUMBER...]".to_owned()),
        }
    }
    let defects = patch::read_all(folder).map_err(|error| error.to_string())?;
    let trial = build(root, &defects)?;
    if let Some(complaint) = trial.unfounded() {
        return Err(format!("without any defect: {complaint}"));
    }
    let (mut rows, mut seeds, mut noticed) = (Vec::new(), Vec::new(), true);
    for defect in defects.iter().filter(|one| one.number > 0 && (chosen.is_empty() || chosen.contains(&one.number))) {
        let caught = trial.of(defect.number, if quick { &defect.shown_by } else { "" });
        let good = caught.noticed_by(&defect.meant_for);
        let row = row(defect, &caught);
        println!("{}{row}", if good { "  " } else { "! " });
        noticed &= good;
        seeds.extend(caught.seed);
        rows.push(row);
    }
    seeds.sort_unstable();
    let median = seeds.get(seeds.len() / 2).map_or("none".to_owned(), u64::to_string);
    let last = format!(
        "A sweep of {SEEDS} seeds found {} of {} by itself; of those, the median was found by seed {median}.",
        seeds.len(),
        rows.len()
    );
    println!("{last}");
    if write && chosen.is_empty() {
        let head = "| defect | what is wrong | must notice | noticed (scenarios) | shown by | seed |\n|---|---|---|---|---|---|";
        save(&folder.join("README.md"), &format!("{head}\n{}\n\n{last}", rows.join("\n")))?;
    }
    Ok(noticed)
}

fn row(defect: &Defect, caught: &Caught) -> String {
    let by: Vec<String> = caught.by.iter().map(|(who, scenarios)| format!("{who} ({scenarios})")).collect();
    let seed = caught.seed.map_or("–".to_owned(), |seed| seed.to_string());
    let by = if by.is_empty() { "nobody".to_owned() } else { by.join(", ") };
    format!(
        "| {:02} {} | {} | {} | {by} | {} | {seed} |",
        defect.number,
        defect.name,
        defect.sentence,
        defect.meant_for,
        defect.shown_by.trim_end_matches(".yaml")
    )
}

/// Puts the table between its marks.
fn save(readme: &Path, table: &str) -> Result<(), String> {
    let text = fs::read_to_string(readme).map_err(|error| error.to_string())?;
    let mut parts = text.splitn(3, TABLE);
    let (Some(before), Some(_), Some(after)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("{} has no two lines `{TABLE}`", readme.display()));
    };
    fs::write(readme, format!("{before}{TABLE}\n{table}\n{TABLE}{after}")).map_err(|error| error.to_string())
}

/// Copies the workspace, puts every defect in, and builds.
fn build(root: &Path, defects: &[Defect]) -> Result<Trial, String> {
    let place = root.join("target/defects");
    let copy = place.join("source");
    let changed = patch::combined(root, defects)?;
    for part in COPIED {
        copy_in(root, &copy, Path::new(part), &|file| changed.get(file).cloned()).map_err(|error| error.to_string())?;
    }
    let target = place.join("build");
    let built = Command::new("cargo")
        .args(["build", "--release", "--bin", "meshsim"])
        .args(QUICKER.iter().flat_map(|setting| ["--config", setting]))
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(&copy)
        .status();
    match built {
        Ok(status) if status.success() => Ok(Trial::new(target.join("release/meshsim"), copy, place.join("results"))),
        _ => Err("the copy with the defects does not build".to_owned()),
    }
}

/// Copies what differs, so that cargo builds that and nothing else.
fn copy_in(root: &Path, copy: &Path, part: &Path, changed: &dyn Fn(&str) -> Option<String>) -> std::io::Result<()> {
    let (from, to) = (root.join(part), copy.join(part));
    if !from.is_dir() {
        let wanted = match part.to_str().and_then(changed) {
            Some(text) => text.into_bytes(),
            None => fs::read(&from)?,
        };
        if fs::read(&to).ok().as_ref() != Some(&wanted) {
            fs::create_dir_all(to.parent().unwrap_or(copy))?;
            fs::write(&to, wanted)?;
        }
        return Ok(());
    }
    let names = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| PathBuf::from(entry.file_name())).collect()
    };
    for gone in names(&to).into_iter().filter(|name| !from.join(name).exists()) {
        let gone = to.join(gone);
        if gone.is_dir() { fs::remove_dir_all(gone)? } else { fs::remove_file(gone)? }
    }
    names(&from).iter().try_for_each(|name| copy_in(root, copy, &part.join(name), changed))
}
