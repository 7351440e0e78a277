//! [`NameAnswer`]: what a resolver said of a name.

use std::net::IpAddr;
use std::sync::Arc;

use proxy_core::dns::{Family, Heard};
use xxhash_rust::xxh3::xxh3_64;

/// What a resolver said of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAnswer {
    /// The whole name, in lower case, without a dot at the end.
    pub name: Arc<str>,
    /// Which addresses were asked for.
    pub family: Family,
    /// DNS response code.
    pub code: u8,
    /// Addresses, in the answer's order.
    pub addresses: Vec<IpAddr>,
    /// Tells one message from another, but for its id and its authoritative bit, which a forwarder may change.
    pub content: u64,
}

impl NameAnswer {
    /// From an answer that was read.
    pub fn of(name: Arc<str>, family: Family, heard: &Heard) -> Self {
        let addresses = heard.reply.addresses.iter().map(|(address, _)| *address).collect();
        NameAnswer { name, family, code: heard.reply.code, addresses, content: content_of(&heard.message) }
    }
}

/// See [`NameAnswer::content`].
pub(crate) fn content_of(message: &[u8]) -> u64 {
    let mut content = message.get(2..).unwrap_or_default().to_vec();
    if let Some(flags) = content.first_mut() {
        *flags &= !0x04;
    }
    xxh3_64(&content)
}
