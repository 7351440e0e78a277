//! [`Ledger`]: what is held, what is wanted, what is being fetched. No clock, no task, no authority.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::{CertificateState, StoreConfig};
use crate::host::{Instant, Rng, WallTime};
use crate::identity::schedule::{Backoff, Priority, refresh_in, retry_in};
use crate::identity::{Identity, WorkloadCertificate};

/// Everything a store knows.
pub(super) struct Ledger {
    config: StoreConfig,
    rng: Rng,
    entries: BTreeMap<Identity, Entry>,
    in_flight: usize,
    /// Orders wishes of equal priority: first come, first served.
    wishes: u64,
}

struct Entry {
    certificate: Option<Arc<WorkloadCertificate>>,
    /// The last failure since the last success.
    error: Option<String>,
    backoff: Backoff,
    due: Instant,
    priority: Priority,
    wish: u64,
    fetching: bool,
    /// Not wanted any more; kept only until its fetch ends, so that no second one starts beside it.
    forgotten: bool,
    /// Changes when the identity is forgotten: who waited before that is told.
    ticket: Ticket,
    /// Made when somebody waits.
    changed: Option<Arc<Notify>>,
}

/// Tells apart the lives of one identity in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// The answer to a caller.
pub(super) enum Found {
    Certificate(Arc<WorkloadCertificate>),
    Failed(String),
    Forgotten,
    /// Ask again after this, with the ticket.
    Pending(OwnedNotified, Ticket),
}

impl Ledger {
    pub(super) fn new(config: StoreConfig, rng: Rng) -> Self {
        Ledger { config, rng, entries: BTreeMap::new(), in_flight: 0, wishes: 0 }
    }

    /// A caller needs `identity` now; `ticket` is what an earlier answer gave it.
    pub(super) fn ask(&mut self, identity: &Identity, ticket: Option<Ticket>, wall: WallTime, now: Instant) -> Found {
        if let Some(ticket) = ticket
            && self.entries.get(identity).is_none_or(|entry| entry.forgotten || entry.ticket != ticket)
        {
            return Found::Forgotten;
        }
        let entry = self.wanted(identity, Priority::RealTime, now);
        if let Some(certificate) = valid(entry, wall) {
            return Found::Certificate(certificate);
        }
        if let Some(error) = &entry.error {
            return Found::Failed(error.clone());
        }
        if entry.certificate.take().is_some() {
            // It ended before its refresh did: a stepped clock, or a very long pause.
            entry.due = now;
            entry.priority = Priority::RealTime;
        }
        let changed = entry.changed.get_or_insert_default().clone();
        Found::Pending(changed.notified_owned(), entry.ticket)
    }

    /// `identity` is wanted; if nothing is known of it yet, or it waits for a first fetch, at this priority at least.
    pub(super) fn want(&mut self, identity: &Identity, priority: Priority, now: Instant) {
        self.wanted(identity, priority, now);
    }

    fn wanted(&mut self, identity: &Identity, priority: Priority, now: Instant) -> &mut Entry {
        let wish = self.wishes;
        self.wishes += 1;
        let entry = self.entries.entry(identity.clone()).or_insert_with(|| Entry {
            certificate: None,
            error: None,
            backoff: Backoff::default(),
            due: now,
            priority,
            wish,
            fetching: false,
            forgotten: false,
            ticket: Ticket(wish),
            changed: None,
        });
        entry.forgotten = false;
        let first = entry.certificate.is_none() && entry.error.is_none();
        if first && entry.priority < priority {
            entry.priority = priority;
            entry.wish = wish;
        }
        entry
    }

    /// What is held of `identity` and valid.
    pub(super) fn current(&self, identity: &Identity, wall: WallTime) -> Option<Arc<WorkloadCertificate>> {
        self.entries.get(identity).and_then(|entry| valid(entry, wall))
    }

    /// Nobody wants `identity` any more.
    pub(super) fn forget(&mut self, identity: &Identity) {
        let ticket = Ticket(self.wishes);
        self.wishes += 1;
        let Some(entry) = self.entries.get_mut(identity) else { return };
        let waiting = entry.changed.take();
        if entry.fetching {
            entry.forgotten = true;
            entry.ticket = ticket;
            entry.certificate = None;
            entry.error = None;
        } else {
            self.entries.remove(identity);
        }
        if let Some(waiting) = waiting {
            waiting.notify_waiters();
        }
    }

    /// The identity to fetch now, which counts as being fetched from here on.
    ///
    /// # Errors
    /// When there may be one, if none is: far in the future while all places are taken, since the end of a fetch is
    /// reported anyway.
    pub(super) fn start(&mut self, now: Instant) -> Result<Identity, Instant> {
        if self.in_flight >= self.config.in_flight_max.max(1) {
            return Err(Instant::FAR_FUTURE);
        }
        let idle = || self.entries.iter().filter(|(_, entry)| !entry.fetching);
        let due = idle().filter(|(_, entry)| entry.due <= now);
        let first = due.min_by_key(|(_, entry)| (std::cmp::Reverse(entry.priority), entry.due, entry.wish));
        let Some((identity, _)) = first else {
            return Err(idle().map(|(_, entry)| entry.due).min().unwrap_or(Instant::FAR_FUTURE));
        };
        let identity = identity.clone();
        if let Some(entry) = self.entries.get_mut(&identity) {
            entry.fetching = true;
            self.in_flight += 1;
        }
        Ok(identity)
    }

    /// A fetch ended.
    pub(super) fn finish(
        &mut self,
        identity: &Identity,
        outcome: Result<Arc<WorkloadCertificate>, String>,
        wall: WallTime,
        now: Instant,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(entry) = self.entries.get_mut(identity) else { return };
        entry.fetching = false;
        if entry.forgotten {
            self.entries.remove(identity);
            return;
        }
        let StoreConfig { backoff_min: shortest, backoff_max: longest, .. } = self.config;
        match outcome {
            Ok(certificate) => {
                entry.due = now + refresh_in(certificate.not_before, certificate.not_after, wall, shortest);
                entry.priority = Priority::Background;
                entry.certificate = Some(certificate);
                entry.error = None;
                entry.backoff.succeed();
            }
            Err(error) => {
                let held = valid(entry, wall).map(|certificate| certificate.not_after);
                let backoff = entry.backoff.fail(shortest, longest, &mut self.rng);
                entry.due = now + retry_in(backoff, held, wall, shortest);
                entry.priority = if held.is_some() { Priority::Background } else { Priority::Warmup };
                entry.error = Some(error);
            }
        }
        if let Some(changed) = entry.changed.take() {
            changed.notify_waiters();
        }
    }

    /// How every identity stands.
    pub(super) fn list(&self, wall: WallTime) -> Vec<(Identity, CertificateState)> {
        let wanted = self.entries.iter().filter(|(_, entry)| !entry.forgotten);
        wanted
            .map(|(identity, entry)| {
                let state = match (valid(entry, wall), &entry.error) {
                    (Some(certificate), _) => CertificateState::Available(certificate),
                    (None, Some(error)) => CertificateState::Unavailable(error.clone()),
                    (None, None) => CertificateState::Initializing,
                };
                (identity.clone(), state)
            })
            .collect()
    }
}

fn valid(entry: &Entry, wall: WallTime) -> Option<Arc<WorkloadCertificate>> {
    entry.certificate.clone().filter(|certificate| wall < certificate.not_after)
}

#[cfg(test)]
mod tests;
