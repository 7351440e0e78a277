//! The only choice of key exchange, signature, random source and peer verification.

mod key;

pub use key::SigningKey;
