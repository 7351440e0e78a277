//! Asking policy about an inbound connection, before anything is carried.

use super::error::Failure;
use super::instance::Instance;
use super::record::Record;
use crate::host::{Host, timer};
use crate::identity::CertificateAuthority;
use crate::net::race::{First, race};
use crate::policy::Verdict;
use crate::telemetry::Reason;

/// Judges a connection that is in the table already, by what is configured now. While a policy that its workload names
/// has not been received, waits for it as long as configured: the two halves of one change may come in two pushes.
pub(super) async fn judge<H: Host, C: CertificateAuthority>(
    instance: &Instance<H, C>,
    record: &Record,
) -> Result<(), Failure> {
    let Some(connection) = &record.judged else { return Ok(()) };
    let deadline = instance.host.now() + instance.config().policy_wait;
    loop {
        // Before the snapshot: an update in between is then seen as news.
        let version = instance.shared.state.version();
        let Some((snapshot, workload)) = instance.local_workload_now() else {
            return Err(Failure::new(Reason::UnknownDestinationWorkload, "the workload is no longer known"));
        };
        let decision = snapshot.authorize(&workload, connection);
        let now = instance.host.now();
        if matches!(decision.verdict, Verdict::PolicyUnknown(_)) && now < deadline {
            let news = timer::timeout(&instance.host, deadline - now, instance.shared.state.changed(version));
            match race(record.ordered_to_end(), news).await {
                First::Left(failure) => return Err(failure),
                First::Right(_) => continue,
            }
        }
        let refused = Failure::refused_by(&decision.verdict);
        record.tell_judged(now, decision);
        return refused.map_or(Ok(()), Err);
    }
}
