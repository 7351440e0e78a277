use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proxy_core::host::Instant;

use super::pair::{CLIENT, Pair, SERVER};
use crate::tcp::{CloseReason, Output, State, Tcb, TcpConfig};
use crate::wire::{Flags, Options, Payload, SackBlocks, Segment, Seq};

/// A connected server and the numbers a perfect forger would use: the next it expects and the next it sends.
fn target() -> (Pair, Seq, Seq) {
    let pair = Pair::connected(TcpConfig::default(), TcpConfig::default());
    (pair, Seq(1_001), Seq(9_001))
}

fn inject(pair: &mut Pair, segment: Segment) -> Vec<Segment> {
    let mut answers = Vec::new();
    pair.on(SERVER, |tcb, now, out| {
        tcb.on_segment(now, segment, out);
        answers.append(&mut out.segments);
    });
    answers
}

#[test]
fn a_reset_must_hit_the_next_number_exactly() {
    let (mut pair, next, ours) = target();
    let reset = |seq| Segment { seq, ack: ours, flags: Flags::RST.with(Flags::ACK), ..Segment::default() };
    let answers = inject(&mut pair, reset(next.plus(1)));
    assert_eq!(answers.len(), 1, "in the window: challenged");
    assert_eq!(answers[0].ack, next);
    assert!(inject(&mut pair, reset(next.minus(100_000))).is_empty(), "outside: ignored");
    assert_eq!(pair.ends[SERVER].tcb.state(), State::Established);
    inject(&mut pair, reset(next));
    assert_eq!(pair.ends[SERVER].tcb.close_reason(), Some(CloseReason::Reset));
}

#[test]
fn a_syn_on_a_live_connection_is_challenged() {
    let (mut pair, next, ours) = target();
    let syn = Segment { seq: next.plus(10), ack: ours, flags: Flags::SYN, ..Segment::default() };
    let answers = inject(&mut pair, syn);
    assert_eq!((answers.len(), answers[0].flags), (1, Flags::ACK));
    assert_eq!(pair.ends[SERVER].tcb.state(), State::Established);
}

#[test]
fn acknowledgements_of_what_was_never_sent_carry_nothing_in() {
    let (mut pair, next, ours) = target();
    let forged = Segment {
        seq: next,
        ack: ours.plus(5_000),
        flags: Flags::ACK,
        window: 100,
        payload: Payload::copy_from(b"evil"),
        ..Segment::default()
    };
    assert_eq!(inject(&mut pair, forged).len(), 1);
    assert_eq!(pair.ends[SERVER].tcb.receive_queue(), 0);
}

#[test]
fn two_confused_ends_do_not_answer_each_other_for_ever() {
    let (mut pair, next, ours) = target();
    let mut answers = 0;
    for _ in 0..1_000 {
        let stray = Segment { seq: next.minus(50_000), ack: ours, flags: Flags::ACK, ..Segment::default() };
        answers += inject(&mut pair, stray).len();
        pair.now += Duration::from_millis(1);
    }
    assert!(answers <= 11, "{answers}");
}

#[test]
fn bytes_beyond_the_window_are_cut_off() {
    let server = TcpConfig { receive_buffer: 2_000, ..TcpConfig::default() };
    let mut pair = Pair::connected(TcpConfig::default(), server);
    pair.ends[SERVER].reads = false;
    let flood = Segment {
        seq: Seq(1_001),
        ack: Seq(9_001),
        flags: Flags::ACK,
        window: 100,
        payload: Payload::copy_from(&[9; 60_000]),
        ..Segment::default()
    };
    inject(&mut pair, flood);
    assert_eq!(pair.ends[SERVER].tcb.receive_queue(), 2_000);
}

#[test]
fn an_end_inside_earlier_bytes_ends_the_stream_there() {
    let (mut pair, next, ours) = target();
    let segment = |at: u32, flags: Flags, data: &[u8]| Segment {
        seq: next.plus(at),
        ack: ours,
        flags: flags.with(Flags::ACK),
        window: 100,
        payload: Payload::copy_from(data),
        ..Segment::default()
    };
    inject(&mut pair, segment(10, Flags::NONE, b"klmnopqrst"));
    inject(&mut pair, segment(5, Flags::FIN, b"fghij"));
    inject(&mut pair, segment(0, Flags::NONE, b"abcde"));
    pair.applications();
    assert_eq!(pair.ends[SERVER].read, b"abcdefghij");
    assert_eq!(pair.ends[SERVER].tcb.state(), State::CloseWait);
}

/// Numbers near the interesting ones as well as anywhere.
fn number(base: u32) -> impl Strategy<Value = Seq> {
    prop_oneof![
        4 => (-3_000i32..3_000).prop_map(move |offset| Seq(base.wrapping_add(offset as u32))),
        2 => Just(Seq(base)),
        1 => (0u32..5_000_000).prop_map(move |offset| Seq(base.wrapping_add(offset))),
        1 => any::<u32>().prop_map(Seq),
    ]
}

