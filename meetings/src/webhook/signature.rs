//! Signatures according to Standard Webhooks (symmetric, `v1`).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signaling_core::Timestamp;

use crate::store::Endpoint;

/// The `webhook-signature` header: one signature for each valid secret.
pub(super) fn signatures(endpoint: &Endpoint, id: &str, now: Timestamp, body: &str) -> String {
    let previous = endpoint.previous.iter().filter(|(_, until)| *until > now).map(|(secret, _)| secret);
    let seconds = now.as_millis() / 1_000;
    let sign = |secret: &String| {
        let bytes = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap_or_default();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        let tag = hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    };
    [&endpoint.secret].into_iter().chain(previous).map(sign).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_own_example_and_a_secret_that_is_being_replaced() {
        let mut endpoint = Endpoint {
            id: "ep".into(),
            owner: "o".into(),
            url: "https://example.org".into(),
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
            previous: None,
            disabled_at: None,
        };
        let now = Timestamp::from_millis(1_614_265_330_000);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let sign = |endpoint: &Endpoint| {
            signatures(endpoint, "msg_p5jXN8AQM9LWM0D4loKWxJek", now, r#"{"test": 2432232314}"#)
        };
        assert_eq!(sign(&endpoint), expected);
        let later = Timestamp::from_millis(1_614_265_330_001);
        endpoint.previous = Some((endpoint.secret.clone(), later));
        endpoint.secret = "whsec_AAAA".into();
        let both = sign(&endpoint);
        assert!(both.ends_with(&format!(" {expected}")), "{both}");
        endpoint.previous = Some(("whsec_AAAB".into(), now));
        assert!(!sign(&endpoint).contains(' '), "its time is over");
    }
}
