//! One file per section of the page. Each writes nothing when it has nothing to tell.

pub(crate) mod counters;
pub(crate) mod load;
pub(crate) mod requests;
pub(crate) mod summary;
pub(crate) mod timeline;
pub(crate) mod topology;
pub(crate) mod violations;
