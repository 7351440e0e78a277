//! [`ServiceAccounts`]: tokens of service accounts as a Kubernetes API server issues them; [`Caller`]: whose one is.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proxy_core::host::WallTime;
use proxy_core::identity::Identity;
use ring::hmac;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Who calls the control plane, as its token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The node it runs on; empty if its token names none.
    pub node: Arc<str>,
    /// Its own identity, if its token names a service account.
    pub identity: Option<Identity>,
    /// It is a node proxy: it may ask for certificates of the pods of its node.
    pub serves_node: bool,
}

impl Caller {
    /// The proxy of a node, known by a token that says nothing else.
    pub fn proxy_of(node: &Arc<str>) -> Self {
        Caller { node: node.clone(), identity: None, serves_node: true }
    }
}

/// Issues tokens of service accounts and recognises them again: JSON web tokens with the claims of Kubernetes' bound
/// tokens. Only who has the key can do either, so they are sealed with a shared secret instead of a signature.
#[derive(Debug)]
pub struct ServiceAccounts {
    key: hmac::Key,
    trust_domain: Arc<str>,
    root_namespace: Arc<str>,
}

/// Whom tokens are for; istiod's default.
pub const TOKEN_AUDIENCE: &str = "istio-ca";
/// The service account whose proxies may ask for others' certificates, in the root namespace; istiod's default.
pub const NODE_PROXY_ACCOUNT: &str = "ztunnel";

/// 32 bytes that follow from a phrase and what they are for, and say nothing of either.
pub fn secret_of(phrase: &str, purpose: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((purpose.len() as u64).to_be_bytes());
    hash.update(purpose);
    hash.update(phrase);
    hash.finalize().into()
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const ISSUER: &str = "https://kubernetes.default.svc";

impl ServiceAccounts {
    /// Tokens sealed with this secret.
    pub fn new(secret: &[u8], trust_domain: &Arc<str>, root_namespace: &Arc<str>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        ServiceAccounts { key, trust_domain: trust_domain.clone(), root_namespace: root_namespace.clone() }
    }

    /// A token of `namespace/account`, for a pod on `node` (empty: no node), valid from `now` for so long.
    pub fn issue(&self, namespace: &str, account: &str, node: &str, now: WallTime, validity: Duration) -> String {
        let mut bound = json!({"namespace": namespace, "serviceaccount": {"name": account}});
        if !node.is_empty() {
            bound["node"] = json!({"name": node});
        }
        let claims = json!({
            "aud": [TOKEN_AUDIENCE],
            "exp": (now + validity).unix_secs(),
            "iat": now.unix_secs(),
            "iss": ISSUER,
            "kubernetes.io": bound,
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
        });
        let body = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let seal = URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, body.as_bytes()));
        format!("{body}.{seal}")
    }

    /// A token of the proxy of `node`.
    pub fn issue_node(&self, node: &str, now: WallTime, validity: Duration) -> String {
        self.issue(&self.root_namespace, NODE_PROXY_ACCOUNT, node, now, validity)
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// It is none of ours, has expired, or is for somebody else than a control plane; in words for whoever shows it.
    pub fn recognise(&self, token: &str, now: WallTime) -> Result<Caller, &'static str> {
        const FOREIGN: &str = "the token is none that this control plane issued";
        let (body, seal) = token.rsplit_once('.').ok_or(FOREIGN)?;
        let seal = URL_SAFE_NO_PAD.decode(seal).map_err(|_| FOREIGN)?;
        hmac::verify(&self.key, body.as_bytes(), &seal).map_err(|_| FOREIGN)?;
        let (_, claims) = body.split_once('.').ok_or(FOREIGN)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| FOREIGN)?;
        let claims: Value = serde_json::from_slice(&claims).map_err(|_| FOREIGN)?;
        if claims["exp"].as_u64().is_none_or(|end| end <= now.unix_secs()) {
            return Err("the token has expired");
        }
        let is_for_us = claims["aud"].as_array().is_some_and(|all| all.iter().any(|it| it == TOKEN_AUDIENCE));
        if !is_for_us {
            return Err("the token is not for a control plane (`aud` lacks istio-ca)");
        }
        let subject = claims["sub"].as_str().and_then(|subject| subject.strip_prefix("system:serviceaccount:"));
        let (namespace, account) = subject.and_then(|subject| subject.split_once(':')).ok_or(FOREIGN)?;
        let node: Arc<str> = claims["kubernetes.io"]["node"]["name"].as_str().unwrap_or_default().into();
        let serves_node = namespace == &*self.root_namespace && account == NODE_PROXY_ACCOUNT && !node.is_empty();
        Ok(Caller { node, identity: Some(Identity::new(&self.trust_domain, namespace, account)), serves_node })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime::from_unix_secs(1_800_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn accounts(secret: &[u8]) -> ServiceAccounts {
        ServiceAccounts::new(secret, &"cluster.local".into(), &"istio-system".into())
    }

    #[test]
    fn a_token_says_whose_it_is_and_where_it_runs() {
        let ours = accounts(b"secret");
        let cart = ours.recognise(&ours.issue("shop", "cart", "n1", NOW, DAY), NOW).unwrap();
        assert_eq!(cart.identity, Some(Identity::new("cluster.local", "shop", "cart")));
        assert_eq!((&*cart.node, cart.serves_node), ("n1", false));
        let proxy = ours.recognise(&ours.issue_node("n1", NOW, DAY), NOW).unwrap();
        assert_eq!((&*proxy.node, proxy.serves_node), ("n1", true));
        let nowhere = ours.recognise(&ours.issue("istio-system", "ztunnel", "", NOW, DAY), NOW).unwrap();
        assert!(!nowhere.serves_node, "without a node there is nobody to speak for");
    }

    #[test]
    fn expired_foreign_and_altered_tokens_are_not_believed() {
        let ours = accounts(b"secret");
        let token = ours.issue("shop", "cart", "n1", NOW, DAY);
        assert_eq!(ours.recognise(&token, NOW + DAY), Err("the token has expired"));
        assert!(accounts(b"other").recognise(&token, NOW).is_err());
        let claims = token.split('.').nth(1).unwrap();
        let raised = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap().replace("cart", "till");
        let altered = token.replace(claims, &URL_SAFE_NO_PAD.encode(raised));
        for wrong in [altered.as_str(), "", ".", "a.b", "a.b.c", &token[1..]] {
            assert!(ours.recognise(wrong, NOW).is_err(), "{wrong}");
        }
    }
}
