//! The resources and scopes of a block's spans, each once, and by what number spans know them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use lumitrace_model::{Resource, Scope};
use lumitrace_wire::otlp::protobuf;

use super::attributes::STORED_LIMITS;
use super::caches::{KeptPart, PartName};
use super::received::ReceivedTable;
use super::row::RowHead;
use crate::batch::attributes_bytes;
use crate::binary::{Fields, PutFields};
use crate::stored::Origin;

/// A resource, as the spans of a block share it.
#[derive(Debug, Clone)]
pub(crate) struct StoredResource {
    pub(crate) resource: Arc<Resource>,
    pub(crate) schema_url: Arc<str>,
}

/// A scope, as the spans of a block share it.
#[derive(Debug, Clone)]
pub(crate) struct StoredScope {
    pub(crate) scope: Arc<Scope>,
    pub(crate) schema_url: Arc<str>,
}

/// What the spans of a block share, as it was read.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// By number.
    pub(crate) resources: Vec<StoredResource>,
    /// By number.
    pub(crate) scopes: Vec<StoredScope>,
    pub(crate) received: ReceivedTable,
    /// For each service the number of its first resource: of its only one, where spans have no
    /// number of their own.
    by_service: HashMap<String, u32>,
}

impl Tables {
    pub(crate) fn new(
        resources: Vec<StoredResource>,
        scopes: Vec<StoredScope>,
        received: ReceivedTable,
    ) -> Self {
        let mut by_service = HashMap::new();
        for (stored, number) in resources.iter().zip(0..) {
            let service = stored.resource.service_name().to_owned();
            by_service.entry(service).or_insert(number);
        }
        Self {
            resources,
            scopes,
            received,
            by_service,
        }
    }

    /// The origin of rows that know their resource and scope by these numbers.
    pub(crate) fn origin(&self, resource_id: u32, scope_id: u32) -> Option<Origin> {
        let resource = self.resources.get(resource_id as usize)?;
        let scope = self.scopes.get(scope_id as usize)?;
        Some(Origin {
            resource: Arc::clone(&resource.resource),
            resource_schema_url: Arc::clone(&resource.schema_url),
            scope: Arc::clone(&scope.scope),
            scope_schema_url: Arc::clone(&scope.schema_url),
        })
    }

    /// The number of the resource of a service that has only one.
    pub(crate) fn resource_of_service(&self, service: &str) -> Option<u32> {
        self.by_service.get(service).copied()
    }
}

impl KeptPart for Tables {
    const NAME: PartName = PartName::Tables;

    fn memory_bytes(&self) -> usize {
        let resource_bytes = |stored: &StoredResource| {
            size_of::<StoredResource>()
                + size_of::<Resource>()
                + attributes_bytes(&stored.resource.attributes)
                + stored.schema_url.len()
        };
        let scope_bytes = |stored: &StoredScope| {
            size_of::<StoredScope>()
                + size_of::<Scope>()
                + attributes_bytes(&stored.scope.attributes)
                + stored.scope.name.len()
                + stored.scope.version.len()
                + stored.schema_url.len()
        };
        let services = self.by_service.keys();
        let services = services.map(|name| size_of::<(String, u32)>() + name.len());
        size_of::<Self>()
            + self.resources.iter().map(resource_bytes).sum::<usize>()
            + self.scopes.iter().map(scope_bytes).sum::<usize>()
            + self.received.memory_bytes()
            + services.sum::<usize>()
    }
}

/// Numbers resources and scopes.
#[derive(Debug, Default)]
pub(crate) struct TablesBuilder {
    resources: Numbers<Resource>,
    scopes: Numbers<Scope>,
    /// For each service whether it has more than one resource.
    services: HashMap<String, bool>,
}

impl TablesBuilder {
    /// The numbers of a row's resource and scope.
    pub(crate) fn numbers(&mut self, row: &RowHead<'_>) -> (u32, u32) {
        let resource = self.resource(row.resource, row.resource_schema_url);
        let scope = self.scope(row.scope, row.scope_schema_url);
        (resource, scope)
    }

    /// Takes in what the spans of another block share.
    pub(crate) fn add(&mut self, tables: &Tables) {
        for stored in &tables.resources {
            self.resource(&stored.resource, &stored.schema_url);
        }
        for stored in &tables.scopes {
            self.scope(&stored.scope, &stored.schema_url);
        }
    }

