//! What went wrong with a query, for programs and for people.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use lumitrace_query::QueryError;
use lumitrace_store::{Exhausted, LookupError};
use serde_json::json;
use std::fmt;

/// An error of a query API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    /// For programs: a word that stays the same.
    pub(super) code: &'static str,
    /// For people: what happened and what to do.
    pub(super) message: String,
    /// Whether the question would have cost more than it may.
    pub(super) is_given_up: bool,
}

impl ApiError {
    /// The question itself is wrong.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status: StatusCode::BAD_REQUEST,
            code: "invalid_parameter",
            message,
            is_given_up: false,
        }
    }

    /// What was asked for is not there.
    pub(super) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code,
            message: message.into(),
            is_given_up: false,
        }
    }

    /// The server failed. The details are for its log.
    pub(super) fn internal(error: &dyn fmt::Display) -> Self {
        tracing::error!(%error, "a query failed");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "internal",
            message: format!("the server could not answer: {error}"),
            is_given_up: false,
        }
    }

    /// The question would have cost more than it may.
    fn exhausted(exhausted: Exhausted) -> Self {
        let (status, code, advice) = match exhausted {
            Exhausted::Cancelled => (
                // Nobody reads it; nginx's number for that stands in logs.
                StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
                "cancelled",
                "ask again",
            ),
            Exhausted::Time { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "took_too_long",
                "ask for a shorter time or fewer spans, or raise query.max_time",
            ),
            Exhausted::Spans { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "too_many_spans",
                "ask for a shorter time, or raise query.max_spans",
            ),
            Exhausted::Memory { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "too_much_memory",
                "ask for less at a time, or raise query.max_memory_bytes",
            ),
            Exhausted::SharedMemory { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "ask again in a moment, or raise query.max_total_memory_bytes",
            ),
        };
        Self {
            status,
            code,
            message: format!("the question was given up: {exhausted}; {advice}"),
            is_given_up: true,
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Read(error) => Self::internal(&error),
            QueryError::Exhausted(exhausted) => Self::exhausted(exhausted),
            QueryError::Archive(ref cause) => Self {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "not_archived",
                message: format!("{cause}; nothing is lost, try again"),
                is_given_up: false,
            },
            QueryError::TooManySteps { .. } | QueryError::NoRate(_) => {
                Self::bad_request(error.to_string())
            }
            QueryError::LeftOut(_) => Self::not_found("left_out", error.to_string()),
        }
    }
}

impl From<LookupError> for ApiError {
    fn from(error: LookupError) -> Self {
        QueryError::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({"error": {"code": self.code, "message": self.message}});
        (self.status, Json(body)).into_response()
    }
}
