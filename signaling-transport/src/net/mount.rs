//! A server whose public address has a path, which the proxy in front passes on.

use http::header::{LOCATION, SET_COOKIE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri};

/// The path below which clients find the server, without a trailing slash: `/visavis`, or nothing.
///
/// It is removed from requests, so that the router does not see it, and prepended to the paths in answers: in
/// `Location`, and in the path of a cookie. Requests without it are served as well, since a load balancer asks for
/// `/readyz`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount(String);

/// How a request names the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entrance {
    /// Without the path.
    Bare,
    /// Below the path, which has been taken off.
    Below,
    /// With the path but without its trailing slash: relative links would resolve beside it.
    Redirect(String),
}

impl Mount {
    /// Below a path that begins with a slash and ends without one; at the root for an empty one.
    pub fn below(path: &str) -> Self {
        Self(path.trim_end_matches('/').to_owned())
    }

    /// Removes the path from a request.
    pub(super) fn enter(&self, uri: &mut Uri) -> Entrance {
        if self.0.is_empty() {
            return Entrance::Bare;
        }
        let whole = uri.path_and_query().map_or("", PathAndQuery::as_str);
        let Some(rest) = whole.strip_prefix(&self.0) else { return Entrance::Bare };
        if rest.is_empty() || rest.starts_with('?') {
            return Entrance::Redirect(format!("{}/{rest}", self.0));
        }
        if !rest.starts_with('/') {
            return Entrance::Bare;
        }
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = rest.parse().ok();
        match Uri::from_parts(parts) {
            Ok(inner) => {
                *uri = inner;
                Entrance::Below
            }
            Err(_) => Entrance::Bare,
        }
    }

    /// Prepends the path to the paths in an answer.
    pub(super) fn leave(&self, headers: &mut HeaderMap) {
        if let Some(place) = headers.get_mut(LOCATION) {
            rewrite(place, |text| {
                let is_path = text.starts_with('/') && !text.starts_with("//");
                is_path.then(|| format!("{}{text}", self.0))
            });
        }
        if let http::header::Entry::Occupied(mut cookies) = headers.entry(SET_COOKIE) {
            for cookie in cookies.iter_mut() {
                rewrite(cookie, |text| {
                    let (before, path) = text.split_once("; Path=/")?;
                    Some(format!("{before}; Path={}/{path}", self.0))
                });
            }
        }
    }
}

fn rewrite(value: &mut HeaderValue, change: impl FnOnce(&str) -> Option<String>) {
    let changed = value.to_str().ok().and_then(change).and_then(|text| HeaderValue::from_str(&text).ok());
    if let Some(changed) = changed {
        *value = changed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(path: &str, asked: &'static str) -> (Entrance, String) {
        let mut uri = Uri::from_static(asked);
        let entrance = Mount::below(path).enter(&mut uri);
        (entrance, uri.to_string())
    }

    #[test]
    fn the_path_is_taken_off_where_it_stands() {
        for (asked, entrance, seen) in [
            ("/visavis/r/a?b=/visavis/c", Entrance::Below, "/r/a?b=/visavis/c"),
            ("/visavis/", Entrance::Below, "/"),
            ("/visavis//evil.example", Entrance::Below, "//evil.example"),
            ("/visavis", Entrance::Redirect("/visavis/".to_owned()), "/visavis"),
            ("/visavis?a=b", Entrance::Redirect("/visavis/?a=b".to_owned()), "/visavis?a=b"),
            ("/visavision/r/a", Entrance::Bare, "/visavision/r/a"),
            ("/readyz", Entrance::Bare, "/readyz"),
        ] {
            assert_eq!(entered("/visavis", asked), (entrance, seen.to_owned()), "{asked}");
        }
        assert_eq!(entered("", "/visavis"), (Entrance::Bare, "/visavis".to_owned()));
    }

    #[test]
    fn answers_name_paths_as_the_client_asks_for_them() {
        let mount = Mount::below("/visavis");
        for (name, given, expected) in [
            (LOCATION, "/whip/a/b", "/visavis/whip/a/b"),
            (LOCATION, "https://elsewhere.example/", "https://elsewhere.example/"),
            (LOCATION, "//elsewhere.example/", "//elsewhere.example/"),
            (SET_COOKIE, "a=/b; Path=/api/v1/x; HttpOnly", "a=/b; Path=/visavis/api/v1/x; HttpOnly"),
            (SET_COOKIE, "a=b; HttpOnly", "a=b; HttpOnly"),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(name.clone(), given.parse().unwrap());
            mount.leave(&mut headers);
            assert_eq!(headers[&name], expected);
        }
    }
}
