//! [`WireServer`]: listens, and serves configuration and certificates.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::Host;
use proxy_core::grpc::{Acceptor, Code, GrpcSettings, IncomingCall, Status};
use proxy_core::host::{Listener, Rng};
use proxy_core::tls::{TlsError, TlsOptions};
use proxy_core::xds::{CREATE_CERTIFICATE, DELTA_RESOURCES};

use super::encoding::Encodings;
use super::{certificates, discovery};
use crate::control::{ControlPlane, MeshAuthority};

/// How a control plane is served.
#[derive(Clone, Debug)]
pub struct WireConfig {
    /// Names and addresses its certificate carries.
    pub names: Vec<String>,
    /// How long that certificate is valid.
    pub validity: Duration,
    /// Speak TLS; otherwise HTTP/2 in the clear.
    pub tls: Option<TlsOptions>,
    /// Bounds and times.
    pub grpc: GrpcSettings,
}

impl Default for WireConfig {
    /// istiod's names, over TLS, with a certificate for ten years: nothing here renews it.
    fn default() -> Self {
        WireConfig {
            names: vec!["istiod.istio-system.svc".to_owned(), "istiod.istio-system.svc.cluster.local".to_owned()],
            validity: Duration::from_secs(10 * 365 * 24 * 3600),
            tls: Some(TlsOptions::default()),
            grpc: GrpcSettings { message_max: REQUEST_MAX, ..GrpcSettings::default() },
        }
    }
}

/// A request is at most a list of what a subscriber holds.
const REQUEST_MAX: usize = 64 << 20;
/// After a listener failed to accept: it may be out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A control plane on the wire. Lives in the process of its host: killing that ends every stream.
///
/// Takes nobody's word for who it is: every call carries a bearer token, and the token says who calls.
pub struct WireServer<H: Host> {
    host: H,
    control: ControlPlane<H>,
    authority: MeshAuthority<H>,
    acceptor: Acceptor,
    encodings: Encodings,
}

impl<H: Host> WireServer<H> {
    /// Listens at `at` in the namespace of `host`, and serves what `control` and `authority` have to say. Gives the
    /// address, with the port the network chose when 0 was asked.
    ///
    /// # Errors
    /// It cannot listen there, or its certificate cannot be made.
    pub fn start(
        host: H,
        at: SocketAddr,
        control: ControlPlane<H>,
        authority: MeshAuthority<H>,
        config: &WireConfig,
    ) -> io::Result<SocketAddr> {
        let tls = match &config.tls {
            None => None,
            Some(options) => {
                let mut rng: Rng = host.rng("control/wire");
                let made = authority.issue_server(&config.names, config.validity, &mut rng);
                Some((Arc::new(made.map_err(|error: TlsError| io::Error::other(error))?), options.clone()))
            }
        };
        let listener = host.listen(at)?;
        let at = listener.local_addr();
        let acceptor = Acceptor { settings: config.grpc.clone(), tls };
        let server = WireServer { host: host.clone(), control, authority, acceptor, encodings: Encodings::default() };
        host.spawn("control plane listener", listen(Arc::new(server), listener));
        Ok(at)
    }
}

async fn listen<H: Host>(server: Arc<WireServer<H>>, listener: H::Listener) {
    loop {
        match listener.accept().await {
            Ok(accepted) => server.host.spawn("control plane connection", connection(server.clone(), accepted.stream)),
            Err(error) => {
                tracing::debug!(%error, "the control plane cannot accept");
                server.host.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection<H: Host>(server: Arc<WireServer<H>>, stream: H::Tcp) {
    let mut connection = match server.acceptor.accept(&server.host, stream).await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(%error, "a client of the control plane failed to shake hands");
            return;
        }
    };
    while let Some(call) = connection.next().await {
        server.host.spawn("control plane call", serve(server.clone(), call));
    }
}

async fn serve<H: Host>(server: Arc<WireServer<H>>, call: IncomingCall) {
    let none = "there is no token; it goes into the header `authorization: Bearer …`";
    let caller = match call.bearer().ok_or(none).and_then(|token| server.authority.caller(token)) {
        Ok(caller) => caller,
        Err(why) => return call.refuse(&Status::new(Code::Unauthenticated, why)),
    };
    match call.path() {
        DELTA_RESOURCES => {
            let Ok(mut call) = call.accept() else { return };
            let status = discovery::serve(&mut call, &server.control, &server.encodings).await;
            call.finish(&status);
        }
        CREATE_CERTIFICATE => certificates::serve(call, server.authority.clone(), caller).await,
        path => {
            let unknown = Status::new(Code::Unimplemented, format!("there is no method {path} here"));
            call.refuse(&unknown);
        }
    }
}
