//! [`Block`]: which addresses of this machine a mesh has.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use proxy_core::host::{Claim, TokioHost};

/// Second numbers of the blocks that are tried: 127.64.0.0/16 and on.
const CHOICES: std::ops::RangeInclusive<u8> = 64..=191;
/// Whoever holds this port of a block's last address has the block.
const CLAIM_PORT: u16 = 15_099;

/// A /16 of 127.0.0.0/8 that no other mesh of this machine has, until it is dropped.
#[derive(Debug)]
pub struct Block {
    second: u8,
    _claim: Claim,
}

/// Why there is no block.
#[derive(Debug)]
pub struct BlockError {
    /// The block asked for, if one was.
    asked: Option<u8>,
    error: io::Error,
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, error } = self;
        let second = asked.unwrap_or(*CHOICES.start());
        if error.kind() == io::ErrorKind::AddrNotAvailable {
            return write!(
                f,
                "this machine has no address 127.{second}.0.1: Linux answers on all of 127.0.0.0/8, other systems only where \
                 told to; run this on Linux or in a Linux container"
            );
        }
        match asked {
            Some(second) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "another mesh has 127.{second}.0.0/16: give another block, or none to have one chosen")
            }
            Some(second) => write!(f, "127.{second}.0.0/16 cannot be had: {error}"),
            None => write!(
                f,
                "none of 127.{}.0.0/16 to 127.{}.0.0/16 is free (the last: {error}); end another mesh",
                CHOICES.start(),
                CHOICES.end()
            ),
        }
    }
}

impl std::error::Error for BlockError {}

impl Block {
    /// The first free block.
    ///
    /// # Errors
    /// None is free, or this machine does not answer on them.
    pub fn choose(host: &TokioHost) -> Result<Block, BlockError> {
        let mut last = io::Error::other("there are none");
        for second in CHOICES {
            match Block::claim(host, second) {
                Ok(block) => return Ok(block),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(BlockError { asked: None, error }),
            }
        }
        Err(BlockError { asked: None, error: last })
    }

    /// The block 127.`second`.0.0/16.
    ///
    /// # Errors
    /// Another mesh has it, or this machine does not answer there.
    pub fn exactly(host: &TokioHost, second: u8) -> Result<Block, BlockError> {
        Block::claim(host, second).map_err(|error| BlockError { asked: Some(second), error })
    }

    fn claim(host: &TokioHost, second: u8) -> io::Result<Block> {
        let at = SocketAddr::from((Ipv4Addr::new(127, second, 255, 254), CLAIM_PORT));
        Ok(Block { second, _claim: host.claim(at)? })
    }

    /// The address with these last two numbers.
    pub(super) fn address(&self, third: u8, fourth: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.second, third, fourth)
    }
}
