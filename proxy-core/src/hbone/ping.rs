//! [`Ping`]: is the peer still there?

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::PingPong;

use super::Http2Settings;
use crate::host::Host;

/// HTTP/2 PINGs on one connection, polled by the task that drives it. One timer, no task.
pub(crate) struct Ping<H> {
    host: H,
    ping_pong: PingPong,
    interval: Duration,
    timeout: Duration,
    /// A PING is unanswered: the timer is its deadline. Else the timer is when the next goes out.
    waiting: bool,
    timer: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<H: Host> Ping<H> {
    /// The first PING goes out an interval from now.
    pub(crate) fn new(host: H, ping_pong: PingPong, settings: &Http2Settings) -> Self {
        let timer = Box::pin(host.sleep(settings.ping_interval));
        let (interval, timeout) = (settings.ping_interval, settings.ping_timeout);
        Ping { host, ping_pong, interval, timeout, waiting: false, timer }
    }

    /// Ready when a PING went unanswered too long. Poll after the connection, which is what receives the answer.
    pub(crate) fn poll_dead(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.waiting {
                match self.ping_pong.poll_pong(context) {
                    Poll::Ready(Ok(_)) => {
                        self.waiting = false;
                        self.timer = Box::pin(self.host.sleep(self.interval));
                    }
                    // The connection is over and says so itself.
                    Poll::Ready(Err(_)) => return Poll::Pending,
                    Poll::Pending => return self.timer.as_mut().poll(context),
                }
            }
            std::task::ready!(self.timer.as_mut().poll(context));
            if self.ping_pong.send_ping(h2::Ping::opaque()).is_err() {
                return Poll::Pending;
            }
            self.waiting = true;
            self.timer = Box::pin(self.host.sleep(self.timeout));
        }
    }
}
