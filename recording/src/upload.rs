//! How far a recording is on its way into object storage: kept with what else is known of it, so that an upload goes on
//! after a restart.

use serde::{Deserialize, Serialize};

/// Parts are of this size, unless there would be too many: what is lost when a connection is cut, and what an upload
/// takes of memory.
const PART: u64 = 8 << 20;
/// So many parts at most; S3 takes 10,000.
const MAX_PARTS: u64 = 9_000;

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Upload {
    /// Nothing of it is in the store.
    Waiting,
    /// The store has some of it.
    Uploading(Parts),
    /// The store has confirmed all of it.
    Stored {
        /// The object's URL.
        object: String,
    },
}

/// An upload in several parts that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parts {
    /// The object's URL.
    pub object: String,
    /// What the store calls the upload.
    pub upload: String,
    /// The file's size when it began.
    pub file_bytes: u64,
    /// The size of each part but the last.
    pub part_bytes: u64,
    /// What the store calls each part that it has.
    pub parts: Vec<String>,
}

impl Upload {
    /// Where the object is, or will be.
    pub fn object(&self) -> Option<&str> {
        match self {
            Self::Waiting => None,
            Self::Uploading(Parts { object, .. }) | Self::Stored { object } => Some(object),
        }
    }

    /// Whether the store has all of it.
    pub fn is_stored(&self) -> bool {
        matches!(self, Self::Stored { .. })
    }
}

impl Parts {
    /// None of a file's parts yet.
    pub(crate) fn new(object: String, upload: String, file_bytes: u64) -> Self {
        let least = file_bytes.div_ceil(MAX_PARTS).next_multiple_of(1 << 20);
        Self { object, upload, file_bytes, part_bytes: PART.max(least), parts: Vec::new() }
    }

    /// Where the next part lies in the file; `None` when the store has them all.
    pub(crate) fn next(&self) -> Option<std::ops::Range<u64>> {
        let start = self.part_bytes.checked_mul(u64::try_from(self.parts.len()).ok()?)?;
        let end = start.saturating_add(self.part_bytes).min(self.file_bytes);
        (start < end).then_some(start..end)
    }

    /// Bytes that the store has.
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
