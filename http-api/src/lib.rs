//! Code shared by the HTTP interfaces of the server: the sender and the body of a request, the form of its answer, and what
//! they ask each other (API keys, stored answers, the rooms of meetings).
//!
//! A handler takes the sender as a [`Caller`], reads the body with [`JsonBody`] once the sender is authorized, and refuses
//! with a [`Problem`] (RFC 9457), into which every [`Refusal`](signaling_core::Refusal) converts. Answers that concern one
//! caller pass through [`no_store`].
//!
//! ```
//! use axum::response::Response;
//! use axum::{Json, Router, routing::post};
//! use http::HeaderMap;
//! use http_api::{JsonBody, Problem, bearer, method_not_allowed, no_store};
//! use signaling_core::{Code, Refusal};
//!
//! #[derive(serde::Deserialize)]
//! struct Greeting {
//!     name: String,
//! }
//!
//! async fn greet(headers: HeaderMap, body: JsonBody) -> Result<Response, Problem> {
//!     bearer(&headers).ok_or_else(|| Refusal::new(Code::Unauthorized, "a bearer is needed"))?;
//!     let (Greeting { name }, _) = body.object(1_000).await?;
//!     Ok(no_store(Json(format!("Hello, {name}!"))))
//! }
//!
//! let router: Router = Router::new().route("/greetings", post(greet)).method_not_allowed_fallback(method_not_allowed);
//! # drop(router);
//! ```

#![forbid(unsafe_code)]

mod body;
mod caller;
mod client_addr;
mod headers;
mod keys;
mod meeting_directory;
mod problem;
mod replies;

pub use body::{JsonBody, body_of, json_object};
pub use caller::Caller;
pub use client_addr::ClientAddr;
pub use headers::{bearer, idempotency_key, media_type, no_store, unsniffed};
pub use keys::{ApiKeys, NoApiKeys, Scope};
pub use meeting_directory::{MeetingDirectory, NoMeetings};
pub use problem::{Problem, ProblemBody, method_not_allowed};
pub use replies::{NoReplies, Repeatable, Replies};
