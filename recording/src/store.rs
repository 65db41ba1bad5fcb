//! Object storage: S3 and compatible services, Google Cloud Storage and Azure, selected by URL.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    ClientOptions, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, ObjectStoreScheme,
    RetryConfig,
};
use url::Url;

/// The time limit for a connection to the store.
const CONNECT: Duration = Duration::from_secs(10);
/// The time limit for one request, long enough for a part over a slow line.
const REQUEST: Duration = Duration::from_secs(300);
/// The retries within one request. The uploader itself retries beyond that.
const RETRIES: usize = 2;

/// The store to which finished recordings are uploaded.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, or any other URL that
    /// `object_store` accepts for these.
    pub url: String,
    /// The names and values of options of `object_store`, such as `endpoint`, `region` and `access_key_id`.
    pub options: Vec<(String, String)>,
    /// Whether the file is kept in the folder after the store has confirmed it.
    pub keeps_local: bool,
}

/// Omits the options, some of which are secret.
impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is invalid.
    #[error(
        "{0:?} is no URL of an object store: expected s3://BUCKET/PREFIX, gs://… or az://…, without a password"
    )]
    Url(String),
    /// The option does not exist.
    #[error("{0:?} is no option of this kind of object store")]
    Option(String),
    /// The settings are incomplete or invalid.
    #[error("an object store cannot be set up like this")]
    Settings(#[source] Error),
}

/// The operations on a bucket for uploads and downloads.
#[async_trait]
pub(crate) trait Bucket: Send + Sync {
    /// Starts a multipart upload and returns its id.
    async fn begin(&self, key: &Path) -> Result<String, Error>;
    /// Uploads a part and returns its id.
    async fn put_part(&self, key: &Path, upload: &str, number: usize, bytes: Bytes) -> Result<String, Error>;
    /// Completes the upload from its parts.
    async fn complete(&self, key: &Path, upload: &str, parts: Vec<String>) -> Result<(), Error>;
    /// The size of an object, if it exists.
    async fn size(&self, key: &Path) -> Result<Option<u64>, Error>;
    /// Reads a range of an object.
    async fn read(
        &self,
        key: &Path,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error>;
    /// Removes an object and aborts the upload with this id; either may be gone already.
    async fn remove(&self, key: &Path, upload: Option<&str>) -> Result<(), Error>;
}

#[async_trait]
impl<T: ObjectStore + MultipartStore> Bucket for T {
    async fn begin(&self, key: &Path) -> Result<String, Error> {
        self.create_multipart(key).await
    }

    async fn put_part(&self, key: &Path, upload: &str, number: usize, bytes: Bytes) -> Result<String, Error> {
        let part = MultipartStore::put_part(self, key, &upload.to_owned(), number, bytes.into()).await?;
        Ok(part.content_id)
    }

    async fn complete(&self, key: &Path, upload: &str, parts: Vec<String>) -> Result<(), Error> {
        let parts = parts.into_iter().map(|content_id| PartId { content_id }).collect();
        self.complete_multipart(key, &upload.to_owned(), parts).await.map(drop)
    }

