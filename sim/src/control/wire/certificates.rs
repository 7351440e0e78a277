//! `CreateCertificate`: who asks, for whom, and what is answered.

use std::sync::Arc;
use std::time::Duration;

use proxy_core::Host;
use proxy_core::grpc::{Code, IncomingCall, Status};
use proxy_core::identity::{AuthorityError, CertificateAuthority, Identity, SigningRequest};
use proxy_core::proto::wire::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};
use proxy_core::proto::wire::value;
use proxy_core::tls::pem;
use proxy_core::xds::IMPERSONATED_IDENTITY;

use crate::control::MeshAuthority;

/// For requests that do not say.
const VALIDITY: Duration = Duration::from_secs(24 * 3600);

/// Answers one request of the proxy of `node`.
pub(super) async fn serve<H: Host>(mut call: IncomingCall, authority: MeshAuthority<H>, node: Arc<str>) {
    let answer = match call.message().await {
        Ok(request) => sign(&authority, &node, request).await,
        Err(status) => Err(status),
    };
    match answer {
        Err(status) => call.refuse(&status),
        Ok(answer) => {
            // If the client is gone there is nobody to tell.
            let Ok(mut call) = call.accept() else { return };
            if call.send(&answer).is_ok() {
                call.finish(&Status::ok());
            }
        }
    }
}

async fn sign<H: Host>(
    authority: &MeshAuthority<H>,
    node: &str,
    request: IstioCertificateRequest,
) -> Result<IstioCertificateResponse, Status> {
    let wrong = |what: String| Status::new(Code::InvalidArgument, what);
    let fields = request.metadata.as_ref().map(|metadata| &metadata.fields);
    let named = fields.and_then(|fields| fields.get(IMPERSONATED_IDENTITY)).and_then(|value| value.kind.as_ref());
    let Some(value::Kind::StringValue(named)) = named else {
        return Err(wrong(format!("the request does not say whom it is for ({IMPERSONATED_IDENTITY})")));
    };
    let impersonated: Identity = named.parse().map_err(|error| wrong(format!("{error}")))?;
    let csr_der = pem::signing_request(request.csr.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    let validity = match u64::try_from(request.validity_duration) {
        Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
        _ => VALIDITY,
    };
    let signed = authority.for_node(node).sign(SigningRequest { csr_der, impersonated, validity }).await;
    let signed = signed.map_err(|error| match error {
        AuthorityError::Refused(why) => Status::new(Code::Unauthenticated, why),
        AuthorityError::Unavailable(why) => Status::new(Code::Unavailable, why),
    })?;
    let mut cert_chain: Vec<String> = signed.chain.iter().map(|der| pem::encode_certificate(der)).collect();
    cert_chain.push(signed.roots.iter().map(|der| pem::encode_certificate(der)).collect());
    Ok(IstioCertificateResponse { cert_chain })
}
