//! What a digester leaves beside blocks.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::{append, only_file, options};
use crate::batch::testing::span;
use crate::compact::compact;
use crate::{
    BlockDigester, DigestParts, QueryBudget, ScanRequest, SpanDigest, SpanDigester, SpanParts,
    SpanRecord, Store, StoreOptions,
};

/// Lists the numbers of a block's spans, and keeps each as a part. Its format is the number.
#[derive(Debug)]
struct ListingDigester(u64);

struct List(Vec<u8>);

impl SpanDigester for ListingDigester {
    fn format(&self) -> u64 {
        self.0
    }

    fn concerns(&self, span_name: &str) -> bool {
        span_name == "batch_processing"
    }

    fn begin(&self) -> Box<dyn BlockDigester> {
        Box::new(List(Vec::new()))
    }
}

impl BlockDigester for List {
    fn add(
        &mut self,
        row: u64,
        record: &SpanRecord,
        parts: &mut DigestParts<'_>,
    ) -> io::Result<()> {
        let [.., number] = record.span.span_id.to_bytes();
        let part = parts.add(&[number])?;
        assert_eq!(u64::from(part), row, "each row comes once and in order");
        self.0.push(number);
        Ok(())
    }

    fn finish(self: Box<Self>, _parts: &mut DigestParts<'_>) -> io::Result<Vec<u8>> {
        Ok(self.0)
    }
}

fn digesting(dir: &Path, format: u64) -> StoreOptions {
    StoreOptions {
        digester: Some(Arc::new(ListingDigester(format))),
        ..options(dir)
    }
}

/// A store with two blocks: of spans 1 and 2, and of span 3 and span 2 once more.
fn two_blocks(dir: &Path) -> Store {
    let store = Store::open(digesting(dir, 1)).unwrap();
    append(&store, vec![span(1, 1), span(1, 2)]);
    store.flush().unwrap();
    append(&store, vec![span(1, 3), span(1, 2)]);
    store.flush().unwrap();
    store
}

fn listed(store: &Store) -> Vec<Vec<u8>> {
    let digests = store.digests().unwrap();
    digests.iter().map(|it| it.bytes().to_vec()).collect()
}

#[test]
fn a_digest_is_there_for_each_block_and_made_anew_when_blocks_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(listed(&two_blocks(dir.path())), [[1, 2], [2, 3]]);
    let keep_on = &mut |_| ControlFlow::Continue(());
    compact(digesting(dir.path(), 1), 1 << 30, keep_on).unwrap();
    let store = Store::open(digesting(dir.path(), 1)).unwrap();
    let [digest]: [SpanDigest; 1] = store.digests().unwrap().try_into().unwrap();
    assert_eq!(digest.bytes(), [1, 2, 3]);
    assert_eq!(
        (digest.seqs(), digest.services()),
        (1..5, &["checkout".to_owned()][..])
    );
    let mut parts = digest.parts().unwrap();
    let numbers: Vec<_> = (0..3).map(|part| parts.part(part).unwrap()).collect();
    assert_eq!(numbers, [[1], [2], [3]]);
    assert!(parts.part(3).is_err());
    let records = digest.records(&[0, 2], SpanParts::NONE).unwrap();
    let found: Vec<_> = records.iter().map(|it| it.span.span_id).collect();
    assert_eq!(found, [span(1, 1).span_id, span(1, 3).span_id]);
    assert!(digest.records(&[3], SpanParts::NONE).is_err());
    assert!(digest.may_have_trace(span(1, 1).trace_id).unwrap());
    drop((digest, store));
    let checked = crate::check::check(dir.path(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(checked.damages.is_empty(), "{:?}", checked.damages);
}

#[test]
fn digests_of_another_format_are_not_handed_out_until_blocks_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    drop(two_blocks(dir.path()));
    let without = Store::open(options(dir.path())).unwrap();
    assert!(without.digests().unwrap().is_empty());
    drop(without);
    assert!(listed(&Store::open(digesting(dir.path(), 2)).unwrap()).is_empty());
    let keep_on = &mut |_| ControlFlow::Continue(());
    compact(digesting(dir.path(), 2), 1 << 30, keep_on).unwrap();
    let store = Store::open(digesting(dir.path(), 2)).unwrap();
    assert_eq!(listed(&store), [[1, 2, 3]]);
}

#[test]
fn a_block_without_spans_of_concern_has_a_digest_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(digesting(dir.path(), 1)).unwrap();
    let other = lumitrace_model::Span {
        name: "GET /".into(),
        ..span(1, 1)
    };
    append(&store, vec![other]);
    store.flush().unwrap();
    let digests = store.digests().unwrap();
    assert_eq!(
        (digests[0].services(), digests[0].bytes()),
        (&[][..], &[][..])
    );
}

#[test]
fn a_damaged_digest_is_left_out_and_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(digesting(dir.path(), 1)).unwrap();
    append(&store, vec![span(1, 1)]);
    store.flush().unwrap();
    drop(store);
    let index = only_file(&dir.path().join("blocks"), "idx");
    let mut bytes = fs::read(&index).unwrap();
    // The digest is the last section.
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&index, bytes).unwrap();
    let store = Store::open(digesting(dir.path(), 1)).unwrap();
    assert!(listed(&store).is_empty());
    let damages = store.stats().damages;
    assert_eq!(damages.len(), 1, "{damages:?}");
    assert_eq!(store.trace(span(1, 1).trace_id).unwrap().len(), 1);
}

#[test]
fn blocks_that_may_share_spans_with_the_archive_have_no_digest() {
    let dir = tempfile::tempdir().unwrap();
    let store = two_blocks(dir.path());
    store
        .archive_trace(span(1, 1).trace_id, &QueryBudget::unlimited())
        .unwrap();
    assert!(listed(&store).is_empty());
}

#[test]
fn a_scan_leaves_out_spans_by_their_sequence_numbers_in_blocks_and_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let store = two_blocks(dir.path());
    append(&store, vec![span(1, 5), span(1, 6)]);
    let found = |except_seqs: &[(u64, u64)]| {
        let request = ScanRequest {
            except_seqs: except_seqs
                .iter()
                .map(|(start, end)| *start..*end)
                .collect(),
            ..ScanRequest::default()
        };
        let mut found = Vec::new();
        let visit = &mut |record: Arc<SpanRecord>| {
            let [.., number] = record.span.span_id.to_bytes();
            found.push(number);
            ControlFlow::Continue(())
        };
        let stats = store.scan(&request, visit).unwrap();
        found.sort_unstable();
        (found, stats.blocks_pruned)
    };
    assert_eq!(found(&[]), (vec![1, 2, 3, 5, 6], 0));
    assert_eq!(found(&[(1, 3)]), (vec![2, 3, 5, 6], 1));
    assert_eq!(found(&[(1, 2), (3, 6)]), (vec![2, 6], 1));
    assert_eq!(found(&[(1, 7)]), (vec![], 2));
}
