//! The endpoint of a meeting's `webhookUrl`.

use crate::keys::random_id;
use crate::meeting::Meeting;
use crate::service::Meetings;
use crate::store::{Endpoint, StoreError};
use crate::webhook::{OVERLAP, Target, new_secret};

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
        let new = self.with_entropy(|entropy| Endpoint {
            id: random_id("ep_", entropy),
            owner,
            url,
            secret: secret.map_or_else(|| new_secret(entropy), str::to_owned),
            previous: None,
            disabled_at: None,
        });
        let now = self.now();
        let store = &self.inner.store;
        let endpoint = store.endpoint_for(&new, now).await?;
        // Other meetings already use the endpoint with another secret: both are valid for a while, as in every change.
        if let Some(secret) = secret.filter(|secret| **secret != endpoint.secret) {
            store.rotate_secret(&endpoint.id, secret, now + OVERLAP).await?;
        }
        meeting.webhook = Some(endpoint.id);
        Ok(Some(secret.map_or(endpoint.secret, str::to_owned)))
    }
}
