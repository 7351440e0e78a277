//! A scenario's knobs, turned.

use crate::exec::TaskOrder;
use crate::mesh::MeshConfig;
use crate::scenario::schema::tuning::{OrderWay, TuningSection};

/// Turns the knobs that a scenario turns. An order of tasks that was asked for otherwise stays.
pub(super) fn tune(config: &mut MeshConfig, tuning: &TuningSection) {
    if tuning.task_order == Some(OrderWay::Drawn) {
        config.sim.task_order = TaskOrder::Seeded;
    }
    let pool = &mut config.ztunnel.pool;
    if let Some(streams) = tuning.streams_per_tunnel {
        pool.streams_max = usize::try_from(streams).unwrap_or(usize::MAX).max(1);
    }
    if let Some(window) = tuning.window {
        let window = u32::try_from(window.0).unwrap_or(u32::MAX).clamp(1024, 1 << 30);
        for settings in [&mut pool.http2, &mut config.ztunnel.acceptor.http2] {
            (settings.stream_window, settings.connection_window) = (window, window);
        }
    }
    if let Some(timeout) = tuning.connect_timeout {
        pool.connect_timeout = timeout.0;
    }
    if let Some(delay) = tuning.push_delay {
        config.push.delay_most = delay.0;
        config.push.delay_least = config.push.delay_least.min(delay.0);
    }
    if let Some(quiet) = tuning.debounce {
        config.push.debounce_quiet = quiet.0;
        config.push.debounce_max = config.push.debounce_max.max(quiet.0);
    }
    if let Some(lifetime) = tuning.certificate_lifetime {
        config.ztunnel.certificates.validity = lifetime.0;
    }
}