fn segment(theirs: u32, ours: u32) -> impl Strategy<Value = Segment> {
    let flags = prop_oneof![3 => Just(Flags::ACK.0), 1 => Just(Flags::ACK.0 | Flags::FIN.0), 2 => any::<u8>()];
    let sack = proptest::option::of(proptest::collection::vec((number(ours), number(ours)), 0..4));
    let options = (proptest::option::of(any::<u16>()), proptest::option::of(any::<u8>()), any::<bool>(), sack);
    let length = prop_oneof![Just(0usize), 1usize..3_000, 3_000usize..70_000];
    (number(theirs), number(ours), flags, any::<u16>(), options, length, any::<u16>()).prop_map(
        |(seq, ack, flags, window, (mss, window_scale, sack_permitted, sack), length, packet_payload)| {
            let sack = sack.map(|ranges| {
                let mut blocks = SackBlocks::default();
                for (from, to) in ranges {
                    blocks.push(from, to);
                }
                Box::new(blocks)
            });
            let options = Options { mss, window_scale, sack_permitted, sack };
            let payload = Payload::copy_from(&vec![0xab; length]);
            Segment { seq, ack, flags: Flags(flags), window, packet_payload, options, payload }
        },
    )
}

/// What the application or the clock does between hostile segments.
#[derive(Clone, Debug)]
enum Action {
    Segment(Box<Segment>),
    Write(usize),
    Read(usize),
    Timer,
    Shutdown,
    Close,
}

fn action(theirs: u32, ours: u32) -> impl Strategy<Value = Action> {
    prop_oneof![
        12 => segment(theirs, ours).prop_map(|segment| Action::Segment(Box::new(segment))),
        3 => (1usize..20_000).prop_map(Action::Write),
        2 => (1usize..20_000).prop_map(Action::Read),
        3 => Just(Action::Timer),
        1 => Just(Action::Shutdown),
        1 => Just(Action::Close),
    ]
}

fn open(kind: u8, config: Arc<TcpConfig>, theirs: u32, ours: u32, out: &mut Output) -> Tcb {
    let now = Instant::START + Duration::from_secs(1);
    let syn = Segment {
        seq: Seq(theirs),
        flags: Flags::SYN,
        window: 8_000,
        options: Options { mss: Some(1_000), window_scale: Some(3), sack_permitted: true, sack: None },
        ..Segment::default()
    };
    if kind == 0 {
        return Tcb::open_active(config, now, Seq(ours), out);
    }
    let mut tcb = Tcb::open_passive(config, now, Seq(ours), &syn, out);
    if kind == 2 {
        let ack = Segment {
            seq: Seq(theirs).plus(1),
            ack: Seq(ours).plus(1),
            flags: Flags::ACK,
            window: 8_000,
            ..Segment::default()
        };
        tcb.on_segment(now, ack, out);
    }
    tcb
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_segment_in_any_state_panics_or_breaks_a_bound(
        kind in 0u8..3,
        sack in any::<bool>(),
        actions in proptest::collection::vec(action(u32::MAX - 500, 700), 1..60),
    ) {
        let config = TcpConfig {
            receive_buffer: 50_000, send_buffer: 30_000, selective_acknowledgements: sack, ..TcpConfig::default()
        };
        let (receive_buffer, send_buffer) = (config.receive_buffer, config.send_buffer);
        let mut out = Output::default();
        let mut tcb = open(kind, Arc::new(config), u32::MAX - 500, 700, &mut out);
        let mut now = Instant::START + Duration::from_secs(1);
        for action in actions {
            now += Duration::from_millis(3);
            out.clear();
            match action {
                Action::Segment(segment) => tcb.on_segment(now, *segment, &mut out),
                Action::Write(count) => { tcb.write(now, &vec![1; count], &mut out); }
                Action::Read(count) => { tcb.read(&mut &mut vec![0; count][..], &mut out); }
                Action::Timer => {
                    now = tcb.next_deadline().unwrap_or(now).max(now);
                    tcb.on_timer(now, &mut out);
                    prop_assert!(tcb.next_deadline().is_none_or(|at| at > now));
                }
                Action::Shutdown => tcb.shutdown_write(now, &mut out),
                Action::Close => tcb.close(now, &mut out),
            }
            prop_assert!(tcb.receive_queue() <= receive_buffer + 65_535);
            prop_assert!(tcb.send_queue() <= send_buffer);
            prop_assert!(out.segments.iter().all(|segment| segment.sequence_len() <= send_buffer + 1));
            prop_assert!(out.segments.len() <= 20_000);
        }
    }
}

#[test]
fn the_pair_used_here_is_what_it_says() {
    let (pair, _, _) = target();
    assert_eq!(pair.ends[CLIENT].tcb.state(), State::Established);
}
