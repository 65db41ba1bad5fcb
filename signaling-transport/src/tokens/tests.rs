use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use aws_lc_rs::{encoding::AsDer as _, hmac};
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signaling_core::room::Pass;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const SECRET: &str = "a secret of more than thirty-two bytes";

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn hs256(header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", part(header), part(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn token(claims: &Value) -> String {
    hs256(&json!({"alg": "HS256", "typ": "JWT"}), claims)
}

fn claims() -> Value {
    json!({"room": "standup", "exp": 1_800_000_060})
}

fn tokens() -> JoinTokens {
    JoinTokens::new(vec![TokenKey::parse(SECRET).unwrap()], false)
}

fn join(token: Option<&str>) -> Join {
    let mut join = json!({"room": "standup", "name": "Ada"});
    if let Some(token) = token {
        join["token"] = token.into();
    }
    serde_json::from_value(join).unwrap()
}

fn grant(token: &str) -> Result<Grant, Refusal> {
    tokens().authenticate(NOW, &join(Some(token)))
}

fn with(field: &str, value: Value) -> String {
    let mut claims = claims();
    claims[field] = value;
    token(&claims)
}

#[track_caller]
fn refused(token: &str) {
    assert_eq!(grant(token).unwrap_err().code, Code::Unauthorized);
}

#[test]
fn a_token_says_who_comes_in_and_as_what() {
    let plain = grant(&token(&claims())).unwrap();
    assert_eq!((plain.name, plain.role), (None, None));
    assert!(plain.pass == Pass::Admitted && plain.may_create && plain.token_known);
    let mut claims = claims();
    claims["name"] = "Ada L.".into();
    claims["role"] = "viewer".into();
    claims["host"] = true.into();
    claims["nbf"] = 1_800_000_000.into();
    claims["exp"] = json!(1_800_000_000.5);
    let grant = grant(&token(&claims)).unwrap();
    assert_eq!(
        (grant.pass, grant.name.as_deref(), grant.role),
        (Pass::Host, Some("Ada L."), Some(Role::Viewer))
    );
}

#[test]
fn what_a_token_must_say_it_must_say_rightly() {
    for exp in
        [json!("1800000060"), json!(null), json!(true), json!(1_800_000_000), json!(1_799_999_999), json!(-1)]
    {
        refused(&with("exp", exp));
    }
    // Numbers that are not valid times.
    for never in [1e308, 1e300, 253_402_300_800.0, -1e308] {
        refused(&with("exp", json!(never)));
        refused(&with("nbf", json!(never)));
    }
    assert!(grant(&with("exp", json!(1_831_622_400))).is_ok(), "a leap year ahead");
    refused(&with("exp", json!(1_831_622_401)));
    refused(&token(&json!({"room": "standup"})));
    refused(&token(&json!({"exp": 1_800_000_060})));
    refused(&with("room", "elsewhere".into()));
    refused(&with("room", json!(["standup"])));
    refused(&with("nbf", json!(1_800_000_030)));
    refused(&with("nbf", json!("0")));
    refused(&with("host", json!("true")));
    refused(&with("role", json!("king")));
    assert!(
        grant(&with("nbf", json!(1_800_000_003))).is_ok(),
        "another machine's clock may be ahead a little"
    );
}

