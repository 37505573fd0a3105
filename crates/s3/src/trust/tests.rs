use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

use super::*;

/// What `openssl req -x509` makes: signed by itself, and marked as an authority's.
fn self_signed(name: &str, expires_year: i32) -> rcgen::Certificate {
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(expires_year, 1, 1);
    parameters.self_signed(&KeyPair::generate().unwrap()).unwrap()
}

/// What comes of a server that shows `shown`, asked for as `name`, with `trusted` in the bundle.
fn verified(shown: &rcgen::Certificate, name: &str, trusted: &[&rcgen::Certificate]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.pem");
    let texts: String = trusted.iter().map(|certificate| certificate.pem()).collect();
    std::fs::write(&file, texts).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let bundle = Bundle::read(&file, provider).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    // 2026.
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_770_000_000));
    match bundle.verify_server_cert(shown.der(), &[], &name, &[], now) {
        Ok(_) => "trusted".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

/// Such a server was refused with `CaUsedAsEndEntity`.
#[test]
fn a_self_signed_certificate_in_the_bundle_is_the_servers_own() {
    let own = self_signed("localhost", 2040);
    let other = self_signed("localhost", 2040);
    assert_eq!(verified(&own, "localhost", &[&other, &own]), "trusted");
    for (shown, name, bundle, told) in [
        (&own, "elsewhere", &own, "NotValidForName"),
        (&other, "localhost", &own, "CaUsedAsEndEntity"),
        (&self_signed("localhost", 2021), "localhost", &own, "Expired"),
    ] {
        let said = verified(shown, name, &[bundle]);
        assert!(said.contains(told), "{said}");
    }
    let expired = self_signed("localhost", 2021);
    let said = verified(&expired, "localhost", &[&expired]);
    assert!(said.contains("Expired"), "{said}");
}

#[test]
fn refusals_are_told_without_jargon() {
    let told = |error: rustls::Error| reason(&io::Error::other(error));
    let issuer = CertificateError::UnknownIssuer;
    assert!(told(issuer.into()).contains("nobody who is trusted"));
    let authority = rustls::OtherError(Arc::new(webpki::Error::CaUsedAsEndEntity));
    let said = told(CertificateError::Other(authority).into());
    assert!(said.contains("certificate of an authority"), "{said}");
}

#[test]
fn a_bundle_that_is_none_names_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.pem");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for content in [None, Some(""), Some("garbage"), Some(broken)] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let error = client_config(Some(&file)).unwrap_err();
        assert!(error.to_string().contains("AWS_CA_BUNDLE"), "{content:?}: {error}");
    }
}
