//! [`Credentials`]: what goes along with every call.

use std::fmt;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::grpc::{Code, Status};

/// What goes along with every call: a bearer token, asked for anew each time because tokens are rotated, the cluster's
/// id, and whatever else is configured.
#[derive(Clone, Default)]
pub struct Credentials {
    token: Option<Arc<dyn Fn() -> Result<String, String> + Send + Sync>>,
    headers: HeaderMap,
}

impl Credentials {
    /// A token that never changes, and the cluster's id.
    pub fn fixed(token: &str, cluster: &str) -> Self {
        let token = token.to_owned();
        Credentials::new(move || Ok(token.clone()), cluster)
    }

    /// A token read before each call, and the cluster's id. An error says why there is no token.
    pub fn new(token: impl Fn() -> Result<String, String> + Send + Sync + 'static, cluster: &str) -> Self {
        let mut credentials = Credentials { token: Some(Arc::new(token)), headers: HeaderMap::new() };
        // A cluster id that no header can carry is left out; the control plane then takes its own.
        if let Ok(cluster) = HeaderValue::from_str(cluster) {
            credentials.headers.insert("clusterid", cluster);
        }
        credentials
    }

    /// Another header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The metadata of a call.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] when there is no token, or none that a header can carry.
    pub fn metadata(&self) -> Result<HeaderMap, Status> {
        let mut headers = self.headers.clone();
        if let Some(token) = &self.token {
            let unusable = |why: String| Status::new(Code::Unauthenticated, why);
            let token = token().map_err(|error| unusable(format!("no token: {error}")))?;
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
                .map_err(|_| unusable("the token cannot be sent in a header".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }
}

/// Shows no secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("token", &self.token.is_some()).field("headers", &self.headers).finish()
    }
}
