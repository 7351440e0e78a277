//! `CreateCertificate`: who asks, for whom, and what is answered.

use std::time::Duration;

use proxy_core::Host;
use proxy_core::grpc::{Code, IncomingCall, Status};
use proxy_core::identity::{AuthorityError, CertificateAuthority, Identity, SigningRequest};
use proxy_core::proto::wire::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};
use proxy_core::proto::wire::value;
use proxy_core::tls::pem;
use proxy_core::xds::IMPERSONATED_IDENTITY;

use crate::control::{Caller, MeshAuthority};

/// For requests that do not say.
const VALIDITY: Duration = Duration::from_secs(24 * 3600);

/// Answers one request.
pub(super) async fn serve<H: Host>(mut call: IncomingCall, authority: MeshAuthority<H>, caller: Caller) {
    let answer = match call.message().await {
        Ok(request) => sign(&authority, &caller, request).await,
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
    caller: &Caller,
    request: IstioCertificateRequest,
) -> Result<IstioCertificateResponse, Status> {
    let wrong = |what: String| Status::new(Code::InvalidArgument, what);
    let fields = request.metadata.as_ref().map(|metadata| &metadata.fields);
    let named = fields.and_then(|fields| fields.get(IMPERSONATED_IDENTITY)).and_then(|value| value.kind.as_ref());
    let impersonated = whom(caller, named)?;
    let csr_der = pem::signing_request(request.csr.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    let validity = match u64::try_from(request.validity_duration) {
        Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
        _ => VALIDITY,
    };
    let signed = authority.for_caller(caller).sign(SigningRequest { csr_der, impersonated, validity }).await;
    let signed = signed.map_err(|error| match error {
        AuthorityError::Refused(why) => Status::new(Code::Unauthenticated, why),
        AuthorityError::Unavailable(why) => Status::new(Code::Unavailable, why),
    })?;
    let mut cert_chain: Vec<String> = signed.chain.iter().map(|der| pem::encode_certificate(der)).collect();
    cert_chain.push(signed.roots.iter().map(|der| pem::encode_certificate(der)).collect());
    Ok(IstioCertificateResponse { cert_chain })
}

/// Whom a certificate is for: whom the request names, if the caller may ask for others; else the caller itself.
fn whom(caller: &Caller, named: Option<&value::Kind>) -> Result<Identity, Status> {
    let wrong = |what: String| Status::new(Code::InvalidArgument, what);
    let named = match named {
        None => None,
        Some(value::Kind::StringValue(named)) => {
            Some(named.parse::<Identity>().map_err(|error| wrong(error.to_string()))?)
        }
        Some(_) => return Err(wrong(format!("{IMPERSONATED_IDENTITY} is no text"))),
    };
    match (named, &caller.identity) {
        (None, Some(own)) => Ok(own.clone()),
        (None, None) => Err(wrong(format!(
            "the request does not say whom it is for ({IMPERSONATED_IDENTITY}), and neither does its token"
        ))),
        (Some(named), own) if caller.serves_node || own.as_ref() == Some(&named) => Ok(named),
        (Some(named), _) => {
            let why = format!("the caller is no node proxy, and may not ask for a certificate of {named}");
            Err(Status::new(Code::Unauthenticated, why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> value::Kind {
        value::Kind::StringValue(name.to_owned())
    }

    #[test]
    fn whoever_names_nobody_gets_a_certificate_of_its_own() {
        let cart = Identity::new("cluster.local", "shop", "cart");
        let caller = Caller { node: "".into(), identity: Some(cart.clone()), serves_node: false };
        assert_eq!(whom(&caller, None).unwrap(), cart);
        assert_eq!(whom(&caller, Some(&text("spiffe://cluster.local/ns/shop/sa/cart"))).unwrap(), cart);
        let other = whom(&caller, Some(&text("spiffe://cluster.local/ns/shop/sa/till"))).unwrap_err();
        assert_eq!(other.code, Code::Unauthenticated);
    }

    #[test]
    fn a_node_proxy_says_for_whom_it_asks() {
        let caller = Caller::proxy_of(&"n1".into());
        let till = whom(&caller, Some(&text("spiffe://cluster.local/ns/shop/sa/till"))).unwrap();
        assert_eq!(till, Identity::new("cluster.local", "shop", "till"));
        for wrong in [None, Some(&text("till")), Some(&value::Kind::BoolValue(true))] {
            assert_eq!(whom(&caller, wrong).unwrap_err().code, Code::InvalidArgument);
        }
    }
}
