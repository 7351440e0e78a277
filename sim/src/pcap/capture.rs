//! [`Capture`]: writes what it sees.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use proxy_core::host::WallTime;
use proxy_core::tls::KeyLog;

use super::{blocks, frame};
use crate::node::Sim;
use crate::tcp;
use crate::wire::{Alteration, Body, DropReason, NamespaceId, Packet, Sight, SightKind, Tap};

/// Opens the file of a namespace, by its name.
pub type Opener = dyn FnMut(&str) -> io::Result<Box<dyn Write + Send>> + Send;

/// Where capture files go.
pub enum Files {
    /// One file for everything, each packet once, as it left its sender.
    One(Box<dyn Write + Send>),
    /// A file for each namespace, with what left it and what reached it. Called with the namespace's name when something is
    /// first seen there.
    Each(Box<Opener>),
}

/// A tap that writes captures. A cheap handle; clones write to the same files. It changes nothing in a run.
///
/// Writing goes on after an error of a file; the first one is kept for [`Capture::finish`].
#[derive(Clone)]
pub struct Capture(Arc<Mutex<State>>);

struct State {
    files: Files,
    comment: String,
    epoch: WallTime,
    /// By namespace: its file. In one file it is the interface that differs.
    open: BTreeMap<NamespaceId, Open>,
    shared: Option<Output>,
    /// What a file opened later must hold, too.
    secrets: Vec<String>,
    names: BTreeMap<IpAddr, String>,
    /// Written with the next sight, for a fault may still have something to do with it.
    last: Vec<Pending>,
    error: Option<io::Error>,
}

struct Open {
    own: Option<Output>,
    interface: u32,
}

struct Output {
    to: Box<dyn Write + Send>,
    interfaces: u32,
}

struct Pending {
    namespace: NamespaceId,
    place: String,
    at: u64,
    frame: Vec<u8>,
    comments: Vec<String>,
}

impl Capture {
    /// Writes to these files; `comment` opens each of them.
    pub fn new(files: Files, comment: &str) -> Self {
        Capture(Arc::new(Mutex::new(State {
            files,
            comment: comment.to_owned(),
            epoch: WallTime::from_unix_secs(0),
            open: BTreeMap::new(),
            shared: None,
            secrets: Vec::new(),
            names: BTreeMap::new(),
            last: Vec::new(),
            error: None,
        })))
    }

    /// Sees the packets of this run from now on.
    pub fn attach(&self, sim: &Sim, epoch: WallTime) {
        self.0.lock().epoch = epoch;
        sim.add_tap(Arc::new(self.clone()));
    }

    /// Says what addresses are called; the last word on one that is told again wins.
    pub fn name_addresses(&self, names: impl IntoIterator<Item = (IpAddr, String)>) {
        let mut state = self.0.lock();
        let new: Vec<(IpAddr, String)> =
            names.into_iter().filter(|(address, name)| state.names.get(address) != Some(name)).collect();
        if new.is_empty() {
            return;
        }
        state.flush();
        state.names.extend(new.iter().cloned());
        let block = blocks::names(&new);
        state.write_all_files(&block);
    }

    /// Ends all files.
    ///
    /// # Errors
    /// The first error of any file.
    pub fn finish(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.flush();
        let State { open, shared, error, .. } = &mut *state;
        let outputs = open.values_mut().filter_map(|open| open.own.as_mut()).chain(shared.as_mut());
        for output in outputs {
            if let Err(wrong) = output.to.flush() {
                error.get_or_insert(wrong);
            }
        }
        error.take().map_or(Ok(()), Err)
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").finish_non_exhaustive()
    }
}

/// Takes secrets as they are made: before the first byte they protect, so that they stand before it in the file.
impl KeyLog for Capture {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let mut state = self.0.lock();
        state.flush();
        state.write_all_files(&blocks::secrets(&line));
        state.secrets.push(line);
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl Tap for Capture {
    fn packet(&self, sight: &Sight<'_>) {
        let mut state = self.0.lock();
        let each = matches!(state.files, Files::Each(_));
        match sight.what {
            SightKind::Sent => state.note(sight, Vec::new()),
            // Within a namespace there is one wire, and it has been seen there.
            SightKind::Delivered if each && !sight.local => state.note(sight, Vec::new()),
            SightKind::Delivered => {}
            SightKind::Impaired(alteration) => state.comment(sight, altered(alteration)),
            SightKind::Dropped(reason) => {
                let comment = format!("dropped: {}", in_words(reason));
                // Lost where it should have arrived: a second look at it, there.
                match reason {
                    DropReason::NodeDown | DropReason::NamespaceGone => state.note(sight, vec![comment]),
                    _ => state.comment(sight, comment),
                }
            }
        }
    }
}

impl State {
    fn note(&mut self, sight: &Sight<'_>, comments: Vec<String>) {
        self.flush();
        let at = self.epoch.unix_nanos().saturating_add(sight.at.as_nanos());
        let (source, destination) = (sight.packet.source, sight.packet.destination);
        let known = self.open.contains_key(&sight.namespace);
        let pending = |packet: &Packet| Pending {
            namespace: sight.namespace,
            place: if known { String::new() } else { sight.place.to_owned() },
            at,
            frame: frame::frame(packet),
            comments: comments.clone(),
        };
        self.last = match &sight.packet.body {
            Body::Tcp(segment) if segment.wire_packets() > 1 => tcp::split(segment.clone())
                .map(|segment| pending(&Packet { source, destination, body: Body::Tcp(segment) }))
                .collect(),
            _ => vec![pending(sight.packet)],
        };
    }

