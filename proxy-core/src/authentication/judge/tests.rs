use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, Method, header};
use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;

use super::*;
use crate::authentication::{HeaderLocation, KeySet, TokenLocations};

const ISSUER: &str = "https://issuer.example";
const NOW: u64 = 1_000_000;

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn keys(ids: &[(u8, Option<&str>)]) -> Arc<KeySet> {
    let key = |(seed, id): &(u8, Option<&str>)| {
        let mut key = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair(*seed).public_key())});
        if let Some(id) = id {
            key["kid"] = json!(id);
        }
        key
    };
    let document = json!({"keys": ids.iter().map(key).collect::<Vec<_>>()});
    Arc::new(KeySet::parse(&document.to_string()).unwrap())
}

fn signed(seed: u8, head: Value, payload: Value) -> String {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(head), encode(payload));
    let signature = pair(seed).sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn token(payload: Value) -> String {
    signed(1, json!({"alg": "EdDSA"}), payload)
}

fn good() -> String {
    token(json!({"iss": ISSUER, "sub": "alice", "exp": NOW + 10}))
}

fn rule() -> JwtRule {
    JwtRule {
        origin: PolicyKey::new("ns", "tokens"),
        issuer: ISSUER.into(),
        audiences: vec![],
        keys: keys(&[(1, None)]),
        locations: TokenLocations::default(),
        forward_original_token: false,
        output_payload_to_header: None,
        output_claim_to_headers: vec![],
        space_delimited_claims: vec![],
    }
}

struct Request {
    headers: HeaderMap,
    path: String,
}

impl Request {
    fn plain() -> Self {
        Request { headers: HeaderMap::new(), path: "/x".to_owned() }
    }

    fn bearing(token: &str) -> Self {
        Request::plain().header("authorization", &format!("Bearer {token}"))
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        self
    }

    fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &Method::GET,
            scheme: "http",
            authority: "echo:80",
            path_and_query: &self.path,
            headers: &self.headers,
            claims: None,
        }
    }

    fn judge(&self, rules: &[&JwtRule]) -> Authentication {
        authenticate(rules, &self.view(), WallTime::from_unix_secs(NOW))
    }

    fn error(&self, rule: &JwtRule) -> Option<TokenError> {
        match self.judge(&[rule]) {
            Authentication::Refused(refusal) => Some(refusal.error),
            _ => None,
        }
    }
}

fn principal(authentication: &Authentication) -> Option<&str> {
    match authentication {
        Authentication::Authenticated(valid) => valid.claims.principal.as_deref(),
        _ => None,
    }
}

#[test]
fn without_a_token_a_request_goes_on_as_nobody_and_with_a_good_one_as_its_subject() {
    assert_eq!(Request::plain().judge(&[&rule()]), Authentication::Anonymous);
    assert_eq!(Request::bearing(&good()).judge(&[]), Authentication::Anonymous);
    let authentication = Request::bearing(&good()).judge(&[&rule()]);
    assert_eq!(principal(&authentication), Some("https://issuer.example/alice"));
    assert_eq!(authentication.to_string(), "https://issuer.example/alice, by RequestAuthentication ns/tokens");
    let nameless = Request::bearing(&token(json!({"iss": ISSUER}))).judge(&[&rule()]);
    assert!(matches!(&nameless, Authentication::Authenticated(_)) && principal(&nameless).is_none());
}

#[test]
fn a_refusal_carries_everything_the_answer_needs() {
    let request = Request::bearing(&token(json!({"iss": ISSUER, "exp": 1})));
    let Authentication::Refused(refusal) = request.judge(&[&rule()]) else { panic!("not refused") };
    assert_eq!(refusal.error.to_string(), "Jwt is expired");
    assert_eq!(refusal.details(), "jwt_authn_access_denied{Jwt_is_expired}");
    assert_eq!(refusal.www_authenticate(&request.view()), "Bearer realm=\"http://echo:80/x\", error=\"invalid_token\"");
}

