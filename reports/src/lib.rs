//! Turns a run record into a page people look at.
//!
//! Imports `sim::record` only. [`page`] is pure: equal records give equal bytes. One file per section of the page:
//! [`section`]; [`html`] escapes; [`svg`] draws. Everything is inlined, so a page can be mailed and opened offline.

mod html;
mod page;
mod section;
mod svg;
mod text;

use std::io;
use std::path::{Path, PathBuf};

use sim::record::RunRecord;

pub use page::page;

/// Times and counts as people write them.
pub mod units {
    pub use crate::text::{count, time};
}

/// Writes the page of `record` into `directory` (made if it is not there) and gives its path.
///
/// The file is called `<scenario>-seed-<seed>.html`; an older one is replaced. `namesake` is how many others of the same name
/// and seed come before it in the same series: unless it is 0, the file's name says so.
///
/// # Errors
/// As the file system reports.
pub fn render(record: &RunRecord, directory: &Path, namesake: usize) -> io::Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let name: String = record
        .scenario
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() || character == '-' { character } else { '-' })
        .collect();
    let which = if namesake == 0 { String::new() } else { format!("-{}", namesake + 1) };
    let path = directory.join(format!("{name}{which}-seed-{}.html", record.seed));
    std::fs::write(&path, page(record))?;
    Ok(path)
}
