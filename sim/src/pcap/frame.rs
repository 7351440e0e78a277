//! [`frame`]: one packet as the bytes of an Ethernet frame.
//!
//! Correct to the last checksum: what is written is what a real stack would have sent. What the simulation does not have
//! is made up, the same way every time: hardware addresses from IP addresses, the IPv4 identification from the sequence
//! number, a time to live of 64.

use std::net::{IpAddr, SocketAddr};

use crate::wire::{Body, Flags, Packet, Segment, Unreachable};

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

/// The frame of a packet of one wire packet; a run of packets must be taken apart first.
pub fn frame(packet: &Packet) -> Vec<u8> {
    let (source, destination) = (packet.source, packet.destination);
    let (protocol, identification, payload) = match &packet.body {
        Body::Tcp(segment) => (TCP, segment.seq.0 as u16, tcp(source, destination, segment)),
        Body::Udp(payload) => (UDP, payload.len() as u16, udp(source, destination, payload)),
        Body::Unreachable(report) => {
            let protocol = if source.is_ipv4() { ICMP } else { ICMP6 };
            (protocol, 0, unreachable(source, destination, *report))
        }
    };
    let mut frame = Vec::with_capacity(14 + 40 + payload.len());
    frame.extend_from_slice(&hardware(destination.ip()));
    frame.extend_from_slice(&hardware(source.ip()));
    frame.extend_from_slice(&(if source.is_ipv4() { 0x0800u16 } else { 0x86dd }).to_be_bytes());
    internet(&mut frame, source.ip(), destination.ip(), protocol, identification, payload.len());
    frame.extend_from_slice(&payload);
    frame
}

/// A locally administered address.
fn hardware(address: IpAddr) -> [u8; 6] {
    let last = match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            [a, b, c, d]
        }
    };
    [2, if address.is_ipv4() { 0 } else { 6 }, last[0], last[1], last[2], last[3]]
}

fn internet(out: &mut Vec<u8>, source: IpAddr, destination: IpAddr, protocol: u8, identification: u16, length: usize) {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let begin = out.len();
            out.extend_from_slice(&[0x45, 0]);
            out.extend_from_slice(&((length + 20) as u16).to_be_bytes());
            out.extend_from_slice(&identification.to_be_bytes());
            out.extend_from_slice(&[0x40, 0, 64, protocol, 0, 0]);
            out.extend_from_slice(&source.octets());
            out.extend_from_slice(&destination.octets());
            let sum = fold(sum(&out[begin..]));
            out[begin + 10..begin + 12].copy_from_slice(&sum.to_be_bytes());
        }
        (source, destination) => {
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&(length as u16).to_be_bytes());
            out.extend_from_slice(&[protocol, 64]);
            out.extend_from_slice(&sixteen(source));
            out.extend_from_slice(&sixteen(destination));
        }
    }
}

fn sixteen(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn tcp(source: SocketAddr, destination: SocketAddr, segment: &Segment) -> Vec<u8> {
    let options = options(segment);
    let mut out = Vec::with_capacity(20 + options.len() + segment.payload.len());
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
    out.extend_from_slice(&segment.seq.0.to_be_bytes());
    let acknowledges = segment.flags.contains(Flags::ACK);
    out.extend_from_slice(&(if acknowledges { segment.ack.0 } else { 0 }).to_be_bytes());
    out.push(((20 + options.len()) as u8 / 4) << 4);
    out.push(segment.flags.0);
    out.extend_from_slice(&segment.window.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&options);
    out.extend_from_slice(&segment.payload);
    let checksum = transport_checksum(source.ip(), destination.ip(), TCP, &out);
    out[16..18].copy_from_slice(&checksum.to_be_bytes());
    out
}

fn options(segment: &Segment) -> Vec<u8> {
    let options = &segment.options;
    let mut out = Vec::new();
    if let Some(size) = options.mss {
        out.extend_from_slice(&[2, 4]);
        out.extend_from_slice(&size.to_be_bytes());
    }
    if let Some(scale) = options.window_scale {
        out.extend_from_slice(&[3, 3, scale]);
    }
    if options.sack_permitted {
        out.extend_from_slice(&[4, 2]);
    }
    if let Some(sack) = &options.sack {
        out.extend_from_slice(&[5, 2 + 8 * sack.blocks().len() as u8]);
        for (from, to) in sack.blocks() {
            out.extend_from_slice(&from.0.to_be_bytes());
            out.extend_from_slice(&to.0.to_be_bytes());
        }
    }
    // No operation.
    out.resize(out.len().next_multiple_of(4), 1);
    out
}

fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + payload.len());
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
    out.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(payload);
    let checksum = match transport_checksum(source.ip(), destination.ip(), UDP, &out) {
        // Zero would mean that there is none.
        0 => u16::MAX,
        checksum => checksum,
    };
    out[6..8].copy_from_slice(&checksum.to_be_bytes());
    out
}

/// Destination unreachable, with the head of the packet it is about.
fn unreachable(source: SocketAddr, destination: SocketAddr, report: Unreachable) -> Vec<u8> {
    let ipv4 = source.is_ipv4();
    let (kind, code) = match (ipv4, report.port) {
        (true, false) => (3, 1),
        (true, true) => (3, 3),
        (false, false) => (1, 3),
        (false, true) => (1, 4),
    };
    let mut out = vec![kind, code, 0, 0, 0, 0, 0, 0];
    let protocol = if report.tcp { TCP } else { UDP };
    internet(&mut out, destination.ip(), source.ip(), protocol, 0, if report.tcp { 20 } else { 8 });
    out.extend_from_slice(&destination.port().to_be_bytes());
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(if report.tcp { &[0; 4] } else { &[0, 8, 0, 0] });
    let checksum = if ipv4 { fold(sum(&out)) } else { transport_checksum(source.ip(), destination.ip(), ICMP6, &out) };
    out[2..4].copy_from_slice(&checksum.to_be_bytes());
    out
}

/// The Internet checksum over a transport packet and its pseudo header; 0 over one whose own checksum is right.
pub fn transport_checksum(source: IpAddr, destination: IpAddr, protocol: u8, packet: &[u8]) -> u16 {
    let addresses = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => sum(&source.octets()) + sum(&destination.octets()),
        (source, destination) => sum(&sixteen(source)) + sum(&sixteen(destination)),
    };
    fold(addresses + u64::from(protocol) + packet.len() as u64 + sum(packet))
}

/// The Internet checksum of a header; 0 over one whose own checksum is right.
pub fn header_checksum(header: &[u8]) -> u16 {
    fold(sum(header))
}

fn sum(bytes: &[u8]) -> u64 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let whole: u64 = pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum();
    whole + rest.first().map_or(0, |byte| u64::from(*byte) << 8)
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
