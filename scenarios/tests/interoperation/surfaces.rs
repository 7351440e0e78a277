//! Administration, readiness, metrics and access log of both, side by side.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;

use serde_json::Value;

use crate::processes::{Proxy, World};
use crate::traffic::http;

/// Keys of upstream's that ours has not, with the reason.
const LEFT_OUT: [(&str, &str); 2] =
    [("/config/", "settings are named as each has them"), ("/version/", "how it was built is each one's own business")];

/// Families of upstream's that ours has not: they are about its runtime.
const OTHER_FAMILIES: [&str; 2] = ["tokio_", "process_"];

pub(crate) type Check = fn(&World) -> io::Result<()>;

pub(crate) const CHECKS: [(&str, Check); 6] = [
    ("/config_dump has their keys", dump),
    ("/metrics has their families", families),
    ("traffic metrics have their labels, in their order", labels),
    ("requests are answered with their status", statuses),
    ("/logging and readiness answer in their words", words),
    ("access log lines have their keys, in their order", log),
];

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}

/// Keys of objects at every depth; elements of lists count as one.
fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                // Names of things are no part of the shape.
                let key = if key.contains('/') || key.parse::<u16>().is_ok() { "*" } else { key };
                let path = format!("{path}/{key}");
                keys(value, &path, found);
                found.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, path, found)),
        _ => {}
    }
}

fn dump(world: &World) -> io::Result<()> {
    let shape = |proxy: &Proxy| {
        let mut found = BTreeSet::new();
        keys(&proxy.dump()?, "", &mut found);
        Ok::<_, io::Error>(found)
    };
    let (ours, theirs) = (shape(&world.ours)?, shape(&world.theirs)?);
    let is_left_out = |key: &&String| LEFT_OUT.iter().any(|(prefix, _)| key.starts_with(prefix));
    let missing: Vec<_> = theirs.difference(&ours).filter(|key| !is_left_out(key)).collect();
    if missing.is_empty() { Ok(()) } else { Err(wrong(format!("ours has not {missing:?}"))) }
}

fn families(world: &World) -> io::Result<()> {
    let names = |text: String| -> BTreeSet<String> {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.map(str::to_owned).filter(|name| !OTHER_FAMILIES.iter().any(|other| name.starts_with(other))).collect()
    };
    let (ours, theirs) = (names(world.ours.measure()?), names(world.theirs.measure()?));
    let missing: Vec<_> = theirs.difference(&ours).collect();
    if missing.is_empty() { Ok(()) } else { Err(wrong(format!("ours has not {missing:?}, but {ours:?}"))) }
}

fn labels(world: &World) -> io::Result<()> {
    for reporter in ["source", "destination"] {
        let of = |proxy: &Proxy| {
            let text = proxy.measure()?;
            let prefix = format!("istio_tcp_connections_opened_total{{reporter=\"{reporter}\"");
            let line = text.lines().find(|line| line.starts_with(&prefix)).unwrap_or_default().to_owned();
            let names = line.split("=\"").filter_map(|part| Some(part.rsplit_once([',', '{'])?.1.to_owned()));
            Ok::<_, io::Error>(names.collect::<Vec<String>>())
        };
        let (ours, theirs) = (of(&world.ours)?, of(&world.theirs)?);
        if ours != theirs || ours.is_empty() {
            return Err(wrong(format!("{reporter}: ours {ours:?}, theirs {theirs:?}")));
        }
    }
    Ok(())
}

fn statuses(world: &World) -> io::Result<()> {
    type Port = fn(&Proxy) -> SocketAddr;
    let (admin, metrics, readiness): (Port, Port, Port) = (|it| it.admin, |it| it.metrics, |it| it.readiness);
    let questions: [(Port, &str); 13] = [
        (admin, "GET /"),
        (admin, "GET /config_dump"),
        (admin, "GET /nonsense"),
        (admin, "GET /logging"),
        (admin, "POST /logging"),
        (admin, "POST /logging?level=nonsense"),
        (admin, "POST /logging?reset"),
        (admin, "GET /quitquitquit"),
        (metrics, "GET /metrics"),
        (metrics, "POST /stats/prometheus"),
        (metrics, "GET /nonsense"),
        (readiness, "POST /healthz/ready"),
        (readiness, "GET /nonsense"),
    ];
    let mut differ = Vec::new();
    for (port, question) in questions {
        let (ours, theirs) = (http(port(&world.ours), question)?.0, http(port(&world.theirs), question)?.0);
        if ours != theirs {
            differ.push(format!("{question}: ours {ours}, theirs {theirs}"));
        }
    }
    if differ.is_empty() { Ok(()) } else { Err(wrong(differ.join("; "))) }
}

fn words(world: &World) -> io::Result<()> {
    let ask = |question: &str, port: fn(&Proxy) -> SocketAddr| {
        Ok::<_, io::Error>((http(port(&world.ours), question)?.1, http(port(&world.theirs), question)?.1))
    };
    let (ours, theirs) = ask("GET /healthz/ready", |it| it.readiness)?;
    if ours != theirs {
        return Err(wrong(format!("readiness: ours {ours:?}, theirs {theirs:?}")));
    }
    let (ours, theirs) = ask("POST /logging?level=debug", |it| it.admin)?;
    let begins = "current log level is ";
    if !ours.starts_with(begins) || !theirs.starts_with(begins) || !ours.contains("debug") || !theirs.contains("debug")
    {
        return Err(wrong(format!("/logging: ours {ours:?}, theirs {theirs:?}")));
    }
    ask("POST /logging?reset", |it| it.admin).map(drop)
}

fn log(world: &World) -> io::Result<()> {
    for direction in ["inbound", "outbound"] {
        let of = |proxy: &Proxy| {
            let said = proxy.process.said();
            let is_one = |line: &&str| {
                line.contains("connection complete")
                    && line.contains(&format!("direction=\"{direction}\""))
                    && line.contains("dst.service=")
                    && !line.contains("error=")
            };
            let line = said.lines().find(is_one).unwrap_or_default().to_owned();
            let fields = line.split("connection complete").nth(1).unwrap_or_default().to_owned();
            fields.split_whitespace().filter_map(|field| Some(field.split_once('=')?.0.to_owned())).collect::<Vec<_>>()
        };
        let (ours, theirs) = (of(&world.ours), of(&world.theirs));
        if ours != theirs || ours.is_empty() {
            return Err(wrong(format!("{direction}: ours {ours:?}, theirs {theirs:?}")));
        }
    }
    Ok(())
}
