//! The path of a request, hop by hop: `client → ztunnel n1 ═HBONE═▶ ztunnel n2 → pod`.

use sim::record::{Hop, Outcome, RequestResult};

use super::Paint;

/// The path as one line.
pub(crate) fn line(request: &RequestResult, paint: Paint) -> String {
    let client = name(&request.client);
    let backend = request.backend.as_ref().map(|backend| backend.pod.as_str());
    if request.hops.is_empty() {
        let to = backend.unwrap_or("nobody");
        return format!("{client} ─▶ {to}  {}", paint.faint("no proxy on the way"));
    }
    let mut line = client.to_owned();
    let mut carried = if request.hops[0].direction == "inbound" { " ─▶ " } else { " → " }.to_owned();
    let mut hops = request.hops.iter();
    while let Some(hop) = hops.next() {
        let mut beyond = hops.clone();
        line.push_str(&carried);
        line.push_str(&format!("{} {}", hop.proxy, hop.node));
        carried = match (hop.direction.as_str(), hop.protocol.as_str()) {
            ("outbound", "hbone") => format!(" {} ", paint.tunnel("═HBONE═▶")),
            ("outbound", "waypoint") => format!(" {} ", paint.tunnel("═HBONE═▶")),
            ("outbound", "double_hbone") => format!(" {} ", paint.tunnel("═HBONE²═▶")),
            ("outbound", _) => " ─▶ ".to_owned(),
            _ if hop.proxy == "waypoint" && beyond.next().is_some_and(|next| next.protocol != "plain") => {
                format!(" {} ", paint.tunnel("═HBONE═▶"))
            }
            _ => " → ".to_owned(),
        };
    }
    let last = request.hops.last();
    match (backend, last.and_then(refusal)) {
        (_, Some(refusal)) if backend.is_none() => format!("{line} {}", paint.bad(format!("✗ {refusal}"))),
        (Some(backend), _) => format!("{line}{carried}{backend}"),
        (None, _) if matches!(request.outcome, Outcome::Completed | Outcome::Held) => line,
        (None, _) => format!("{line} {}", paint.bad("✗")),
    }
}

/// Why a hop let nothing through.
fn refusal(hop: &Hop) -> Option<String> {
    let reason = hop.reason.as_ref()?;
    Some(match (&hop.verdict, &hop.policy) {
        (Some(_), Some(policy)) if reason.starts_with("policy") => policy.to_string(),
        _ => reason.replace('_', " "),
    })
}

fn name(client: &str) -> &str {
    client.rsplit('/').next().unwrap_or(client)
}
