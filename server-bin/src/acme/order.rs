//! One order, from the account to the certificate.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, OrderStatus,
    RetryPolicy,
};
use signaling_transport::net::{CertificateError, Certificates};

use super::client::Client;
use super::schedule::Failure;
use super::{Answers, Directory, Store};

/// The polling of the directory while it checks the challenge and issues the certificate.
const POLLING: RetryPolicy = RetryPolicy::new().timeout(Duration::from_mins(2));
/// The types of the directory's problems (RFC 8555 section 6.7).
const RATE_LIMITED: &str = "urn:ietf:params:acme:error:rateLimited";
const ACCOUNT_UNKNOWN: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// What an order needs.
pub(super) struct Order<'a> {
    pub(super) directory: &'a Directory,
    pub(super) store: &'a Store,
    pub(super) certificates: &'a Certificates,
    /// The listener of HTTP-01, if that is used.
    pub(super) answers: Option<&'a Answers>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error("the order failed")]
    Directory {
        #[source]
        source: Error,
        /// The wait that the directory demanded.
        wait: Option<Duration>,
    },
    #[error("the directory does not offer {0}")]
    NoChallenge(&'static str),
    #[error("the directory's check failed: {0}")]
    Invalid(String),
    #[error("the answer to the challenge cannot be made")]
    Challenge(#[from] CertificateError),
    #[error("no TLS to the directory")]
    Tls(#[from] rustls::Error),
}

impl OrderError {
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Directory { source: Error::Api(problem), wait } => {
                let is_limited =
                    problem.r#type.as_deref() == Some(RATE_LIMITED) || problem.status == Some(429);
                match problem.status {
                    _ if is_limited || wait.is_some() => Failure::Limited { wait: *wait },
                    Some(500..) => Failure::Unreachable,
                    _ => Failure::Refused,
                }
            }
            Self::Directory { wait: Some(wait), .. } => Failure::Limited { wait: Some(*wait) },
            Self::Directory { .. } | Self::Tls(_) => Failure::Unreachable,
            Self::NoChallenge(_) | Self::Invalid(_) | Self::Challenge(_) => Failure::Refused,
        }
    }
}

impl Order<'_> {
    /// Orders a certificate; returns the chain and the key, PEM.
    pub(super) async fn run(&self) -> Result<String, OrderError> {
        let client = Client::new()?;
        let result = self.certificate(&client).await;
        result.map_err(|error| match error {
            OrderError::Directory { source, .. } => {
                if matches!(&source, Error::Api(problem) if problem.r#type.as_deref() == Some(ACCOUNT_UNKNOWN)) {
                    self.store.forget_account();
                }
                OrderError::Directory { source, wait: client.demanded_wait() }
            }
            other => other,
        })
    }

    async fn certificate(&self, client: &Client) -> Result<String, OrderError> {
        let account = self.account(client).await?;
        let identifiers = [Identifier::Dns(self.directory.name.clone())];
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        // The answer to the challenge lasts until the directory has seen it.
        let mut answers = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let (kind, called) = match self.answers {
                Some(_) => (ChallengeType::Http01, "HTTP-01"),
                None => (ChallengeType::TlsAlpn01, "TLS-ALPN-01"),
            };
            let challenge = authorization.challenge(kind);
            let mut challenge = challenge.ok_or(OrderError::NoChallenge(called))?;
            let key = challenge.key_authorization();
            answers.push(if let Some(web) = self.answers {
                Answer::Web(web.set(challenge.token.clone(), key.as_str()))
            } else {
                let name = &self.directory.name;
                Answer::Tls(self.certificates.answer_challenge(name, key.digest().as_ref())?)
            });
            challenge.set_ready().await?;
        }
        if order.poll_ready(&POLLING).await? != OrderStatus::Ready {
            return Err(OrderError::Invalid(reason(&mut order).await));
        }
        drop(answers);
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&POLLING).await?;
        Ok(format!("{chain}\n{key}"))
    }

    /// The account that is kept, or a new one.
    async fn account(&self, client: &Client) -> Result<Account, OrderError> {
        let builder = || Account::builder_with_http(Box::new(client.clone()));
        if let Some(kept) = self.store.account() {
            return Ok(builder().from_credentials(kept).await?);
        }
        let contact = format!("mailto:{}", self.directory.email);
        let account =
            NewAccount { contact: &[&contact], terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder().create(&account, self.directory.url.clone(), None).await?;
        if let Err(error) = self.store.keep_account(credentials) {
            tracing::warn!(%error, "the account with the directory cannot be kept");
        }
        Ok(account)
    }
}

/// What the directory says about a check that failed.
async fn reason(order: &mut instant_acme::Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return problem.to_string();
        }
    }
    "it gives no reason".to_owned()
}

/// An answer to a challenge, which ends when it is dropped.
#[expect(dead_code, reason = "held for their ends")]
enum Answer {
    Web(super::web::Answer),
    Tls(signaling_transport::net::ChallengeAnswer),
}

impl From<Error> for OrderError {
    fn from(source: Error) -> Self {
        Self::Directory { source, wait: None }
    }
}
