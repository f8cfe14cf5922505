//! Which spans are counted together in a rollup.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::binary::{Fields, PutFields};

/// What spans that are counted together have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RollupKey {
    pub(crate) service: Arc<str>,
    pub(crate) name: Arc<str>,
    /// OTLP's number.
    pub(crate) kind: u8,
    /// Whether the status is error.
    pub(crate) failed: bool,
}

/// A [`RollupKey`] whose texts somebody else holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RollupKeyRef<'a> {
    pub(crate) service: &'a str,
    pub(crate) name: &'a str,
    pub(crate) kind: u8,
    pub(crate) failed: bool,
}

impl RollupKey {
    pub(crate) fn as_ref(&self) -> RollupKeyRef<'_> {
        RollupKeyRef {
            service: &self.service,
            name: &self.name,
            kind: self.kind,
            failed: self.failed,
        }
    }
}

/// Keys, numbered in the order in which they came first.
#[derive(Debug, Clone, Default)]
pub(crate) struct RollupKeys {
    services: Vec<Arc<str>>,
    keys: Vec<RollupKey>,
    /// Numbers of keys by their keys.
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
    text_bytes: usize,
}

impl RollupKeys {
    /// The number of a key, which is a new one if it was not there.
    pub(crate) fn number(&mut self, key: RollupKeyRef<'_>) -> u32 {
        let (keys, hasher) = (&self.keys, &self.hasher);
        let hash = hasher.hash_one(key);
        let is_it = |number: &u32| keys[*number as usize].as_ref() == key;
        if let Some(number) = self.numbers.find(hash, is_it) {
            return *number;
        }
        // There are no more keys than spans, of which a block has less than 2^32.
        let number = keys.len() as u32;
        self.numbers.insert_unique(hash, number, |number| {
            hasher.hash_one(keys[*number as usize].as_ref())
        });
        let service = self.service(key.service);
        self.text_bytes += key.name.len();
        self.keys.push(RollupKey {
            service,
            name: key.name.into(),
            kind: key.kind,
            failed: key.failed,
        });
        number
    }

    fn service(&mut self, name: &str) -> Arc<str> {
        // New keys are rare, and services few.
        let known = self.services.iter().find(|service| ***service == *name);
        known.cloned().unwrap_or_else(|| {
            self.text_bytes += name.len();
            let service: Arc<str> = name.into();
            self.services.push(Arc::clone(&service));
            service
        })
    }

    /// The keys, by number.
    pub(crate) fn all(&self) -> &[RollupKey] {
        &self.keys
    }

    /// About how many bytes [`encode`](Self::encode) writes.
    pub(crate) fn bytes(&self) -> usize {
        self.text_bytes + 8 * self.keys.len() + 4 * self.services.len()
    }

    /// Writes the keys as rollups keep them (`docs/formats/store.md`).
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_varint(self.services.len() as u64);
        for service in &self.services {
            out.put_bytes(service.as_bytes());
        }
        out.put_varint(self.keys.len() as u64);
        for key in &self.keys {
            let service = self.services.iter().position(|it| *it == key.service);
            out.put_varint(service.unwrap_or(0) as u64);
            out.put_bytes(key.name.as_bytes());
            out.put_u8(key.kind);
            out.put_u8(u8::from(key.failed));
        }
    }

    /// Reads what [`encode`](Self::encode) wrote, by number; `None` if it is something else.
    pub(crate) fn decode(fields: &mut Fields<'_>) -> Option<Vec<RollupKey>> {
        let count = fields.varint()?;
        let services: Vec<Arc<str>> = (0..count)
            .map(|_| fields.text().map(Arc::from))
            .collect::<Option<_>>()?;
        let count = fields.varint()?;
        let mut key = || {
            let service = usize::try_from(fields.varint()?).ok()?;
            Some(RollupKey {
                service: Arc::clone(services.get(service)?),
                name: fields.text()?.into(),
                kind: fields.u8()?,
                failed: fields.u8()? != 0,
            })
        };
        (0..count).map(|_| key()).collect()
    }
}
