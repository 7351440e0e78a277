use proptest::prelude::*;

use super::*;

/// A query for `name`, written by hand.
fn query(name: &str, kind: u16, edns: Option<u16>) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, edns.map_or(0, |_| 1)];
    message.extend_from_slice(Name::from_text(name).unwrap().wire());
    message.extend_from_slice(&[(kind >> 8) as u8, kind as u8, 0, 1]);
    if let Some(payload) = edns {
        message.extend_from_slice(&[0, 0, 41, (payload >> 8) as u8, payload as u8, 0, 0, 0, 0, 0, 0]);
    }
    message
}

fn refused(message: &[u8]) -> QueryError {
    Query::parse(message).unwrap_err()
}

fn format_error() -> QueryError {
    QueryError::Refused { code: ResponseCode::FormatError }
}

#[test]
fn query_is_read() {
    let read = Query::parse(&query("Svc.NS.svc.cluster.local", TYPE_AAAA, Some(1232))).unwrap();
    assert_eq!((read.id, read.kind, read.class, read.recursion_desired), (0x1234, TYPE_AAAA, CLASS_IN, true));
    assert_eq!(read.name.to_host().as_deref(), Some("svc.ns.svc.cluster.local"));
    assert_eq!(read.name.to_string(), "Svc.NS.svc.cluster.local.", "the case is kept for the answer");
    assert_eq!((read.edns_payload, read.udp_payload()), (Some(1232), 1232));
    assert_eq!(Query::parse(&query("a", TYPE_A, None)).unwrap().udp_payload(), 512);
    assert_eq!(Query::parse(&query("a", TYPE_A, Some(20))).unwrap().udp_payload(), 512);
}

#[test]
fn other_messages_are_refused_with_the_right_code() {
    let good = query("svc", TYPE_A, Some(1232));
    assert_eq!(refused(&good[..11]), QueryError::TooShort);
    let with = |at: usize, byte: u8| {
        let mut message = good.clone();
        message[at] = byte;
        message
    };
    assert_eq!(refused(&with(2, 0x81)), format_error(), "a response");
    assert_eq!(refused(&with(2, 0x28)), QueryError::Refused { code: ResponseCode::NotImplemented }, "an update");
    assert_eq!(refused(&with(5, 0)), format_error(), "no question");
    assert_eq!(refused(&with(5, 2)), format_error(), "two questions");
    assert_eq!(refused(&with(7, 200)), format_error(), "records that are not there");
    assert_eq!(refused(&with(12, 0xc0)), format_error(), "a pointer in the question");
    assert_eq!(refused(&with(12, 0x40)), format_error(), "a label of an unknown kind");
    for length in HEADER_LENGTH..good.len() {
        assert_eq!(refused(&good[..length]), format_error(), "cut at {length}");
    }
}

