//! What a decoder refuses, and how it says so.

/// Limits on what a decoder accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// How deep values may nest (arrays in maps in arrays ...). OpenTelemetry's own limit is 64.
    pub max_depth: usize,
    /// How many bytes of decoded items one byte of a message may become. The densest honest item,
    /// a truth value in an array, has four bytes of protobuf and takes 32 decoded. Messages of less
    /// than 256 bytes count as so many: a single log record that says little is mostly frame.
    pub max_expansion: usize,
}

impl DecodeLimits {
    /// For bytes that were accepted before and written down by us. They may expand further than
    /// what was received, since our encoding can be shorter than the sender's. Only how deep they
    /// nest is limited, to four times OpenTelemetry's limit: damage must not overflow the stack.
    pub const fn own_data() -> Self {
        Self {
            max_depth: 256,
            max_expansion: usize::MAX,
        }
    }

    /// How many bytes the decoded items of a message may take.
    pub(crate) fn item_bytes(&self, message_bytes: usize) -> usize {
        message_bytes.max(256).saturating_mul(self.max_expansion)
    }
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_depth: 64,
            max_expansion: 16,
        }
    }
}

/// Why bytes could not be decoded. The whole message is refused; the sender should not resend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The message ends in the middle of a field.
    #[error("the message is truncated at byte {offset}")]
    Truncated {
        /// Where the missing bytes should have been.
        offset: usize,
    },
    /// Bytes that are no protobuf, or a field of another wire type than its definition.
    #[error("malformed protobuf at byte {offset}: {reason}")]
    Malformed {
        /// Where decoding stopped.
        offset: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The text is not JSON, or a field has the wrong type.
    #[error("malformed JSON: {0}")]
    Json(String),
    /// The message consists of (nearly) empty items whose only effect is to fill memory.
    #[error(
        "the message would take more than {ratio} times its size in memory: too many empty items"
    )]
    TooManyItems {
        /// The highest accepted ratio of decoded to encoded bytes.
        ratio: usize,
    },
    /// Values nest deeper than [`DecodeLimits::max_depth`].
    #[error("values nest deeper than the limit of {max_depth}")]
    TooDeep {
        /// The limit.
        max_depth: usize,
    },
}
