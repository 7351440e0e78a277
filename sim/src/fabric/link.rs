//! [`Link`]: what one direction of a path does to packets.

use std::time::Duration;

use proxy_core::host::Rng;

/// One direction of a path between two places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Time from the last bit leaving to its arrival.
    pub latency: Latency,
    /// Bits per second; `None` is infinitely fast.
    pub bandwidth: Option<u64>,
    /// Bytes that may wait for the link before it drops; matters only with a bandwidth.
    pub queue: u32,
    /// Largest IP packet in bytes. TCP learns it when connecting, UDP fragments.
    pub mtu: u16,
    /// Probability in `0..=1` that a wire packet is lost.
    pub loss: f64,
    /// Whether a packet may overtake an earlier one when its drawn latency is shorter. Otherwise order is kept.
    pub reorder: bool,
    /// Nothing passes.
    pub cut: bool,
}

impl Link {
    /// A clean link of constant latency, infinitely fast, with an MTU of 1,500.
    pub const fn with_latency(latency: Duration) -> Self {
        Link {
            latency: Latency::Constant(latency),
            bandwidth: None,
            queue: 1 << 20,
            mtu: 1500,
            loss: 0.0,
            reorder: false,
            cut: false,
        }
    }
}

/// Distribution of a link's latency. Draws come from the link's own stream, one a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    /// Always the same; draws nothing.
    Constant(Duration),
    /// Uniform between the two, ends included.
    Uniform {
        /// Least.
        from: Duration,
        /// Greatest.
        to: Duration,
    },
    /// Bell-shaped (the sum of four uniform draws) around `mean`, never below `least` nor beyond 3.5 deviations.
    Normal {
        /// Mean.
        mean: Duration,
        /// Standard deviation.
        deviation: Duration,
        /// Floor.
        least: Duration,
    },
}

impl Latency {
    /// A latency in nanoseconds.
    pub fn sample(self, rng: &mut Rng) -> u64 {
        match self {
            Latency::Constant(latency) => nanos(latency),
            Latency::Uniform { from, to } => {
                let (from, to) = (nanos(from), nanos(to));
                from + rng.below(to.saturating_sub(from).saturating_add(1))
            }
            Latency::Normal { mean, deviation, least } => {
                // Four 16-bit uniforms out of one draw: integer arithmetic, the same on every machine. Their sum has
                // mean 131,070 and a deviation of 37,837.
                let bits = rng.next_u64();
                let sum: i128 = (0..4).map(|part| i128::from((bits >> (16 * part)) & 0xffff)).sum();
                let offset = (sum - 131_070) * i128::from(nanos(deviation)) / 37_837;
                let sampled = i128::from(nanos(mean)) + offset;
                u64::try_from(sampled.max(i128::from(nanos(least)))).unwrap_or(0)
            }
        }
    }

    /// The latency if it never varies.
    pub fn constant(self) -> Option<u64> {
        match self {
            Latency::Constant(latency) => Some(nanos(latency)),
            _ => None,
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The links of a cluster, by how far apart two namespaces are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkTable {
    /// Within a namespace: loopback.
    pub same_namespace: Link,
    /// Between namespaces of one node.
    pub same_node: Link,
    /// Between nodes of one zone.
    pub cross_node: Link,
    /// Between zones of one region.
    pub cross_zone: Link,
    /// Between regions.
    pub cross_region: Link,
}

impl Default for LinkTable {
    /// Clean links of constant latency: 5 us, 30 us, 250 us, 1 ms, 20 ms; loopback has an MTU of 65,535.
    fn default() -> Self {
        LinkTable {
            same_namespace: Link { mtu: 65_535, ..Link::with_latency(Duration::from_micros(5)) },
            same_node: Link::with_latency(Duration::from_micros(30)),
            cross_node: Link::with_latency(Duration::from_micros(250)),
            cross_zone: Link::with_latency(Duration::from_millis(1)),
            cross_region: Link::with_latency(Duration::from_millis(20)),
        }
    }
}

/// How far apart two namespaces are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Distance {
    /// The same namespace.
    Namespace,
    /// The same node.
    Node,
    /// The same zone.
    Zone,
    /// The same region.
    Region,
    /// Different regions.
    World,
}

impl LinkTable {
    /// The link for a distance.
    pub fn of(&self, distance: Distance) -> Link {
        match distance {
            Distance::Namespace => self.same_namespace,
            Distance::Node => self.same_node,
            Distance::Zone => self.cross_node,
            Distance::Region => self.cross_zone,
            Distance::World => self.cross_region,
        }
    }
}
