//! The clients of a control plane on the wire.
//!
//! - [`DiscoverySource`]: delta discovery as a [`ConfigSource`](crate::state::ConfigSource).
//! - [`GrpcAuthority`]: `CreateCertificate` as a [`CertificateAuthority`](crate::identity::CertificateAuthority).
//! - [`NodeDescription`], [`Credentials`]: who we say we are.
//! - `session`: what is held and what is to be said, as plain data; `decoded`: one response, read.

mod authority;
mod credentials;
mod decoded;
mod description;
mod session;
mod source;
#[cfg(test)]
mod tests;

pub use authority::{AuthorityClient, GrpcAuthority};
pub use credentials::Credentials;
pub use decoded::{Decoded, DecodedCache};
pub use description::NodeDescription;
pub use source::{DiscoveryClient, DiscoverySource};

/// The one method of aggregated discovery that is spoken.
pub const DELTA_RESOURCES: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
/// The one method of the certificate service.
pub const CREATE_CERTIFICATE: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
/// Key in a signing request's metadata: whom the certificate is for.
pub const IMPERSONATED_IDENTITY: &str = "ImpersonatedIdentity";
