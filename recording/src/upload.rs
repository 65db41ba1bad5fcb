//! The progress of a recording's upload to object storage. It is saved in the recording's note, so that the upload
//! continues after a restart.

use serde::{Deserialize, Serialize};

/// The size of a part, unless there would be too many: the amount lost with a connection, and the
/// memory used by an upload.
const PART: u64 = 8 << 20;
/// Maximum number of parts of one upload; S3 allows 10,000.
const MAX_PARTS: u64 = 9_000;

/// The state of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Upload {
    /// Nothing has been uploaded.
    Waiting,
    /// The upload has started.
    Uploading(Parts),
    /// The store has confirmed the complete object.
    Stored {
        /// The object's URL.
        object: String,
    },
}

/// A multipart upload that has started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parts {
    /// The object's URL.
    pub object: String,
    /// The store's id of the upload.
    pub upload: String,
    /// The size of the file when the upload started.
    pub file_bytes: u64,
    /// The size of each part except the last.
    pub part_bytes: u64,
    /// The store's ids of the uploaded parts.
    pub parts: Vec<String>,
}

impl Upload {
    /// The URL of the object, if it is known.
    pub fn object(&self) -> Option<&str> {
        match self {
            Self::Waiting => None,
            Self::Uploading(Parts { object, .. }) | Self::Stored { object } => Some(object),
        }
    }

    /// Whether the store has confirmed the complete object.
    pub fn is_stored(&self) -> bool {
        matches!(self, Self::Stored { .. })
    }
}

impl Parts {
    /// The state of an upload without any parts.
    pub(crate) fn new(object: String, upload: String, file_bytes: u64) -> Self {
        let least = file_bytes.div_ceil(MAX_PARTS).next_multiple_of(1 << 20);
        Self { object, upload, file_bytes, part_bytes: PART.max(least), parts: Vec::new() }
    }

    /// The range of the next part in the file; `None` if all parts are uploaded.
    pub(crate) fn next(&self) -> Option<std::ops::Range<u64>> {
        let start = self.part_bytes.checked_mul(u64::try_from(self.parts.len()).ok()?)?;
        let end = start.saturating_add(self.part_bytes).min(self.file_bytes);
        (start < end).then_some(start..end)
    }

    /// The number of bytes uploaded.
    pub fn bytes(&self) -> u64 {
        self.next().map_or(self.file_bytes, |next| next.start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_known_reads_well() {
        let parts = Parts { parts: vec!["a".into()], ..Parts::new("s3://b/c".into(), "u".into(), 9 << 20) };
        assert_eq!(parts.bytes(), 8 << 20);
        let text = serde_json::to_string(&Upload::Uploading(parts.clone())).unwrap();
        let expected = r#"{"state":"uploading","object":"s3://b/c","upload":"u","fileBytes":9437184,"partBytes":8388608,"parts":["a"]}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Upload>(&text).unwrap(), Upload::Uploading(parts));
        assert_eq!(serde_json::to_string(&Upload::Waiting).unwrap(), r#"{"state":"waiting"}"#);
    }

    proptest! {
        #[test]
        fn parts_cover_the_file_once(file_bytes in prop_oneof![0_u64..100 << 20, 0_u64..1 << 45]) {
            let mut parts = Parts::new(String::new(), String::new(), file_bytes);
            let mut end = 0;
            while let Some(next) = parts.next() {
                prop_assert_eq!(next.start, end);
                prop_assert!(next.end - next.start == parts.part_bytes || next.end == file_bytes);
                end = next.end;
                parts.parts.push(String::new());
            }
            prop_assert_eq!((end, parts.bytes()), (file_bytes, file_bytes));
            prop_assert!(parts.parts.len() as u64 <= MAX_PARTS);
        }
    }
}