#[test]
fn a_token_says_by_what_it_and_its_holder_are_known_again() {
    let identity = |claims: &Value| {
        let token = grant(&token(claims)).unwrap().token.unwrap();
        (token.id, token.subject)
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(identity(&claims()), (None, None));
    let row = |id: Value, subject: Value| {
        let mut claims = claims();
        (claims["jti"], claims["sub"]) = (id, subject);
        claims
    };
    assert_eq!(identity(&row(json!("a"), json!("b"))), (text("a"), text("b")));
    assert_eq!(identity(&row(Value::Null, json!(7))), (None, text("7")), "some issuers write numbers");
    assert_eq!(identity(&row(json!(""), Value::Null)), (None, None));
    let known = |token: &str| grant(token).unwrap().token.unwrap().text;
    assert_eq!(known(&token(&claims())), known(&token(&claims())));
    assert_ne!(known(&token(&claims())), known(&with("name", "Bob".into())));
}

#[test]
fn only_the_configured_algorithm_and_key_count() {
    let good = token(&claims());
    let (signed, _) = good.rsplit_once('.').unwrap();
    refused(&format!("{signed}."));
    refused(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 32])));
    refused(signed);
    refused("");
    refused(&format!("{good}="));
    for alg in ["none", "None", "", "hs256", "HS512", "RS256", "EdDSA"] {
        refused(&hs256(&json!({"alg": alg}), &claims()));
    }
    refused(&format!("{}.{}.", part(&json!({"alg": "none"})), part(&claims())));
    refused(&hs256(&json!({"typ": "JWT"}), &claims()));
    refused(&hs256(&json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &claims()));
    let other =
        JoinTokens::new(vec![TokenKey::parse("another secret, also of thirty-two bytes").unwrap()], false);
    assert_eq!(other.authenticate(NOW, &join(Some(&good))).unwrap_err().code, Code::Unauthorized);
}

#[test]
fn ed25519_keys_are_read_in_every_form_and_verify() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let raw = pair.public_key().as_ref();
    let der = pair.public_key().as_der().unwrap();
    let der = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(raw)}).to_string();
    let signed = format!("{}.{}", part(&json!({"alg": "EdDSA"})), part(&claims()));
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes())));
    for key in [&pem, &der, &jwk] {
        let tokens =
            JoinTokens::new(vec![TokenKey::parse(SECRET).unwrap(), TokenKey::parse(key).unwrap()], false);
        assert!(tokens.authenticate(NOW, &join(Some(&token))).is_ok(), "{key}");
        // The public key is not secret, so it must not verify HS256.
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        let signed = format!("{}.{}", part(&json!({"alg": "HS256"})), part(&claims()));
        let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())));
        assert!(tokens.authenticate(NOW, &join(Some(&forged))).is_err());
    }
    refused(&token);
}

#[test]
fn published_vectors_verify() {
    // RFC 7515 appendix A.1.
    let key = r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
    let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = URL_SAFE_NO_PAD.decode("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").unwrap();
    assert!(TokenKey::parse(key).unwrap().verifies(signed.as_bytes(), &signature));
    // RFC 8037 appendix A.4.
    let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert!(TokenKey::parse(key).unwrap().verifies(signed.as_bytes(), &signature));
}

