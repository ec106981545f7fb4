//! TLS with a certificate of files, which may be renewed while the server runs.

use std::fmt::Display;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use shared::config::TlsFiles;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ServerConfig, version};
use tokio_rustls::server::TlsStream;

/// A certificate and its key, and what accepts connections with them. Clones share it.
#[derive(Clone, Debug)]
pub struct Tls {
    files: TlsFiles,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

/// The certificate that is shown now.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Says what is wrong with them, without the key.
    pub fn new(files: TlsFiles) -> Result<Self, String> {
        let current = Arc::new(Current(RwLock::new(read(&files)?)));
        let builder = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into());
        let builder = builder.with_protocol_versions(&[&version::TLS13, &version::TLS12]);
        let builder = builder.map_err(|error| error.to_string())?.with_no_client_auth();
        let mut config = builder.with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { files, current, config: Arc::new(config) })
    }

    /// Reads the files again. Returns whether the certificate is another one; new connections get it from now on.
    ///
    /// # Errors
    /// As [`Tls::new`]. The certificate before stays in use.
    pub fn reload(&self) -> Result<bool, String> {
        let new = read(&self.files)?;
        let mut current = self.current.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = current.cert != new.cert;
        *current = new;
        Ok(is_new)
    }

    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        TlsAcceptor::from(self.config.clone()).accept(stream).await
    }
}

fn read(TlsFiles { cert, key }: &TlsFiles) -> Result<Arc<CertifiedKey>, String> {
    let cannot = |setting: &str, file: &std::path::Path, error: &dyn Display| {
        format!("cannot use {setting}={}: {error}", file.display())
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
    let chain = chain.map_err(|error| cannot("TLS_CERT", cert, &error))?;
    if chain.is_empty() {
        return Err(cannot("TLS_CERT", cert, &"it has no certificate"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| cannot("TLS_KEY", key, &error))?;
    // Checks that the key is that of the certificate, too.
    let certified = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider());
    certified.map(Arc::new).map_err(|error| cannot("TLS_KEY", key, &error))
}
