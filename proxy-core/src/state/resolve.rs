//! A destination to an upstream.
