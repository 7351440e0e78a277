//! [`Files`]: what a scenario is read from, kept as it was.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Where files are read from, and what was read.
pub(super) struct Files {
    /// `None`: everything is kept already.
    folder: Option<PathBuf>,
    texts: BTreeMap<String, String>,
}

impl Files {
    /// Files are in `folder`; the scenario itself has this text.
    pub(super) fn new(folder: &Path, text: &str) -> Self {
        Files { folder: Some(folder.to_owned()), texts: BTreeMap::from([(String::new(), text.to_owned())]) }
    }

    /// Everything is here.
    pub(super) fn kept(texts: &BTreeMap<String, String>) -> Self {
        Files { folder: None, texts: texts.clone() }
    }

    /// What a file of this name is called in messages.
    pub(super) fn shown(&self, name: &str) -> String {
        self.folder.as_ref().map_or_else(|| name.to_owned(), |folder| folder.join(name).display().to_string())
    }

    /// The bytes of a file.
    pub(super) fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        let Some(folder) = &self.folder else {
            let text = self.texts.get(name).ok_or_else(|| io::Error::other("it was not kept"))?;
            return Ok(text.clone().into_bytes());
        };
        let bytes = std::fs::read(folder.join(name))?;
        self.texts.insert(name.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        Ok(bytes)
    }

    /// All that was read.
    pub(super) fn sources(&self) -> BTreeMap<String, String> {
        self.texts.clone()
    }
}
