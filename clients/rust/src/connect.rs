//! Connecting to a server.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::transport::Transport;

/// An error of any kind.
pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How a connection is encrypted. Files are PEM, and are read once.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Who must have signed the server's certificate; the system's authorities if `None`.
    pub ca: Option<PathBuf>,
    /// The client's own certificate, for a server that asks for one (mTLS).
    pub certificate: Option<PathBuf>,
    /// The key of the client's certificate.
    pub key: Option<PathBuf>,
    /// The name in the server's certificate, where the address has another.
    pub server_name: Option<String>,
}

type TokenFuture = Pin<Box<dyn Future<Output = Result<String, AnyError>> + Send>>;

/// Who calls: a bearer token.
#[derive(Clone)]
pub struct Token(Source);

#[derive(Clone)]
enum Source {
    Text(String),
    File(PathBuf),
    Callback(Arc<dyn Fn() -> TokenFuture + Send + Sync>),
}

impl Token {
    /// Always the same.
    #[must_use]
    pub fn text(token: impl Into<String>) -> Self {
        Self(Source::Text(token.into()))
    }

    /// Read from a file for each call: who rotates it, such as Kubernetes, tells nobody.
    #[must_use]
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self(Source::File(path.as_ref().to_owned()))
    }

    /// Asked for before each call.
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
        f.write_str("Token") // and not what it is
    }
}

/// How [`Client::connect`](crate::Client::connect) connects: in plaintext, unless it has TLS.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How to encrypt the connection; `Tls::default()` for a server with a public certificate.
    pub tls: Option<Tls>,
    /// Who calls. Needs `tls`.
    pub token: Option<Token>,
    /// The AWS account and region to call, by the server's name for it.
    pub target: Option<String>,
    /// Whether to call all servers that the address names now, in turn. Not for a proxy.
    pub balance: bool,
}

impl Options {
    pub(crate) async fn connect(self, address: &str) -> Result<Transport, AnyError> {
        if self.tls.is_none() && self.token.is_some() {
            return Err("a token needs TLS: everybody on the way could read it".into());
        }
        let target = self
            .target
            .as_deref()
            .filter(|name| !name.is_empty())
            .map(HeaderValue::from_str)
            .transpose()?;
        let address = address.strip_prefix("dns:///").unwrap_or(address);
        let channel = if self.balance {
            let mut endpoints = Vec::new();
            for each in tokio::net::lookup_host(address).await? {
                endpoints.push(self.endpoint(&each.to_string()).await?);
            }
            Channel::balance_list(endpoints.into_iter())
        } else {
            self.endpoint(address).await?.connect_lazy()
        };
        Ok(Transport::new(channel, self.token, target))
    }

    async fn endpoint(&self, address: &str) -> Result<Endpoint, AnyError> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT);
        match &self.tls {
            Some(tls) => Ok(endpoint.tls_config(tls.config().await?)?),
            None => Ok(endpoint),
        }
    }
}

impl Tls {
    async fn config(&self) -> Result<ClientTlsConfig, AnyError> {
        let mut config = ClientTlsConfig::new();
        config = match &self.ca {
            Some(path) => config.ca_certificate(Certificate::from_pem(read(path).await?)),
            None => config.with_native_roots(),
        };
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let identity = Identity::from_pem(read(certificate).await?, read(key).await?);
                Ok(config.identity(identity))
            }
            (None, None) => Ok(config),
            _ => Err("a client certificate needs its key, and a key its certificate".into()),
        }
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, AnyError> {
    tokio::fs::read(path).await.map_err(|error| format!("{}: {error}", path.display()).into())
}