    async fn size(&self, key: &Path) -> Result<Option<u64>, Error> {
        match self.head(key).await {
            Ok(object) => Ok(Some(object.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn read(
        &self,
        key: &Path,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        Ok(self.get_opts(key, options).await?.into_stream())
    }

    async fn remove(&self, key: &Path, upload: Option<&str>) -> Result<(), Error> {
        if let Some(upload) = upload
            && let Err(error) = self.abort_multipart(key, &upload.to_owned()).await
        {
            // A store removes unfinished uploads in its own time.
            tracing::debug!(%key, %error, "an upload could not be taken back");
        }
        match self.delete(key).await {
            Err(Error::NotFound { .. }) => Ok(()),
            result => result,
        }
    }
}

/// A folder in a bucket. Cheap to clone; must be used on one runtime.
#[derive(Clone)]
pub struct Store {
    bucket: Arc<dyn Bucket>,
    /// Without a trailing slash.
    url: String,
    prefix: Path,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store of this configuration for uploads. No request is made yet.
    pub fn open(config: &StoreConfig) -> Result<Self, OpenError> {
        Self::with_client(config, ClientOptions::new().with_connect_timeout(CONNECT).with_timeout(REQUEST))
    }

    /// Opens the same store for downloads, which have no time limit.
    pub fn open_for_reading(config: &StoreConfig) -> Result<Self, OpenError> {
        Self::with_client(config, ClientOptions::new().with_connect_timeout(CONNECT).with_timeout_disabled())
    }

    fn with_client(config: &StoreConfig, client: ClientOptions) -> Result<Self, OpenError> {
        let unusable = || OpenError::Url(config.url.clone());
        let url: Url = config.url.parse().map_err(|_| unusable())?;
        if url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(unusable());
        }
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|_| unusable())?;
        let client = client
            .with_content_type_for_suffix("mp4", "video/mp4")
            .with_content_type_for_suffix("webm", "video/webm");
        let retry = RetryConfig { max_retries: RETRIES, ..RetryConfig::default() };
        macro_rules! build {
            ($builder:ty) => {{
                let mut builder = <$builder>::from_env()
                    .with_url(url.as_str())
                    .with_retry(retry)
                    .with_client_options(client);
                for (name, value) in &config.options {
                    let key =
                        name.to_ascii_lowercase().parse().map_err(|_| OpenError::Option(name.clone()))?;
                    builder = builder.with_config(key, value);
                }
                Arc::new(builder.build().map_err(OpenError::Settings)?)
            }};
        }
        let bucket: Arc<dyn Bucket> = match scheme {
            ObjectStoreScheme::AmazonS3 => build!(AmazonS3Builder),
            ObjectStoreScheme::GoogleCloudStorage => build!(GoogleCloudStorageBuilder),
            ObjectStoreScheme::MicrosoftAzure => build!(MicrosoftAzureBuilder),
            _ => return Err(unusable()),
        };
        Ok(Self { bucket, url: config.url.trim_end_matches('/').to_owned(), prefix })
    }

    pub(crate) fn bucket(&self) -> &dyn Bucket {
        &*self.bucket
    }

    /// The URL of the object for a file of this name.
    pub(crate) fn object(&self, file: &str) -> String {
        format!("{}/{file}", self.url)
    }

    /// The key of an object; `None` if it is not in this store.
    pub(crate) fn key(&self, object: &str) -> Option<Path> {
        let file = object.strip_prefix(&self.url)?.strip_prefix('/')?;
        (!file.contains('/')).then(|| self.prefix.clone().join(file))
    }

    /// Reads a range of an object; `None` if this store has no such object.
    pub async fn read(
        &self,
        object: &str,
        range: Range<u64>,
    ) -> Result<Option<BoxStream<'static, Result<Bytes, Error>>>, Error> {
        let Some(key) = self.key(object) else { return Ok(None) };
        match self.bucket.read(&key, range).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A store with this bucket.
    pub(crate) fn store(bucket: Arc<dyn Bucket>) -> Store {
        Store { bucket, url: "s3://bucket/calls".to_owned(), prefix: "calls".into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(url: &str, options: &[(&str, &str)]) -> Result<Store, OpenError> {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Store::open(&StoreConfig { url: url.to_owned(), options, keeps_local: true })
    }

    #[test]
    fn a_url_says_what_kind_of_store_it_is() {
        let key = [("access_key_id", "a"), ("secret_access_key", "b"), ("endpoint", "http://127.0.0.1:1")];
        let azure = [("account_name", "a"), ("account_key", "YWJj")];
        for (url, options) in [
            ("s3://bucket", &key[..]),
            ("s3://bucket/some/calls/", &key),
            ("https://s3.eu-central-1.amazonaws.com/bucket/some/calls", &key[..2]),
            ("gs://bucket/some/calls", &[("skip_signature", "true")]),
            ("az://container/some/calls", &azure),
        ] {
            let store = open(url, options).unwrap();
            let object = store.object("a.mp4");
            assert_eq!(object, format!("{}/a.mp4", url.trim_end_matches('/')));
            let key = store.key(&object).unwrap();
            assert_eq!(key.as_ref(), if url.contains("calls") { "some/calls/a.mp4" } else { "a.mp4" });
            assert_eq!(store.key("s3://another/some/calls/a.mp4"), None);
            assert_eq!(store.key(&format!("{object}/../b")), None);
        }
    }

    #[test]
    fn what_is_no_store_is_said() {
        for url in [
            "",
            "bucket",
            "ftp://bucket",
            "file:///tmp",
            "http://host/bucket",
            "s3://a:b@bucket",
            "s3://b?x=y",
        ] {
            assert!(matches!(open(url, &[]), Err(OpenError::Url(_))), "{url}");
        }
        let error = open("s3://bucket", &[("colour", "red")]).unwrap_err();
        assert!(error.to_string().contains("colour"), "{error}");
        let config = StoreConfig {
            url: "s3://b".into(),
            options: vec![("token".into(), "x-y".into())],
            keeps_local: true,
        };
        assert!(!format!("{config:?}").contains("x-y"), "secrets stay hidden");
    }
}