#[test]
fn times_are_compared_with_a_minute_of_skew_and_the_time_of_issue_not_at_all() {
    for (claims, expected) in [
        (json!({"exp": NOW - 60}), None),
        (json!({"exp": NOW - 61}), Some(TokenError::Expired)),
        (json!({"nbf": NOW + 60}), None),
        (json!({"nbf": NOW + 61}), Some(TokenError::NotYetValid)),
        (json!({"iat": NOW + 9999}), None),
        (json!({"exp": "soon"}), Some(TokenError::Expiry)),
        (json!({"exp": -1}), Some(TokenError::Expired)),
        (json!({"iat": "x"}), Some(TokenError::IssuedAt)),
    ] {
        let mut payload = claims.clone();
        payload["iss"] = json!(ISSUER);
        assert_eq!(Request::bearing(&token(payload)).error(&rule()), expected, "{claims}");
    }
}

#[test]
fn issuer_and_audience_must_be_the_rules() {
    let rule = JwtRule { audiences: vec!["a".into(), "b".into()], ..rule() };
    for (claims, expected) in [
        (json!({"iss": ISSUER, "aud": "b"}), None),
        (json!({"iss": ISSUER, "aud": ["x", "a"]}), None),
        (json!({"iss": ISSUER, "aud": "x"}), Some(TokenError::AudienceNotAllowed)),
        (json!({"iss": ISSUER}), Some(TokenError::AudienceNotAllowed)),
        (json!({"iss": ISSUER, "aud": 7}), Some(TokenError::AudienceType)),
        (json!({"iss": "other", "aud": "a"}), Some(TokenError::UnknownIssuer)),
        (json!({"aud": "a"}), Some(TokenError::UnknownIssuer)),
    ] {
        assert_eq!(Request::bearing(&token(claims.clone())).error(&rule), expected, "{claims}");
    }
}

#[test]
fn the_key_id_chooses_the_key_and_without_one_all_are_tried() {
    let payload = || json!({"iss": ISSUER, "sub": "a"});
    let rule = JwtRule { keys: keys(&[(1, Some("one")), (2, Some("two"))]), ..rule() };
    let error = |seed, head| Request::bearing(&signed(seed, head, payload())).error(&rule);
    assert_eq!(error(2, json!({"alg": "EdDSA", "kid": "two"})), None);
    assert_eq!(error(2, json!({"alg": "EdDSA"})), None);
    assert_eq!(error(2, json!({"alg": "EdDSA", "kid": "one"})), Some(TokenError::BadSignature));
    assert_eq!(error(3, json!({"alg": "EdDSA"})), Some(TokenError::BadSignature));
    assert_eq!(error(2, json!({"alg": "EdDSA", "kid": "three"})), Some(TokenError::NoMatchingKey));
    assert_eq!(error(2, json!({"alg": "EdDSA", "kid": 3})), Some(TokenError::HeaderKeyId));
    assert_eq!(error(2, json!({"alg": "RS256"})), Some(TokenError::NoMatchingKey));
    let unusable = JwtRule { keys: Arc::new(KeySet::unusable()), ..rule.clone() };
    assert_eq!(Request::bearing(&good()).error(&unusable), Some(TokenError::NoKeys));
    assert_eq!(Request::plain().judge(&[&unusable]), Authentication::Anonymous);
}

#[test]
fn no_signature_and_symmetric_ones_are_refused() {
    for algorithm in ["none", "None", "HS256", "HS512", "ES512", ""] {
        let text = signed(1, json!({"alg": algorithm}), json!({"iss": ISSUER}));
        assert_eq!(Request::bearing(&text).error(&rule()), Some(TokenError::UnsupportedAlgorithm), "{algorithm}");
        let unsigned = &text[..=text.rfind('.').unwrap()];
        assert!(Request::bearing(unsigned).error(&rule()).is_some(), "{algorithm}");
    }
    let critical = signed(1, json!({"alg": "EdDSA", "crit": ["x"], "x": 1}), json!({"iss": ISSUER}));
    assert_eq!(Request::bearing(&critical).error(&rule()), Some(TokenError::UnsupportedCritical));
    let stripped = good();
    let stripped = &stripped[..=stripped.rfind('.').unwrap()];
    assert_eq!(Request::bearing(stripped).error(&rule()), Some(TokenError::BadSignature));
}

