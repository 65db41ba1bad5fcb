//! The endpoint of a meeting's `webhookUrl`.

use crate::meeting::Meeting;
use crate::service::Meetings;
use crate::store::StoreError;
use crate::webhook::Target;

impl Meetings {
    /// Ensures that a meeting's webhooks have an endpoint, with this secret if one is given, and returns its secret.
    pub(super) async fn point_webhook(
        &self,
        meeting: &mut Meeting,
        secret: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        let Some(url) = meeting.webhook_url.clone() else {
            meeting.webhook = None;
            return Ok(None);
        };
        Target::parse(&url, self.inner.private_webhooks)?;
        // Without an owner, no other meetings share the endpoint.
        let owner = meeting.owner.clone().unwrap_or_else(|| format!("@{}", meeting.id));
        let endpoint = self.endpoint(owner, url, secret).await?;
        meeting.webhook = Some(endpoint.id);
        Ok(Some(endpoint.secret))
    }
}
