//! Connecting to a server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::token::{AnyError, Token};
use crate::transport::Transport;

const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Options of an encrypted connection. The files are PEM, and are read once.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// CA certificates that sign the server's certificate; those of the system if `None`.
    pub ca: Option<PathBuf>,
    /// The client's certificate, for a server that requires one (mTLS).
    pub certificate: Option<PathBuf>,
    /// The private key of the client's certificate.
    pub key: Option<PathBuf>,
    /// The name in the server's certificate, if it differs from the address.
    pub server_name: Option<String>,
}

/// Options of [`Client::connect`](crate::Client::connect). The default is plaintext.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How to encrypt the connection; `Tls::default()` for a server with a public certificate.
    pub tls: Option<Tls>,
    /// The caller's bearer token. Requires `tls`.
    pub token: Option<Token>,
    /// The AWS account and region to call, by the name that the server gives it.
    pub target: Option<String>,
    /// Whether to call all servers at the address in turn. The name is resolved once, and there are no
    /// health checks. Do not use it with a proxy.
    pub balance: bool,
    /// Paths of RPCs of other services whose calls are retried like reads, such as
    /// `/taskgate_batch.v1.BatchService/ListJobs` of a plug-in.
    pub retried: Vec<String>,
}

impl Options {
    pub(crate) async fn connect(self, address: &str) -> Result<Transport, AnyError> {
        if self.tls.is_none() && self.token.is_some() {
            return Err(
                "a token requires TLS; in plaintext anyone on the network can read it".into()
            );
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
        Ok(Transport::new(channel, self.token, target, self.retried))
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
            _ => Err("a client certificate and its key have to be given together".into()),
        }
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, AnyError> {
    tokio::fs::read(path).await.map_err(|error| format!("{}: {error}", path.display()).into())
}