#[test]
fn refusal_keeps_id_operation_and_recursion() {
    let answer = refusal(&[0x12, 0x34, 0x29, 0, 9, 9], ResponseCode::NotImplemented).unwrap();
    assert_eq!(answer, [0x12, 0x34, 0xa9, 0x84, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(refusal(&[1, 2, 3], ResponseCode::FormatError), None);
}

#[test]
fn names_that_fit_no_wire_are_refused() {
    assert!(Name::from_text(&"a".repeat(63)).is_some());
    assert!(Name::from_text(&"a".repeat(64)).is_none());
    assert!(Name::from_text("a..b").is_none());
    assert!(Name::from_text(&["a".repeat(62).as_str(); 4].join(".")).is_some());
    assert!(Name::from_text(&["a".repeat(63).as_str(); 4].join(".")).is_none());
    assert_eq!(Name::from_text("").unwrap().wire(), [0]);
    assert_eq!(Name::from_text("a.b.").unwrap().wire(), b"\x01a\x01b\x00");
    let (odd, _) = Name::read(b"\x03a.b\x00", 0).unwrap();
    assert_eq!((odd.to_host(), odd.to_string()), (None, "a.b.".to_owned()));
}

#[test]
fn answer_is_written_byte_for_byte() {
    let query = Query::parse(&query("a.b", TYPE_A, Some(1232))).unwrap();
    let stripped = Name::from_text("a").unwrap();
    let answers = vec![
        Record { name: query.name.clone(), ttl: 30, data: Data::Alias(stripped.clone()) },
        Record { name: stripped, ttl: 30, data: Data::Address([10, 0, 0, 1].into()) },
    ];
    let response = Response { query: &query, code: ResponseCode::NoError, authoritative: true, answers };
    let mut expected = vec![0x12, 0x34, 0x85, 0x80, 0, 1, 0, 2, 0, 0, 0, 1];
    expected.extend_from_slice(b"\x01a\x01b\x00\x00\x01\x00\x01");
    expected.extend_from_slice(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x1e\x00\x03\x01a\x00");
    expected.extend_from_slice(b"\x01a\x00\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04\x0a\x00\x00\x01");
    expected.extend_from_slice(b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00");
    assert_eq!(response.encode(512), expected);
}

#[test]
fn answer_that_does_not_fit_is_truncated_and_says_so() {
    for edns in [None, Some(600)] {
        let query = Query::parse(&query("a.b", TYPE_AAAA, edns)).unwrap();
        let record = |index: u16| Record {
            name: query.name.clone(),
            ttl: 30,
            data: Data::Address([0xfd00, 0, 0, 0, 0, 0, 0, index].into()),
        };
        let answers = (0..1000).map(record).collect();
        let response = Response { query: &query, code: ResponseCode::NoError, authoritative: true, answers };
        let short = response.encode(query.udp_payload());
        assert!(short.len() <= query.udp_payload() && short.len() + 28 > query.udp_payload());
        assert_eq!(short[2] & 0x02, 0x02);
        let count = usize::from(read_u16(&short, 6).unwrap());
        assert_eq!(short.len(), 12 + 9 + count * 28 + edns.map_or(0, |_| 11));
        let whole = response.encode(usize::from(u16::MAX));
        assert_eq!((whole[2] & 0x02, read_u16(&whole, 6)), (0, Some(1000)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_bytes_are_read_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        (flip, to, cut) in (any::<prop::sample::Index>(), any::<u8>(), any::<prop::sample::Index>()),
    ) {
        let _ = Query::parse(&bytes);
        let _ = refusal(&bytes, ResponseCode::FormatError);
        let mut near = query("a.bc.def", TYPE_A, Some(1232));
        let at = flip.index(near.len());
        near[at] = to;
        near.truncate(cut.index(near.len() + 1));
        for message in [&bytes, &near] {
            if let Ok(query) = Query::parse(message) {
                let text = query.name.to_string();
                prop_assert!(query.name.wire().len() <= 255 && text.len() <= 4 * 255);
                let response =
                    Response { query: &query, code: ResponseCode::NoError, authoritative: true, answers: vec![] };
                prop_assert!(response.encode(512).len() <= 512);
            }
        }
    }
}

#[test]
fn a_response_is_read_back_and_cut_ones_are_refused() {
    let query = Query::parse(&Query::question(7, &Name::from_text("a.example").unwrap(), TYPE_A)).unwrap();
    let owner = Name::from_text("b.example").unwrap();
    let answers = vec![
        Record { name: query.name.clone(), ttl: 30, data: Data::Alias(owner.clone()) },
        Record { name: owner.clone(), ttl: 70_000, data: Data::Address([192, 0, 2, 1].into()) },
        Record { name: owner, ttl: 5, data: Data::Address("2001:db8::1".parse().unwrap()) },
    ];
    let response = Response { query: &query, code: ResponseCode::NoError, authoritative: true, answers };
    let message = response.encode(512);
    let reply = Reply::parse(&message).unwrap();
    let addresses = vec![([192, 0, 2, 1].into(), 70_000), ("2001:db8::1".parse().unwrap(), 5)];
    assert_eq!(reply, Reply { id: 7, code: 0, authoritative: true, truncated: false, addresses });
    assert!((0..message.len()).all(|length| Reply::parse(&message[..length]).is_none()));
    assert_eq!(Reply::parse(&Query::question(7, &query.name, TYPE_A)), None, "a query is no response");
    assert!(Reply::parse(&response.encode(60)).unwrap().truncated);
}
