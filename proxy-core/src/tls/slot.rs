//! [`Lease`]: one connection's own random source and key exchange.
//!
//! rustls wants both as `&'static`. A [`Slot`] is therefore leaked, lent to one connection's configuration, and
//! lent again when that configuration and its connections are gone: the process leaks as many slots as it ever had
//! configurations at once. A slot is re-seeded with each lease, so which slot a connection gets never shows.

use std::fmt;

use parking_lot::Mutex;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng};
use rustls::crypto::{ActiveKeyExchange, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{NamedGroup, PeerMisbehaved};
use x25519_dalek::{PublicKey, StaticSecret};

static FREE: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());

/// A seeded random source that is also an X25519 key exchange drawing from itself.
pub(super) struct Slot {
    rng: Mutex<ChaCha20Rng>,
}

/// A slot for as long as this lives.
#[derive(Debug)]
pub(super) struct Lease(&'static Slot);

impl Lease {
    /// A slot that draws from `seed`.
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let rng = ChaCha20Rng::from_seed(seed);
        let free = FREE.lock().pop();
        Lease(match free {
            Some(slot) => {
                *slot.rng.lock() = rng;
                slot
            }
            None => Box::leak(Box::new(Slot { rng: Mutex::new(rng) })),
        })
    }

    pub(super) fn slot(&self) -> &'static Slot {
        self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        FREE.lock().push(self.0);
    }
}

impl Slot {
    fn draw(&self, dest: &mut [u8]) {
        self.rng.lock().fill_bytes(dest);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

impl SecureRandom for Slot {
    fn fill(&self, dest: &mut [u8]) -> Result<(), GetRandomFailed> {
        self.draw(dest);
        Ok(())
    }
}

impl SupportedKxGroup for Slot {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        let mut secret = [0; 32];
        self.draw(&mut secret);
        let secret = StaticSecret::from(secret);
        Ok(Box::new(Exchange { public: PublicKey::from(&secret), secret }))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// Our half of an X25519 exchange.
struct Exchange {
    secret: StaticSecret,
    public: PublicKey,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer_pub_key: &[u8]) -> Result<SharedSecret, rustls::Error> {
        let invalid = || rustls::Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);
        let peer: [u8; 32] = peer_pub_key.try_into().map_err(|_| invalid())?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(peer));
        // A point of small order would make the secret known to anyone.
        if !shared.was_contributory() {
            return Err(invalid());
        }
        Ok(SharedSecret::from(&shared.as_bytes()[..]))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_draw_and_exchange_alike() {
        let draw = |seed| {
            let lease = Lease::new([seed; 32]);
            let mut bytes = [0; 16];
            lease.slot().fill(&mut bytes).unwrap();
            (bytes, lease.slot().start().unwrap().pub_key().to_vec())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn both_halves_agree_and_small_order_points_are_refused() {
        let (one, two) = (Lease::new([1; 32]), Lease::new([2; 32]));
        let (one, two) = (one.slot().start().unwrap(), two.slot().start().unwrap());
        let (one_public, two_public) = (one.pub_key().to_vec(), two.pub_key().to_vec());
        let (left, right) = (one.complete(&two_public).unwrap(), two.complete(&one_public).unwrap());
        assert_eq!(left.secret_bytes(), right.secret_bytes());
        let three = Lease::new([3; 32]);
        assert!(three.slot().start().unwrap().complete(&[0; 32]).is_err());
        assert!(three.slot().start().unwrap().complete(&[9; 31]).is_err());
    }
}
