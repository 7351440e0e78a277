//! Capture files.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use sim::pcap::{Capture, Files};

use crate::command::run::within;

/// Opens a capture: a file, or a folder for a file for each place.
pub(crate) fn open(path: &Path, scenario: &str) -> io::Result<Capture> {
    let folder = path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/');
    let create = |path: &Path| -> io::Result<Box<dyn Write + Send>> {
        let file = File::create(path).map_err(|error| within(path, error))?;
        Ok(Box::new(BufWriter::new(file)))
    };
    let files = if folder {
        std::fs::create_dir_all(path).map_err(|error| within(path, error))?;
        let folder = path.to_owned();
        Files::Each(Box::new(move |place| create(&folder.join(format!("{}.pcapng", place.replace('/', "."))))))
    } else {
        Files::One(create(path)?)
    };
    Ok(Capture::new(files, &format!("scenario {scenario}")))
}
