//! Our node proxy and our control plane against an unmodified ztunnel of upstream's, both ways. `.ci/interoperate PATH` runs
//! it; the procedure is described in INTEROPERATION.md. Without a binary (`ZTUNNEL`) it says so and ends.
#![cfg_attr(
    target_os = "linux",
    allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the processes are met where they live")
)]

#[cfg(target_os = "linux")]
mod checks;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(target_os = "linux")]
mod surfaces;
#[cfg(target_os = "linux")]
mod traffic;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("interoperation: skipped: upstream's ztunnel runs on Linux only");
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    let Some(ztunnel) = std::env::var_os("ZTUNNEL").map(std::path::PathBuf::from) else {
        println!("interoperation: skipped: no ztunnel to run against; give its path to .ci/interoperate");
        return std::process::ExitCode::SUCCESS;
    };
    match table::run(&ztunnel) {
        Ok(0) => std::process::ExitCode::SUCCESS,
        Ok(failed) => {
            println!("\n{failed} did not hold");
            std::process::ExitCode::FAILURE
        }
        Err(error) => {
            println!("interoperation: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "linux")]
mod table {
    //! All checks, a line each.

    use std::io::{self, Write};
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::path::Path;
    use std::time::Instant;

    use crate::checks::{self, Way};
    use crate::processes::{Supply, World};
    use crate::surfaces;
    use crate::traffic::{Applications, http};

    /// Runs every check; gives how many did not hold.
    pub(crate) fn run(ztunnel: &Path) -> io::Result<usize> {
        let ours = Applications::start(Ipv6Addr::LOCALHOST.into())?;
        let theirs = Applications::start(Ipv4Addr::LOCALHOST.into())?;
        let mut failed = 0;
        for supply in [Supply::ControlPlane, Supply::File] {
            let folder = tempfile::tempdir()?;
            let mut world = World::start(ztunnel, folder.path(), supply)?;
            println!(
                "\n== configuration from {}",
                match supply {
                    Supply::ControlPlane => "our control plane, certificates from our authority",
                    Supply::File => "a local file, certificates from our authority",
                }
            );
            failed += between(&world, &ours, &theirs, supply);
            if supply == Supply::ControlPlane {
                for (name, check) in surfaces::CHECKS {
                    failed += tell("both", name, || check(&world));
                }
            }
            failed += tell("both", "they end when told to, and say so", || ends(&mut world));
        }
        Ok(failed)
    }

    fn between(world: &World, ours: &Applications, theirs: &Applications, supply: Supply) -> usize {
        let (our_identity, their_identity) =
            ("spiffe://cluster.local/ns/ours/sa/our-app", "spiffe://cluster.local/ns/theirs/sa/their-app");
        let ways = [
            Way {
                name: "ours → theirs",
                client: &world.ours,
                server: &world.theirs,
                client_identity: our_identity,
                server_identity: their_identity,
                applications: theirs,
                service: Ipv4Addr::new(127, 9, 0, 2).into(),
            },
            Way {
                name: "theirs → ours",
                client: &world.theirs,
                server: &world.ours,
                client_identity: their_identity,
                server_identity: our_identity,
                applications: ours,
                service: Ipv4Addr::new(127, 9, 0, 1).into(),
            },
        ];
        let mut failed = 0;
        for way in &ways {
            for (name, check) in checks::CHECKS {
                failed += tell(way.name, name, || check(way));
            }
        }
        if supply == Supply::ControlPlane {
            failed += tell("both ways", "a policy that comes cuts open streams", || checks::change_cuts(world, &ways));
            failed += tell("both ways", "an impostor is not spoken to", || checks::impostors(world, &ways));
        }
        failed
    }

    /// SIGTERM for theirs, a request for ours.
    fn ends(world: &mut World) -> io::Result<()> {
        world.theirs.process.signal("-TERM")?;
        http(world.ours.admin, "POST /quitquitquit")?;
        let (ours, theirs) = (world.ours.process.ended()?, world.theirs.process.ended()?);
        if ours == 0 && theirs == 0 { Ok(()) } else { Err(io::Error::other(format!("ours {ours}, theirs {theirs}"))) }
    }

    fn tell(way: &str, name: &str, check: impl FnOnce() -> io::Result<()>) -> usize {
        let start = Instant::now();
        let outcome = check();
        let mark = if outcome.is_ok() { '✓' } else { '✗' };
        println!("  {mark} {way:<14} {name:<52} {:>6} ms", start.elapsed().as_millis());
        if let Err(error) = &outcome {
            println!("      {error}");
        }
        let _ = io::stdout().flush();
        usize::from(outcome.is_err())
    }
}
