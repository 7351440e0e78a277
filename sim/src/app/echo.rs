//! What an echo server says: JSON with what it received, so that routing and header changes can be asserted exactly.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::flow::FLOW_HEADER;
use super::http1::Headers;
use crate::record::{AppPod, FlowId, ReceivedHead};

#[derive(Serialize)]
struct Answer<'a> {
    method: &'a str,
    path: &'a str,
    host: &'a str,
    proto: &'static str,
    headers: Shown<'a>,
    namespace: &'a str,
    pod: &'a str,
    node: &'a str,
    source_ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    padding: String,
}

/// Headers as an object, in order of first appearance; one given several times is shown as one list, as HTTP allows.
struct Shown<'a>(&'a Headers);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (index, (name, value)) in self.0.iter().enumerate() {
            let shown_before = || self.0[..index].iter().any(|(earlier, _)| earlier == name);
            if name == FLOW_HEADER || name == "host" || shown_before() {
                continue;
            }
            let mut later = self.0[index + 1..].iter().filter(|(other, _)| other == name).peekable();
            if later.peek().is_none() {
                map.serialize_entry(name, value)?;
            } else {
                let all: Vec<&str> =
                    std::iter::once(value.as_str()).chain(later.map(|(_, value)| value.as_str())).collect();
                map.serialize_entry(name, &all.join(","))?;
            }
        }
        map.end()
    }
}

/// The answer of `pod` to a request from `source_ip`, padded to at least `least` bytes; with the text of a gRPC message.
pub(crate) fn answer(
    pod: &AppPod,
    received: &ReceivedHead,
    source_ip: IpAddr,
    least: u64,
    message: Option<&str>,
) -> Vec<u8> {
    let mut answer = Answer {
        method: &received.method,
        path: &received.path,
        host: &received.host,
        proto: received.proto,
        headers: Shown(&received.headers),
        namespace: &pod.namespace,
        pod: &pod.name,
        node: &pod.node,
        source_ip,
        message,
        padding: String::new(),
    };
    let json = serde_json::to_vec(&answer).unwrap_or_default();
    const PADDING_FIELD: usize = r#","padding":"""#.len();
    let least = usize::try_from(least).unwrap_or(usize::MAX).min(1 << 30);
    if json.len() >= least {
        return json;
    }
    answer.padding = "x".repeat(least.saturating_sub(json.len() + PADDING_FIELD).max(1));
    serde_json::to_vec(&answer).unwrap_or_default()
}

/// Who answered, read back from an answer.
#[derive(Debug, Deserialize)]
pub struct EchoAnswer<'a> {
    /// The server's namespace.
    #[serde(borrow)]
    pub namespace: Cow<'a, str>,
    /// The server's pod.
    #[serde(borrow)]
    pub pod: Cow<'a, str>,
    /// The server's node.
    #[serde(borrow)]
    pub node: Cow<'a, str>,
    /// Who the server saw as its client.
    #[serde(borrow)]
    pub source_ip: Cow<'a, str>,
}

impl<'a> EchoAnswer<'a> {
    /// From a body; `None` if it is not an echo server's.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

/// The flow a request belongs to, if a client of ours made it.
pub(crate) fn flow_of(headers: &Headers) -> Option<FlowId> {
    super::http1::header(headers, FLOW_HEADER)?.parse().ok().map(FlowId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_shows_what_was_received_and_hides_the_flow() {
        let pod = AppPod {
            uid: "u".into(),
            namespace: "shop".into(),
            name: "orders-1".into(),
            node: "n1".into(),
            addresses: vec![],
        };
        let headers = vec![
            ("host".to_owned(), "orders:8080".to_owned()),
            ("a".to_owned(), "1".to_owned()),
            (FLOW_HEADER.to_owned(), "9".to_owned()),
            ("a".to_owned(), "2".to_owned()),
        ];
        let source_ip = IpAddr::from([10, 0, 0, 7]);
        let received = ReceivedHead {
            method: "GET".to_owned(),
            path: "/x".to_owned(),
            host: "orders:8080".to_owned(),
            proto: "HTTP/1.1",
            headers: headers.clone(),
        };
        let body = String::from_utf8(answer(&pod, &received, source_ip, 0, None)).unwrap();
        assert_eq!(
            body,
            r#"{"method":"GET","path":"/x","host":"orders:8080","proto":"HTTP/1.1","headers":{"a":"1,2"},"namespace":"shop","pod":"orders-1","node":"n1","source_ip":"10.0.0.7"}"#
        );
        assert_eq!(answer(&pod, &received, source_ip, 1000, None).len(), 1000);
        assert_eq!(flow_of(&headers), Some(FlowId(9)));
    }
}
