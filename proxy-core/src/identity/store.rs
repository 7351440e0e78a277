//! The certificates a proxy holds; at most one fetch an identity.
