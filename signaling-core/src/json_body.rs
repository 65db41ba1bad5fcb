//! Bodies of requests that are JSON objects.

use serde::de::DeserializeOwned;

use crate::Refusal;

/// What a JSON object asks for. An array of the same values in its place asks for nothing.
pub fn json_object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    if body.starts_with(b"\xef\xbb\xbf") {
        let why = "not understood: the body begins with a byte order mark, which JSON has not (RFC 8259 section 8.1)";
        return Err(Refusal::bad_request(why));
    }
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::bad_request("not understood: the body is a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| Refusal::bad_request(format!("not understood: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_object_is_read_and_anything_else_is_told_what_it_is_not() {
        assert_eq!(json_object::<Value>(b" \n{\"a\": 1}").unwrap()["a"], 1);
        for (body, why) in [
            (&b"\xef\xbb\xbf{\"a\": 1}"[..], "byte order mark"),
            (b"[1]", "a JSON object"),
            (b"", "a JSON object"),
            (b"{\"a\": }", "line 1"),
        ] {
            let refusal = json_object::<Value>(body).unwrap_err();
            assert!(refusal.message.contains(why), "{}", refusal.message);
        }
    }
}
