use super::*;

const ON: Option<Capture> = Some(Capture { bypass_inbound: false, dns: false });
const WITH_DNS: Option<Capture> = Some(Capture { bypass_inbound: false, dns: true });

fn facts(protocol: Protocol, source: &str, destination: &str, mark: u32, own: bool) -> Facts {
    let parse = |text: &str| text.parse().expect("a socket address");
    Facts { protocol, source: parse(source), destination: parse(destination), mark, own }
}

#[test]
fn outbound_matrix() {
    use Decision::*;
    use Protocol::*;
    let pod = "10.0.0.1:40000";
    let table = [
        (None, facts(Tcp, pod, "10.0.0.2:80", 0, false), NotCaptured),
        (ON, facts(Tcp, pod, "10.0.0.2:80", 0, false), Redirect(15001)),
        (ON, facts(Tcp, pod, "10.0.0.2:15008", 0, false), Redirect(15001)),
        (ON, facts(Tcp, pod, "10.0.0.2:80", 0x539, false), Marked),
        (ON, facts(Tcp, pod, "10.0.0.2:80", 0xa539, false), Marked),
        (ON, facts(Tcp, pod, "10.0.0.2:80", 0x538, false), Redirect(15001)),
        (ON, facts(Tcp, pod, "127.0.0.1:80", 0, true), Own),
        (ON, facts(Tcp, pod, "127.1.2.3:80", 0, false), Own),
        (ON, facts(Tcp, pod, "10.0.0.1:80", 0, true), Own),
        (ON, facts(Tcp, pod, "10.0.0.2:53", 0, false), Redirect(15001)),
        (ON, facts(Udp, pod, "10.0.0.2:53", 0, false), OtherProtocol),
        (WITH_DNS, facts(Tcp, pod, "10.0.0.2:53", 0, false), Redirect(15053)),
        (WITH_DNS, facts(Udp, pod, "10.0.0.2:53", 0, false), Redirect(15053)),
        (WITH_DNS, facts(Udp, pod, "10.0.0.2:53", 0x539, false), Marked),
        (WITH_DNS, facts(Udp, pod, "127.0.0.1:53", 0, true), Own),
        (WITH_DNS, facts(Udp, pod, "10.0.0.2:443", 0, false), OtherProtocol),
        (ON, facts(Tcp, "[fd00::1]:4", "[fd00::2]:80", 0, false), Redirect(15001)),
        (ON, facts(Tcp, "[fd00::1]:4", "[::1]:80", 0, true), Own),
    ];
    for (row, (capture, facts, expected)) in table.into_iter().enumerate() {
        assert_eq!(outbound(capture, &facts), expected, "row {row}: {facts:?}");
    }
}

#[test]
fn inbound_matrix() {
    use Decision::*;
    use Protocol::*;
    let bypassed = Some(Capture { bypass_inbound: true, dns: true });
    let client = "10.0.0.9:40000";
    let table = [
        (None, facts(Tcp, client, "10.0.0.1:80", 0, false), NotCaptured),
        (ON, facts(Tcp, client, "10.0.0.1:80", 0, false), Redirect(15006)),
        // A mark is local to the namespace that set it; one from outside exempts nothing.
        (ON, facts(Tcp, client, "10.0.0.1:80", 0x539, false), Redirect(15006)),
        (ON, facts(Tcp, client, "10.0.0.1:15001", 0, false), Redirect(15006)),
        (ON, facts(Tcp, client, "10.0.0.1:15008", 0, false), Hbone),
        (ON, facts(Tcp, "169.254.7.127:4", "10.0.0.1:80", 0, false), Probe),
        (ON, facts(Tcp, "[fd16:9254:7127:1337:ffff:ffff:ffff:ffff]:4", "[fd00::1]:80", 0, false), Probe),
        (ON, facts(Tcp, "169.254.7.126:4", "10.0.0.1:80", 0, false), Redirect(15006)),
        (ON, facts(Tcp, "10.0.0.1:4", "10.0.0.1:80", 0, true), Own),
        (WITH_DNS, facts(Udp, client, "10.0.0.1:53", 0, false), OtherProtocol),
        (WITH_DNS, facts(Tcp, client, "10.0.0.1:53", 0, false), Redirect(15006)),
        (bypassed, facts(Tcp, client, "10.0.0.1:80", 0, false), Bypassed),
    ];
    for (row, (capture, facts, expected)) in table.into_iter().enumerate() {
        assert_eq!(inbound(capture, &facts), expected, "row {row}: {facts:?}");
    }
}
