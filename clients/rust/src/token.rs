//! Bearer tokens.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

/// An error of any kind.
pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

type TokenFuture = Pin<Box<dyn Future<Output = Result<String, AnyError>> + Send>>;

/// The caller's bearer token.
#[derive(Clone)]
pub struct Token(Source);

#[derive(Clone)]
enum Source {
    Text(String),
    File(PathBuf),
    Callback(Arc<dyn Fn() -> TokenFuture + Send + Sync>),
}

impl Token {
    /// A fixed token.
    #[must_use]
    pub fn text(token: impl Into<String>) -> Self {
        Self(Source::Text(token.into()))
    }

    /// A token that is read from a file for each call, as it may be rotated.
    #[must_use]
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self(Source::File(path.as_ref().to_owned()))
    }

    /// A token that a function returns for each call.
    #[must_use]
    pub fn callback<F, T>(callback: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, AnyError>> + Send + 'static,
    {
        Self(Source::Callback(Arc::new(move || Box::pin(callback()))))
    }

    pub(crate) async fn current(&self) -> Result<String, AnyError> {
        match &self.0 {
            Source::Text(token) => Ok(token.clone()),
            Source::File(path) => Ok(tokio::fs::read_to_string(path).await?.trim().to_owned()),
            Source::Callback(callback) => callback().await,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token") // without the token itself
    }
}
