use std::time::Duration;

use super::pair::{CLIENT, Fate, Pair, SERVER, pattern};
use crate::tcp::{Changes, CloseReason, ReadState, State, TcpConfig, WriteState};
use crate::wire::Flags;

fn connected() -> Pair {
    Pair::connected(TcpConfig::default(), TcpConfig::default())
}

#[test]
fn either_side_may_finish_first_and_the_other_direction_stays_open() {
    for (first, second) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
        let mut pair = connected();
        pair.ends[first].to_write = b"question".to_vec();
        pair.ends[first].finish = true;
        pair.run_for(Duration::from_secs(90));
        assert_eq!(pair.ends[second].tcb.read_state(), ReadState::End);
        assert_eq!(pair.ends[first].tcb.state(), State::FinWait2);
        assert_eq!(pair.ends[first].tcb.write_state(), WriteState::Ended);
        pair.ends[second].to_write = pattern(200_000);
        pair.ends[second].finish = true;
        pair.run();
        assert_eq!(pair.ends[first].read, pair.ends[second].to_write);
        assert_eq!(pair.ends[first].tcb.read_state(), ReadState::End);
        for end in &pair.ends {
            assert_eq!(end.tcb.close_reason(), Some(CloseReason::Finished));
            assert!(end.changes.has(Changes::CLOSED));
        }
    }
}

#[test]
fn the_side_that_finished_first_waits() {
    let mut pair = connected();
    pair.ends[CLIENT].finish = true;
    pair.run_for(Duration::from_millis(20));
    pair.ends[SERVER].finish = true;
    pair.run_for(Duration::from_millis(20));
    assert_eq!(pair.ends[CLIENT].tcb.state(), State::TimeWait);
    assert_eq!(pair.ends[SERVER].tcb.state(), State::Closed);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.ends[CLIENT].tcb.state(), State::Closed);
}

#[test]
fn both_sides_may_finish_at_once() {
    let mut pair = connected();
    pair.ends[CLIENT].finish = true;
    pair.ends[SERVER].finish = true;
    pair.applications();
    pair.run_for(Duration::from_millis(6));
    assert!(pair.ends.iter().all(|end| end.tcb.state() == State::Closing));
    pair.run_for(Duration::from_millis(6));
    assert!(pair.ends.iter().all(|end| end.tcb.state() == State::TimeWait));
    pair.run();
    assert!(pair.ends.iter().all(|end| end.tcb.close_reason() == Some(CloseReason::Finished)));
}

#[test]
fn a_lost_end_is_resent_until_it_arrives() {
    for lost in 1..6 {
        let mut left = lost;
        let mut pair = connected().seeded(3, move |_, segment| {
            let drop = segment.flags.contains(Flags::FIN) && left > 0;
            left -= u32::from(drop);
            Fate { drop, ..Fate::default() }
        });
        pair.ends[CLIENT].to_write = pattern(5_000);
        pair.ends[CLIENT].finish = true;
        pair.run_for(Duration::from_secs(60));
        assert_eq!(pair.ends[SERVER].read, pair.ends[CLIENT].to_write);
        assert_eq!(pair.ends[SERVER].tcb.read_state(), ReadState::End, "{lost} lost");
    }
}

#[test]
fn an_end_that_overtakes_its_data_waits_for_it() {
    let mut pair = connected();
    pair.network = Box::new(|_, segment| Fate {
        extra_delay: Duration::from_millis(if segment.payload.is_empty() { 0 } else { 50 }),
        ..Fate::default()
    });
    pair.on(CLIENT, |tcb, now, out| tcb.write(now, b"late", out));
    pair.on(CLIENT, |tcb, now, out| tcb.shutdown_write(now, out));
    pair.run_for(Duration::from_millis(20));
    assert_eq!(pair.ends[SERVER].tcb.read_state(), ReadState::Empty);
    pair.run_for(Duration::from_millis(60));
    assert_eq!(pair.ends[SERVER].read, b"late");
    assert_eq!(pair.ends[SERVER].tcb.read_state(), ReadState::End);
}

#[test]
fn abort_resets_the_peer_at_once() {
    let mut pair = connected();
    pair.on(CLIENT, |tcb, now, out| tcb.write(now, b"read me first", out));
    pair.run();
    pair.ends[SERVER].reads = false;
    pair.on(CLIENT, |tcb, now, out| tcb.write(now, b"still readable", out));
    pair.on(CLIENT, |tcb, _, out| tcb.abort(out));
    pair.run();
    assert_eq!(pair.ends[CLIENT].tcb.close_reason(), Some(CloseReason::Aborted));
    let server = &mut pair.ends[SERVER];
    assert_eq!(server.tcb.close_reason(), Some(CloseReason::Reset));
    assert_eq!(server.tcb.read_state(), ReadState::Bytes(14));
    server.reads = true;
    pair.run();
    assert_eq!(pair.ends[SERVER].tcb.read_state(), ReadState::Failed(CloseReason::Reset));
    assert_eq!(pair.ends[SERVER].tcb.write_state(), WriteState::Failed(CloseReason::Reset));
}

#[test]
fn close_delivers_what_was_written() {
    let mut pair = connected();
    let data = pattern(300_000);
    assert_eq!(pair.on(CLIENT, |tcb, now, out| tcb.write(now, &data, out)), data.len());
    pair.on(CLIENT, |tcb, now, out| tcb.close(now, out));
    pair.ends[SERVER].finish = true;
    pair.run();
    assert_eq!(pair.ends[SERVER].read, data);
    assert!(pair.ends.iter().all(|end| end.tcb.close_reason() == Some(CloseReason::Finished)));
}

#[test]
fn close_with_unread_bytes_is_a_reset() {
    let mut pair = connected();
    pair.ends[SERVER].reads = false;
    pair.on(CLIENT, |tcb, now, out| tcb.write(now, b"ignored", out));
    pair.run();
    pair.on(SERVER, |tcb, now, out| tcb.close(now, out));
    pair.run();
    assert_eq!(pair.ends[CLIENT].tcb.close_reason(), Some(CloseReason::Reset));
}

#[test]
fn bytes_for_a_closed_reader_are_answered_with_a_reset() {
    let mut pair = connected();
    pair.on(SERVER, |tcb, now, out| tcb.close(now, out));
    pair.run_for(Duration::from_secs(1));
    pair.on(CLIENT, |tcb, now, out| tcb.write(now, b"anyone?", out));
    pair.run();
    assert_eq!(pair.ends[CLIENT].tcb.close_reason(), Some(CloseReason::Reset));
    assert_eq!(pair.ends[SERVER].tcb.close_reason(), Some(CloseReason::Aborted));
}

#[test]
fn a_closed_side_does_not_wait_for_ever_for_the_other_end() {
    let mut pair = connected();
    pair.on(CLIENT, |tcb, now, out| tcb.close(now, out));
    pair.run_for(Duration::from_secs(59));
    assert_eq!(pair.ends[CLIENT].tcb.state(), State::FinWait2);
    pair.run_for(Duration::from_secs(2));
    assert_eq!(pair.ends[CLIENT].tcb.state(), State::Closed);
}
