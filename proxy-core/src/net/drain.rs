//! Drain signals and deadlines.
