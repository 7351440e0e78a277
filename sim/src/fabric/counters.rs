//! [`Counters`]: exact counts of what a run did.

use std::collections::BTreeMap;

use crate::wire::{DROP_REASONS, DropReason};

/// Exact counts; a gate on them has no noise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) events: u64,
    pub(crate) timers_fired: u64,
    pub(crate) segments: u64,
    pub(crate) packets_sent: u64,
    pub(crate) packets_delivered: u64,
    pub(crate) datagrams: u64,
    pub(crate) wire_bytes: u64,
    pub(crate) payload_bytes_delivered: u64,
    pub(crate) packets_resent: u64,
    pub(crate) packets_corrupted: u64,
    pub(crate) packets_duplicated: u64,
    pub(crate) connections_dialled: u64,
    pub(crate) connections_accepted: u64,
    pub(crate) connections_refused: u64,
    pub(crate) connections_redirected: u64,
    pub(crate) dropped: [u64; DROP_REASONS.len()],
}

impl Counters {
    pub(crate) fn drop(&mut self, reason: DropReason, packets: u64) {
        if let Some(index) = DROP_REASONS.iter().position(|&other| other == reason) {
            self.dropped[index] += packets;
        }
    }

    /// By name; drops appear as `packets_dropped.<reason>` when there were any.
    pub(crate) fn listing(&self) -> BTreeMap<String, u64> {
        let named = [
            ("events", self.events),
            ("timers_fired", self.timers_fired),
            ("segments", self.segments),
            ("packets_sent", self.packets_sent),
            ("packets_delivered", self.packets_delivered),
            ("datagrams", self.datagrams),
            ("wire_bytes", self.wire_bytes),
            ("payload_bytes_delivered", self.payload_bytes_delivered),
            ("packets_resent", self.packets_resent),
            ("connections_dialled", self.connections_dialled),
            ("connections_accepted", self.connections_accepted),
            ("connections_refused", self.connections_refused),
            ("connections_redirected", self.connections_redirected),
        ];
        let injected = [("packets_corrupted", self.packets_corrupted), ("packets_duplicated", self.packets_duplicated)];
        let injected = injected.into_iter().filter(|&(_, count)| count > 0);
        let drops = DROP_REASONS
            .iter()
            .zip(self.dropped)
            .filter(|&(_, count)| count > 0)
            .map(|(reason, count)| (format!("packets_dropped.{reason}"), count));
        named.into_iter().chain(injected).map(|(name, count)| (name.to_owned(), count)).chain(drops).collect()
    }
}
