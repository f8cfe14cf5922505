//! Which services the shop has, and what each of their endpoints does.

/// What a service is written in, which decides how its failures look.
#[derive(Clone, Copy)]
pub(super) enum Language {
    Java,
    Python,
    Go,
    Node,
}

pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) language: Language,
    pub(super) pods: u64,
}

const fn service(name: &'static str, language: Language, pods: u64) -> Service {
    Service {
        name,
        language,
        pods,
    }
}

pub(super) static SERVICES: [Service; 12] = [
    service("gateway", Language::Go, 4),
    service("catalog", Language::Java, 6),
    service("search", Language::Java, 4),
    service("cart", Language::Go, 4),
    service("checkout", Language::Java, 4),
    service("payment", Language::Java, 3),
    service("inventory", Language::Go, 4),
    service("pricing", Language::Python, 3),
    service("recommendation", Language::Python, 5),
    service("user", Language::Node, 3),
    service("shipping", Language::Python, 2),
    service("notification", Language::Node, 2),
];

/// Something that a request does, one after the other.
pub(super) enum Step {
    /// Calls another service.
    Call(usize, &'static Endpoint),
    /// Asks a database: system, operation, collection, statement.
    Query(&'static str, &'static str, &'static str, &'static str),
    /// Asks the cache for a key that begins so.
    Cache(&'static str),
    /// Puts a message on a queue that a service takes it off: topic, service.
    Publish(&'static str, usize),
}

pub(super) struct Endpoint {
    pub(super) method: &'static str,
    pub(super) route: &'static str,
    /// Time of its own, without what it calls, in milliseconds.
    pub(super) own_ms: f64,
    /// Each step, and how probable it is.
    pub(super) steps: &'static [(f64, Step)],
}

use Step::{Cache, Call, Publish, Query};

static PROFILE: Endpoint = Endpoint {
    method: "GET",
    route: "/users/{id}",
    own_ms: 1.2,
    steps: &[
        (1.0, Cache("user:")),
        (
            0.2,
            Query(
                "postgresql",
                "SELECT",
                "users",
                "SELECT * FROM users WHERE id = $1",
            ),
        ),
    ],
};
static PRICE: Endpoint = Endpoint {
    method: "GET",
    route: "/prices",
    own_ms: 3.0,
    steps: &[(
        0.6,
        Query(
            "postgresql",
            "SELECT",
            "prices",
            "SELECT sku, amount, currency FROM prices WHERE sku = ANY($1) AND valid_until > now()",
        ),
    )],
};
static STOCK: Endpoint = Endpoint {
    method: "GET",
    route: "/stock/{sku}",
    own_ms: 0.8,
    steps: &[
        (1.0, Cache("stock:")),
        (
            0.3,
            Query(
                "mongodb",
                "find",
                "stock",
                "{\"find\": \"stock\", \"filter\": {\"sku\": \"?\"}}",
            ),
        ),
    ],
};
static RECOMMEND: Endpoint = Endpoint {
    method: "POST",
    route: "/recommendations",
    own_ms: 25.0,
    steps: &[(1.0, Cache("embedding:")), (0.7, Call(6, &STOCK))],
};
static PRODUCT: Endpoint = Endpoint {
    method: "GET",
    route: "/products/{sku}",
    own_ms: 2.5,
    steps: &[
        (1.0, Cache("product:")),
        (
            0.35,
            Query(
                "postgresql",
                "SELECT",
                "products",
                "SELECT p.*, c.name FROM products p JOIN categories c ON c.id = p.category_id WHERE p.sku = $1",
            ),
        ),
        (1.0, Call(7, &PRICE)),
        (0.9, Call(6, &STOCK)),
        (0.5, Call(8, &RECOMMEND)),
    ],
};
static FIND: Endpoint = Endpoint {
    method: "GET",
    route: "/search",
    own_ms: 6.0,
    steps: &[
        (
            1.0,
            Query(
                "elasticsearch",
                "search",
                "products",
                "{\"query\": {\"match\": {\"title\": \"?\"}}}",
            ),
        ),
        (0.8, Call(7, &PRICE)),
    ],
};
static CART: Endpoint = Endpoint {
    method: "POST",
    route: "/cart/items",
    own_ms: 1.5,
    steps: &[
        (1.0, Cache("cart:")),
        (1.0, Call(6, &STOCK)),
        (1.0, Call(7, &PRICE)),
        (1.0, Cache("cart:")),
    ],
};
static CHARGE: Endpoint = Endpoint {
    method: "POST",
    route: "/charges",
    own_ms: 140.0,
    steps: &[(
        1.0,
        Query(
            "postgresql",
            "INSERT",
            "charges",
            "INSERT INTO charges (id, order_id, amount) VALUES ($1, $2, $3)",
        ),
    )],
};
static ORDER: Endpoint = Endpoint {
    method: "POST",
    route: "/orders",
    own_ms: 9.0,
    steps: &[
        (1.0, Call(9, &PROFILE)),
        (1.0, Call(3, &CART)),
        (1.0, Call(5, &CHARGE)),
        (
            1.0,
            Query(
                "postgresql",
                "INSERT",
                "orders",
                "INSERT INTO orders (id, user_id, total) VALUES ($1, $2, $3)",
            ),
        ),
        (1.0, Publish("orders", 10)),
        (0.9, Publish("orders", 11)),
    ],
};

/// What enters at the gateway, and how often of a hundred.
pub(super) static ENTRIES: [(u64, usize, &Endpoint); 5] = [
    (55, 1, &PRODUCT),
    (20, 2, &FIND),
    (12, 3, &CART),
    (8, 9, &PROFILE),
    (5, 4, &ORDER),
];
