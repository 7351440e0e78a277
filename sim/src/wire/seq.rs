//! [`Seq`]: TCP sequence numbers, which wrap.

use std::fmt;

/// A TCP sequence number. Comparison is modular (RFC 9293 section 3.4): `a` is before `b` when the shorter way round
/// the circle from `a` leads forward to `b`. Not `Ord`, because that relation is not transitive.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// The number `count` bytes later.
    #[inline]
    #[must_use]
    pub const fn plus(self, count: u32) -> Seq {
        Seq(self.0.wrapping_add(count))
    }

    /// The number `count` bytes earlier.
    #[inline]
    #[must_use]
    pub const fn minus(self, count: u32) -> Seq {
        Seq(self.0.wrapping_sub(count))
    }

    /// Bytes from `earlier` up to here, going forward; meaningful when `earlier` is not after `self`.
    #[inline]
    pub const fn since(self, earlier: Seq) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Bytes from `earlier` up to here; 0 if `earlier` is after `self`.
    #[inline]
    pub const fn saturating_since(self, earlier: Seq) -> u32 {
        if self.before(earlier) { 0 } else { self.since(earlier) }
    }

    /// Strictly before `other`.
    #[inline]
    pub const fn before(self, other: Seq) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Strictly after `other`.
    #[inline]
    pub const fn after(self, other: Seq) -> bool {
        other.before(self)
    }

    /// The later of the two.
    #[inline]
    #[must_use]
    pub const fn max(self, other: Seq) -> Seq {
        if self.before(other) { other } else { self }
    }

    /// The earlier of the two.
    #[inline]
    #[must_use]
    pub const fn min(self, other: Seq) -> Seq {
        if self.before(other) { self } else { other }
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Seq;

    #[test]
    fn order_survives_wrapping() {
        let near_end = Seq(u32::MAX - 1);
        let after_wrap = near_end.plus(3);
        assert_eq!(after_wrap, Seq(1));
        assert!(near_end.before(after_wrap) && after_wrap.after(near_end));
        assert_eq!(after_wrap.since(near_end), 3);
        assert_eq!(near_end.max(after_wrap), after_wrap);
        assert_eq!(after_wrap.minus(3), near_end);
    }
}
