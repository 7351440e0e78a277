use super::*;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

const DAY: Duration = Duration::from_secs(86_400);

fn start() -> WallTime {
    WallTime::from_unix_secs(1_767_225_600)
}

fn somebody() -> Identity {
    Identity::new("cluster.local", "default", "client")
}

fn issued(seed: u64) -> (SigningKey, SignedChain) {
    let mut rng = Rng::from_number(seed);
    let issuer = Issuer::new("cluster.local", start(), 3650 * DAY, &mut rng).unwrap();
    let key = SigningKey::generate(&mut rng);
    let request = signing_request(&key, &somebody()).unwrap();
    (key, issuer.issue(&request, &somebody(), start(), DAY, &mut rng).unwrap())
}

#[test]
fn a_leaf_chains_to_its_root_and_carries_identity_key_and_validity() {
    let (key, chain) = issued(1);
    let root = CertificateDer::from(chain.roots[0].clone());
    let leaf = CertificateDer::from(chain.chain[0].clone());
    let anchors = [anchor_from_trusted_cert(&root).unwrap()];
    let leaf_parsed = EndEntityCert::try_from(&leaf).unwrap();
    let verify = |at: u64, usage: KeyUsage| {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
        leaf_parsed.verify_for_usage(algorithms.all, &anchors, &[], at, usage, None, None).map(drop)
    };
    assert_eq!(verify(start().unix_secs() + 60, KeyUsage::server_auth()), Ok(()));
    assert_eq!(verify(start().unix_secs() + 60, KeyUsage::client_auth()), Ok(()));
    assert!(verify(start().unix_secs() + 90_000, KeyUsage::client_auth()).is_err());
    assert!(verify(start().unix_secs() - 60, KeyUsage::client_auth()).is_err());
    assert_eq!(leaf_parsed.valid_uri_names().collect::<Vec<_>>(), [somebody().to_string()]);
    assert!(leaf_parsed.subject_public_key_info().ends_with(key.public_point()));
    assert_eq!(der::validity(&leaf), Some((start(), start() + DAY)));
}

#[test]
fn equal_dice_issue_equal_bytes_and_other_dice_equal_lengths() {
    let lengths: Vec<_> = (1..20).map(|seed| issued(seed).1.chain[0].len()).collect();
    assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
    assert_eq!(issued(7).1, issued(7).1);
    assert_ne!(issued(7).1, issued(8).1);
}

#[test]
fn a_request_for_somebody_else_is_refused() {
    let mut rng = Rng::from_number(1);
    let issuer = Issuer::new("cluster.local", start(), DAY, &mut rng).unwrap();
    let other = Identity::new("cluster.local", "default", "admin");
    let request = signing_request(&SigningKey::generate(&mut rng), &other).unwrap();
    let refusal = issuer.issue(&request, &somebody(), start(), DAY, &mut rng);
    assert_eq!(refusal, Err(IssueError::WrongIdentity { expected: somebody(), found: other.to_string() }));
}

#[test]
fn no_changed_or_cut_request_is_signed_and_none_panics() {
    let mut rng = Rng::from_number(1);
    let issuer = Issuer::new("cluster.local", start(), DAY, &mut rng).unwrap();
    let request = signing_request(&SigningKey::generate(&mut rng), &somebody()).unwrap();
    for at in 0..request.len() {
        assert!(issuer.issue(&request[..at], &somebody(), start(), DAY, &mut rng).is_err(), "cut at {at}");
        let mut changed = request.clone();
        changed[at] ^= 1;
        // The signature algorithm's name is not covered by the signature, and we know only one.
        if let Ok(chain) = issuer.issue(&changed, &somebody(), start(), DAY, &mut rng) {
            let leaf = CertificateDer::from(chain.chain[0].clone());
            let leaf = EndEntityCert::try_from(&leaf).unwrap();
            assert_eq!(leaf.valid_uri_names().collect::<Vec<_>>(), [somebody().to_string()]);
        }
    }
}
