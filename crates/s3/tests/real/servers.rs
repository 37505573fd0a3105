//! One gateway and one mock for all tests of this binary; both end with it.

use std::sync::OnceLock;

use whimbrel_s3::{Client, Environment, FixedCredentials, Settings};
use whimbrel_testbed::{S3Endpoint, S3Mock, S3Server, VersityGateway, VersityOptions};

static GATEWAY: OnceLock<VersityGateway> = OnceLock::new();
static MOCK: OnceLock<S3Mock> = OnceLock::new();

pub fn gateway() -> &'static VersityGateway {
    GATEWAY.get_or_init(|| {
        let options = VersityOptions { versioning: true, ..VersityOptions::default() };
        VersityGateway::start_with(options).expect("versitygw starts")
    })
}

pub fn mock() -> &'static S3Mock {
    MOCK.get_or_init(|| S3Mock::start().expect("S3Mock starts"))
}

/// Settings for a server, with nothing taken from this process's environment.
pub fn settings(endpoint: &S3Endpoint) -> Settings {
    Settings {
        endpoint: Some(endpoint.url.clone()),
        region: Some(endpoint.region.clone()),
        credentials: Some(FixedCredentials {
            access_key_id: endpoint.access_key.clone(),
            secret_access_key: endpoint.secret_key.clone().into(),
            session_token: None,
        }),
        environment: Environment::default(),
        ..Settings::default()
    }
}

/// A client of a fresh bucket on the gateway.
pub async fn on_gateway(bucket: &str) -> Client {
    fresh(bucket, &settings(gateway().endpoint())).await
}

/// A client of a fresh bucket on the mock.
pub async fn on_mock(bucket: &str) -> Client {
    fresh(bucket, &settings(mock().endpoint())).await
}

pub async fn fresh(bucket: &str, settings: &Settings) -> Client {
    let client = Client::new(bucket, settings).await.expect("settings are right");
    client.create_bucket().await.expect("the bucket is made");
    client
}
