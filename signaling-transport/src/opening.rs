//! How a connection that both sides speak over gets its session, and how long it has for that and for its end.

use std::time::Duration;

use signaling_core::{ClientMessage, Code, Refusal, RequestId};

use crate::caller::Caller;
use crate::driver::Opened;
use crate::service::Signaling;

/// How long a connection may be without a session.
pub(crate) const FIRST_MESSAGE: Duration = Duration::from_secs(10);
/// How long the last words may take to reach somebody who reads slowly.
pub(crate) const FAREWELL: Duration = Duration::from_secs(10);

/// A connection without a session may only join or resume. The welcome comes through the inbox, as the answer to
/// `request`.
pub(crate) async fn first_message(
    signaling: &Signaling,
    caller: &Caller,
    message: ClientMessage,
    request: Option<RequestId>,
) -> Result<Opened, Refusal> {
    match message {
        ClientMessage::Join(join) => {
            let (join, grant) = signaling.admit(caller, *join).await?;
            let has_password = join.password.is_some();
            signaling.guessing(caller, has_password, signaling.hub().join(join, grant, request)).await
        }
        ClientMessage::Resume(resume) => {
            signaling.pass_gate(caller)?;
            let claims = signaling.claims(&resume)?;
            signaling.hub().resume(claims, resume.last_id, request).await
        }
        _ => Err(Refusal::new(Code::Unauthorized, "the first message is `join` or `resume`")),
    }
}
