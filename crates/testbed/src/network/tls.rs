//! TLS in front of a server, under a certificate that nobody trusts by default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::{accept, listen, runtime};
use crate::TestbedError;
use crate::process::folder;

/// Ends TLS for `localhost` and `127.0.0.1` and forwards what was inside to one address.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    folder: TempDir,
    /// Ends every task when it is dropped.
    runtime: Option<Runtime>,
}

impl TlsFront {
    /// Makes a certificate authority and listens on a free port.
    ///
    /// # Errors
    /// [`TestbedError::Start`] or [`TestbedError::File`].
    pub fn start(target: SocketAddr) -> Result<Self, TestbedError> {
        let (authority, configuration) =
            certificates().map_err(|message| TestbedError::start("TLS", message))?;
        let folder = folder("tls")?;
        let file = folder.path().join("authority.pem");
        std::fs::write(&file, authority).map_err(TestbedError::file(&file))?;
        let acceptor = TlsAcceptor::from(Arc::new(configuration));
        let runtime = runtime()?;
        let (listener, address) = listen(&runtime)?;
        runtime.spawn(accept(listener, move |stream| serve(stream, acceptor.clone(), target)));
        Ok(Self { address, folder, runtime: Some(runtime) })
    }

    /// `https://localhost:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The authority's certificate: a value for `AWS_CA_BUNDLE`.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(client: TcpStream, acceptor: TlsAcceptor, target: SocketAddr) {
    let Ok(mut client) = acceptor.accept(client).await else {
        return;
    };
    if let Ok(mut server) = TcpStream::connect(target).await {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

/// The authority's certificate as PEM, and the server's side.
fn certificates() -> Result<(String, ServerConfig), String> {
    let text = |error: rcgen::Error| error.to_string();
    let mut parameters = CertificateParams::new(Vec::new()).map_err(text)?;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(DnType::CommonName, "Whimbrel testbed authority");
    let authority_key = KeyPair::generate().map_err(text)?;
    let authority = CertifiedIssuer::self_signed(parameters, authority_key).map_err(text)?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let key = KeyPair::generate().map_err(text)?;
    let parameters = CertificateParams::new(names).map_err(text)?;
    let certificate = parameters.signed_by(&key, &authority).map_err(text)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let configuration = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)
        })
        .map_err(|error| error.to_string())?;
    Ok((authority.pem(), configuration))
}
