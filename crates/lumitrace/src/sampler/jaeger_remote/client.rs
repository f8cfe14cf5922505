//! Asks a server for the sampling strategy of a service.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::Agent;
use ureq::http::StatusCode;

use super::strategy::{Strategy, StrategyError};

const USER_AGENT: &str = concat!("lumitrace/", env!("CARGO_PKG_VERSION"));
/// How long a server may take to answer; the thread of a sampler that is shut down lives on as long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer answers are refused: two thousand operations fit many times.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// Why there is no new strategy.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Transport(#[from] ureq::Error),
    #[error("the server answered {0}")]
    Status(StatusCode),
    #[error(transparent)]
    Strategy(#[from] StrategyError),
}

pub(super) struct Client<'a> {
    url: &'a str,
    agent: Agent,
    /// The last answer that was understood.
    last_answer: Vec<u8>,
}

impl<'a> Client<'a> {
    pub(super) fn new(url: &'a str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(ANSWER_TIMEOUT))
            .user_agent(USER_AGENT)
            .build();
        Self {
            url,
            agent: agent.into(),
            last_answer: Vec::new(),
        }
    }

    /// The strategy, if it is another one than the last time: what has been counted for one that stays
    /// the same stays valid.
    pub(super) fn fetch(&mut self) -> Result<Option<Strategy>, FetchError> {
        let mut response = self.agent.get(self.url).call()?;
        if !response.status().is_success() {
            return Err(FetchError::Status(response.status()));
        }
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES);
        let answer = body.read_to_vec()?;
        if answer == self.last_answer {
            return Ok(None);
        }
        let strategy = Strategy::from_json(&answer)?;
        self.last_answer = answer;
        Ok(Some(strategy))
    }
}

/// Where the server at `endpoint` tells the strategy of a service.
pub(super) fn strategy_url(endpoint: &str, service_name: &str) -> String {
    const PATH: &str = "/sampling";
    let base = endpoint.trim_end_matches('/');
    let path = if base.ends_with(PATH) { "" } else { PATH };
    let service = utf8_percent_encode(service_name, NON_ALPHANUMERIC);
    format!("{base}{path}?service={service}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_added_unless_it_is_there_and_the_service_is_encoded() {
        for (endpoint, url) in [
            ("http://host:5778", "http://host:5778/sampling"),
            ("http://host:5778/", "http://host:5778/sampling"),
            ("http://host/api/sampling", "http://host/api/sampling"),
        ] {
            let expected = format!("{url}?service=fx%20%26%20co");
            assert_eq!(strategy_url(endpoint, "fx & co"), expected);
        }
    }
}
