//! [`Defect`]: a patch, read; [`combined`]: the sources with all of them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// A deliberate defect. Number 0 is the switch that turns the others on.
pub(crate) struct Defect {
    /// What `MESHSIM_DEFECT` calls it.
    pub(crate) number: u32,
    /// File name without number and ending.
    pub(crate) name: String,
    /// What is wrong, in a sentence.
    pub(crate) sentence: String,
    /// The invariant that must notice, `expectation`, or `nothing` for the switch.
    pub(crate) meant_for: String,
    /// The scenario that must fail with it on; empty for the switch.
    pub(crate) shown_by: String,
    /// File, lines as they are, lines as they become.
    hunks: Vec<(String, String, String)>,
}

/// Every defect of a folder, in order of number.
///
/// # Errors
/// When the folder or a patch cannot be read, or a patch is not of the form the README describes.
pub(crate) fn read_all(folder: &Path) -> io::Result<Vec<Defect>> {
    let mut defects = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            let wrong = || io::Error::other(format!("{}: no number, sentence, `Caught by:` or hunk", path.display()));
            let stem = path.file_stem().and_then(|stem| stem.to_str()).ok_or_else(wrong)?;
            defects.push(read(stem, &fs::read_to_string(&path)?).ok_or_else(wrong)?);
        }
    }
    defects.sort_by_key(|defect| defect.number);
    Ok(defects)
}

fn read(stem: &str, patch: &str) -> Option<Defect> {
    let (number, name) = stem.split_once('-')?;
    let meant_for = patch.lines().find_map(|line| line.strip_prefix("Caught by: "))?.to_owned();
    let shown_by = patch.lines().find_map(|line| line.strip_prefix("Shown by: ")).unwrap_or_default().to_owned();
    let mut hunks: Vec<(String, String, String)> = Vec::new();
    let mut file = String::new();
    for line in patch.lines() {
        if let Some(name) = line.strip_prefix("--- a/") {
            file = name.to_owned();
        } else if line.starts_with("@@ ") {
            hunks.push((file.clone(), String::new(), String::new()));
        } else if line.starts_with("diff ") || line.starts_with("+++ b/") {
        } else if let Some((_, old, new)) = hunks.last_mut() {
            let rest = line.get(1..).unwrap_or_default();
            let (taken, given) = (!line.starts_with('+'), !line.starts_with('-'));
            for (text, wanted) in [(old, taken), (new, given)] {
                if wanted {
                    text.push_str(rest);
                    text.push('\n');
                }
            }
        }
    }
    let sentence = patch.lines().next()?.to_owned();
    (!hunks.is_empty()).then_some(Defect {
        number: number.parse().ok()?,
        name: name.to_owned(),
        sentence,
        meant_for,
        shown_by,
        hunks,
    })
}

/// The files that defects touch, with all of them in. Patches may stand close together: what counts is that the lines each
/// changes are no other's, and that its context is found exactly once in the file as it is.
///
/// # Errors
/// In words, which patch no longer applies to which file.
pub(crate) fn combined(root: &Path, defects: &[Defect]) -> Result<BTreeMap<String, String>, String> {
    let mut edits: BTreeMap<&str, Vec<(usize, usize, &str, &Defect)>> = BTreeMap::new();
    for defect in defects {
        for (file, old, new) in &defect.hunks {
            let text = fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))?;
            if text.matches(old.as_str()).count() != 1 {
                return Err(format!("{:02}-{} no longer applies to {file}:\n{old}", defect.number, defect.name));
            }
            let start = text.find(old.as_str()).unwrap_or_default();
            let same = |lines: &mut dyn Iterator<Item = (&str, &str)>| -> usize {
                lines.take_while(|(one, other)| one == other).map(|(one, _)| one.len()).sum()
            };
            let head = same(&mut old.split_inclusive('\n').zip(new.split_inclusive('\n')));
            let (old_rest, new_rest) = (&old[head..], &new[head..]);
            let backwards = old_rest.split_inclusive('\n').rev().zip(new_rest.split_inclusive('\n').rev());
            let tail = same(&mut backwards.into_iter());
            let end = start + old.len() - tail;
            edits.entry(file).or_default().push((start + head, end, &new_rest[..new_rest.len() - tail], defect));
        }
    }
    let mut files = BTreeMap::new();
    for (file, mut edits) in edits {
        let text = fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))?;
        edits.sort_by_key(|(start, end, ..)| (*start, *end));
        let (mut whole, mut at) = (String::new(), 0);
        for (start, end, new, defect) in edits {
            if start < at {
                return Err(format!(
                    "{:02}-{} changes lines of {file} that another changes",
                    defect.number, defect.name
                ));
            }
            whole.push_str(&text[at..start]);
            whole.push_str(new);
            at = end;
        }
        whole.push_str(&text[at..]);
        files.insert(file.to_owned(), whole);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defect_still_applies_beside_all_others() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = folder.parent().and_then(Path::parent).expect("the workspace");
        let defects = read_all(folder).expect("patches that can be read");
        assert!(defects.len() > 30, "thirty defects and the switch at least");
        let files = combined(root, &defects).unwrap_or_else(|complaint| panic!("{complaint}"));
        for defect in defects.iter().filter(|defect| defect.number > 0) {
            let switch = format!("defect({})", defect.number);
            assert!(files.values().any(|text| text.contains(&switch)), "{} has no switch", defect.name);
            let shown_by = root.join("scenarios/catalog").join(&defect.shown_by);
            assert!(shown_by.is_file(), "{} is shown by {}, which is no scenario", defect.name, shown_by.display());
        }
        let hard_coded = files
            .iter()
            .filter(|(file, _)| fs::read_to_string(root.join(file)).is_ok_and(|text| text.contains("MESHSIM_DEFECT")));
        assert_eq!(hard_coded.count(), 0, "a normal build knows no defects");
    }
}
