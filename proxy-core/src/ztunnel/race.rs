//! Whichever comes first: see [`crate::net::race`].

pub(super) use crate::net::race::{First, race};
