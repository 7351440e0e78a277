//! [`Told`]: what the dialling end of a connection tells the accepting end, which sockets cannot.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Both ends of a connection on this machine, the dialling one first.
pub(super) type Ends = (SocketAddr, SocketAddr);

/// What the accepting end is told, in addresses of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meant {
    /// Who dials.
    pub(super) source: SocketAddr,
    /// Where it was meant to go, before any redirect.
    pub(super) destination: SocketAddr,
    /// The accepting end's own address.
    pub(super) local: SocketAddr,
}

/// Connections that were dialled and not accepted yet.
#[derive(Debug, Default)]
pub(super) struct Told {
    waiting: BTreeMap<Ends, (u64, Meant)>,
    last: u64,
}

impl Told {
    /// Tells; the number takes it back. `None` if an earlier connection between the same ends is not accepted yet.
    pub(super) fn tell(&mut self, ends: Ends, meant: Meant) -> Option<u64> {
        if self.waiting.contains_key(&ends) {
            return None;
        }
        self.last += 1;
        self.waiting.insert(ends, (self.last, meant));
        Some(self.last)
    }

    /// Takes it back, unless it was heard.
    pub(super) fn forget(&mut self, ends: Ends, number: u64) {
        if self.waiting.get(&ends).is_some_and(|(told, _)| *told == number) {
            self.waiting.remove(&ends);
        }
    }

    /// What was told of a connection; `None` if it comes from outside the mesh.
    pub(super) fn hear(&mut self, ends: Ends) -> Option<Meant> {
        self.waiting.remove(&ends).map(|(_, meant)| meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_is_told_is_heard_once_and_only_the_teller_takes_it_back() {
        let ends = (at("127.64.1.1:4000"), at("127.64.1.2:80"));
        let meant = Meant { source: at("10.0.0.1:4000"), destination: at("10.0.0.2:80"), local: at("10.0.0.2:80") };
        let mut told = Told::default();
        let first = told.tell(ends, meant).expect("free");
        assert_eq!(told.tell(ends, meant), None);
        assert_eq!(told.hear(ends), Some(meant));
        assert_eq!(told.hear(ends), None);
        let second = told.tell(ends, meant).expect("free again");
        told.forget(ends, first);
        assert_eq!(told.hear(ends), Some(meant), "the first cannot take back what the second told");
        told.forget(ends, second);
    }
}