#[test]
fn what_is_no_token_is_refused_and_what_is_not_offered_as_one_is_none() {
    for (value, expected) in [
        ("Bearer x", Some(TokenError::BadForm)),
        ("Bearer ", Some(TokenError::BadForm)),
        ("Bearer a.b.c", Some(TokenError::HeaderBase64)),
        ("Bearer YQ.YQ.YQ", Some(TokenError::HeaderJson)),
        ("Bearer e30.e30.YQ", Some(TokenError::HeaderAlgorithm)),
        ("Basic dXNlcjpwYXNz", None),
        ("bearer x", None),
    ] {
        assert_eq!(Request::plain().header("authorization", value).error(&rule()), expected, "{value}");
    }
}

#[test]
fn tokens_are_found_where_the_rule_says_and_nowhere_else() {
    let in_query = Request { path: format!("/x?a=b&access_token={}", good()), ..Request::plain() };
    assert!(principal(&in_query.judge(&[&rule()])).is_some(), "a default place");
    let locations = TokenLocations {
        headers: vec![HeaderLocation { name: HeaderName::from_static("x-jwt"), prefix: "Token ".into() }],
        parameters: vec!["jwt".into()],
        cookies: vec!["session".into()],
    };
    let rule = JwtRule { locations, ..rule() };
    assert_eq!(Request::bearing(&good()).judge(&[&rule]), Authentication::Anonymous);
    assert_eq!(in_query.judge(&[&rule]), Authentication::Anonymous);
    let good = good();
    for request in [
        Request::plain().header("x-jwt", &format!("Token {good}")),
        Request { path: format!("/x?jwt={good}"), ..Request::plain() },
        Request::plain().header("cookie", &format!("a=b; session={good}; c=d")),
    ] {
        assert!(principal(&request.judge(&[&rule])).is_some());
    }
    let both = Request::plain().header("x-jwt", &format!("Token {good}")).header("cookie", "session=bad");
    assert_eq!(both.error(&rule), Some(TokenError::BadForm), "each token a rule looks at must be valid");
}

#[test]
fn of_several_rules_any_one_is_enough_and_the_most_telling_refusal_is_given() {
    let other = JwtRule { issuer: "other".into(), ..rule() };
    for rules in [[&rule(), &other], [&other, &rule()]] {
        assert!(principal(&Request::bearing(&good()).judge(&rules)).is_some());
        let expired = Request::bearing(&token(json!({"iss": ISSUER, "exp": 1})));
        let Authentication::Refused(refusal) = expired.judge(&rules) else { panic!("not refused") };
        assert_eq!(refusal.error, TokenError::Expired);
        let foreign = Request::bearing(&token(json!({"iss": "third"})));
        let Authentication::Refused(refusal) = foreign.judge(&rules) else { panic!("not refused") };
        assert_eq!(refusal.error, TokenError::UnknownIssuer);
    }
}