#[test]
fn other_keys_are_refused_and_secrets_not_shown() {
    assert_eq!(TokenKey::parse("  ").unwrap_err(), KeyError::Empty);
    assert_eq!(
        TokenKey::parse("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----").unwrap_err(),
        KeyError::NotEd25519
    );
    assert_eq!(
        TokenKey::parse("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----").unwrap_err(),
        KeyError::NotEd25519
    );
    assert_eq!(TokenKey::parse(r#"{"kty":"RSA","n":"AA","e":"AQAB"}"#).unwrap_err(), KeyError::Jwk);
    assert_eq!(TokenKey::parse(r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#).unwrap_err(), KeyError::Jwk);
    assert_eq!(TokenKey::parse(r#"{"kty":"oct","k":""}"#).unwrap_err(), KeyError::Empty);
    assert!(TokenKey::parse("short").unwrap().is_short() && !TokenKey::parse(SECRET).unwrap().is_short());
    assert!(!format!("{:?}", tokens()).contains("secret"));
}

#[test]
fn without_a_token() {
    assert_eq!(tokens().authenticate(NOW, &join(None)).unwrap_err().code, Code::Unauthorized);
    for (anonymous, may_create) in [(true, true), (false, false)] {
        let open = JoinTokens::new(Vec::new(), anonymous);
        let grant = open.authenticate(NOW, &join(None)).unwrap();
        assert_eq!((grant.may_create, grant.pass), (may_create, Pass::None));
        assert_eq!(open.may_make_room(NOW, None).is_ok(), may_create);
    }
    let host = with("host", json!(true));
    assert!(tokens().may_make_room(NOW, Some(&host)).is_ok());
    assert_eq!(tokens().may_make_room(NOW, Some(&token(&claims()))).unwrap_err().code, Code::Forbidden);
    assert_eq!(tokens().may_make_room(NOW, None).unwrap_err().code, Code::Unauthorized);
    assert_eq!(tokens().names(NOW, &host).as_deref(), Some("standup"));
}

#[test]
fn what_the_server_has_made_opens_its_room_with_and_without_other_keys() {
    let now = Timestamp::from_millis(1_790_000_000_000);
    let room: RoomId = "standup".parse().unwrap();
    let minter = Arc::new(TokenMinter::new([3; 32], &[]));
    let expires_at = Timestamp::from_millis(1_790_000_060_000);
    let token =
        minter.mint(&room, TokenTerms { name: Some("Ada"), host: true, ..TokenTerms::default() }, expires_at);
    for keys in [Vec::new(), vec![TokenKey::parse("another secret of thirty-two bytes").unwrap()]] {
        let tokens = JoinTokens::new(keys, true).with_minter(Arc::clone(&minter));
        assert_eq!(tokens.names(now, &token).as_deref(), Some("standup"));
        assert_eq!(tokens.names(expires_at, &token), None, "not for ever");
        let late = tokens.authenticate(expires_at, &join(Some(&token))).unwrap_err();
        assert_eq!(
            (late.code, late.reason),
            (Code::Unauthorized, Some(Reason::Expired)),
            "and it is told why"
        );
        let elsewhere =
            JoinTokens::new(Vec::new(), true).with_minter(Arc::new(TokenMinter::new([4; 32], &[])));
        assert_eq!(elsewhere.names(now, &token), None, "not for another server");
        let replaced = Arc::new(TokenMinter::new([4; 32], &[[3; 32]]));
        let later = JoinTokens::new(Vec::new(), true).with_minter(replaced);
        assert_eq!(later.names(now, &token).as_deref(), Some("standup"), "the key was replaced meanwhile");
    }
}

#[test]
fn milliseconds_are_not_taken_for_seconds() {
    for (claim, value) in [("exp", 1_800_000_060_000_u64), ("exp", 1_900_000_000), ("nbf", 1_800_000_000_000)]
    {
        let refusal = grant(&with(claim, value.into())).unwrap_err();
        assert!(refusal.message.ends_with("is this in milliseconds?"), "{}", refusal.message);
    }
    assert!(grant(&with("exp", 1_831_000_000.into())).is_ok(), "a year less some days");
}

#[test]
fn what_is_wrong_with_a_token_is_told_where_people_can_do_something_about_it() {
    let reason = |token: Option<&str>| tokens().authenticate(NOW, &join(token)).unwrap_err().reason;
    assert_eq!(reason(None), Some(Reason::InvitationNeeded));
    assert_eq!(reason(Some(&with("exp", 1_799_999_999.into()))), Some(Reason::Expired));
    assert_eq!(reason(Some(&with("room", "elsewhere".into()))), Some(Reason::OtherRoom));
    assert_eq!(reason(Some("made-up")), None);
}

#[test]
fn who_it_is_stands_in_the_token_and_has_a_bound() {
    let mut claims = claims();
    claims["sub"] = "user-7".into();
    claims["metadata"] = json!({"class": "7b"});
    let signed = grant(&token(&claims)).unwrap().signed.unwrap();
    assert_eq!(signed.sub.as_deref(), Some("user-7"));
    assert_eq!(signed.metadata.unwrap().as_str(), r#"{"class":"7b"}"#);
    assert_eq!(grant(&token(&self::claims())).unwrap().signed, None);
    refused(&with("sub", "x".repeat(256).into()));
    refused(&with("metadata", "x".repeat(1_024).into()));
}
