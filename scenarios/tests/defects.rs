//! Every deliberate defect still applies to the code as it is: what a patch takes away or leans on is there, once.

use std::fs;
use std::path::Path;

#[test]
fn every_defect_still_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut patches = 0;
    for entry in fs::read_dir(root.join("scenarios/defects")).expect("the defects") {
        let path = entry.expect("a file").path();
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        patches += 1;
        let patch = fs::read_to_string(&path).expect("a patch");
        assert!(patch.lines().any(|line| line.starts_with("Caught by: ")), "{} names no invariant", path.display());
        for (file, old) in hunks(&patch) {
            let text = fs::read_to_string(root.join(&file)).unwrap_or_default();
            assert_eq!(text.matches(&old).count(), 1, "{} no longer applies to {file}:\n{old}", path.display());
        }
    }
    assert!(patches >= 8, "one defect for each invariant at least");
}

/// Each hunk's file, and its lines as they were.
fn hunks(patch: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut file = String::new();
    for line in patch.lines() {
        if let Some(name) = line.strip_prefix("--- a/") {
            file = name.to_owned();
        } else if line.starts_with("@@ ") {
            found.push((file.clone(), String::new()));
        } else if let (Some((_, old)), Some(rest)) =
            (found.last_mut(), line.strip_prefix(' ').or_else(|| line.strip_prefix('-')))
        {
            if !line.starts_with("--- ") {
                old.push_str(rest);
                old.push('\n');
            }
        } else if line.is_empty()
            && let Some((_, old)) = found.last_mut()
        {
            old.push('\n');
        }
    }
    assert!(!found.is_empty(), "a patch has hunks");
    found
}
