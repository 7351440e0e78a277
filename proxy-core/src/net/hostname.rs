//! [`NamespacedHostname`]: how the mesh names a service.

use std::fmt;
use std::sync::Arc;

/// `namespace/hostname`: the primary key of a service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedHostname {
    /// Kubernetes namespace.
    pub namespace: Arc<str>,
    /// Fully qualified name.
    pub hostname: Arc<str>,
}

impl NamespacedHostname {
    /// From its parts.
    pub fn new(namespace: &str, hostname: &str) -> Self {
        NamespacedHostname { namespace: namespace.into(), hostname: hostname.into() }
    }
}

/// `namespace/hostname`.
impl fmt::Display for NamespacedHostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.hostname)
    }
}

impl fmt::Debug for NamespacedHostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
