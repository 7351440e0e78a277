//! What people read: colours, words, progress.

pub(crate) mod captures;
mod group;
mod paint;
mod path;
mod progress;
pub(crate) mod saves;
mod text;
pub(crate) mod units;

pub(crate) use paint::Paint;
pub(crate) use progress::Progress;
pub(crate) use text::Text;