    /// Says something of the packets seen last, if it is of them.
    fn comment(&mut self, sight: &Sight<'_>, comment: String) {
        let at = self.epoch.unix_nanos().saturating_add(sight.at.as_nanos());
        for pending in &mut self.last {
            if pending.at == at && pending.namespace == sight.namespace {
                pending.comments.push(comment.clone());
            }
        }
    }

    fn flush(&mut self) {
        for pending in std::mem::take(&mut self.last) {
            if let Err(error) = self.write(&pending) {
                self.error.get_or_insert(error);
            }
        }
    }

    fn write(&mut self, pending: &Pending) -> io::Result<()> {
        if !self.open.contains_key(&pending.namespace) {
            let open = self.open(&pending.place)?;
            self.open.insert(pending.namespace, open);
        }
        let Some(open) = self.open.get_mut(&pending.namespace) else { return Ok(()) };
        let block = blocks::packet(open.interface, pending.at, &pending.frame, &pending.comments);
        match open.own.as_mut().or(self.shared.as_mut()) {
            Some(output) => output.to.write_all(&block),
            None => Ok(()),
        }
    }

    /// Describes a namespace, in its own file or as one more interface of the one file.
    fn open(&mut self, name: &str) -> io::Result<Open> {
        if let Files::Each(opener) = &mut self.files {
            let mut output = Output { to: opener(name)?, interfaces: 1 };
            output.to.write_all(&self.heading())?;
            output.to.write_all(&blocks::interface(name))?;
            return Ok(Open { own: Some(output), interface: 0 });
        }
        self.begin()?;
        let Some(output) = &mut self.shared else { return Ok(Open { own: None, interface: 0 }) };
        output.to.write_all(&blocks::interface(name))?;
        output.interfaces += 1;
        Ok(Open { own: None, interface: output.interfaces - 1 })
    }

    /// Begins the one file, if there is to be one.
    fn begin(&mut self) -> io::Result<()> {
        if self.shared.is_some() {
            return Ok(());
        }
        let heading = self.heading();
        if let Files::One(to) = &mut self.files {
            let mut to = std::mem::replace(to, Box::new(io::sink()));
            to.write_all(&heading)?;
            self.shared = Some(Output { to, interfaces: 0 });
        }
        Ok(())
    }

    /// What every file begins with.
    fn heading(&self) -> Vec<u8> {
        let mut heading = blocks::section(&self.comment);
        if !self.names.is_empty() {
            let names: Vec<_> = self.names.iter().map(|(address, name)| (*address, name.clone())).collect();
            heading.extend_from_slice(&blocks::names(&names));
        }
        for line in &self.secrets {
            heading.extend_from_slice(&blocks::secrets(line));
        }
        heading
    }

    /// Writes a block to every file there is. Files opened later get it with their heading.
    fn write_all_files(&mut self, block: &[u8]) {
        let State { open, shared, error, .. } = self;
        for output in open.values_mut().filter_map(|open| open.own.as_mut()).chain(shared.as_mut()) {
            if let Err(wrong) = output.to.write_all(block) {
                error.get_or_insert(wrong);
            }
        }
    }
}

fn altered(alteration: Alteration) -> String {
    let late = |nanos: u64| format!("{} us", nanos / 1_000);
    match alteration {
        Alteration::Delayed(nanos) => format!("fault: arrives {} later", late(nanos)),
        Alteration::HeldBack(nanos) => format!("fault: held back {}, others overtake it", late(nanos)),
        Alteration::Duplicated => "fault: arrives twice".to_owned(),
        Alteration::Corrupted => "fault: arrives with another byte than it left with".to_owned(),
    }
}

fn in_words(reason: DropReason) -> &'static str {
    match reason {
        DropReason::NoRoute => "nobody has the address",
        DropReason::NamespaceGone => "the receiver's network is gone",
        DropReason::NoSocket => "nobody listens on the port",
        DropReason::Loss => "the link lost it",
        DropReason::Cut => "the link is cut",
        DropReason::QueueFull => "the link's queue is full",
        DropReason::TooBig => "larger than the link takes",
        DropReason::BacklogFull => "the listener's backlog is full",
        DropReason::ReceiveBufferFull => "the receiver's buffer is full",
        DropReason::Rule => "a rule forbids it",
        DropReason::BadSource => "its source address is not the sender's",
        DropReason::Partition => "fault: a partition",
        DropReason::LinkDown => "fault: the link is down",
        DropReason::InjectedLoss => "fault: loss",
        DropReason::InjectedQueueFull => "fault: the queue of a narrow link is full",
        DropReason::NodeDown => "fault: the node is down",
    }
}
