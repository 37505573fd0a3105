//! The bucket itself.

use http::Method;

use crate::client::{Call, Client, Effect};
use crate::deletion::insert_digest;
use crate::error::Result;

/// What HEAD tells of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketHead {
    /// `x-amz-bucket-region`, where the server says it.
    pub region: Option<String>,
}

/// Whether a bucket keeps old versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versioning {
    /// It never did.
    Off,
    /// It does.
    Enabled,
    /// It did: old versions may stand there.
    Suspended,
}

impl Client {
    /// Looks whether the bucket is there and may be used.
    ///
    /// # Errors
    /// [`crate::Kind::NoBucket`], [`crate::Kind::Denied`].
    pub async fn head_bucket(&self) -> Result<BucketHead> {
        let call = Call::new("HeadBucket", Method::HEAD, None, Effect::Reads);
        let headers = self.send_for_headers(call).await?;
        let region = headers.get("x-amz-bucket-region").and_then(|value| value.to_str().ok());
        Ok(BucketHead { region: region.map(str::to_owned) })
    }

    /// Makes the bucket, in the region that requests are signed for.
    ///
    /// # Errors
    /// [`crate::Kind::Conflict`] when it exists.
    pub async fn create_bucket(&self) -> Result<()> {
        let mut call = Call::new("CreateBucket", Method::PUT, None, Effect::Writes);
        if self.region() != "us-east-1" {
            let mut document = "<CreateBucketConfiguration><LocationConstraint>".to_owned();
            crate::xml::append_escaped(&mut document, self.region());
            document.push_str("</LocationConstraint></CreateBucketConfiguration>");
            call.body = bytes::Bytes::from(document).into();
        }
        self.send_for_headers(call).await.map(drop)
    }

    /// Lets the bucket keep versions from now on.
    ///
    /// # Errors
    /// [`crate::Kind::Unsupported`] from servers without versions.
    pub async fn enable_versioning(&self) -> Result<()> {
        let mut call = Call::new("PutBucketVersioning", Method::PUT, None, Effect::Writes);
        call.query.push(("versioning", ""));
        let document =
            "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        insert_digest(&mut call.headers, document.as_bytes())?;
        call.body = document.into();
        self.send_for_headers(call).await.map(drop)
    }

    /// Asks whether the bucket keeps versions.
    ///
    /// # Errors
    /// [`crate::Kind::Unsupported`] from servers without versions.
    pub async fn bucket_versioning(&self) -> Result<Versioning> {
        let mut call = Call::new("GetBucketVersioning", Method::GET, None, Effect::Reads);
        call.query.push(("versioning", ""));
        let (_, document) = self.send_for_xml(call).await?;
        Ok(match document.text_of("Status") {
            Some("Enabled") => Versioning::Enabled,
            Some("Suspended") => Versioning::Suspended,
            Some(_) | None => Versioning::Off,
        })
    }
}
