//! What went wrong with a query, for programs and for people.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use lumitrace_query::QueryError;
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
}

impl ApiError {
    /// The question itself is wrong.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status: StatusCode::BAD_REQUEST,
            code: "invalid_parameter",
            message,
        }
    }

    /// What was asked for is not there.
    pub(super) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code,
            message: message.into(),
        }
    }

    /// The server failed. The details are for its log.
    pub(super) fn internal(error: &dyn fmt::Display) -> Self {
        tracing::error!(%error, "a query failed");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "internal",
            message: format!("the server could not answer: {error}"),
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        Self::internal(&error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({"error": {"code": self.code, "message": self.message}});
        (self.status, Json(body)).into_response()
    }
}
