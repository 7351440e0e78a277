//! The byte pump between two streams.
