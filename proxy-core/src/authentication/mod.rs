//! Tokens a request carries: where they are, whose they are, what they prove. Pure but for the signature check.

mod jwks;
mod rule;

pub use jwks::{Algorithm, InvalidKeys, Key, KeyMaterial, KeySet};
pub use rule::{ClaimHeader, HeaderLocation, JwtRule, TokenLocations};
