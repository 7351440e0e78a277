//! Tokens a request carries: where they are, whose they are, what they prove. No clock of its own.

mod judge;
mod jwks;
mod location;
mod rule;
mod signature;
mod token;

pub use judge::{Authenticated, Authentication, Refusal, authenticate};
pub use jwks::{InvalidKeys, Key, KeyMaterial, KeySet};
pub use rule::{ClaimHeader, HeaderLocation, JwtRule, TokenLocations};
pub use signature::Algorithm;
pub use token::TokenError;
