//! The layer-4 node proxy.
