//! der.
