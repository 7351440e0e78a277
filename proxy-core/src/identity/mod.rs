//! SPIFFE names, workload certificates, who issues them, when to refresh them.

mod authority;
mod cert;
mod local;
pub mod schedule;
mod spiffe;
pub mod store;

pub use authority::{AuthorityError, CertificateAuthority, SignedChain, SigningRequest};
pub use cert::WorkloadCertificate;
pub use local::LocalAuthority;
pub use spiffe::{Identity, ParseIdentityError};