    fn resource(&mut self, resource: &Arc<Resource>, schema_url: &str) -> u32 {
        let encode = || encode_resource(resource, schema_url);
        let (number, is_new) = self.resources.number(resource, encode);
        if is_new {
            let service = resource.service_name().to_owned();
            let several = self.services.entry(service);
            several.and_modify(|several| *several = true).or_default();
        }
        number
    }

    fn scope(&mut self, scope: &Arc<Scope>, schema_url: &str) -> u32 {
        self.scopes
            .number(scope, || encode_scope(scope, schema_url))
            .0
    }

    /// Whether no service has more than one resource.
    pub(crate) fn is_resource_known_by_service(&self) -> bool {
        !self.services.values().any(|several| *several)
    }

    pub(crate) fn has_several_scopes(&self) -> bool {
        self.scopes.contents.len() > 1
    }

    /// The sections of the sidecar: resources and scopes.
    pub(crate) fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        (
            encode_table(&self.resources.contents),
            encode_table(&self.scopes.contents),
        )
    }
}

/// Numbers resources or scopes by content, quickly for spans that share one.
#[derive(Debug)]
struct Numbers<T> {
    by_content: HashMap<Vec<u8>, u32>,
    /// By address. Held, so that no address is used again for something else.
    by_address: HashMap<usize, (Arc<T>, u32)>,
    /// By number.
    contents: Vec<Vec<u8>>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self {
            by_content: HashMap::new(),
            by_address: HashMap::new(),
            contents: Vec::new(),
        }
    }
}

impl<T> Numbers<T> {
    /// The number, and whether it is a new one.
    fn number(&mut self, shared: &Arc<T>, encode: impl FnOnce() -> Vec<u8>) -> (u32, bool) {
        let address = Arc::as_ptr(shared) as usize;
        if let Some((_, number)) = self.by_address.get(&address) {
            return (*number, false);
        }
        let known = self.contents.len();
        let number = *self
            .by_content
            .entry(encode())
            .or_insert_with_key(|content| {
                self.contents.push(content.clone());
                known as u32
            });
        self.by_address
            .insert(address, (Arc::clone(shared), number));
        (number, self.contents.len() > known)
    }
}

fn encode_table(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u32(entries.len() as u32);
    entries.iter().for_each(|entry| out.put_bytes(entry));
    out
}

/// Reads a section of resources; `None` if it is something else.
pub(crate) fn decode_resources(bytes: &[u8]) -> Option<Vec<StoredResource>> {
    decode_table(bytes, decode_resource)
}

/// Reads a section of scopes; `None` if it is something else.
pub(crate) fn decode_scopes(bytes: &[u8]) -> Option<Vec<StoredScope>> {
    decode_table(bytes, decode_scope)
}

fn decode_table<T>(bytes: &[u8], decode: impl Fn(&[u8]) -> Option<T>) -> Option<Vec<T>> {
    let mut fields = Fields::new(bytes);
    (0..fields.u32()?)
        .map(|_| decode(fields.bytes()?))
        .collect()
}

fn encode_resource(resource: &Resource, schema_url: &str) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_bytes(schema_url.as_bytes());
    out.put_u32(resource.dropped_attributes_count);
    out.put_bytes(&protobuf::encode_attributes(&resource.attributes));
    out
}

fn decode_resource(bytes: &[u8]) -> Option<StoredResource> {
    let mut fields = Fields::new(bytes);
    let schema_url = fields.text()?.into();
    let dropped_attributes_count = fields.u32()?;
    let attributes = protobuf::decode_attributes(fields.bytes()?, &STORED_LIMITS).ok()?;
    let resource = Arc::new(Resource {
        attributes,
        dropped_attributes_count,
    });
    Some(StoredResource {
        resource,
        schema_url,
    })
}

fn encode_scope(scope: &Scope, schema_url: &str) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_bytes(schema_url.as_bytes());
    out.put_bytes(scope.name.as_bytes());
    out.put_bytes(scope.version.as_bytes());
    out.put_u32(scope.dropped_attributes_count);
    out.put_bytes(&protobuf::encode_attributes(&scope.attributes));
    out
}

fn decode_scope(bytes: &[u8]) -> Option<StoredScope> {
    let mut fields = Fields::new(bytes);
    let schema_url = fields.text()?.into();
    let name = Cow::Owned(fields.text()?.to_owned());
    let version = Cow::Owned(fields.text()?.to_owned());
    let dropped_attributes_count = fields.u32()?;
    let attributes = protobuf::decode_attributes(fields.bytes()?, &STORED_LIMITS).ok()?;
    let scope = Arc::new(Scope {
        name,
        version,
        attributes,
        dropped_attributes_count,
    });
    Some(StoredScope { scope, schema_url })
}