#[test]
fn the_backend_sees_what_the_rule_lets_it_see() {
    let name = HeaderName::from_static;
    let claim = |header, path| ClaimHeader { header: name(header), claim: ClaimPath::from_dots(path).unwrap() };
    let mut rule = JwtRule {
        output_payload_to_header: Some(name("x-payload")),
        output_claim_to_headers: vec![claim("x-sub", "sub"), claim("x-level", "a.level"), claim("x-list", "list")],
        ..rule()
    };
    let text = token(json!({"iss": ISSUER, "sub": "alice", "a": {"level": 7}, "list": ["x"]}));
    let forged = || Request::bearing(&text).header("x-sub", "forged").header("x-payload", "forged");

    let mut request = forged();
    assert_eq!(request.judge(&[&rule]).apply(&[&rule], &mut request.headers, "/x"), None);
    assert!(!request.headers.contains_key(header::AUTHORIZATION), "the token is not forwarded");
    assert_eq!(request.headers["x-sub"], "alice");
    assert_eq!(request.headers["x-level"], "7");
    assert_eq!(request.headers["x-list"], STANDARD.encode("[\"x\"]").as_str());
    assert_eq!(request.headers["x-payload"], text.split('.').nth(1).unwrap());

    rule.forward_original_token = true;
    let mut request = forged();
    request.judge(&[&rule]).apply(&[&rule], &mut request.headers, "/x");
    assert!(request.headers.contains_key(header::AUTHORIZATION));

    let mut request = Request::plain().header("x-sub", "forged").header("x-payload", "forged");
    request.judge(&[&rule]).apply(&[&rule], &mut request.headers, "/x");
    assert!(request.headers.is_empty(), "what a client says under these names is removed even without a token");
}

#[test]
fn tokens_in_queries_and_cookies_are_taken_out_too() {
    let locations = TokenLocations { headers: vec![], parameters: vec!["jwt".into()], cookies: vec!["jwt".into()] };
    let rule = JwtRule { locations, ..rule() };
    let token = good();
    for (query, expected) in
        [("?jwt=T", "/x"), ("?a=b&jwt=T", "/x?a=b"), ("?jwt=T&c&d=e", "/x?c&d=e"), ("?%6awt=T&a", "/x?a")]
    {
        let path = format!("/x{}", query.replace('T', &token));
        let mut request = Request { path: path.clone(), ..Request::plain() }.header("cookie", "a=b");
        let changed = request.judge(&[&rule]).apply(&[&rule], &mut request.headers, &path);
        assert_eq!(changed.as_deref(), Some(expected), "{query}");
        assert_eq!(request.headers[header::COOKIE], "a=b");
    }
    let mut request = Request::plain().header("cookie", &format!("a=b; jwt={token}; c=d"));
    assert_eq!(request.judge(&[&rule]).apply(&[&rule], &mut request.headers, "/x?q"), None);
    assert_eq!(request.headers[header::COOKIE], "a=b; c=d");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_bytes_are_refused_and_never_panic(
        value in "(Bearer )?[A-Za-z0-9._=-]{0,60}",
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        json in "[\\{\\}\\[\\]\":a-z0-9,]{0,40}",
    ) {
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let head = encoded(br#"{"alg":"EdDSA"}"#);
        for text in [
            value.clone(),
            format!("Bearer {}.{}.{}", encoded(&bytes), encoded(json.as_bytes()), encoded(&bytes)),
            format!("Bearer {head}.{}.{}", encoded(json.as_bytes()), encoded(&bytes)),
        ] {
            let request = Request::plain().header("authorization", &text);
            prop_assert!(principal(&request.judge(&[&rule()])).is_none());
        }
        let mut request = Request::plain();
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            request.headers.insert(header::AUTHORIZATION, value.clone());
            request.headers.insert(header::COOKIE, value);
        }
        request.path = format!("/?access_token={value}&{json}");
        let authentication = request.judge(&[&rule()]);
        prop_assert!(principal(&authentication).is_none());
        let path = request.path.clone();
        authentication.apply(&[&rule()], &mut request.headers, &path);
        let _ = KeySet::parse(&json);
    }

    #[test]
    fn no_change_of_a_good_token_is_a_good_token(place in 0..200usize, letter in "[A-Za-z0-9_-]") {
        let text = good();
        let place = place % text.len();
        let mut changed = text.clone();
        changed.replace_range(place..=place, &letter);
        if changed != text {
            prop_assert!(principal(&Request::bearing(&changed).judge(&[&rule()])).is_none());
        }
    }
}
