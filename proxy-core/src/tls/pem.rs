//! PEM, both ways: certificates and signing requests travel as text.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;

use super::TlsError;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// RFC 7468.
const LINE: usize = 64;

/// The certificates of a PEM text in order, DER. Other sections are passed over.
///
/// # Errors
/// [`TlsError::Untrusted`] if a section is malformed.
pub fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, TlsError> {
    CertificateDer::pem_slice_iter(text)
        .map(|certificate| certificate.map(|der| der.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Untrusted(format!("not a PEM certificate: {error}")))
}

/// The first signing request of a PEM text, DER.
///
/// # Errors
/// [`TlsError::Untrusted`] if there is none.
pub fn signing_request(text: &[u8]) -> Result<Vec<u8>, TlsError> {
    CertificateSigningRequestDer::from_pem_slice(text)
        .map(|der| der.to_vec())
        .map_err(|error| TlsError::Untrusted(format!("not a PEM signing request: {error}")))
}

/// A certificate as PEM.
pub fn encode_certificate(der: &[u8]) -> String {
    encode("CERTIFICATE", der)
}

/// A signing request as PEM.
pub fn encode_signing_request(der: &[u8]) -> String {
    encode("CERTIFICATE REQUEST", der)
}

fn encode(label: &str, der: &[u8]) -> String {
    let body = base64(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    // Base64 is ASCII: any cut is between characters.
    for at in (0..body.len()).step_by(LINE) {
        text.push_str(&body[at..body.len().min(at + LINE)]);
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Standard base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let [first, second, third] = [0, 1, 2].map(|at| group.get(at).copied().unwrap_or(0));
        let bits = u32::from_be_bytes([0, first, second, third]);
        for at in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let encoded = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(encoded, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }

    #[test]
    fn certificates_come_back_as_they_went() {
        let ders: Vec<Vec<u8>> = (1..200).map(|length| (0..length).collect()).collect();
        let text: String = ders.iter().map(|der| encode_certificate(der)).collect();
        assert_eq!(certificates(text.as_bytes()).unwrap(), ders);
        assert_eq!(signing_request(encode_signing_request(&ders[7]).as_bytes()).unwrap(), ders[7]);
    }

    #[test]
    fn what_is_no_pem_is_refused_or_empty() {
        assert_eq!(certificates(b"hello").unwrap(), Vec::<Vec<u8>>::new());
        assert!(certificates(b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n").is_err());
        assert!(signing_request(b"").is_err());
    }
}
