use std::time::Duration;

use proptest::prelude::*;

use super::pair::{CLIENT, Fate, Pair, SERVER, pattern};
use crate::tcp::{CloseReason, ReadState, TcpConfig};

/// What a network does to packets, in hundredths.
#[derive(Clone, Debug)]
struct Weather {
    loss: u64,
    duplication: u64,
    reordering: u64,
    seed: u64,
    bad_for: Duration,
}

fn weather() -> impl Strategy<Value = Weather> {
    (0u64..95, 0u64..40, 0u64..40, any::<u64>(), 0u64..20_000).prop_map(
        |(loss, duplication, reordering, seed, bad_for_ms)| Weather {
            loss,
            duplication,
            reordering,
            seed,
            bad_for: Duration::from_millis(bad_for_ms),
        },
    )
}

fn config() -> impl Strategy<Value = TcpConfig> {
    (prop_oneof![1u32..3_000, 3_000u32..100_000], 1u32..100_000, 100u16..2_000, any::<bool>(), any::<bool>()).prop_map(
        |(receive_buffer, send_buffer, mss, selective_acknowledgements, nagle)| TcpConfig {
            receive_buffer,
            send_buffer,
            mss,
            selective_acknowledgements,
            nagle,
            // Bad weather lasts seconds: nobody gives up in it.
            data_retries: 30,
            syn_retries: 30,
            syn_ack_retries: 30,
            rto_max: Duration::from_secs(5),
            ..TcpConfig::default()
        },
    )
}

fn under(weather: &Weather, client: TcpConfig, server: TcpConfig, initial: (u32, u32)) -> Pair {
    let Weather { loss, duplication, reordering, .. } = *weather;
    Pair::numbered(client, server, initial.0, initial.1).seeded(weather.seed, move |rng, _| Fate {
        drop: rng.below(100) < loss,
        duplicate: rng.below(100) < duplication,
        extra_delay: if rng.below(100) < reordering {
            Duration::from_micros(rng.below(30_000))
        } else {
            Duration::ZERO
        },
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// In bad weather what arrives is a prefix of what was sent; once it is over, everything and the end arrive.
    #[test]
    fn every_byte_and_both_ends_arrive_once_and_in_order(
        weather in weather(),
        client in config(),
        server in config(),
        sizes in (0usize..60_000, 0usize..60_000),
        initial in any::<(u32, u32)>(),
    ) {
        let mut pair = under(&weather, client, server, initial);
        pair.ends[CLIENT].to_write = pattern(sizes.0);
        pair.ends[CLIENT].finish = true;
        pair.run_for(weather.bad_for);
        let answer = pattern(sizes.1);
        if let Some(server) = pair.ends.get(SERVER) {
            prop_assert!(pair.ends[CLIENT].to_write.starts_with(&server.read));
        }
        pair.network = Box::new(|_, _| Fate::default());
        while pair.ends.len() < 2 {
            pair.run_for(Duration::from_secs(6));
        }
        pair.ends[SERVER].to_write = answer.clone();
        pair.ends[SERVER].finish = true;
        pair.run();
        prop_assert_eq!(&pair.ends[SERVER].read, &pair.ends[CLIENT].to_write);
        prop_assert_eq!(&pair.ends[CLIENT].read, &answer);
        for end in &pair.ends {
            prop_assert_eq!(end.tcb.read_state(), ReadState::End);
            prop_assert_eq!(end.tcb.close_reason(), Some(CloseReason::Finished));
        }
    }

    /// Steady loss below everything still lets everything through.
    #[test]
    fn steady_loss_only_delays(weather in weather(), sack in any::<bool>(), size in 0usize..200_000) {
        let config = TcpConfig {
            selective_acknowledgements: sack,
            data_retries: 200, syn_retries: 200, syn_ack_retries: 200,
            rto_max: Duration::from_secs(2),
            ..TcpConfig::default()
        };
        let weather = Weather { loss: weather.loss / 2, ..weather };
        let mut pair = under(&weather, config.clone(), config, (5, 6));
        pair.ends[CLIENT].to_write = pattern(size);
        pair.ends[CLIENT].finish = true;
        pair.run();
        prop_assert_eq!(&pair.ends[SERVER].read, &pair.ends[CLIENT].to_write);
        prop_assert_eq!(pair.ends[SERVER].tcb.read_state(), ReadState::End);
    }
}
