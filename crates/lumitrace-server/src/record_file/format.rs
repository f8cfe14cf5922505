//! Which kinds of files there are, and by which endings.

use std::path::Path;

/// What is in a file of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Encoding {
    /// A request as OTLP/JSON on each line: .jsonl
    #[value(name = "otlp-json")]
    OtlpJson,
    /// OTLP requests in protobuf, each behind its length: .pb
    #[value(name = "otlp-proto")]
    OtlpProtobuf,
    /// A row for each record, for any reader of Parquet: .parquet
    #[value(name = "parquet")]
    Parquet,
}

impl Encoding {
    /// The ending of its files.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Encoding::OtlpJson => "jsonl",
            Encoding::OtlpProtobuf => "pb",
            Encoding::Parquet => "parquet",
        }
    }
}

/// How a file of requests is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Compression {
    /// Not at all
    #[value(name = "none")]
    None,
    /// With gzip: .gz behind the other ending
    #[value(name = "gzip")]
    Gzip,
    /// With zstd: .zst behind the other ending
    #[value(name = "zstd")]
    Zstd,
}

impl Compression {
    /// What it puts behind the ending of its files.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        }
    }
}

/// What a file is, as its name's ending says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) encoding: Encoding,
    pub(crate) compression: Compression,
}

impl Format {
    /// Lines of OTLP/JSON, not compressed.
    pub(crate) const JSON_LINES: Self = Self {
        encoding: Encoding::OtlpJson,
        compression: Compression::None,
    };

    /// What the ending of `path` says, in any case; `None` if it says nothing.
    pub(crate) fn of_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let (name, compression) = if let Some(name) = name.strip_suffix(".gz") {
            (name, Compression::Gzip)
        } else if let Some(name) = name.strip_suffix(".zst") {
            (name, Compression::Zstd)
        } else {
            (name.as_str(), Compression::None)
        };
        let encoding = match name.rsplit_once('.')?.1 {
            "json" | "jsonl" | "ndjson" => Encoding::OtlpJson,
            "pb" | "binpb" | "protobuf" | "otlp" => Encoding::OtlpProtobuf,
            "parquet" => Encoding::Parquet,
            _ => return None,
        };
        Some(Self {
            encoding,
            compression,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_ending_says_what_it_holds() {
        for (name, encoding, compression) in [
            ("a.jsonl", Encoding::OtlpJson, Compression::None),
            ("b/a.JSON.gz", Encoding::OtlpJson, Compression::Gzip),
            ("a.pb.zst", Encoding::OtlpProtobuf, Compression::Zstd),
            ("a.b.parquet", Encoding::Parquet, Compression::None),
        ] {
            let expected = Format {
                encoding,
                compression,
            };
            assert_eq!(Format::of_path(Path::new(name)), Some(expected), "{name}");
        }
        for name in ["a", "jsonl", "a.txt", "a.gz", ".."] {
            assert_eq!(Format::of_path(Path::new(name)), None, "{name}");
        }
    }
}
